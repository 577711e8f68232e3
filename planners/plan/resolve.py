"""Makes manifests final for one target: scope, namespace, owner label.

Called once per draw; carries on from the last resolution with the manifests that are new, unless
there was something to say about the set as a whole. The target's own discovery decides whether a
kind has namespaces; a kind that only a CRD of the same set defines is taken from that CRD.
"""

from __future__ import annotations

import base64
import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gitops import snug
from gitops.delta import gone_and_come
from gitops.model.cluster import OWNER_LABEL, Resource
from gitops.model.finding import Finding, Severity
from gitops.model.ids import Digest
from gitops.model.manifest import Manifest, ObjectId, Origin
from planners.plan.resolution import Kind, LastResolution, Resolution, Resolved
from planners.plan.scene import Scene
from planners.plan.versions import versions_of

CHECK = "plan"
"""The name findings of planning carry where a check's would stand."""


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
    last, scene.lane.last = scene.lane.last, None
    carried = await _carried_on(scene, last) if last else None
    scene.lane.last = carried or await _anew(scene)
    return scene.lane.last.resolution


async def _anew(scene: Scene) -> LastResolution:
    manifests = scene.job.desired.manifests
    kinds: dict[Kind, Manifest] = {}
    for manifest in manifests:
        kinds.setdefault(_kind(manifest), manifest)
    resources, new, findings = await _kinds(scene, kinds)
    items, more = _items(scene, resources)
    resolution = Resolution(items, resources, frozenset(new), (*findings, *more))
    return LastResolution(manifests, Counter(map(_kind, manifests)), resolution)


async def _carried_on(scene: Scene, last: LastResolution) -> LastResolution | None:
    """The last resolution with the manifests that changed since. None where more than single
    objects are concerned: a finding then or now, a kind whose reach is another, a CRD needed."""
    if last.resolution.findings or last.resolution.new_kinds:
        return None
    gone, come = gone_and_come(last.manifests, scene.job.desired.manifests)
    kinds = last.kinds + Counter(map(_kind, come)) - Counter(map(_kind, gone))
    resources = {kind: await scene.job.cluster.resource(*kind) for kind in kinds}
    before = last.resolution.resources
    reached = {kind: each for kind, each in resources.items() if each is not None}
    if len(reached) < len(kinds) or any(before.get(k, each) != each for k, each in reached.items()):
        return None
    items = _exchanged(scene, last, reached, gone, come)
    if items is None:
        return None
    resolution = Resolution(items, reached, frozenset(), ())
    return LastResolution(scene.job.desired.manifests, kinds, resolution)


def _exchanged(
    scene: Scene,
    last: LastResolution,
    resources: Mapping[Kind, Resource],
    gone: Iterable[Manifest],
    come: Iterable[Manifest],
) -> dict[ObjectId, Resolved] | None:
    """None where an object is now there twice, or lies behind the fence."""
    resolved = scene.lane.resolved
    leaving = {}
    for manifest in gone:
        namespaced = last.resolution.resources[_kind(manifest)].namespaced
        leaving[_final_id(scene, manifest, namespaced)] = (manifest.digest, namespaced)
    items = dict(last.resolution.items)
    arrived: set[ObjectId] = set()
    fresh: dict[tuple[Digest, bool], Resolved] = {}
    for manifest in come:
        key, item = _item(scene, manifest, resources[_kind(manifest)])
        twice = item.id in arrived or (item.id in items and item.id not in leaving)
        if twice or scene.fenced(item.id):
            return None
        arrived.add(item.id)
        # In the place of its former self, so that the two sets are compared in one order.
        items[item.id] = fresh[key] = item
    for id, key in leaving.items():
        resolved.pop(key, None)
        if id not in arrived:
            del items[id]
    resolved.update(fresh)
    return items


def _kind(manifest: Manifest) -> Kind:
    return manifest.id.group, manifest.id.kind, manifest.version


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
    used: dict[tuple[Digest, bool], Resolved] = {}
    for manifest in scene.job.desired.manifests:
        resource = resources.get((manifest.id.group, manifest.id.kind, manifest.version))
        if resource is None:
            continue
        key, item = _item(scene, manifest, resource)
        used[key] = item
        if item.id in items:
            findings.append(_twice(item, items[item.id]))
            continue
        items[item.id] = item
        if scene.fenced(item.id):
            findings.append(_fence(scene, item))
    scene.lane.resolved = used
    return items, findings


def _item(
    scene: Scene, manifest: Manifest, resource: Resource
) -> tuple[tuple[Digest, bool], Resolved]:
    key = (manifest.digest, resource.namespaced)
    item = scene.lane.resolved.get(key)
    if item is None:
        item = _final(scene, manifest, namespaced=resource.namespaced)
    elif item.origin != manifest.origin:
        item = replace(item, origin=manifest.origin)
    return key, item


def _final_id(scene: Scene, manifest: Manifest, namespaced: bool) -> ObjectId:
    old = manifest.id
    namespace = (old.namespace or scene.job.application.namespace) if namespaced else ""
    return ObjectId(old.group, old.kind, namespace, old.name)


def _final(scene: Scene, manifest: Manifest, *, namespaced: bool) -> Resolved:
    body = orjson.loads(manifest.body)
    id = _final_id(scene, manifest, namespaced)
    namespace = id.namespace
    metadata = dict(body.get("metadata") or {})
    metadata.pop("namespace", None)
    if namespace:
        metadata["namespace"] = namespace
    metadata["labels"] = {**(metadata.get("labels") or {}), OWNER_LABEL: scene.job.application.name}
    body["metadata"] = metadata
    if id.kind == "Secret" and not id.group:
        scene.masker.learn(body)
        _encode(body)
    sent = snug.dumps(body, sort=True)
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
