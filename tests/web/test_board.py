"""The board says of every lane what a fresh reading would say, whatever happened before."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gitops.app import offline
from gitops.controller import Controller
from gitops.engine.bell import EVERYTHING
from gitops.engine.cases import Case
from gitops.engine.lanes import Trouble, _Lane
from gitops.errors import StaleWrite, StoreUnavailable
from gitops.model import events as e
from gitops.model.approval import MemberState
from gitops.model.delivery import (
    Cause,
    ChangeRecord,
    ChangeState,
    Hold,
    LaneId,
    LaneRecord,
    Rollback,
)
from gitops.model.fleet import ApplicationSpec, Fleet
from gitops.model.ids import (
    ApplicationName,
    DeliveryId,
    PersonName,
    SourceName,
    TargetName,
    combine,
)
from gitops.model.manifest import ObjectId
from gitops.model.source import Revision
from gitops.ports import Reading
from gitops.ports.office import Standing
from gitops.standing import Kept, standing
from tests.contract.store_story import Clock, Story, change_of

NAMES = [ApplicationName(name) for name in ("cart", "shop", "mail")]
CLUSTERS = (TargetName("east"), TargetName("west"))
PERSON = PersonName("ada")


def specs(*names: str, label: str = "a") -> dict[ApplicationName, ApplicationSpec]:
    return {
        ApplicationName(name): ApplicationSpec(
            ApplicationName(name),
            SourceName("config"),
            name,
            clusters=CLUSTERS,
            labels={"team": label},
        )
        for name in names
    }


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[Controller]:
    running = offline(Fleet(tmp_path / "f", tmp_path, applications=specs(*NAMES)), Clock())
    running.controller.parts.keeper._seconds = 1e10
    await running.controller.parts.keeper.acquire()
    yield running.controller
    await running.controller.close()
    running.close()


async def fresh(controller: Controller) -> Sequence[Standing]:
    """From the store and the controller's parts, with nothing remembered."""

    def query(reading: Reading) -> Sequence[Standing]:
        known = {record.lane: record for record in reading.lanes()}
        current = {record.change.lane: record for record in reading.changes()}
        return tuple(
            stands(controller, known.get(lane) or LaneRecord(lane), current.get(lane))
            for lane in sorted(controller.roster.lanes())
        )

    return await controller.ledger.read(query)


def stands(controller: Controller, lane: LaneRecord, current: ChangeRecord | None) -> Standing:
    spec = controller.roster.spec(lane.lane.application)
    assert spec is not None
    trouble = controller.lanes.trouble(lane.lane)
    return standing(
        lane.lane,
        Kept.of(lane, current),
        labels=spec.labels,
        pause=controller.pauses.of(lane.lane.application),
        ill=next(iter(controller.vigil.ailments(lane.lane)), None),
        trouble=trouble.told if trouble else "",
    )


@dataclass
class Heard(Story):
    """A story that the controller's own ledger writes."""

    controller: Controller | None = None

    async def say(self, *events: e.Event) -> None:
        assert self.controller is not None
        await self.controller.ledger.append(*events)


