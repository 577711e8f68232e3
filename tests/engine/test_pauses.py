"""A paused application is left alone until its time is up or somebody resumes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from gitops.engine.pauses import LONGEST, Pauses
from gitops.errors import NotAllowed, StaleWrite
from gitops.model.approval import AnswerKind, Decision, RequestState
from gitops.model.delivery import Cause, ChangeState
from gitops.model.fleet import ApprovalPolicy, AutoApprove
from gitops.model.ids import ApplicationName, PersonName
from tests.contract.store_story import lane
from tests.engine.test_desk import Office
from tests.engine.test_desk import office as office  # noqa: PLC0414 - the fixture

SHOP, ADA, CYD = ApplicationName("shop"), PersonName("ada"), PersonName("cyd")


@dataclass
class Door:
    """Pauses over the desk's own store, and the applications they offered."""

    office: Office
    offered: list[ApplicationName] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pauses = Pauses(self.office.ledger, self.office.clock, self.offered.append)

    async def pause(self, seconds: float = 60, reason: str = "the freeze") -> None:
        self.office.clock.time += 1
        await self.pauses.pause((lane(), lane("shop", "test")), ADA, seconds, reason)


@pytest.fixture
def door(office: Office) -> Door:
    return Door(office)


async def test_an_open_question_is_taken_back_and_asked_again_with_what_changed(
    door: Door,
) -> None:
    office, record = door.office, await door.office.open()
    await office.ask(record)
    taken = await office.request()
    await door.pause()
    assert (await office.request()).state is RequestState.CLOSED
    with pytest.raises(NotAllowed, match=r"too late: paused by ada until .*: the freeze"):
        await office.answer("bob", root=taken.root)
    assert (await office.ask(record, "planned on meanwhile")).kind is AnswerKind.PAUSED
    assert len(await office.requests()) == 1, "nobody is asked while it lasts"
    await door.pauses.resume(SHOP, CYD)
    assert door.offered == [SHOP]
    assert (await office.ask(record)).kind is AnswerKind.PENDING
    (member,) = (await office.request()).members
    assert member.moved.startswith("it was put aside meanwhile: paused by ada")
    assert await office.answer("bob")


async def test_half_a_quorum_is_asked_again_and_told_so(door: Door) -> None:
    office = door.office
    office.policy(ApprovalPolicy(quorum=2))
    record = await office.open()
    await office.ask(record)
    await office.answer("bob")
    await door.pause()
    await door.pauses.resume(SHOP, CYD)
    await office.ask(record)
    (member,) = (await office.request()).members
    assert "an earlier yes no longer counts: bob" in member.moved
    assert not await office.answer("cyd")


@pytest.mark.parametrize("cause", [Cause.COMMIT, Cause.DRIFT, Cause.ROLLBACK])
async def test_nothing_goes_out_by_policy_either(door: Door, cause: Cause) -> None:
    office = door.office
    office.policy(ApprovalPolicy(auto=AutoApprove(always=True)))
    await door.pause()
    record = await office.open(cause=cause)
    answer = await office.ask(record)
    assert answer.kind is AnswerKind.PAUSED
    assert "the freeze" in answer.reason
    other = await office.open("shop-b")
    assert (await office.ask(other)).kind is AnswerKind.APPROVED, "another application"


async def test_an_approval_from_before_waits_for_the_end(door: Door) -> None:
    office, record = door.office, await door.office.open()
    await office.ask(record)
    await office.answer("bob")
    approved = await office.ask(record)
    await door.pause()
    assert (await office.ask(record)).kind is AnswerKind.PAUSED
    with pytest.raises(StaleWrite, match="shop is paused"):
        await office.claim(record, approved)
    office.clock.time += 60
    assert (await office.ask(record)).kind is AnswerKind.APPROVED
    await office.claim(record, approved)


@pytest.mark.parametrize(
    ("seconds", "reason", "says"),
    [(60, " ", "reason"), (0, "x", "up to 30 days"), (LONGEST + 1, "x", "up to 30 days")],
)
async def test_without_reason_or_end_there_is_no_pause(
    door: Door, seconds: float, reason: str, says: str
) -> None:
    with pytest.raises(NotAllowed, match=says):
        await door.pause(seconds, reason)
    assert door.pauses.of(SHOP) is None


async def test_it_ends_by_itself_and_wakes_its_application(door: Door) -> None:
    await door.pause()
    assert door.pauses.of(SHOP)
    running = asyncio.ensure_future(door.pauses.run())
    try:
        await asyncio.sleep(0)
        assert door.offered == []
        door.office.clock.time += 60
        assert door.pauses.of(SHOP) is None
        await door.pauses.load()  # as after a restart; also wakes the task
        async with asyncio.timeout(10):
            while not door.offered:
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
    kinds = await door.office.ledger.read(
        lambda reading: [event.kind for event in reading.events("application:shop")]
    )
    assert kinds == ["application-paused.1", "application-resumed.1"]
    with pytest.raises(NotAllowed, match="not paused"):
        await door.pauses.resume(SHOP, CYD)


async def test_a_pause_made_longer_at_its_last_moment_lasts(door: Door) -> None:
    await door.pause()
    door.office.clock.time += 60
    longer = asyncio.ensure_future(door.pauses.pause((lane(),), CYD, 3_600, "not yet"))
    ending = asyncio.ensure_future(door.pauses.run())
    try:
        pause = await longer
        for _ in range(20):
            await asyncio.sleep(0.005)
    finally:
        ending.cancel()
    assert door.pauses.of(SHOP) == pause
    after = Door(door.office)
    await after.pauses.load()
    assert after.pauses.of(SHOP) == pause


async def test_another_process_knows_of_it(door: Door) -> None:
    await door.pause()
    second = Door(door.office)
    assert second.pauses.of(SHOP) is None
    await second.pauses.load()
    pause = second.pauses.of(SHOP)
    assert pause is not None
    assert pause.told == "paused by ada until 1970-01-12 13:47Z: the freeze"


async def test_a_denied_or_withdrawn_rollback_holds_nothing_back(office: Office) -> None:
    record = await office.open(cause=Cause.ROLLBACK)
    await office.ask(record)
    await office.answer("bob", Decision.DENY)
    known = await office.ledger.read(lambda reading: reading.lane(lane()))
    assert (known.hold, known.rollback, known.current) == (None, None, None)
    ended = await office.ledger.read(lambda reading: reading.change(record.change.id))
    assert ended is not None
    assert ended.state is ChangeState.DENIED
