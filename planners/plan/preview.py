"""What would become of one object: its row in the plan, and the write an approval would allow.

Called by drawing for every object that is not known to be right. What the server refuses is a
finding at the object's origin; what may pass is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from gitops import projection
from gitops.errors import (
    AccountMissing,
    ClusterRefused,
    FieldConflict,
    GitopsError,
    Immutable,
    NotFound,
)
from gitops.model.cluster import LiveObject, Resource
from gitops.model.delivery import AppliedObject
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ConflictPolicy
from gitops.model.ids import Digest
from gitops.model.plan import Action, ResourceChange
from gitops.model.sealed import SealedObject
from planners.plan import outlook
from planners.plan.conflicts import Conflict, leave_out, mark, readable
from planners.plan.outlook import Outlook
from planners.plan.probe import Answer, Probe
from planners.plan.resolution import Resolved
from planners.plan.resolve import finding
from planners.plan.restarts import restarts
from planners.plan.scene import Scene

_LEAVES = 5
"""Rounds of leaving fields to others: each names all conflicts, more than two mean a race."""
_UNTIL_ACCOUNT = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5)
"""Seconds between looks for a young namespace's ``default`` account: a cluster that is busy takes
its time, and what is refused for good waits for a person."""
_NAMED = 5
"""Fields a finding names; an ellipsis stands for the rest."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of looking at one object; of the first three at most one is set."""

    change: ResourceChange | None = None
    sealed: SealedObject | None = None
    settled: AppliedObject | None = None
    findings: tuple[Finding, ...] = ()
    hides: bool = False
    """A value outside Secrets is hidden because it equals a Secret's."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One object under way through the questions."""

    scene: Scene
    probe: Probe
    item: Resolved
    resource: Resource
    live: LiveObject | None
    body: bytes
    notes: tuple[str, ...] = field(default_factory=tuple)


def predict(scene: Scene, item: Resolved, live: LiveObject | None) -> Looked:
    """An object whose namespace, kind or version is only about to exist."""
    if live is not None and live.terminating:
        return _findings(_leaving(item, live))
    sent = orjson.loads(item.body)
    seen = outlook.of_predicted(item.id, sent, live, scene.digester)
    return _show(scene, item, seen, item.body, live, predicted=True)


async def look(
    scene: Scene, probe: Probe, item: Resolved, resource: Resource, live: LiveObject | None
) -> Looked:
    """Asks the server. Raises Transient errors of the cluster."""
    if live is not None and live.version != item.version:
        live = await probe.live(resource, item.id)
    case = _Case(scene, probe, item, resource, live, item.body)
    try:
        return await _once_accounted(case)
    except FieldConflict as conflict:
        return await _contested(case, conflict)
    except Immutable as immutable:
        return await _replaced(case, immutable)
    except AccountMissing as missing:
        if _brings(scene, missing.account):
            return predict(scene, item, case.live)
        return _refused(scene, item, missing)
    except (ClusterRefused, NotFound) as refused:
        return _refused(scene, item, refused)


async def _once_accounted(case: _Case) -> Looked:
    """Every namespace gets its ``default`` account from the cluster, a moment after it was made;
    a plan drawn within that moment would be another one than the next."""
    for pause in _UNTIL_ACCOUNT:
        try:
            return await _ask(case)
        except AccountMissing as missing:
            if not missing.account.endswith("/default") or _brings(case.scene, missing.account):
                raise
            await asyncio.sleep(pause)
    return await _ask(case)


def _brings(scene: Scene, account: str) -> bool:
    """Does the set hold that service account (``namespace/name``)?"""
    namespace, _, name = account.partition("/")
    return any(
        manifest.id.kind == "ServiceAccount"
        and manifest.id.name == name
        and (manifest.id.namespace or scene.job.application.namespace) == namespace
        for manifest in scene.job.desired.manifests
    )