class Days:
    """A fleet's days at random: whatever can happen to a lane happens to some of them."""

    def __init__(self, controller: Controller, seed: int) -> None:
        self.controller, self.dice = controller, random.Random(seed)
        self.stories: dict[LaneId, Heard] = {}
        self.clock = controller.parts.clock
        self.wishes = 0

    async def happen(self) -> None:
        lane = LaneId(self.dice.choice(NAMES), self.dice.choice(CLUSTERS))
        often = (self.opens, self.goes_on, self.ends, self.delivers)
        beside = (self.pauses, self.resumes, self.falls_ill, self.gets_well, self.stumbles)
        rest = (self.time_passes, self.reloads, self.lifts, self.leaves)
        with contextlib.suppress(StaleWrite):  # it could not happen just then
            await self.dice.choice((*often, *often, *beside, *rest))(lane)

    async def delivers(self, lane: LaneId) -> None:
        await self.opens(lane)
        story = self.stories[lane]
        await story.say(story.planned(), e.AutoApproved(story.change.id, story.seal, "auto"))
        await story.say(story.claimed())
        await story.say(story.finished())
        await story.say(story.closed(ChangeState.HEALTHY))

    async def opens(self, lane: LaneId) -> None:
        record = await self.controller.ledger.read(lambda reading: reading.lane(lane))
        self.wishes += 1
        cause = self.dice.choice((Cause.COMMIT, Cause.DRIFT, Cause.ROLLBACK))
        change = change_of(lane, record.generation, str(self.wishes), cause)
        if cause is Cause.ROLLBACK:
            revision = Revision(SourceName("config"), combine("old")[:40])
            back = Rollback(DeliveryId("d"), revision, combine("l"), PERSON, "it broke")
            change = replace(change, rollback=back)
        store = self.controller.ledger._store
        story = Heard(store, e.Epoch("", 0), change, controller=self.controller)  # type: ignore[arg-type]
        await story.say(story.opened())
        self.stories[lane] = story

    async def goes_on(self, lane: LaneId) -> None:
        story = self.stories.get(lane)
        if story is None:
            return
        record = await self.controller.ledger.read(lambda r: r.change(story.change.id))
        assert record is not None
        if record.state is ChangeState.OPEN and record.request is None:
            asks = (story.planned(), story.request_opened(), story.asked())
            await story.say(*self.dice.choice((asks, (e.ChangeBlocked(record.change.id, "no"),))))
        elif record.state is ChangeState.ASKING:
            if self.dice.random() < 0.3:
                await story.say(story.decided(MemberState.LEFT, ()))
            else:
                await story.say(e.Answered(await story.verdict()), story.decided())
                await story.say(story.claimed())
        elif record.state is ChangeState.APPLYING:
            await story.say(story.finished())

    async def ends(self, lane: LaneId) -> None:
        story = self.stories.get(lane)
        if story is None:
            return
        id = story.change.id
        hold = Hold(combine("p"), combine("c"), "it failed", failed=self.dice.random() < 0.5)
        await self.dice.choice(
            (
                lambda: story.say(story.closed(ChangeState.HEALTHY)),
                lambda: story.say(story.closed(ChangeState.FAILED, hold)),
                lambda: story.say(e.ChangeClosed(id, ChangeState.DENIED, "no", hold=hold)),
                lambda: story.say(e.ChangeClosed(id, ChangeState.SUPERSEDED, "newer")),
            )
        )()

    async def lifts(self, lane: LaneId) -> None:
        drift = self.dice.random() < 0.5
        events = (e.HoldLifted(lane, "ada", drift), e.RollbackLifted(lane, "ada"))
        await self.controller.ledger.append(self.dice.choice(events))

    async def pauses(self, lane: LaneId) -> None:
        seconds = self.dice.choice((50.0, 500.0))
        await self.controller.pauses.pause([lane], PERSON, seconds, "the freeze")

    async def resumes(self, lane: LaneId) -> None:
        if self.controller.pauses.of(lane.application):
            await self.controller.pauses.resume(lane.application, PERSON)

    async def falls_ill(self, lane: LaneId) -> None:
        id = ObjectId("apps", "Deployment", "shop", self.dice.choice("abc"))
        self.controller.vigil._cases[lane, id] = Case("crashes", True, 0.0, None, self.clock.now())

    async def gets_well(self, lane: LaneId) -> None:
        self.controller.vigil.forget(lane)

    async def stumbles(self, lane: LaneId) -> None:
        waits, text = self.dice.random() < 0.3, self.dice.choice(("no route", "403"))
        trouble = Trouble(text, "", 0.0, 0.0, 1, waits) if self.dice.random() < 0.6 else None
        self.controller.lanes._lanes[lane] = _Lane(trouble=trouble)

    async def time_passes(self, lane: LaneId) -> None:
        del lane
        assert isinstance(self.clock, Clock)
        self.clock.time += self.dice.choice((1.0, 60.0))

    async def reloads(self, lane: LaneId) -> None:
        del lane
        there = self.dice.sample(NAMES, self.dice.randint(1, len(NAMES)))
        applications = specs(*there, label=self.dice.choice("ab"))
        self.controller.roster.reload(replace(self.controller.fleet, applications=applications))

    async def leaves(self, lane: LaneId) -> None:
        found = specs(lane.application)[lane.application]
        self.controller.roster._departed[lane.application] = found
        self.controller.roster.edition += 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_the_board_is_what_a_fresh_reading_would_be(
    controller: Controller, seed: int
) -> None:
    days = Days(controller, seed)
    seen = set()
    for _ in range(100):
        await days.happen()
        if days.dice.random() < 0.5:
            present = await controller.board.present()
            assert present.standings == await fresh(controller)
            for name in NAMES:
                theirs = [each for each in present.standings if each.lane.application == name]
                assert list(present.of(name)) == theirs
            seen.update(each.state for each in present.standings)
    assert len(seen) >= 5


