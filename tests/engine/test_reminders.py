"""An open question is brought to mind before it expires, once each time, whatever crashes."""

from __future__ import annotations

import pytest

from gitops.engine.ledger import Ledger
from gitops.engine.reminders import Reminders
from gitops.errors import StaleWrite
from gitops.model.events import Reminded
from gitops.model.fleet import ApprovalPolicy, People
from gitops.model.ids import PersonName
from gitops.ports import Reading
from tests.engine.test_desk import PEOPLE, Office
from tests.engine.test_desk import office as office  # noqa: PLC0414 - the fixture

HOUR = 3_600.0


def begin(office: Office) -> Reminders:
    """What a process that has just started has in memory: nothing."""
    return Reminders(office.ledger, office.fleet, office.spec_of, office.clock)


async def given(office: Office) -> list[Reminded]:
    def query(reading: Reading) -> list[Reminded]:
        changes = reading.changes(open_only=False)
        events = [each.event for change in changes for each in reading.events(change.change.id)]
        return [event for event in events if isinstance(event, Reminded)]

    return await office.ledger.read(query)


@pytest.mark.slow
async def test_a_question_of_a_day_is_brought_to_mind_after_a_half_and_after_nine_tenths(
    office: Office,
) -> None:
    record = await office.open()
    await office.ask(record)
    reminders, asked, told = begin(office), office.clock.time, []
    for minute in range(0, 24 * 60, 6):
        office.clock.time = asked + minute * 60
        await reminders.look()
        if len(await given(office)) > len(told):
            told.append(minute / 60)
    assert told == pytest.approx([12.0, 21.6], abs=0.11)
    (first, second) = await given(office)
    request = await office.request()
    assert {first.request, second.request} == {request.id}
    assert first.expires_at == request.members[0].expires_at


async def test_a_restart_repeats_no_reminder(office: Office) -> None:
    await office.ask(await office.open())
    office.clock.time += 13 * HOUR
    for _ in range(3):
        await begin(office).look()
    assert len(await given(office)) == 1


async def test_who_was_down_over_both_says_it_once(office: Office) -> None:
    await office.ask(await office.open())
    office.clock.time += 23 * HOUR
    await begin(office).look()
    await begin(office).look()
    assert len(await given(office)) == 1


async def test_a_write_that_does_not_come_through_loses_no_reminder(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.ask(await office.open())
    office.clock.time += 13 * HOUR
    reminders = begin(office)
    with monkeypatch.context() as patched:
        patched.setattr(office.ledger, "epoch", None)
        with pytest.raises(StaleWrite):
            await reminders.look()
    await reminders.look()
    assert len(await given(office)) == 1


async def test_what_is_answered_is_not_brought_to_mind(office: Office) -> None:
    await office.ask(await office.open())
    await office.answer("bob")
    office.clock.time += 13 * HOUR
    await begin(office).look()
    assert await given(office) == []


async def test_a_question_that_is_asked_anew_is_another_one(office: Office) -> None:
    record = await office.open()
    await office.ask(record)
    office.clock.time += 13 * HOUR
    reminders = begin(office)
    await reminders.look()
    await office.ask(record, "the plan moved")
    await reminders.look()
    assert len(await given(office)) == 1
    office.clock.time += 13 * HOUR
    await reminders.look()
    assert len(await given(office)) == 2


async def test_a_question_nobody_can_answer_says_so_at_once_and_who_could_be_added(
    office: Office,
) -> None:
    office.policy(ApprovalPolicy(people=(PersonName("ada"),)))
    await office.ask(await office.open())
    reminders = begin(office)
    for _ in range(2):
        await reminders.look()
        await begin(office).look()
    (told,) = await given(office)
    assert told.stuck.startswith("Nobody can approve this")
    assert "ada" in told.stuck


async def test_one_reminder_is_given_for_all_of_a_request_that_are_told_the_same_people(
    office: Office,
) -> None:
    for name in ("shop", "shop-2", "shop-3"):
        await office.ask(await office.open(name))
    assert len(await office.requests()) == 1
    office.clock.time += 13 * HOUR
    await begin(office).look()
    assert len(await given(office)) == 3, "one an application"


async def test_waiting_reads_the_requests_and_nothing_else(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.ask(await office.open())
    reminders = begin(office)
    await reminders.look()
    office.people = People({})  # would be noticed by whoever looks further
    writes = 0

    async def counted(*_given: object) -> None:
        nonlocal writes
        writes += 1

    monkeypatch.setattr(Ledger, "write", counted)
    for _ in range(5):
        office.clock.time += HOUR
        await reminders.look()
    assert writes == 0
    office.people = PEOPLE
