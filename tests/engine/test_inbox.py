"""The inbox: a delivery acts once, is remembered, and nudges at a measured pace."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gitops.engine.inbox import FACTS_KEPT, KEPT, MOST_WAITING, Busy, Inbox, owner
from gitops.engine.ledger import Ledger
from gitops.engine.meaning import pushes_of
from gitops.engine.provenance import pulls_of
from gitops.engine.spacing import Spaced
from gitops.errors import StoreUnavailable, Unknown
from gitops.model.fleet import Fleet, SourceSpec, WebhookSpec
from gitops.model.hooks import HookOutcome
from gitops.model.ids import SourceName
from gitops.ports.inbound import (
    CheckAgain,
    Heard,
    LookAgain,
    PullAction,
    PullMoved,
    Pushed,
    Repository,
)
from gitops.store import open_memory_store
from tests.unit.check_cases import Keyed
from tests.web.hook_cases import At

A, B = "a" * 40, "b" * 40
SHOP = SourceName("shop")
HERE = Repository(("https://git.example.com/acme/shop.git",))


def pushed(after: str = A, ref: str = "refs/heads/main", **more: tuple[str, ...]) -> Pushed:
    return Pushed(HERE, ref, after, "github:ada", **more)  # type: ignore[arg-type]


def heard(*words: object, id: str = "1") -> Heard:
    return Heard(id, words or (pushed(),), "push")  # type: ignore[arg-type]


class Failing(Ledger):
    """A ledger whose store may go away."""

    away = False

    async def write(self, work):  # type: ignore[no-untyped-def]
        if self.away:
            raise StoreUnavailable("the database is away")
        return await super().write(work)


@dataclass
class Desk:
    """An inbox on a real store in memory, and what came of it."""

    inbox: Inbox
    ledger: Failing
    clock: At
    fleet: Fleet
    nudges: Counter[str] = field(default_factory=Counter)
    steps: list[str] = field(default_factory=list)

    async def fact(self, commit: str) -> str | None:
        return await self.ledger.read(lambda r: r.memo(pushes_of(SHOP), commit))


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Its parameter: the seconds between two nudges."""
    clock = At()
    store = open_memory_store(clock)
    ledger = Failing(store)
    epoch = await store.leases.acquire("controller", "me", 1e9)
    ledger.epoch = epoch
    fleet = Fleet(
        tmp_path / "gitops.yaml",
        tmp_path,
        sources={SHOP: SourceSpec(SHOP, "git", "https://git.example.com/acme/shop")},
        webhooks=(WebhookSpec("github", "github"), WebhookSpec("any", "generic", sources=(SHOP,))),
    )
    nudges: Counter[str] = Counter()
    steps: list[str] = []
    inbox = Inbox(
        lambda: fleet,
        ledger,
        Keyed(),
        clock,
        lambda name: nudges.update([name]),
        lambda step, _: steps.append(step),
        spacing=getattr(request, "param", 0.0),
    )
    running = asyncio.create_task(inbox.run())
    while not inbox.open:
        await asyncio.sleep(0)
    yield Desk(inbox, ledger, clock, fleet, nudges, steps)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    store.close()


async def test_a_delivery_nudges_its_source_and_is_in_the_log(desk: Desk) -> None:
    assert await desk.inbox.take("github", heard(), b"body")
    assert desk.nudges == {"shop": 1}
    [found] = await desk.inbox.deliveries()
    assert (found.webhook, found.outcome, found.sources) == (
        "github",
        HookOutcome.ACCEPTED,
        (SHOP,),
    )
    assert (found.event, found.delivery, found.at) == ("push", "1", desk.clock.time)
    [status, _] = desk.inbox.tallies.status().webhooks
    assert (status.accepted, status.last_at) == (1, desk.clock.time)
    assert desk.inbox.tallies.status().heard == {SHOP: desk.clock.time}


async def test_w6_what_is_repeated_fifty_times_at_once_acts_once(desk: Desk) -> None:
    moved = PullMoved(HERE, 7, PullAction.UPDATED)
    pulls: list[object] = []
    desk.inbox.on_pull = lambda source, word: pulls.append((source, word))
    told = heard(pushed(), moved)
    new = await asyncio.gather(*(desk.inbox.take("github", told, b"body") for _ in range(50)))
    assert sorted(new) == [False] * 49 + [True]
    assert not await desk.inbox.take("github", told, b"body")
    assert desk.nudges == {"shop": 1}
    assert pulls == [(SHOP, moved)]
    assert len(await desk.inbox.deliveries()) == 1
    assert desk.inbox.tallies.status().webhooks[0].repeated == 50