async def _ask(case: _Case) -> Looked:
    take = case.scene.job.application.conflicts is ConflictPolicy.ASK
    answer = await case.probe.try_apply(
        case.resource, case.item.id, case.body, case.live, take=take
    )
    if answer.live is None:
        return _created(case, answer)
    return _keep_off(case, answer.live) or _updated(case, answer.live, answer)


def _keep_off(case: _Case, live: LiveObject) -> Looked | None:
    """Reasons not to touch an object that is there."""
    owner, application = live.application, case.scene.job.application.name
    if owner not in ("", application):
        return _findings(_of_another(case.item, owner))
    if live.terminating:
        return _findings(_leaving(case.item, live))
    return None


def _created(case: _Case, answer: Answer) -> Looked:
    sent = orjson.loads(case.body)
    seen = outlook.of_create(case.item.id, sent, answer.written.object.body, case.scene.digester)
    return _show(case.scene, case.item, seen, case.body, None, notes=_warnings(case, answer))


def _updated(case: _Case, live: LiveObject, answer: Answer) -> Looked:
    scene, item = case.scene, case.item
    seen = outlook.of_update(live, answer.written.object.body, answer.taken, scene.digester)
    if seen.action is Action.NONE:
        return Looked(settled=settle(scene, item.digest, live))
    looked = _show(
        scene,
        item,
        seen,
        case.body,
        live,
        notes=(*case.notes, *_adoption(live), *_ownership(seen), *_warnings(case, answer)),
        taken=answer.taken,
    )
    if not answer.taken or looked.change is None:
        return looked
    fields = mark(looked.change.fields, answer.taken)
    return replace(looked, change=replace(looked.change, fields=fields))


def settle(scene: Scene, desired: Digest, live: LiveObject) -> AppliedObject:
    """An object that is right as it is."""
    body = live.body
    now = projection.digest(body, projection.owned(body), scene.digester)
    return AppliedObject(desired, now or Digest(""), live.uid)


async def _contested(case: _Case, conflict: FieldConflict) -> Looked:
    """Another manager's fields, and the policy is not to take them."""
    live = case.live or await case.probe.live(case.resource, case.item.id)
    if live is not None:
        off = _keep_off(case, live)
        if off:
            return off
    if case.scene.job.application.conflicts is ConflictPolicy.FAIL:
        return _findings(*(_conflict(case, *one) for one in conflict.conflicts))
    return await _left(replace(case, live=live), conflict)


async def _left(case: _Case, conflict: FieldConflict) -> Looked:
    """Leaves the fields in conflict to whoever owns them."""
    for _ in range(_LEAVES):
        trimmed = leave_out(orjson.loads(case.body), conflict.conflicts)
        if trimmed is None:
            return _findings(*(_conflict(case, *one) for one in conflict.conflicts))
        notes = tuple(f"leaves {readable(p)} to {m}" for m, p in conflict.conflicts)
        body = orjson.dumps(trimmed, option=orjson.OPT_SORT_KEYS)
        case = replace(case, body=body, notes=(*case.notes, *notes))
        try:
            return await _ask(case)
        except FieldConflict as more:
            conflict = more
        except Immutable as immutable:
            return await _replaced(case, immutable)
    return _findings(*(_conflict(case, *one) for one in conflict.conflicts))


async def _replaced(case: _Case, immutable: Immutable) -> Looked:
    """A field that cannot change in place: delete and create, if the object is ours to delete."""
    scene, item = case.scene, case.item
    live = case.live or await case.probe.live(case.resource, item.id)
    if live is None:
        return _refused(scene, item, immutable)
    off = _keep_off(case, live)
    if off:
        return off
    sent = orjson.loads(case.body)
    result = await case.probe.try_create(case.resource, item.id, case.body)
    seen = outlook.of_replace(live, sent, result, scene.digester)
    named = ", ".join(immutable.fields) or scene.masker.text(immutable.message)
    notes = (*case.notes, *_adoption(live), f"forces replacement: {named}")
    return _show(scene, item, seen, case.body, live, notes=notes, predicted=result is None)


