"""What the application owned and no longer wants.

Called by drawing. A delete comes from an inventory or a label *and* a live object that says it is
ours; never from an error or from something that could not be read (promise 6).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gitops import projection
from gitops.errors import ClusterRefused, NotFound, ObjectMoved
from gitops.model.cluster import LiveObject, Resource
from gitops.model.finding import Finding, Severity
from gitops.model.ids import Digest
from gitops.model.manifest import ObjectId
from gitops.model.plan import ResourceChange
from gitops.model.sealed import SealedObject
from planners.plan import outlook
from planners.plan.parallel import each
from planners.plan.probe import Probe
from planners.plan.resolve import finding
from planners.plan.scene import Scene

PRUNE = "gitops-controller.dev/prune"
"""Annotation; ``disabled`` keeps an object when it leaves the set."""
_NAMED = 5


@dataclass(slots=True)
class Departures:
    """What became of everything that is owned and not desired."""

    changes: list[ResourceChange] = field(default_factory=list)
    sealed: list[SealedObject] = field(default_factory=list)
    kept: list[ObjectId] = field(default_factory=list)
    """Still ours after this plan: they stay in the inventory."""
    gone: list[ObjectId] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def keep(self, id: ObjectId, why: str) -> None:
        self.kept.append(id)
        self.findings.append(finding(Severity.INFO, f"{id} left the set and stays: {why}"))


async def departures(
    scene: Scene,
    probe: Probe,
    strays: Collection[ObjectId],
    inventory: frozenset[ObjectId] | None,
    owned: Mapping[ObjectId, LiveObject],
) -> Departures:
    """Deletes of the plan, dry-run. ``strays``: what the inventory or our label names and nobody
    wants. Raises Transient errors of the cluster."""
    found = Departures()
    left = sorted(_left(strays, inventory or frozenset(), owned))
    if inventory is None or not scene.job.application.prune:
        _stay(scene, found, left, owned, lost=inventory is None)
        return found
    resources: dict[tuple[str, str], Resource | None] = {}
    for id in left:
        if (id.group, id.kind) not in resources:
            known = await scene.job.cluster.resource(id.group, id.kind)
            resources[id.group, id.kind] = known

    async def work(id: ObjectId) -> None:
        await _depart(scene, probe, found, id, resources[id.group, id.kind], owned.get(id))

    await each(left, work)
    for rows in (found.changes, found.sealed, found.kept, found.gone, found.findings):
        rows.sort(key=str)
    return found


def _left(
    strays: Collection[ObjectId],
    inventory: frozenset[ObjectId],
    owned: Mapping[ObjectId, LiveObject],
) -> list[ObjectId]:
    # Controllers copy labels: an EndpointSlice carries its Service's. Only what we applied
    # ourselves is ours.
    return [id for id in strays if id in inventory or _ours(owned.get(id))]


def _ours(live: LiveObject | None) -> bool:
    return live is not None and bool(projection.owned(live.body))


def _stay(
    scene: Scene,
    found: Departures,
    left: list[ObjectId],
    owned: Mapping[ObjectId, LiveObject],
    *,
    lost: bool,
) -> None:
    found.kept = left
    names = ", ".join(map(str, left[:_NAMED])) + (", …" if len(left) > _NAMED else "")
    application = scene.job.application.name
    if lost and scene.job.applied:
        found.findings.append(
            finding(
                Severity.WARNING,
                f"the inventory of {application} is not in the cluster: nothing is deleted",
                hint="the next delivery writes it again from the labels found; then prune works",
            )
        )
    elif left and not lost:
        text = f"{len(left)} objects left the set and stay, prune is off: {names}"
        found.findings.append(finding(Severity.INFO, text))


async def _depart(
    scene: Scene,
    probe: Probe,
    found: Departures,
    id: ObjectId,
    resource: Resource | None,
    live: LiveObject | None,
) -> None:
    if resource is not None and live is None:
        live = await probe.live(resource, id)
    if resource is None or live is None:
        found.gone.append(id)
        return
    why = _stays(scene, live)
    if why:
        found.keep(id, why)
    elif live.application != scene.job.application.name:
        found.gone.append(id)
        text = f"{id} no longer carries our label: it is left alone and forgotten"
        found.findings.append(finding(Severity.INFO, text))
    else:
        await _delete(scene, found, resource, live)


def _stays(scene: Scene, live: LiveObject) -> str:
    metadata = live.body["metadata"]
    if scene.fenced(live.id):
        return "the controller keeps its own state there"
    if (metadata.get("annotations") or {}).get(PRUNE) == "disabled":
        return f"its annotation {PRUNE} says so"
    if live.terminating:
        names = ", ".join(str(name) for name in metadata.get("finalizers") or ())
        return f"it is being deleted already{f', waiting for {names}' if names else ''}"
    return ""


async def _delete(scene: Scene, found: Departures, resource: Resource, live: LiveObject) -> None:
    cluster, account = scene.job.cluster, scene.job.application.run_as
    try:
        await cluster.delete(resource, live.id, uid=live.uid, dry_run=True, run_as=account)
    except NotFound:
        found.gone.append(live.id)
        return
    except ObjectMoved:
        found.keep(live.id, "it was made anew just now; the next plan looks again")
        return
    except ClusterRefused as refused:
        text = f"the server refuses to delete {live.id}: {scene.masker.text(refused.message)}"
        found.kept.append(live.id)
        found.findings.append(finding(Severity.ERROR, text, hint=refused.hint, object=live.id))
        return
    change, sealed = _row(scene, live)
    found.changes.append(change)
    found.sealed.append(sealed)


def _row(scene: Scene, live: LiveObject) -> tuple[ResourceChange, SealedObject]:
    seen, id = outlook.of_delete(live, scene.digester), live.id
    change = ResourceChange(
        seen.action,
        str(id),
        id,
        digest=seen.digest,
        uid=live.uid,
        notes=_notes(id),
        stateful=id.kind in scene.job.application.delete_budget.kinds,
    )
    sealed = SealedObject(
        id,
        live.version,
        seen.action,
        b"",
        Digest(""),
        force=False,
        uid=live.uid,
        resource_version=live.resource_version,
        mask=projection.mask_bytes(seen.mask),
        before=seen.before,
        after=None,
    )
    return change, sealed


def _notes(id: ObjectId) -> tuple[str, ...]:
    if id.kind == "Namespace" and not id.group:
        return ("everything inside goes with it",)
    if id.kind == "CustomResourceDefinition":
        return ("every object of its kind goes with it, whoever owns it",)
    return ()