async def test_a_write_in_the_middle_of_a_reading_is_not_missed(controller: Controller) -> None:
    days, board = Days(controller, 0), controller.board
    await board.present()
    first, second = (LaneId(name, CLUSTERS[0]) for name in NAMES[:2])
    read = controller.ledger.read
    await days.opens(first)

    async def slow(query: Callable[[Reading], Any]) -> Any:
        controller.ledger.read = read  # type: ignore[method-assign]
        found = await read(query)
        await days.delivers(second)
        return found

    controller.ledger.read = slow  # type: ignore[method-assign]
    assert (await board.present()).standings == await fresh(controller)


async def test_what_could_not_be_read_is_read_later(controller: Controller) -> None:
    days, board, read = Days(controller, 0), controller.board, controller.ledger.read

    async def away(_query: Callable[[Reading], Any]) -> Any:
        raise StoreUnavailable("away")

    for _ in range(2):
        await days.delivers(LaneId(NAMES[0], CLUSTERS[0]))
        controller.ledger.read = away  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await board.present()
        controller.ledger.read = read  # type: ignore[method-assign]
        assert (await board.present()).standings == await fresh(controller)


async def test_who_holds_no_lease_sees_what_the_other_writes(controller: Controller) -> None:
    days, board, ledger = Days(controller, 0), controller.board, controller.ledger
    await board.present()
    epoch = ledger.epoch
    ledger.bell.ring = lambda _topics: None  # type: ignore[method-assign]
    await days.delivers(LaneId(NAMES[0], CLUSTERS[0]))
    assert (await board.present()).standings != await fresh(controller), "nobody told"
    ledger.epoch = None
    assert (await board.present()).standings == await fresh(controller)
    ledger.epoch = epoch
    await days.delivers(LaneId(NAMES[1], CLUSTERS[0]))
    assert (await board.present()).standings == await fresh(controller), "it has just got it"


async def test_only_what_moved_is_read_again(controller: Controller) -> None:
    days, board, ledger = Days(controller, 0), controller.board, controller.ledger
    first = await board.present()
    asked: list[int] = []
    read = ledger.read

    async def counted(query: Callable[[Reading], Any]) -> Any:
        asked.append(1)
        return await read(query)

    ledger.read = counted  # type: ignore[method-assign]
    assert await board.present() is first
    assert not asked
    await days.delivers(LaneId(NAMES[0], CLUSTERS[0]))
    asked.clear()
    second = await board.present()
    assert len(asked) == 1
    assert second.edition > first.edition
    same = [a is b for a, b in zip(first.rows, second.rows, strict=True)]
    assert sorted(same) == [False, True, True]


async def test_open_pages_hear_of_a_new_fleet_file(controller: Controller) -> None:
    with controller.ledger.bell.listening() as listener:
        fleet = replace(controller.fleet, applications=specs(NAMES[0]))
        await controller.reload(fleet)
        assert EVERYTHING in await listener.heard()
    present = await controller.board.present()
    assert [row.spec.name for row in present.rows] == [NAMES[0]]
    await controller.lanes.stop()
