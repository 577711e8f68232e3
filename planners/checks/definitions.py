"""Kinds that a change itself defines, and which kinds live in a namespace.

Called by the checks that must know a kind before the target does: a CustomResourceDefinition and
its first objects may come in one commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from gitops.model.manifest import Manifest
from gitops.ports import KindCatalogue

Kind = tuple[str, str]
"""Group and kind."""

_CLUSTER_SCOPED = {
    ("", "ComponentStatus"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("certificates.k8s.io", "ClusterTrustBundle"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("node.k8s.io", "RuntimeClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("resource.k8s.io", "DeviceClass"),
    ("resource.k8s.io", "ResourceSlice"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
}
"""Kinds of Kubernetes itself that have no namespace: `kubectl api-resources --namespaced=false`."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What one CustomResourceDefinition of the change says."""

    kind: Kind
    namespaced: bool
    schemas: Mapping[str, Mapping[str, Any]]
    """Served versions and their ``openAPIV3Schema``; an empty schema allows anything."""
    deprecated: Mapping[str, str]
    """Deprecated versions and what the definition says about them."""


def is_definition(manifest: Manifest) -> bool:
    return manifest.id.kind == "CustomResourceDefinition"


def defined(manifests: Sequence[Manifest]) -> dict[Kind, Definition]:
    """The kinds defined by the CustomResourceDefinitions of a set."""
    found = {}
    for manifest in manifests:
        if is_definition(manifest):
            definition = _read(manifest.body)
            if definition is not None:
                found[definition.kind] = definition
    return found


@lru_cache(maxsize=256)
def _read(body: bytes) -> Definition | None:
    """None for one that is not in order: its own check says so."""
    try:
        spec = orjson.loads(body)["spec"]
        versions = [each for each in spec["versions"] if each.get("served", False)]
        return Definition(
            kind=(str(spec["group"]), str(spec["names"]["kind"])),
            namespaced=spec.get("scope") == "Namespaced",
            schemas={each["name"]: _schema(each) for each in versions},
            deprecated={each["name"]: _warning(each) for each in versions if _warning(each)},
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def _schema(version: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    return schema if isinstance(schema, Mapping) else {}


def _warning(version: Mapping[str, Any]) -> str:
    if not version.get("deprecated"):
        return ""
    return str(version.get("deprecationWarning") or "its definition calls it deprecated")


async def namespaced(
    catalogue: KindCatalogue | None, own: Mapping[Kind, Definition], kinds: Iterable[Kind]
) -> dict[Kind, bool]:
    """Which of the kinds live in a namespace; a kind that nobody knows is not in the answer.

    ``own``: what the change itself defines. Without a target, unknown kinds are taken to be
    namespaced, as nearly all are.
    """
    answer: dict[Kind, bool] = {}
    for kind in kinds:
        if kind in own:
            answer[kind] = own[kind].namespaced
        elif catalogue is None:
            answer[kind] = kind not in _CLUSTER_SCOPED
        else:
            resource = await catalogue.resource(*kind)
            if resource is not None:
                answer[kind] = resource.namespaced
    return answer
