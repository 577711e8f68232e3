"""Draws the plan of one application for one cluster.

Called by the plan step. Reads through ports and dry-runs only; it writes nothing, so that
``gitops plan`` may run it with the credentials of a person who can only look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from gitops.errors import NotFound
from gitops.masking import Masker
from gitops.model.cluster import LiveObject, Resource
from gitops.model.delivery import AppliedObject
from gitops.model.finding import Finding
from gitops.model.ids import Digest, combine
from gitops.model.manifest import ObjectId
from gitops.model.plan import Action, Plan, ResourceChange
from gitops.model.sealed import SealedObject, SealedSet
from gitops.ports import Digester, DrawJob, Drawn
from planners.plan.budget import lock_out, over_budget
from planners.plan.memory import PlanMemory
from planners.plan.parallel import each
from planners.plan.preview import Looked, look, predict
from planners.plan.probe import Probe
from planners.plan.prune import Departures, departures
from planners.plan.resolution import Resolution, Resolved
from planners.plan.resolve import resolve
from planners.plan.scene import Scene
from planners.plan.tally import IN_ORDER, Settled, Tally


@dataclass(slots=True)
class _Sketch:
    """A plan under way."""

    scene: Scene
    resolution: Resolution
    owned: Mapping[ObjectId, LiveObject]
    inventory: frozenset[ObjectId] | None
    tally: Tally
    """As it stood when the drawing began."""
    unchanged: int
    looked: list[Looked] = field(default_factory=list)
    settled: dict[ObjectId, AppliedObject | None] = field(default_factory=dict)


async def draw(
    job: DrawJob, digester: Digester, masker: Masker, memory: PlanMemory, fence: str = ""
) -> Drawn:
    """The plan, its sealed set, and what was found already right.

    An object whose manifest and live projection are those last recorded costs no request; every
    other one costs a dry-run. What the server refuses becomes a finding at the object's origin.
    ``fence`` is the controller's own namespace in that cluster. Raises Transient errors of the
    cluster (nothing was drawn then).
    """
    terms = (job.application.name, job.application.namespace, fence)
    masker = masker.scope(job.application.name)
    scene = Scene(job, digester, masker, memory.lane(job.change.lane, terms), fence)
    sketch = await _survey(scene)
    probe = Probe(job.cluster, digester, masker, job.application.run_as)
    await _look_at(sketch, probe, _unsettled(sketch))
    left = await departures(scene, probe, sketch.tally.strays, sketch.inventory, sketch.owned)
    return _finish(sketch, left)


async def _survey(scene: Scene) -> _Sketch:
    """What is wanted, and what is there."""
    job, lane = scene.job, scene.lane
    resolution = await resolve(scene)
    inventory = await job.cluster.inventory.read(job.application.name)
    await _follow(scene, resolution, lane.tally.kinds(inventory, job.applied))
    owned = job.cluster.live.owned(job.application.name)
    lane.forget_absent(owned)
    known = inventory or frozenset()
    lane.tally.update(resolution.items, job.applied, owned, known, _rule(scene))
    unchanged = len(resolution.items) - len(lane.tally.unsettled)
    return _Sketch(scene, resolution, owned, inventory, lane.tally, unchanged)


def _rule(scene: Scene) -> Settled:
    """The manifest is the one last applied, the fields our manager owns hold what the server made
    of it then, and the object is not on its way out."""

    def settled(item: Resolved, record: AppliedObject, live: LiveObject) -> bool:
        if item.id.kind == "Secret":
            scene.masker.learn(live.body, live=True)
        if record.desired != item.digest:
            return False
        now = scene.lane.look(live, scene.digester)
        return now.projection == record.projection and not now.terminating

    return settled


async def _follow(
    scene: Scene, resolution: Resolution, recorded: Iterable[tuple[str, str]]
) -> None:
    wanted: dict[tuple[str, str], Resource] = {}
    for kind, resource in resolution.resources.items():
        if kind not in resolution.new_kinds:
            wanted.setdefault(kind[:2], resource)
    for group, name in frozenset(recorded) - wanted.keys():
        known = await scene.job.cluster.resource(group, name)
        if known is not None:
            wanted[group, name] = known
    try:
        await scene.job.cluster.live.follow(tuple(wanted.values()))
    except NotFound:
        # A kind left the server while we were asking. Its objects went with it; what is wanted of
        # it is refused by name when it is tried.
        return


def _unsettled(sketch: _Sketch) -> list[Resolved]:
    """Objects that are not known to be right, in order of identity."""
    items = sketch.resolution.items
    return [items[id] for id in sorted(sketch.tally.unsettled, key=IN_ORDER)]


async def _look_at(sketch: _Sketch, probe: Probe, items: list[Resolved]) -> None:
    """Namespaces first: whether one is about to exist decides how its contents are asked about."""
    namespaces = [item for item in items if _is_namespace(item.id)]
    others = [item for item in items if not _is_namespace(item.id)]
    new: set[str] = set()
    scene, resolution = sketch.scene, sketch.resolution

    async def work(item: Resolved) -> Looked:
        kind = (item.id.group, item.id.kind, item.version)
        if kind in resolution.new_kinds or item.id.namespace in new:
            return predict(scene, item, sketch.owned.get(item.id))
        resource = resolution.resources[kind]
        looked = await look(scene, probe, item, resource, sketch.owned.get(item.id))
        if looked.settled:
            sketch.settled[item.id] = looked.settled
            sketch.unchanged += 1
        return looked

    first = await each(namespaces, work)
    for item, looked in zip(namespaces, first, strict=True):
        if looked.change is not None and looked.change.action is Action.CREATE:
            new.add(item.id.name)
    sketch.looked = [*first, *await each(others, work)]


def _is_namespace(id: ObjectId) -> bool:
    return id.kind == "Namespace" and not id.group


def _finish(sketch: _Sketch, left: Departures) -> Drawn:
    scene, wanted = sketch.scene, sketch.tally.order
    changes = [looked.change for looked in sketch.looked if looked.change]
    changes += left.changes
    changes.sort(key=lambda change: IN_ORDER(change.object))
    writes = [looked.sealed for looked in sketch.looked if looked.sealed] + left.sealed
    writes.sort(key=lambda write: IN_ORDER(write.id))
    inventory = tuple(sorted((*wanted, *left.kept), key=IN_ORDER)) if left.kept else wanted
    sealed = SealedSet(
        scene.job.change.lane, scene.job.application.run_as, tuple(writes), inventory
    )
    settled = {**sketch.settled, **_forgotten(sketch, left)}
    return Drawn(
        _plan(sketch, left, tuple(changes)), sealed, _artifact(sealed, scene.digester), settled
    )


def _forgotten(sketch: _Sketch, left: Departures) -> dict[ObjectId, None]:
    """Records of objects that are neither wanted nor there."""
    staying = set(left.kept)
    orphans = sorted(sketch.tally.orphans - staying, key=IN_ORDER)
    return {id: None for id in orphans if id not in sketch.owned}


def _plan(sketch: _Sketch, left: Departures, changes: tuple[ResourceChange, ...]) -> Plan:
    job = sketch.scene.job
    refused: list[Finding] = [f for looked in sketch.looked for f in looked.findings]
    owned = len(sketch.inventory or sketch.owned)
    return Plan(
        job.change.id,
        job.application.name,
        job.change.lane.target,
        changes,
        combine("plan", *(change.digest for change in changes)),
        sketch.unchanged,
        (*job.findings, *sketch.resolution.findings, *refused, *left.findings),
        (*over_budget(changes, job.application.delete_budget, owned), *_lock_outs(sketch)),
        sketch.tally.versions,
        hides=any(looked.hides for looked in sketch.looked),
    )


def _lock_outs(sketch: _Sketch) -> tuple[str, ...]:
    writes = (looked.sealed for looked in sketch.looked if looked.sealed)
    hooks = [w for w in writes if w.id.kind.endswith("WebhookConfiguration")]
    return tuple(filter(None, (lock_out(orjson.loads(write.body)) for write in hooks)))


def _artifact(sealed: SealedSet, digester: Digester) -> Digest:
    """Over what is sent and how, not over the resource versions it was planned against."""
    content = [[*_name(w), w.action, w.force, digester.of(w.body)] for w in sealed.writes]
    return digester.of(orjson.dumps([sealed.run_as, content]))


def _name(write: SealedObject) -> tuple[str, str, str, str, str, str]:
    id = write.id
    return id.group, id.kind, id.namespace, id.name, write.version, write.uid
