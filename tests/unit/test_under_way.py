"""How far a change is, as it is told to who watches it."""

from __future__ import annotations

from gitops.engine.bell import Bell
from gitops.engine.targets.under_way import NAMED, UnderWay
from gitops.model.cluster import LiveObject
from gitops.model.delivery import ObjectOutcome
from gitops.model.ids import ChangeId
from gitops.model.manifest import ObjectId


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
