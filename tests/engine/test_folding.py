"""After an outage or quiet hours people are told how things stand, and no question is lost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import time
from pathlib import Path

import pytest

from gitops.engine.announcements import Announcer
from gitops.engine.folding import LATE, batches, folded
from gitops.engine.ledger import Ledger
from gitops.engine.sending import Sender
from gitops.errors import GitopsError, NotifierRefused, NotifierUnavailable
from gitops.model.delivery import Cause, Change, ChangeState, LaneId
from gitops.model.events import ChangeBlocked, ChangeClosed, ChangeOpened, HealthMoved, Notice
from gitops.model.fleet import ApplicationSpec, ClusterSpec, Fleet, NotifierSpec
from gitops.model.ids import ApplicationName, Digest, SourceName, TargetName
from gitops.model.routes import QuietHours, Route, Told
from gitops.model.source import Revision
from gitops.store import open_memory_store

NOW = 10_000.0
NUMBERS = itertools.count()


def notice(
    kind: str, change: str = "a", lane: str = "shop@prod", age: float = 3_600.0, **more: object
) -> Notice:
    payload = {"lane": lane, **more}
    return Notice(f"{next(NUMBERS):012}-x", "mail", kind, change, payload, NOW - age)


def kept(*notices: Notice, unseen: bool = False) -> list[tuple[str, str]]:
    found, gone = folded(notices, NOW, unseen=lambda _notice: unseen)
    assert len(found) + len(gone) == len(notices)
    return [(each.subject, each.kind) for each in found]


def test_of_each_change_the_newest_state_is_told() -> None:
    steps = [notice(kind) for kind in ("asked", "approved", "applying", "verifying", "healthy")]
    assert kept(*steps, notice("asked", "b")) == [("a", "healthy"), ("b", "asked")]


def test_nothing_gives_way_that_was_not_held_up() -> None:
    fresh = [notice(kind, age=LATE - 1) for kind in ("asked", "approved", "applying")]
    assert len(kept(*fresh)) == 3


def test_an_open_question_is_never_lost_whatever_is_said_besides() -> None:
    remarks = [notice(kind) for kind in ("answered", "reminder", "reminder", "stuck")]
    assert kept(notice("asked"), *remarks) == [
        ("a", "asked"),
        ("a", "answered"),
        ("a", "reminder"),
        ("a", "stuck"),
    ]


def test_a_reminder_of_what_is_decided_is_not_given() -> None:
    assert kept(notice("asked"), notice("reminder"), notice("denied")) == [("a", "denied")]


def test_illness_and_delivery_of_one_change_are_two_things() -> None:
    steps = [notice(kind) for kind in ("applying", "healthy", "degraded", "recovered")]
    assert kept(*steps) == [("a", "healthy"), ("a", "recovered")]


def test_channels_do_not_stand_for_one_another() -> None:
    here, there = notice("asked"), replace(notice("approved"), channel="#prod")
    assert kept(here, there) == [("a", "asked"), ("a", "approved")]


def test_what_came_and_went_unseen_is_nobodys_business_once_its_lane_moved_on() -> None:
    commits = [
        each
        for change in "abcde"
        for each in (notice("asked", change), notice("superseded", change))
    ]
    newest = notice("asked", "f")
    assert kept(*commits, newest, unseen=True) == [("f", "asked")]
    assert kept(*commits, newest, unseen=False)[-1] == ("f", "asked")
    assert len(kept(*commits, newest, unseen=False)) == 6


def test_what_was_asked_about_before_is_told_to_be_superseded() -> None:
    assert kept(notice("superseded", "a"), notice("asked", "b"), unseen=True) == [
        ("a", "superseded"),
        ("b", "asked"),
    ]


def test_what_ended_a_lane_is_told_even_if_nothing_came_of_it() -> None:
    assert kept(notice("asked"), notice("superseded"), unseen=True) == [("a", "superseded")]


def test_late_ones_go_together_and_new_ones_alone() -> None:
    late = [notice("failed", name) for name in "abc"]
    elsewhere = replace(notice("failed", "d"), channel="#prod")
    new = [notice("failed", name, age=1.0) for name in "ef"]
    found = batches([*late, elsewhere, *new], NOW, together=True)
    assert [[each.subject for each in batch] for batch in found] == [
        ["a", "b", "c"],
        ["d"],
        ["e"],
        ["f"],
    ]
    assert [len(batch) for batch in batches(late, NOW, together=False)] == [1, 1, 1]
    many = [notice("failed", str(number)) for number in range(120)]
    assert [len(batch) for batch in batches(many, NOW, together=True)] == [50, 50, 20]


# --- through the outbox -----------------------------------------------------------------------


class Clock:
    time = 1_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@dataclass
class Mail:
    """Sends messages that stay as they are; away for a while."""

    name: str = "mail"
    away: bool = False
    refuses: str = ""
    """A lane it will not take a message about."""
    told: list[list[str]] = field(default_factory=list)

    async def send(self, notice: Notice) -> None:
        await self.send_together([notice])

    async def send_together(self, notices: Sequence[Notice]) -> None:
        error: type[GitopsError] = NotifierUnavailable
        if self.away:
            raise error("it is away")
        if any(self.refuses and self.refuses in str(n.payload["lane"]) for n in notices):
            raise NotifierRefused("it will not")
        self.told.append([f"{n.payload['lane']} {n.kind}" for n in notices])


def change(name: str, number: int = 0) -> Change:
    lane = LaneId(ApplicationName(name), TargetName("prod"))
    revision = Revision(SourceName("config"), f"{number:040}")
    return Change(lane, number, Digest(f"{number:064}"), Cause.COMMIT, revision, occasion="o")


FLEET = Fleet(
    Path("gitops.yaml"),
    Path("state"),
    clusters={TargetName("prod"): ClusterSpec(TargetName("prod"), labels={"env": "prod"})},
    notifiers=(NotifierSpec("mail", "console"),),
)


async def desk(clock: Clock, fleet: Fleet, mail: Mail) -> tuple[Ledger, Sender]:
    store = open_memory_store(clock)
    ledger = Ledger(store, listening=Announcer(lambda: fleet, clock).listening)
    ledger.epoch = await store.leases.acquire("controller", "me", 1e9)
    return ledger, Sender(ledger, lambda: {"mail": mail}, clock)


async def test_an_hours_outage_ends_with_one_message_of_how_things_stand() -> None:
    clock, mail = Clock(), Mail(away=True)
    ledger, sender = await desk(clock, FLEET, mail)
    for number in range(12):
        for name in ("shop", "pay"):
            wish = change(name, number)
            await ledger.append(ChangeOpened(wish), ChangeBlocked(wish.id, "no such field"))
            if number < 11:
                await ledger.append(ChangeClosed(wish.id, ChangeState.SUPERSEDED, "newer"))
        await sender.send()
        clock.time += 300
    mail.away = False
    clock.time += 100
    await sender.send()
    assert [sorted(set(batch)) for batch in mail.told] == [
        ["pay@prod blocked", "shop@prod blocked"]
    ]
    assert len(mail.told[0]) == 2
    await sender.send()
    assert len(mail.told) == 1
    assert await ledger.read(lambda reading: reading.outbox()) == []


async def test_one_that_is_refused_does_not_take_the_others_with_it() -> None:
    clock, mail = Clock(), Mail(refuses="odd")
    ledger, sender = await desk(clock, FLEET, mail)
    for name in ("shop", "odd", "pay"):
        wish = change(name)
        await ledger.append(ChangeOpened(wish), ChangeBlocked(wish.id, "no such field"))
    clock.time += 1_000
    for _ in range(3):
        await sender.send()
        clock.time += 100
    assert mail.told == [["shop@prod blocked"], ["pay@prod blocked"]]


NIGHT = QuietHours(time(22), time(7), "UTC")
MIDNIGHT = 1_780_272_000.0  # 2026-06-01T00:00Z


async def test_what_quiet_hours_hold_back_survives_a_restart_and_is_told_at_their_end() -> None:
    clock, mail = Clock(), Mail()
    clock.time = MIDNIGHT
    fleet = replace(FLEET, routes=(Route((Told("mail", "", (NIGHT,)),)),))
    ledger, sender = await desk(clock, fleet, mail)
    shop, pay = change("shop"), change("pay")
    await ledger.append(ChangeOpened(shop), ChangeBlocked(shop.id, "no such field"))
    await ledger.append(ChangeClosed(shop.id, ChangeState.SUPERSEDED, "newer"))
    await ledger.append(ChangeOpened(pay), ChangeBlocked(pay.id, "no such field"))
    await ledger.append(HealthMoved(pay.id, False, "pod pay-1: OOMKilled"))
    await sender.send()
    assert mail.told == [["pay@prod degraded"]], "an error pierces"
    sender = Sender(ledger, lambda: {"mail": mail}, clock)
    clock.time = MIDNIGHT + 7 * 3_600 - 1
    await sender.send()
    assert len(mail.told) == 1
    assert sender._until_next() == pytest.approx(1.0)
    clock.time += 1
    await sender.send()
    assert mail.told[1:] == [["shop@prod superseded", "pay@prod blocked"]]


async def test_a_notice_says_what_a_route_chooses_by() -> None:
    clock, mail = Clock(), Mail()
    name = ApplicationName("shop")
    spec = ApplicationSpec(
        name, SourceName("config"), "", project="retail", labels={"team": "shop"}
    )
    prod = Route((Told("mail", "#prod"),), environment={"env": "prod"}, kinds=("blocked",))
    fleet = replace(FLEET, applications={name: spec}, routes=(prod, Route(())))
    ledger, _ = await desk(clock, fleet, mail)
    wish = change("shop")
    await ledger.append(ChangeOpened(wish), ChangeBlocked(wish.id, "why"))
    await ledger.append(ChangeClosed(wish.id, ChangeState.FAILED, "it crashed"))
    (found,) = await ledger.read(lambda reading: reading.outbox())
    assert (found.kind, found.channel) == ("blocked", "#prod")
    told = {
        "application": "shop",
        "target": "prod",
        "project": "retail",
        "labels": {"team": "shop"},
        "environment": {"env": "prod"},
        "severity": "warning",
        "cause": "commit",
    }
    assert told.items() <= found.payload.items()