def _show(
    scene: Scene,
    item: Resolved,
    seen: Outlook,
    body: bytes,
    live: LiveObject | None,
    *,
    notes: tuple[str, ...] = (),
    taken: tuple[Conflict, ...] = (),
    predicted: bool = False,
) -> Looked:
    shown, hidden = scene.masker.shown(item.id, seen.raw)
    change = ResourceChange(
        seen.action,
        str(item.id),
        item.id,
        shown,
        seen.digest,
        live.uid if live else "",
        predicted,
        notes,
        item.origin,
        item.id.kind in scene.job.application.delete_budget.kinds,
        restarts=restarts(seen, live),
    )
    sealed = SealedObject(
        item.id,
        item.version,
        seen.action,
        body,
        item.digest,
        bool(taken),
        live.uid if live else "",
        live.resource_version if live else "",
        projection.mask_bytes(seen.mask),
        seen.before,
        seen.after,
        predicted,
        taken,
    )
    told = (_hiding(item, hidden),) if hidden else ()
    return Looked(change, sealed, findings=told, hides=bool(hidden))


def _hiding(item: Resolved, paths: tuple[str, ...]) -> Finding:
    """Said aloud, for whoever brings the Secret decides what approvers do not see."""
    named = ", ".join(paths[:_NAMED]) + (", …" if len(paths) > _NAMED else "")
    return finding(
        Severity.WARNING,
        f"{item.id}: {named} is not shown in full: it holds what is also a Secret's value",
        hint="read the manifest itself before approving; a secret belongs into a Secret alone",
        at=item.origin,
        object=item.id,
    )


def _adoption(live: LiveObject) -> tuple[str, ...]:
    return () if live.application else ("adopts an existing object",)


def _ownership(seen: Outlook) -> tuple[str, ...]:
    if seen.raw:
        return ()
    texts = []
    if seen.gained:
        texts.append(f"owns {_fields(seen.gained)} from now on, values stay")
    if seen.lost:
        texts.append(f"gives up {_fields(seen.lost)}, values stay")
    return tuple(texts)


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _warnings(case: _Case, answer: Answer) -> tuple[str, ...]:
    masker = case.scene.masker
    return tuple(f"the server warns: {masker.text(text)}" for text in answer.written.warnings)


def _findings(*found: Finding) -> Looked:
    return Looked(findings=found)


def _refused(scene: Scene, item: Resolved, error: GitopsError) -> Looked:
    return _findings(
        finding(
            Severity.ERROR,
            f"the server refuses {item.id}: {scene.masker.text(error.message)}",
            hint=scene.masker.text(error.hint),
            at=item.origin,
            object=item.id,
        )
    )


def _conflict(case: _Case, manager: str, path: str) -> Finding:
    return finding(
        Severity.ERROR,
        f"{case.item.id}: {readable(path)} belongs to {manager}",
        hint="remove the field from the manifest, or set `conflicts: ask` to take it with approval",
        at=case.item.origin,
        object=case.item.id,
    )


def _of_another(item: Resolved, owner: str) -> Finding:
    return finding(
        Severity.ERROR,
        f"{item.id} belongs to the application {owner}",
        hint=f"remove it here, or remove it from {owner} first",
        at=item.origin,
        object=item.id,
    )


def _leaving(item: Resolved, live: LiveObject) -> Finding:
    metadata: Mapping[str, Any] = live.body["metadata"]
    finalizers = ", ".join(str(name) for name in metadata.get("finalizers") or ())
    waits = f" and waits for {finalizers}" if finalizers else ""
    return finding(
        Severity.WARNING,
        f"{item.id} is being deleted{waits}: it is left alone until it is gone",
        hint="it is created again once it is gone; a finalizer is removed by its own controller",
        at=item.origin,
        object=item.id,
    )
