"""Through what previews look there is no way to a write."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from gitops.engine.ledger import Ledger
from gitops.engine.looking import LookedAt, Unlocked
from gitops.errors import NotAllowed, StaleWrite
from gitops.model.cluster import Resource
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, SourceName
from gitops.model.manifest import ObjectId
from gitops.ports.terraform import Root, Workspace
from gitops.store import open_memory_store
from tests.contract.store_story import lane
from tests.engine.test_provenance import StillClock

MAPS = Resource("", "v1", "ConfigMap", "configmaps", True)
PODS = Resource("", "v1", "Pod", "pods", True)
ID = ObjectId("", "ConfigMap", "x", "a")
ROOT = Root(lane(), ApplicationSpec(ApplicationName("a"), SourceName("s"), "a"), ())


class Told:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any, **named: Any) -> None:
            self.calls.append((name, given, named))

        return call


class Cluster(Told):
    def __init__(self) -> None:
        super().__init__()
        self.live = Told()
        self.inventory = Told()


async def test_nothing_is_written_to_a_cluster_that_is_looked_at() -> None:
    cluster: Any = Cluster()
    seen = LookedAt(cluster, {("", "ConfigMap")})
    with pytest.raises(NotAllowed):
        await seen.apply(MAPS, ID, b"{}", dry_run=False)
    with pytest.raises(NotAllowed):
        await seen.delete(MAPS, ID, uid="1")
    with pytest.raises(NotAllowed):
        await seen.inventory.write("a", frozenset())
    await seen.close()
    assert cluster.calls == cluster.inventory.calls == []
    await seen.apply(MAPS, ID, b"{}", dry_run=True, force=True)
    assert [named["dry_run"] for _, _, named in cluster.calls] == [True]


async def test_no_kind_is_watched_that_is_not_watched_already() -> None:
    cluster: Any = Cluster()
    await LookedAt(cluster, {("", "ConfigMap")}).live.follow((MAPS, PODS))
    assert cluster.live.calls == [("follow", ([MAPS],), {})]


async def test_a_root_is_only_ever_planned_and_never_locked() -> None:
    told: Any = Told()
    workspace = Unlocked(told)
    await workspace.plan(ROOT, locking=True)
    assert told.calls == [("plan", (ROOT,), {"refresh_only": False, "locking": False})]
    for wrong in (
        workspace.apply(ROOT, b"", "r"),
        workspace.unlock(ROOT, "l"),
        workspace.begun(ROOT, "r"),
        workspace.state(ROOT),
        workspace.outputs(ROOT),
        workspace.reached(ROOT),
    ):
        with pytest.raises(NotAllowed):
            await wrong
    assert len(told.calls) == 1
    known = {name for name, _ in inspect.getmembers(Workspace, inspect.isfunction)}
    assert {name for name in known if not name.startswith("_")} <= set(dir(workspace))


async def test_a_ledger_that_is_looked_at_cannot_be_written() -> None:
    store = open_memory_store(StillClock())
    ledger = Ledger(store)
    ledger.epoch = await store.leases.acquire("controller", "me", 1e9)
    await ledger.write(lambda tx: tx.memorise("a", "b", "c"))
    seen = ledger.looking()
    assert await seen.read(lambda reading: reading.memo("a", "b")) == "c"
    with pytest.raises(StaleWrite):
        await seen.write(lambda tx: tx.memorise("a", "b", "d"))
