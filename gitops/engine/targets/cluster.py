"""An application's part of a cluster.

Whether anything was changed by somebody else is a comparison in memory of what the live view holds
with what the server made of our last apply: no request, and only objects that moved since the last
comparison are looked at again. The answer is a digest of the differing values, so that the same
drift is one change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from gitops.engine.ledger import Ledger
from gitops.engine.targets import Sitting
from gitops.engine.targets.under_way import UnderWay
from gitops.model.cluster import ClusterFacts, LiveEvent, LiveEventKind, LiveObject
from gitops.model.delivery import AppliedObject, LaneId
from gitops.model.fleet import ApplicationSpec
from gitops.model.health import Health, ObjectHealth
from gitops.model.ids import ChangeId, Digest, combine
from gitops.model.manifest import Desired, ObjectId
from gitops.model.plan import Action
from gitops.model.sealed import Sealed, SealedObject, SealedSet
from gitops.ports import (
    Cluster,
    Digester,
    DrawJob,
    Drawn,
    Executed,
    KindCatalogue,
    Planner,
    Watchman,
)
from gitops.projection import digest, mask_from_bytes, owned
from gitops.yamlio import canonical


@dataclass(slots=True)
class ClusterMemory:
    """What is remembered between rounds; losing it costs time, never safety."""

    applied: dict[ObjectId, AppliedObject] | None = None
    """Mirror of the store's rows; None: not read yet."""
    suspects: set[ObjectId] = field(default_factory=set)
    """Objects that moved since they were last compared with what we applied."""
    drifted: dict[ObjectId, str] = field(default_factory=dict)
    """Objects that are not as we left them, with a digest of how they are."""
    touched: Mapping[ObjectId, SealedObject] = field(default_factory=dict)
    """The writes of the open plan, so that an event can be held against what was planned."""
    outdated: bool = True
    """Something the open plan touches moved."""
    under_way: UnderWay | None = None
    """How far the change is that is being carried out."""
    followed: bool = False
    """Whether the cluster's live view watches every kind this lane owns."""

    def concerned(self, id: ObjectId) -> bool:
        return bool(self.applied) and id in (self.applied or {})

    def notice(self, event: LiveEvent, digester: Digester) -> bool:
        """Is the object not as we left it, or not as an open plan saw it?"""
        id = event.object.id
        body = None if event.kind is LiveEventKind.DELETED else event.object.body
        self.suspects.add(id)
        planned = self.touched.get(id)
        if planned is not None and not self.outdated:
            self.outdated = digest(body, mask_from_bytes(planned.mask), digester) != planned.before
            return self.outdated
        ours = self.applied.get(id) if self.applied is not None else None
        return ours is not None and (
            id in self.drifted
            or body is None
            or digest(body, owned(body), digester) != ours.projection
        )

    def moved(self, live: Mapping[ObjectId, LiveObject], digester: Digester) -> frozenset[ObjectId]:
        """What is not as we left it at this moment, for people who look: nothing is remembered of
        the comparison, and of very many that just moved only the first are compared."""
        found = set(self.drifted)
        for id in islice(self.suspects, _LOOKED_AT):
            ours, present = (self.applied or {}).get(id), live.get(id)
            now = digest(present.body, owned(present.body), digester) if present else None
            same = ours is None or (present is not None and now == ours.projection)
            (found.discard if same else found.add)(id)
        return frozenset(found)


_LOOKED_AT = 200


def _as_it_says(_cluster: Cluster, _thing: LiveObject, reason: str) -> str:
    return reason


