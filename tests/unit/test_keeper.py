"""A lost lease ends the run; a process that was only late takes it again and says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from gitops.engine.keeper import LeaseKeeper
from gitops.engine.ledger import Ledger
from gitops.errors import StaleWrite, StoreUnavailable
from gitops.model.events import Epoch


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Lease:
    """One lease row. It runs out on the clock; every new acquisition raises its epoch."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.number = 0
        self.holder = ""
        self.until = 0.0
        self.away = False

    async def acquire(self, name: str, holder: str, seconds: float) -> Epoch | None:
        self._reach()
        if self.until > self.clock.now and self.holder != holder:
            return None
        self.number += 1
        self.holder, self.until = holder, self.clock.now + seconds
        return Epoch(name, self.number)

    async def renew(self, epoch: Epoch, holder: str, seconds: float) -> bool:
        self._reach()
        mine = (self.number, self.holder) == (epoch.number, holder)
        if not mine or self.until <= self.clock.now:
            return False
        self.until = self.clock.now + seconds
        return True

    async def release(self, epoch: Epoch, holder: str) -> None:
        if (self.number, self.holder) == (epoch.number, holder):
            self.holder, self.until = "", 0.0

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailable("no answer")


class Enough(Exception):
    """The test has seen what it wanted."""


class Rig:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.lease = Lease(self.clock)
        self.ledger = Ledger(cast(Any, None))
        self.keeper = LeaseKeeper(self.lease, self.ledger, "me", cast(Any, self.clock), 15.0)
        self.pauses: list[Any] = []
        monkeypatch.setattr("gitops.engine.keeper.asyncio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        """The next step of the story: how long it really took, and what happened meanwhile."""
        if not self.pauses:
            raise Enough
        took = self.pauses.pop(0)
        if callable(took):
            await took()
        else:
            self.clock.now += took

    async def keep(self, *pauses: Any) -> None:
        await self.keeper.acquire()
        self.pauses = list(pauses)
        await self.keeper.keep()


@pytest.fixture
def said() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, said: list[Any]) -> Rig:
    return Rig(monkeypatch)


async def test_a_lease_renewed_in_time_stays_the_same(rig: Rig) -> None:
    with pytest.raises(Enough):
        await rig.keep(5.0, 5.0, 5.0, 5.0)
    assert rig.ledger.epoch == Epoch("controller", 1)


async def test_a_process_that_was_late_takes_the_lease_again_under_a_new_epoch(
    rig: Rig, said: list[Any]
) -> None:
    with pytest.raises(Enough):
        await rig.keep(5.0, 40.0, 5.0)
    assert [entry["event"] for entry in said] == ["lease.regained"]
    assert "stood still for 40 s" in said[0]["why"]
    assert rig.ledger.epoch == Epoch("controller", 2)


async def test_a_process_that_was_late_says_so_when_another_has_the_lease(rig: Rig) -> None:
    async def another() -> None:
        rig.clock.now += 40.0
        assert await rig.lease.acquire("controller", "other", 15.0)

    with pytest.raises(StaleWrite, match=r"stood still for 40 s.*another controller seems"):
        await rig.keep(another)
    assert rig.ledger.epoch is None


async def test_it_does_not_go_on_when_another_had_the_lease_in_between(rig: Rig) -> None:
    async def came_and_went() -> None:
        rig.clock.now += 40.0
        epoch = await rig.lease.acquire("controller", "other", 15.0)
        assert epoch
        await rig.lease.release(epoch, "other")

    with pytest.raises(StaleWrite, match="had it meanwhile"):
        await rig.keep(came_and_went)
    assert rig.ledger.epoch is None
    assert rig.lease.holder == ""


async def test_a_lease_taken_in_time_is_another_controllers_doing(rig: Rig) -> None:
    async def stolen() -> None:
        rig.clock.now += 5.0
        rig.lease.holder = "other"

    with pytest.raises(StaleWrite, match=r"^another controller has taken the lease over"):
        await rig.keep(stolen)
    assert rig.ledger.epoch is None


async def test_a_store_that_is_away_is_waited_for_and_then_named(rig: Rig) -> None:
    async def gone() -> None:
        rig.clock.now += 5.0
        rig.lease.away = True

    with pytest.raises(StaleWrite, match="the store was away"):
        await rig.keep(gone, 5.0, 5.0, 5.0)
    assert rig.ledger.epoch is None
