"""How far a change is, as it is told to who watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from gitops.engine.bell import Bell
from gitops.engine.targets.cluster import ClusterMemory, ClusterTarget
from gitops.engine.targets.under_way import NAMED, UnderWay
from gitops.model.cluster import LiveObject
from gitops.model.delivery import ObjectOutcome, Progress
from gitops.model.fleet import ApplicationSpec
from gitops.model.health import Health, ObjectHealth
from gitops.model.ids import ChangeId, Digest, SourceName
from gitops.model.manifest import ObjectId
from gitops.model.plan import Action
from gitops.model.sealed import SealedObject, SealedSet
from gitops.ports import Executed
from tests.contract.store_story import lane


def config(name: str) -> ObjectId:
    return ObjectId("", "ConfigMap", "shop", name)


def live(id: ObjectId) -> LiveObject:
    body = {"apiVersion": "v1", "kind": id.kind, "metadata": {"name": id.name}}
    return LiveObject(id, "v1", "uid", "1", body)


def test_writes_are_counted_as_they_arrive_and_objects_as_they_are_well() -> None:
    ids = tuple(config(f"c{n}") for n in range(8))
    under_way = UnderWay(ChangeId("a"), ids, 9, Bell())
    for id in ids[:3]:
        under_way.count(ObjectOutcome(str(id), done=True))
    under_way.count(ObjectOutcome("one", done=False))
    told = under_way.progress({id: live(id) for id in ids[:2]})
    assert (told.done, told.failed, told.writes) == (3, 1, 9)
    assert (told.healthy, told.objects) == (2, 8)
    assert len(told.waits_for) == NAMED
    assert told.waits_for[0] == f"{ids[2]}: it is not there"


async def test_a_thousand_writes_at_once_ring_once() -> None:
    rung: list[str] = []

    class Told(Bell):
        def ring(self, topics: object) -> None:
            rung.append(str(topics))

    under_way = UnderWay(ChangeId("a"), (), 1_000, Told())
    for number in range(1_000):
        under_way.count(ObjectOutcome(str(number), done=True))
    assert 1 <= len(rung) < 50
    assert rung[0] == "['change:a']"


@dataclass
class Cluster:
    """As far as a target looks at it: what is there, and a planner and a watchman in one."""

    has: dict[ObjectId, LiveObject] = field(default_factory=dict)
    told: list[Progress | None] = field(default_factory=list)
    look: Callable[[], Progress | None] = lambda: None

    @property
    def live(self) -> Any:
        return self

    def owned(self, application: str) -> Mapping[ObjectId, LiveObject]:
        del application
        return self.has

    async def follow(self, kinds: object) -> None: ...

    async def resource(self, group: str, kind: str) -> None: ...

    async def execute(
        self, sealed: SealedSet, cluster: Any, on_outcome: Callable[[ObjectOutcome], None]
    ) -> Executed:
        for write in sealed.writes:
            on_outcome(ObjectOutcome(str(write.id), done=True))
            self.has[write.id] = live(write.id)
            self.told.append(self.look())
        return Executed((), {})

    async def until_healthy(self, *_: object) -> Mapping[ObjectId, ObjectHealth]:
        self.told.append(self.look())
        return {id: ObjectHealth(Health.HEALTHY) for id in self.has}


async def test_a_target_tells_how_far_it_is_until_everything_is_well() -> None:
    cluster, where = Cluster(), lane()
    ids = tuple(config(f"c{n}") for n in range(2))
    sealed = SealedSet(where, "", tuple(write(id) for id in ids), ids)
    target = ClusterTarget(
        lane=where,
        application=ApplicationSpec(where.application, SourceName("config"), "app"),
        cluster=cast(Any, cluster),
        labels={},
        planner=cast(Any, cluster),
        watchman=cast(Any, cluster),
        ledger=cast(Any, SimpleNamespace(bell=Bell())),
        digester=cast(Any, None),
        memory=ClusterMemory(applied={}),
    )

    def look() -> Progress | None:
        known = target.memory.under_way
        return known.progress(cluster.has) if known else None

    cluster.look = look
    assert look() is None
    await target.execute(ChangeId("c"), sealed)
    await target.until_well(sealed, 1.0)
    told = [(each.done, each.writes, each.healthy) for each in cluster.told if each]
    assert told == [(1, 2, 1), (2, 2, 2), (2, 2, 2)]
    assert look() is None, "it is over"


def write(id: ObjectId) -> SealedObject:
    nothing = Digest("")
    return SealedObject(
        id, "v1", Action.CREATE, b"{}", nothing, False, "", "", b"{}", None, nothing
    )