@pytest.mark.parametrize(("body", "id"), [(b"other", "1"), (b"body", "2")])
async def test_another_body_or_another_id_is_another_delivery(
    desk: Desk, body: bytes, id: str
) -> None:
    await desk.inbox.take("github", heard(), b"body")
    assert await desk.inbox.take("github", heard(id=id), body)
    assert len(await desk.inbox.deliveries()) == 2


async def test_the_same_at_another_webhook_is_another_delivery(desk: Desk) -> None:
    await desk.inbox.take("github", heard(), b"body")
    assert await desk.inbox.take("any", heard(), b"body")


async def test_what_says_nothing_but_look_acts_every_time(desk: Desk) -> None:
    told = Heard("", (LookAgain(),), "look", repeatable=True)
    for _ in range(2):
        assert await desk.inbox.take("any", told, b"{}")
    assert desk.nudges == {"shop": 2}


async def test_w7_deliveries_in_any_order_leave_the_same_behind(desk: Desk) -> None:
    """The present is asked of the source; of the payloads only who pushed what is kept."""
    ids = [f"{n:040x}" for n in range(1, 21)]
    order = random.Random(5).sample(ids, len(ids))
    for id in order:
        await desk.inbox.take("github", heard(pushed(id), id=id), id.encode())
    assert [await desk.fact(id) for id in ids] == ["github:ada"] * 20


@pytest.mark.slow
@pytest.mark.parametrize("desk", [3_600.0], indirect=True)
async def test_w10_a_burst_is_one_look_now_and_few_transactions(desk: Desk) -> None:
    every = [desk.inbox.take("github", heard(id=str(n)), b"x") for n in range(300)]
    assert all(await asyncio.gather(*every))
    assert desk.nudges["shop"] == 1
    assert desk.steps.count("heard") < 10


async def test_who_pushed_is_remembered_for_every_commit_and_the_first_stays(desk: Desk) -> None:
    await desk.inbox.take("github", heard(pushed(A, commits=(B, A))), b"1")
    again = replace(pushed(A), pusher="github:mallory")
    await desk.inbox.take("github", heard(again, id="2"), b"2")
    assert (await desk.fact(A), await desk.fact(B)) == ("github:ada", "github:ada")


async def test_hearsay_gives_way_to_what_is_told_of_the_source_itself(desk: Desk) -> None:
    elsewhere = replace(pushed(A), repository=Repository(("https://git.example.com/x/y",)))
    named = Fleet(
        desk.fleet.path,
        desk.fleet.state_dir,
        sources=desk.fleet.sources,
        webhooks=(WebhookSpec("github", "github", sources=(SHOP,)),),
    )
    desk.inbox._fleet = lambda: named
    for id, word in (("1", elsewhere), ("2", replace(pushed(A), pusher="github:mallory"))):
        await desk.inbox.take("github", heard(word, id=id), b"1")
    assert await desk.fact(A) == "github:mallory"
    await desk.inbox.take("github", heard(elsewhere, id="3"), b"1")
    assert await desk.fact(A) == "github:mallory"


async def test_w8_w9_what_concerns_no_source_is_ignored_and_counted(desk: Desk) -> None:
    nasty = Pushed(Repository(("https://evil.example/x/\x1b[2J",)), "--upload-pack=x\n", A, "x:y")
    assert await desk.inbox.take("github", heard(nasty), b"body")
    assert await desk.inbox.take("github", heard(pushed(ref="--upload-pack=x\n"), id="2"), b"body")
    found = await desk.inbox.deliveries()
    assert {each.outcome for each in found} == {HookOutcome.IGNORED}
    assert all(each.note.isprintable() for each in found)
    assert desk.nudges == {}
    assert desk.inbox.tallies.status().webhooks[0].ignored == 2


async def test_a_pull_request_nobody_takes_is_dropped_and_counted(desk: Desk) -> None:
    told = heard(PullMoved(HERE, 7, PullAction.CLOSED), CheckAgain(HERE, A))
    await desk.inbox.take("github", told, b"body")
    assert desk.inbox.tallies.status().undelivered == 2
    assert desk.nudges == {}


async def test_a_defect_of_who_takes_pull_requests_stops_no_other_delivery(desk: Desk) -> None:
    def broken(_source: SourceName, _word: object) -> None:
        raise RuntimeError("no")

    desk.inbox.on_pull = broken
    assert await desk.inbox.take("github", heard(PullMoved(HERE, 7, PullAction.ASKED)), b"1")
    assert await desk.inbox.take("github", heard(id="2"), b"2")
    assert desk.nudges == {"shop": 1}


async def test_what_cannot_be_kept_is_turned_away_and_acts_when_it_comes_again(desk: Desk) -> None:
    desk.ledger.away = True
    with pytest.raises(Busy):
        await desk.inbox.take("github", heard(), b"body")
    assert desk.nudges == {}
    desk.ledger.away = False
    assert await desk.inbox.take("github", heard(), b"body")
    assert desk.nudges == {"shop": 1}
    assert desk.inbox.tallies.status().webhooks[0].limited == 1


