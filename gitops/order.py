"""In which order objects are written and deleted.

Pure; called by apply and prune. Namespaces and CRDs go first because everything else may live in
them, admission webhooks and API services last because from then on every write passes through
them. Between stages the caller waits; inside one it writes in parallel, in the order given here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from gitops.model.manifest import ObjectId

T = TypeVar("T")

_FIRST = frozenset({("", "Namespace"), ("apiextensions.k8s.io", "CustomResourceDefinition")})
_LAST = frozenset(
    {
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
        ("apiregistration.k8s.io", "APIService"),
    }
)
# Not a matter of right or wrong (a pod waits for its ConfigMap) but of fewer false starts.
_EARLY = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "RuntimeClass",
    "IngressClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
    "NetworkPolicy",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
)
_RANK = {kind: rank for rank, kind in enumerate(_EARLY)}


def stage(id: ObjectId) -> int:
    """0, 1 or 2: what others live in, the rest, what stands in every later write's way."""
    kind = (id.group, id.kind)
    if kind in _FIRST:
        return 0
    return 2 if kind in _LAST else 1


def stages(items: Iterable[T], key: Callable[[T], ObjectId]) -> tuple[tuple[T, ...], ...]:
    """``items`` by stage of apply, empty stages left out."""
    found: dict[int, list[T]] = {}
    for item in items:
        found.setdefault(stage(key(item)), []).append(item)
    return tuple(
        tuple(sorted(found[number], key=lambda item: _weight(key(item))))
        for number in sorted(found)
    )


def prune_stages(items: Iterable[T], key: Callable[[T], ObjectId]) -> tuple[tuple[T, ...], ...]:
    """The same for deleting: the other way round."""
    return tuple(tuple(reversed(members)) for members in reversed(stages(items, key)))


def _weight(id: ObjectId) -> tuple[int, str, str, str, str]:
    return _RANK.get(id.kind, len(_RANK)), id.group, id.kind, id.namespace, id.name
