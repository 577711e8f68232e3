"""Notices: told in the transaction of what they tell, sent until they are through."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gitops.engine.announcements import Announcer
from gitops.engine.ledger import Ledger
from gitops.engine.sending import TRIES, Sender
from gitops.errors import Apart, GitopsError, Permanent, SourceUnavailable, StaleWrite
from gitops.model.approval import Decision, Verdict
from gitops.model.delivery import Cause, Change, ChangeState, LaneId
from gitops.model.events import (
    Answered,
    ApplyFinished,
    ChangeBlocked,
    ChangeClosed,
    ChangeOpened,
    Claimed,
    Event,
    MemberAsked,
    Notice,
)
from gitops.model.finding import Severity
from gitops.model.fleet import Fleet, NotifierSpec
from gitops.model.ids import (
    ApplicationName,
    Digest,
    PersonName,
    RequestId,
    SourceName,
    TargetName,
)
from gitops.model.routes import QuietHours, Route, Told
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
    error: type[GitopsError] = SourceUnavailable
    wait: float | None = None
    until: asyncio.Event | None = None
    heard: list[Notice] = field(default_factory=list)

    async def send(self, notice: Notice) -> None:
        if self.refusals:
            self.refusals -= 1
            more = {"retry_after": self.wait} if self.wait else {}
            raise self.error("it is away", **more)
        if self.until is not None:
            await self.until.wait()
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


async def test_who_marks_commits_hears_of_beginnings_and_of_what_had_no_effect() -> None:
    clock = StillClock()
    store = open_memory_store(clock)
    fleet = replace(FLEET, notifiers=(*FLEET.notifiers, NotifierSpec("marks", "commit-status")))
    announcer = Announcer(lambda: fleet, clock, lambda kind: kind == "commit-status")
    ledger = Ledger(store, listening=announcer.listening)
    ledger.epoch = await store.leases.acquire("controller", "me", 1e9)
    await ledger.append(ChangeOpened(CHANGE), ChangeClosed(CHANGE.id, ChangeState.UNCHANGED))
    heard = await ledger.read(lambda reading: reading.outbox())
    assert [(each.notifier, each.kind) for each in heard] == [
        ("marks", "opened"),
        ("marks", "unchanged"),
    ]
    facts = {"lane": "shop@prod", "source": "config", "revision": "c" * 40, "cause": "commit"}
    assert [facts.items() <= each.payload.items() for each in heard] == [True, True]


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


async def test_a_notice_that_is_refused_again_and_again_is_given_up() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    ears = {"team": Ear("team", refusals=1_000, error=Permanent), "pager": Ear("pager")}
    sender = Sender(ledger, lambda: ears, clock)
    await ledger.append(ChangeOpened(CHANGE), ChangeBlocked(CHANGE.id, "why"))
    for _ in range(TRIES + 1):
        await sender.send()
        clock.time += 1_000
    assert await ledger.read(lambda reading: reading.outbox()) == []
    assert ears["team"].refusals == 1_000 - TRIES


async def test_one_that_is_refused_again_and_again_keeps_the_others_waiting_no_longer() -> None:
    @dataclass
    class Picky(Ear):
        tried: int = 0

        async def send(self, notice: Notice) -> None:
            if notice.payload["reason"] == "why 0":
                self.tried += 1
                raise Permanent("not that one")
            await super().send(notice)

    clock = StillClock()
    ledger = await ledger_of(clock)
    picky = Picky("team")
    sender = Sender(ledger, lambda: {"team": picky, "pager": Ear("pager")}, clock)
    await ledger.append(ChangeOpened(CHANGE))
    for number in range(3):
        await ledger.append(ChangeBlocked(CHANGE.id, f"why {number}"))
    await sender.send()
    assert [n.payload["reason"] for n in picky.heard] == ["why 1", "why 2"]
    for _ in range(TRIES + 1):
        await sender.send()
        clock.time += 61
    assert picky.tried == TRIES
    assert await ledger.read(lambda reading: reading.outbox()) == []


@pytest.mark.slow
async def test_a_notifier_that_is_away_for_hours_loses_nothing() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    ears = {"team": Ear("team", refusals=200), "pager": Ear("pager")}
    sender = Sender(ledger, lambda: ears, clock)
    await ledger.append(ChangeOpened(CHANGE), ChangeBlocked(CHANGE.id, "why"))
    for _ in range(201):
        await sender.send()
        clock.time += 100
    assert [notice.kind for notice in ears["team"].heard] == ["blocked"]


async def test_a_notifier_is_left_alone_as_long_as_it_asks_for() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    ears = {"team": Ear("team", refusals=1, wait=30.0), "pager": Ear("pager")}
    sender = Sender(ledger, lambda: ears, clock)
    await ledger.append(ChangeOpened(CHANGE), ChangeBlocked(CHANGE.id, "why"))
    for _ in range(3):
        await sender.send()
        assert ears["team"].refusals == 0
        clock.time += 9.9
        assert ears["team"].heard == []
    clock.time += 1
    await sender.send()
    assert len(ears["team"].heard) == 1


@pytest.mark.slow
async def test_a_long_queue_of_one_that_is_away_keeps_no_others_back() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    ears = {"team": Ear("team", refusals=1_000), "pager": Ear("pager")}
    sender = Sender(ledger, lambda: ears, clock)
    await ledger.append(ChangeOpened(CHANGE))
    for number in range(150):
        await ledger.append(ChangeBlocked(CHANGE.id, f"why {number}"))
    for _ in range(5):
        await sender.send()
    assert len(ears["pager"].heard) == 150


async def test_what_goes_elsewhere_does_not_wait_for_a_destination_that_is_away() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    ears = {"team": Ear("team", refusals=1, error=Apart, wait=30.0), "pager": Ear("pager")}
    sender = Sender(ledger, lambda: ears, clock)
    await ledger.append(ChangeOpened(CHANGE))
    for number in range(3):
        await ledger.append(ChangeBlocked(CHANGE.id, f"why {number}"))
    await sender.send()
    assert [n.payload["reason"] for n in ears["team"].heard] == ["why 1", "why 2"]
    clock.time += 31
    await sender.send()
    assert [n.payload["reason"] for n in ears["team"].heard] == ["why 1", "why 2", "why 0"]


async def test_a_slow_notifier_keeps_no_others_back() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    slow = Ear("team", until=asyncio.Event())
    ears = {"team": slow, "pager": Ear("pager")}
    running = asyncio.ensure_future(Sender(ledger, lambda: ears, clock).run())
    await ledger.append(ChangeOpened(CHANGE))
    async with asyncio.timeout(5):
        for number in range(3):
            await ledger.append(ChangeBlocked(CHANGE.id, f"why {number}"))
            while len(ears["pager"].heard) <= number:
                await asyncio.sleep(0.005)
        assert slow.until is not None
        slow.until.set()
        while len(slow.heard) < 3:
            await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_yes_that_is_not_enough_yet_and_an_apply_that_waits_for_health_are_told() -> None:
    clock = StillClock()
    ledger = await ledger_of(clock)
    ears = {"team": Ear("team"), "pager": Ear("pager")}
    verdict = Verdict(
        RequestId("r"),
        Digest("root"),
        PersonName("bob"),
        Decision.APPROVE,
        "fine",
        "slack",
        1.0,
        ((CHANGE.id, Digest("s")),),
    )
    announcer = Announcer(lambda: FLEET, clock)
    await ledger.append(ChangeOpened(CHANGE))
    await ledger.write(lambda tx: announcer.announce(tx, Answered(verdict), 7))
    await ledger.write(lambda tx: announcer.announce(tx, ApplyFinished(CHANGE.id, "3 applied"), 8))
    refusal = replace(verdict, decision=Decision.DENY)
    await ledger.write(lambda tx: announcer.announce(tx, Answered(refusal), 9))
    await Sender(ledger, lambda: ears, clock).send()
    told = [(n.kind, n.subject, n.payload["reason"]) for n in ears["team"].heard]
    assert told == [("answered", CHANGE.id, "fine"), ("verifying", CHANGE.id, "3 applied")]


async def test_what_only_changes_a_message_is_not_held_back_once_it_was_sent() -> None:
    clock = StillClock()
    quiet = QuietHours(dt.time(0), dt.time(23, 59), "UTC", pierce=Severity.ERROR)
    kinds = ("card", "mail")
    fleet = replace(
        FLEET,
        notifiers=tuple(NotifierSpec(name, name) for name in kinds),
        routes=(Route(tuple(Told(name, "", (quiet,)) for name in kinds)),),
    )
    announcer = Announcer(lambda: fleet, clock, edits=lambda kind: kind == "card")
    ledger = await ledger_of(clock)
    asked = MemberAsked(RequestId("r"), CHANGE.id, Digest("s"), Digest("p"), 9e9)
    applying = Claimed(CHANGE.id, Digest("s"), ("bob",))

    async def announce(event: Event, place: int) -> dict[str, bool]:
        await ledger.write(lambda tx: announcer.announce(tx, event, place))
        due = await ledger.read(lambda reading: reading.outbox(due=clock.now()))
        return {
            name: any(n.notifier == name and n.id.startswith(f"{place:012d}") for n in due)
            for name in kinds
        }

    await ledger.append(ChangeOpened(CHANGE))
    assert await announce(asked, 7) == {"card": False, "mail": False}
    assert await announce(applying, 8) == {"card": False, "mail": False}, "nothing was sent yet"
    for notice in await ledger.read(lambda reading: reading.outbox()):
        await ledger.write(lambda tx, sent=notice.id: tx.sent(sent, 1))
    assert await announce(applying, 9) == {"card": True, "mail": False}


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
