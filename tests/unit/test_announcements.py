"""Notices: told in the transaction of what they tell, sent until they are through."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gitops.engine.announcements import TRIES, Announcer, Sender
from gitops.engine.ledger import Ledger
from gitops.errors import SourceUnavailable, StaleWrite
from gitops.model.delivery import Cause, Change, ChangeState, LaneId
from gitops.model.events import ChangeBlocked, ChangeClosed, ChangeOpened, Notice
from gitops.model.fleet import Fleet, NotifierSpec
from gitops.model.ids import ApplicationName, Digest, SourceName, TargetName
from gitops.model.source import Revision
from gitops.store import open_memory_store

CHANGE = Change(
    LaneId(ApplicationName("shop"), TargetName("prod")),
    0,
    Digest("a" * 64),
    Cause.COMMIT,
    Revision(SourceName("config"), "c" * 40),
    occasion="config@c",
)
FLEET = Fleet(
    Path("gitops.yaml"),
    Path("state"),
    notifiers=(NotifierSpec("team", "console"), NotifierSpec("pager", "console")),
)


class StillClock:
    time = 1_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@dataclass
class Ear:
    name: str
    refusals: int = 0
    heard: list[Notice] = field(default_factory=list)

    async def send(self, notice: Notice) -> None:
        if self.refusals:
            self.refusals -= 1
            raise SourceUnavailable("it is away")
        self.heard.append(notice)


async def ledger_of(clock: StillClock) -> Ledger:
    store = open_memory_store(clock)
    ledger = Ledger(store, listening=Announcer(lambda: FLEET, clock).listening)
    ledger.epoch = await store.leases.acquire("controller", "me", 1e9)
    return ledger


async def test_every_notifier_hears_of_an_ending_once_and_nothing_of_beginnings() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    ears = {"team": Ear("team"), "pager": Ear("pager")}
    sender = Sender(ledger, lambda: ears, clock)
    await ledger.append(ChangeOpened(CHANGE), ChangeBlocked(CHANGE.id, "a.yaml:3: no such field"))
    await ledger.append(ChangeClosed(CHANGE.id, ChangeState.FAILED, "it crashed"))
    await sender.send()
    await sender.send()
    for ear in ears.values():
        assert [notice.kind for notice in ear.heard] == ["blocked", "failed"]
        assert ear.heard[0].payload["lane"] == "shop@prod"
        assert ear.heard[1].payload["reason"] == "it crashed"


async def test_what_becomes_true_again_is_told_again_in_the_order_it_happened() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    ears = {"team": Ear("team"), "pager": Ear("pager")}
    sender = Sender(ledger, lambda: ears, clock)
    await ledger.append(ChangeOpened(CHANGE))
    reasons = [f"no field {name}" for name in "abcdeabcde"]
    for reason in reasons:
        await ledger.append(ChangeBlocked(CHANGE.id, reason))
    await sender.send()
    for ear in ears.values():
        assert [notice.payload["reason"] for notice in ear.heard] == reasons
        assert len({notice.id for notice in ear.heard}) == len(reasons)


async def test_a_write_that_is_refused_tells_nothing() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    await ledger.append(ChangeOpened(CHANGE))
    with pytest.raises(StaleWrite):
        await ledger.append(ChangeBlocked(CHANGE.id, "why"), ChangeOpened(CHANGE))
    assert await ledger.read(lambda reading: reading.outbox()) == []
    await ledger.append(ChangeBlocked(CHANGE.id, "why"))
    assert len(await ledger.read(lambda reading: reading.outbox())) == 2, "one a notifier"


async def test_a_notifier_that_is_away_keeps_back_only_its_own_and_catches_up() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    ears = {"team": Ear("team", refusals=2), "pager": Ear("pager")}
    sender = Sender(ledger, lambda: ears, clock)
    await ledger.append(ChangeOpened(CHANGE), ChangeBlocked(CHANGE.id, "why"))
    await sender.send()
    assert len(ears["pager"].heard) == 1
    for _ in range(2):
        assert ears["team"].heard == []
        clock.time += 10
        await sender.send()
    assert [notice.kind for notice in ears["team"].heard] == ["blocked"]


async def test_a_notice_that_never_gets_through_is_given_up() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    ears = {"team": Ear("team", refusals=1_000), "pager": Ear("pager")}
    sender = Sender(ledger, lambda: ears, clock)
    await ledger.append(ChangeOpened(CHANGE), ChangeBlocked(CHANGE.id, "why"))
    for _ in range(TRIES + 1):
        await sender.send()
        clock.time += 1_000
    assert await ledger.read(lambda reading: reading.outbox()) == []
    assert ears["team"].refusals == 1_000 - TRIES


async def test_a_write_wakes_the_sender() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    ears = {"team": Ear("team"), "pager": Ear("pager")}
    running = asyncio.ensure_future(Sender(ledger, lambda: ears, clock).run())
    await asyncio.sleep(0)
    await ledger.append(ChangeOpened(CHANGE), ChangeBlocked(CHANGE.id, "why"))
    async with asyncio.timeout(5):
        while not ears["team"].heard:
            await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
