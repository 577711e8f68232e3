"""Makes manifests final for one target: scope, namespace, owner label.

Called once per draw; for manifests seen in the last pass it only looks them up. The target's own
discovery decides whether a kind has namespaces; a kind that only a CRD of the same set defines is
taken from that CRD.
"""

from __future__ import annotations

import base64
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from gitops.model.cluster import OWNER_LABEL, Resource
from gitops.model.finding import Finding, Severity
from gitops.model.manifest import Manifest, ObjectId, Origin
from planners.plan.memory import Resolved
from planners.plan.scene import Scene
from planners.plan.versions import versions_of

CHECK = "plan"
"""The name findings of planning carry where a check's would stand."""

Kind = tuple[str, str, str]
"""Group, kind, version."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The final set. ``items`` has no two of one identity."""

    items: Mapping[ObjectId, Resolved]
    resources: Mapping[Kind, Resource]
    new_kinds: frozenset[Kind]
    """Defined by a CRD of this set only: the target does not serve them yet."""
    findings: tuple[Finding, ...]


def finding(
    severity: Severity,
    message: str,
    *,
    hint: str = "",
    at: Origin | None = None,
    object: ObjectId | None = None,
) -> Finding:
    """A remark of planning at an object's origin."""
    where = at or Origin("")
    return Finding(CHECK, severity, message, hint, where.path, where.line, where.column, object)


async def resolve(scene: Scene) -> Resolution:
    """Every manifest as it will be sent, or a finding that says why it cannot be."""
    kinds: dict[Kind, Manifest] = {}
    for manifest in scene.job.desired.manifests:
        kinds.setdefault((manifest.id.group, manifest.id.kind, manifest.version), manifest)
    resources, new, findings = await _kinds(scene, kinds)
    items, more = _items(scene, resources)
    return Resolution(items, resources, frozenset(new), (*findings, *more))


async def _kinds(
    scene: Scene, kinds: Mapping[Kind, Manifest]
) -> tuple[dict[Kind, Resource], set[Kind], list[Finding]]:
    resources: dict[Kind, Resource] = {}
    new: set[Kind] = set()
    findings: list[Finding] = []
    defined: Mapping[Kind, Resource] | None = None
    for kind, manifest in kinds.items():
        group, name, version = kind
        resource = await scene.job.cluster.resource(group, name, version)
        if resource is None:
            defined = _defined(scene) if defined is None else defined
            resource = defined.get(kind)
            new.add(kind)
        if resource is None:
            findings.append(await _unknown(scene, manifest))
        else:
            resources[kind] = resource
    return resources, new, findings


def _defined(scene: Scene) -> dict[Kind, Resource]:
    """Kinds defined by the CRDs of the set."""
    found: dict[Kind, Resource] = {}
    for manifest in scene.job.desired.manifests:
        if manifest.id.kind != "CustomResourceDefinition":
            continue
        known = scene.lane.defined.get(manifest.digest)
        if known is None:
            known = scene.lane.defined[manifest.digest] = tuple(
                _served(orjson.loads(manifest.body))
            )
        found.update({(r.group, r.kind, r.version): r for r in known})
    return found


def _served(crd: Mapping[str, Any]) -> Iterable[Resource]:
    spec = crd.get("spec")
    if not isinstance(spec, Mapping) or not isinstance(spec.get("names"), Mapping):
        return
    names, namespaced = spec["names"], spec.get("scope") == "Namespaced"
    for version in spec.get("versions") or ():
        if isinstance(version, Mapping) and version.get("served", True):
            yield Resource(
                str(spec.get("group", "")),
                str(version.get("name", "")),
                str(names.get("kind", "")),
                str(names.get("plural", "")),
                namespaced,
            )


async def _unknown(scene: Scene, manifest: Manifest) -> Finding:
    id = manifest.id
    known = (await scene.job.cluster.facts()).api_versions
    wanted = f"{manifest.api_version}/{id.kind}"
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.6)
    near += [k for k in known if k.endswith(f"/{id.kind}") and k not in near]
    hint = f"the target serves {', '.join(near[:4])}" if near else "install its CRD first"
    return finding(
        Severity.ERROR,
        f"{scene.job.change.lane.target} does not know the kind {wanted}",
        hint=hint,
        at=manifest.origin,
        object=id,
    )


def _items(
    scene: Scene, resources: Mapping[Kind, Resource]
) -> tuple[dict[ObjectId, Resolved], list[Finding]]:
    items: dict[ObjectId, Resolved] = {}
    findings: list[Finding] = []
    used: dict[tuple[Any, bool], Resolved] = {}
    for manifest in scene.job.desired.manifests:
        resource = resources.get((manifest.id.group, manifest.id.kind, manifest.version))
        if resource is None:
            continue
        key = (manifest.digest, resource.namespaced)
        item = scene.lane.resolved.get(key)
        if item is None:
            item = _final(scene, manifest, namespaced=resource.namespaced)
        elif item.origin != manifest.origin:
            item = replace(item, origin=manifest.origin)
        used[key] = item
        if item.id in items:
            findings.append(_twice(item, items[item.id]))
            continue
        items[item.id] = item
        if scene.fenced(item.id):
            findings.append(_fence(scene, item))
    scene.lane.resolved = used
    return items, findings


def _final(scene: Scene, manifest: Manifest, *, namespaced: bool) -> Resolved:
    body = orjson.loads(manifest.body)
    old = manifest.id
    namespace = (old.namespace or scene.job.application.namespace) if namespaced else ""
    metadata = dict(body.get("metadata") or {})
    metadata.pop("namespace", None)
    if namespace:
        metadata["namespace"] = namespace
    metadata["labels"] = {**(metadata.get("labels") or {}), OWNER_LABEL: scene.job.application.name}
    body["metadata"] = metadata
    if old.kind == "Secret" and not old.group:
        scene.masker.learn(body)
        _encode(body)
    sent = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    id = ObjectId(old.group, old.kind, namespace, old.name)
    digest = scene.digester.of(sent)
    return Resolved(id, manifest.version, sent, digest, manifest.origin, versions_of(body))


def _encode(secret: dict[str, Any]) -> None:
    """``stringData`` becomes ``data``, as the server would make it. Left to the server, our
    manager would own a field that is never there, and an edit of the value would go unnoticed."""
    plain = secret.get("stringData")
    if not isinstance(plain, dict) or not all(isinstance(v, str) for v in plain.values()):
        return
    del secret["stringData"]
    coded = {name: base64.b64encode(value.encode()).decode() for name, value in plain.items()}
    secret["data"] = {**(secret.get("data") or {}), **coded}


def _twice(item: Resolved, first: Resolved) -> Finding:
    return finding(
        Severity.ERROR,
        f"{item.id} is there twice: also at {first.origin}",
        hint="keep one of the two",
        at=item.origin,
        object=item.id,
    )


def _fence(scene: Scene, item: Resolved) -> Finding:
    return finding(
        Severity.ERROR,
        f"{item.id} lies in {scene.fence}, where the controller keeps its own state",
        hint="deliver it to another namespace, or give the cluster another state namespace",
        at=item.origin,
        object=item.id,
    )
