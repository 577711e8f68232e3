"""What the live view keeps, what it refuses to believe, whom it tells."""

from __future__ import annotations

import asyncio
import random

import pytest

from gitops.errors import ClusterRefused, ClusterUnavailable
from gitops.kube.held import HeldObject, hold
from gitops.kube.inventory import inventory_name, pack, unpack
from gitops.kube.memory import Memory
from gitops.kube.pace import Pace, backoff
from gitops.kube.paths import collection, single
from gitops.kube.standing import Standing
from gitops.model.cluster import OWNER_LABEL, ClusterState, LiveEventKind, Resource
from gitops.model.manifest import ObjectId

CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)
ROLE = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False)


class Clock:
    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0


def live(name: str, at: int, app: str = "shop", uid: str = "u") -> HeldObject:
    labels = {OWNER_LABEL: app} if app else {}
    metadata = {
        "name": name, "namespace": "n", "uid": uid, "resourceVersion": str(at), "labels": labels,
    }  # fmt: skip
    return hold(CONFIG_MAP, {"metadata": metadata, "data": {"at": str(at)}})


async def test_an_older_answer_never_overwrites_a_newer() -> None:
    memory = Memory()
    memory.put(live("a", 7))
    memory.put(live("a", 5))
    assert memory.owned("shop")[live("a", 0).id].resource_version == "7"


async def test_a_late_answer_does_not_raise_the_dead() -> None:
    memory = Memory()
    memory.put(live("a", 5))
    memory.gone(live("a", 0).id, at=9)
    memory.put(live("a", 8))
    assert memory.owned("shop") == {}
    memory.put(live("a", 12, uid="another"))
    assert list(memory.owned("shop"))


async def test_a_rewound_history_is_taken_as_it_is() -> None:
    memory = Memory()
    memory.put(live("a", 50))
    memory.put(live("a", 5), rewound=True)
    assert memory.owned("shop")[live("a", 0).id].resource_version == "5"


async def test_what_was_never_ours_is_neither_kept_nor_told() -> None:
    memory = Memory()
    events = memory.subscribe()
    memory.put(live("a", 5, app=""))
    memory.put(live("b", 6))
    assert (await anext(events)).object.id.name == "b"
    assert memory.owned("") == {}


async def test_a_slow_reader_gets_the_latest_of_each_and_no_more() -> None:
    memory = Memory()
    slow = memory.subscribe()
    for at in range(1, 2_000):
        memory.put(live("ab"[at % 2], at))
    memory.gone(live("a", 0).id, at=3_000)
    told = [await anext(slow) for _ in range(2)]
    assert {(event.kind, event.object.id.name) for event in told} == {
        (LiveEventKind.CHANGED, "b"),
        (LiveEventKind.DELETED, "a"),
    }
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(slow), 0.01)


async def test_closing_ends_every_reader() -> None:
    memory = Memory()
    events = memory.subscribe()
    memory.close()
    assert [event async for event in events] == []


async def test_a_held_object_shows_its_body_and_hides_it_in_logs() -> None:
    held = live("a", 5)
    assert held.body["data"] == {"at": "5"}
    assert held.application == "shop"
    assert not held.terminating
    assert "at': '5'" not in repr(held)


@pytest.mark.parametrize("broken", [[], {}, {"metadata": []}, {"metadata": {"uid": "x"}}, "text"])
def test_what_is_no_object_is_refused(broken: object) -> None:
    with pytest.raises(ClusterUnavailable):
        hold(CONFIG_MAP, broken)  # type: ignore[arg-type]


def test_paths_are_built_by_scope_and_quoted() -> None:
    assert single(CONFIG_MAP, ObjectId("", "ConfigMap", "n", "a")) == (
        "/api/v1/namespaces/n/configmaps/a"
    )
    assert single(ROLE, ObjectId(ROLE.group, "ClusterRole", "", "system:node")) == (
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode"
    )
    assert collection(CONFIG_MAP) == "/api/v1/configmaps"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "%2e%2e", "a" * 254])
def test_a_name_that_is_no_path_segment_is_refused(name: str) -> None:
    for id in (ObjectId("", "ConfigMap", "n", name), ObjectId("", "ConfigMap", name, "a")):
        with pytest.raises(ClusterRefused):
            single(CONFIG_MAP, id)


def test_an_inventory_is_the_same_bytes_for_the_same_set_and_comes_back() -> None:
    ids = [ObjectId("apps", "Deployment", f"n{n % 7}", f"d{n}") for n in range(500)]
    packed = pack(frozenset(ids))
    random.Random(1).shuffle(ids)
    assert pack(frozenset(ids)) == packed
    assert unpack(packed) == frozenset(ids)
    assert unpack(pack(frozenset())) == frozenset()


@pytest.mark.slow
def test_twenty_thousand_objects_fit_in_a_configmap() -> None:
    generator = random.Random(2)
    ids = frozenset(
        ObjectId("apps", "Deployment", f"team-{n % 50}", f"service-{generator.randbytes(8).hex()}")
        for n in range(20_000)
    )
    assert len(pack(ids)) * 4 / 3 < 1 << 20


def test_a_damaged_inventory_is_no_inventory() -> None:
    whole = pack(frozenset({ObjectId("", "ConfigMap", "n", "a")}))
    for broken in (b"", whole[:-1], whole[:10], b"x" + whole, b"{}"):
        with pytest.raises(ValueError, match=r".+"):
            unpack(broken)


def test_inventories_have_valid_and_distinct_names() -> None:
    assert inventory_name("shop") == "inventory-shop"
    assert inventory_name("Shop A") != inventory_name("shop-a") != inventory_name("shop_a")
    assert len(inventory_name("x" * 400)) < 253


async def test_throttling_narrows_the_pace_and_service_widens_it_again() -> None:
    pace = Pace(Clock())
    pace.throttled(0.0)
    assert pace.limit == 8
    for _ in range(5):
        pace.throttled(0.0)
    assert pace.limit == 1
    for _ in range(400):
        pace.served()
    assert pace.limit == 16


async def test_a_server_that_refuses_one_after_the_other_is_left_alone_by_everybody() -> None:
    pace = Pace(Clock())
    for _ in range(20):  # a noisy neighbour: every other call gets through
        pace.throttled(5.0)
        pace.served()
    assert pace.held_for == 0.0
    for _ in range(8):
        pace.throttled(5.0)
    assert pace.held_for == 5.0


async def test_a_cancelled_wait_loses_no_turn() -> None:
    pace = Pace(Clock(), width=1)
    entered: list[int] = []

    async def work(number: int) -> None:
        async with pace.turn():
            entered.append(number)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(work(number)) for number in range(5)]
    await asyncio.sleep(0.005)
    tasks[1].cancel()
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert entered == [0, 3, 4]


def test_backoff_doubles_up_to_its_ceiling() -> None:
    assert 0.05 <= backoff(1) <= 0.1
    assert 15.0 <= backoff(60) <= 30.0


def test_another_cluster_at_the_address_is_never_forgiven() -> None:
    standing = Standing(Clock(), "prod")
    with pytest.raises(ClusterUnavailable):
        standing.require_same()
    standing.met("one")
    standing.require_same()
    with pytest.raises(ClusterRefused, match="another cluster"):
        standing.met("two")
    standing.unreachable("gone")
    standing.reached()
    assert standing.status.state is ClusterState.CHANGED
    with pytest.raises(ClusterRefused):
        standing.require_same()