@pytest.mark.slow
async def test_more_than_can_wait_are_turned_away(desk: Desk) -> None:
    every = [desk.inbox.take("github", heard(id=str(n)), b"body") for n in range(MOST_WAITING + 20)]
    done = await asyncio.gather(*every, return_exceptions=True)
    assert sum(isinstance(each, Busy) for each in done) == 20


async def test_without_a_lease_nothing_is_taken(desk: Desk) -> None:
    desk.ledger.epoch = None
    with pytest.raises(Busy):
        await desk.inbox.take("github", heard(), b"body")
    idle = Inbox(lambda: desk.fleet, desk.ledger, Keyed(), desk.clock, lambda _name: None)
    with pytest.raises(Busy):
        await idle.take("github", heard(), b"body")


async def test_a_delivery_can_be_had_once_more(desk: Desk) -> None:
    moved = PullMoved(HERE, 7, PullAction.UPDATED)
    await desk.inbox.take("github", heard(pushed(commits=(A,)), moved, CheckAgain(HERE, B)), b"b")
    pulls: list[object] = []
    desk.inbox.on_pull = lambda _source, word: pulls.append(word)
    [found] = await desk.inbox.deliveries()
    again = await desk.inbox.replay(found.id[:8])
    assert again.sources == (SHOP,)
    assert desk.nudges == {"shop": 2}
    assert pulls == [moved, CheckAgain(HERE, B)]
    for unknown in (found.id[:3], "ffff", ""):
        with pytest.raises(Unknown):
            await desk.inbox.replay(unknown)


async def test_what_is_kept_of_a_delivery_stays_small(desk: Desk) -> None:
    huge = Pushed(
        Repository(("https://x/" + "y" * 500_000,)), "r" * 500_000, A, "x:y", (A,) * 2_048
    )
    await desk.inbox.take("github", heard(huge), b"body")
    [memo] = await desk.ledger.read(lambda r: r.memos(owner("github")))
    assert len(memo.value) < 5_000


async def test_it_is_forgotten_in_time(desk: Desk) -> None:
    await desk.inbox.take("github", heard(), b"body")
    desk.clock.time += KEPT + 1
    await desk.inbox.tidy()
    assert await desk.inbox.deliveries() == []
    assert await desk.fact(A) == "github:ada"
    told = pulls_of(SHOP)
    await desk.ledger.write(lambda tx: tx.memorise(told, A, "{}"))
    desk.clock.time += FACTS_KEPT
    await desk.inbox.tidy()
    assert await desk.fact(A) is None
    assert await desk.ledger.read(lambda r: r.memo(told, A)) == "{}"
    desk.clock.time += KEPT
    await desk.inbox.tidy()
    assert await desk.ledger.read(lambda r: r.memo(told, A)) is None


async def test_a_later_controller_knows_when_it_last_heard(desk: Desk) -> None:
    await desk.inbox.take("github", heard(), b"body")
    later = Inbox(lambda: desk.fleet, desk.ledger, Keyed(), desk.clock, lambda _name: None)
    running = asyncio.create_task(later.run())
    while not later.open:
        await asyncio.sleep(0)
    assert later.tallies.status().webhooks[0].last_at == desk.clock.time
    assert later.tallies.status().heard == {SHOP: desk.clock.time}
    assert not await later.take("github", heard(), b"body")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_a_later_version_wrote_is_passed_over(desk: Desk) -> None:
    def write(tx):  # type: ignore[no-untyped-def]
        for key, value in (("1", "{"), ("2", "[]"), ("3", json.dumps({"delivery": {}}))):
            tx.memorise(owner("github"), key, value)

    await desk.ledger.write(write)
    assert await desk.inbox.deliveries() == []


async def test_refusals_are_counted_and_cannot_fill_the_log(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(100):
        desk.inbox.tallies.refused("github", "no valid signature")
    assert capsys.readouterr().out.count("webhook.refused") <= 1
    [status, _] = desk.inbox.tallies.status().webhooks
    assert (status.refused, status.problem) == (100, "no valid signature")


async def test_what_is_asked_for_meanwhile_is_one_more_and_never_lost() -> None:
    fired: list[str] = []
    spaced: Spaced[str] = Spaced(fired.append, 0.2)
    for _ in range(50):
        spaced.ask("a")
    spaced.ask("b")
    assert fired == ["a", "b"]
    while len(fired) < 3:
        await asyncio.sleep(0.01)
    assert fired == ["a", "b", "a"]
    never: Spaced[str] = Spaced(fired.append, 3_600)
    never.ask("c")
    never.ask("c")
    never.close()
    never.ask("c")
    never.close()
    assert fired == ["a", "b", "a", "c"]