@dataclass(frozen=True, slots=True)
class ClusterTarget:
    """Plays :class:`gitops.engine.targets.Target`."""

    lane: LaneId
    application: ApplicationSpec
    cluster: Cluster
    labels: Mapping[str, str]
    planner: Planner
    watchman: Watchman
    ledger: Ledger
    digester: Digester
    memory: ClusterMemory
    explain: Callable[[Cluster, LiveObject, str], str] = _as_it_says
    """Adds to why an object is not well what its pods say of it."""

    @property
    def catalogue(self) -> KindCatalogue:
        return self.cluster

    async def identity(self) -> str:
        return (await self.cluster.facts()).uid

    async def facts(self) -> ClusterFacts:
        return await self.cluster.facts()

    def terms(self) -> Digest:
        spec = self.application
        return combine(spec.namespace, spec.run_as, str(spec.prune), spec.conflicts)

    # --- planning and executing ---------------------------------------------------------------

    async def draw(self, sitting: Sitting) -> Drawn:
        self.memory.outdated = True
        applied = await self._applied()
        drawn = await self.planner.draw(
            DrawJob(
                sitting.change,
                self.application,
                sitting.desired,
                sitting.findings,
                self.cluster,
                applied,
            )
        )
        self.memory.touched = {write.id: write for write in _set(drawn.sealed).writes}
        self.memory.outdated = False
        return drawn

    def recognises(self, drawn: Drawn) -> bool:
        # Only what carries our label sends events. What is to be created or adopted may have moved
        # without our hearing of it, so it is asked about again.
        heard = self.cluster.live.owned(self.lane.application)
        return not self.memory.outdated and all(w.id in heard for w in _set(drawn.sealed).writes)

    async def execute(self, change: ChangeId, sealed: Sealed) -> Executed:
        await self._applied()
        self.memory.outdated = True
        under_way = self._begin(change, _set(sealed))
        executed = await self.planner.execute(_set(sealed), self.cluster, under_way.count)
        if executed.failed or executed.void:
            self.memory.under_way = None
        return executed

    def _begin(self, change: ChangeId, sealed: SealedSet) -> UnderWay:
        ids = tuple(w.id for w in sealed.writes if w.action is not Action.DELETE)
        under_way = UnderWay(change, ids, len(sealed.writes), self.ledger.bell)
        self.memory.under_way = under_way
        return under_way

    async def unbegun(self, change: ChangeId) -> bool:
        """Never: which of its writes arrived is found out by going on."""
        return False

    def learn(self, applied: Mapping[ObjectId, AppliedObject | None]) -> None:
        mirror = self.memory.applied
        for id, seen in applied.items():
            self.memory.suspects.add(id)
            if mirror is not None and seen is None:
                mirror.pop(id, None)
            elif mirror is not None and seen is not None:
                mirror[id] = seen

    async def until_well(self, sealed: Sealed | None, seconds: float) -> Mapping[str, ObjectHealth]:
        if sealed is None:
            ids = list(await self._applied())
        else:
            ids = [w.id for w in _set(sealed).writes if w.action is not Action.DELETE]
        await self._follow(ids)
        try:
            health = await self.watchman.until_healthy(
                self.lane.application, ids, self.cluster, seconds
            )
        finally:
            self.memory.under_way = None
        return {str(id): self._explained(id, health[id]) for id in sorted(health)}

    def _explained(self, id: ObjectId, found: ObjectHealth) -> ObjectHealth:
        thing = self.cluster.live.owned(self.lane.application).get(id)
        if thing is None or found.health in (Health.HEALTHY, Health.SUSPENDED):
            return found
        return replace(found, reason=self.explain(self.cluster, thing, found.reason))

    def summary(self, health: Mapping[str, ObjectHealth]) -> str:
        count = f"{len(health)} objects are" if len(health) > 1 else "1 object is"
        return f"{count} healthy" if health else "nothing to wait for"

    # --- drift --------------------------------------------------------------------------------

    async def drift(self, wanted: Desired | None) -> Digest | None:
        """Digest over the objects that are not as we left them; None when all are.

        Whoever edits a field also becomes its owner, so a second edit of the same field moves
        nothing we own any more. The live values of every field ``wanted`` names are therefore part
        of it.
        """
        applied = await self._applied()
        if not self.memory.followed:
            await self._follow(applied)
            self.memory.followed = True
        self._compare(applied)
        shapes = self._shapes(wanted, self.memory.drifted)
        # What is not wanted any more (prune is off, or it is protected) is nobody's to mend.
        drifted = {id: value for id, value in self.memory.drifted.items() if id in shapes}
        if not drifted:
            return None
        live = self.cluster.live.owned(self.lane.application)
        parts = []
        for id in sorted(drifted):
            now = restricted(live[id].body, shapes[id]) if id in live and id in shapes else None
            parts += [str(id), drifted[id], self.digester.of(canonical(now))]
        return combine("drift", *parts)

    async def _applied(self) -> dict[ObjectId, AppliedObject]:
        """The lane's mirror of what was applied, read from the store once."""
        if self.memory.applied is None:
            rows = await self.ledger.read(lambda reading: reading.applied(self.lane))
            self.memory.applied = dict(rows)
            self.memory.suspects.update(rows)
        return self.memory.applied

    async def _follow(self, ids: Iterable[ObjectId]) -> None:
        """Have the live view watch every kind among these that the target knows."""
        kinds = {(id.group, id.kind) for id in ids}
        found = [await self.cluster.resource(group, kind) for group, kind in sorted(kinds)]
        await self.cluster.live.follow([resource for resource in found if resource is not None])

    def _shapes(
        self, wanted: Desired | None, drifted: Collection[ObjectId]
    ) -> Mapping[ObjectId, Any]:
        """The manifests of these objects, by the identity they have on the cluster."""
        shapes: dict[ObjectId, Any] = {}
        for manifest in wanted.manifests if wanted else ():
            namespace = manifest.id.namespace or self.application.namespace
            for id in (manifest.id, replace(manifest.id, namespace=namespace)):
                if id in drifted:
                    shapes[id] = json.loads(manifest.body)
        return shapes

    def _compare(self, applied: dict[ObjectId, AppliedObject]) -> None:
        live, drifted = self.cluster.live.owned(self.lane.application), self.memory.drifted
        for id in self.memory.suspects:
            ours, present = applied.get(id), live.get(id)
            if ours is None:
                drifted.pop(id, None)
                continue
            now = self._value(present) if present else "gone"
            if now == ours.projection:
                drifted.pop(id, None)
            else:
                drifted[id] = now
        self.memory.suspects.clear()

    def _value(self, present: LiveObject) -> str:
        return digest(present.body, owned(present.body), self.digester) or ""


def restricted(live: Any, shape: Any) -> Any:
    """The live value of every field the shape has; lists as a whole."""
    if not isinstance(live, Mapping) or not isinstance(shape, Mapping):
        return live
    return {key: restricted(live[key], shape[key]) for key in shape if key in live}


def _set(sealed: Sealed) -> SealedSet:
    assert isinstance(sealed, SealedSet), "a cluster is given objects"
    return sealed
