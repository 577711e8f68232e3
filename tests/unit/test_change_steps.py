"""The picture of a change says where it is, whatever happened to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops.model import events as e
from gitops.model.approval import Electorate, Member, MemberState
from gitops.model.delivery import ChangeRecord, ChangeState, Progress
from gitops.model.events import StoredEvent
from gitops.model.ids import PersonName, RequestId, combine
from gitops.model.plan import SealParts
from gitops.web.steps import NAMES, Step, steps
from tests.contract.store_story import change_of, lane, plan_of

CHANGE = change_of(lane())
PLAN = plan_of(CHANGE)
SEAL, NOTHING = combine("seal"), combine("")
REQUEST = RequestId("r" * 16)
BOB = PersonName("bob")
GROUP = Electorate((BOB, PersonName("cyd")), 2, {})


def stored(*events: e.Event, every: float = 10.0) -> list[StoredEvent]:
    return [
        StoredEvent(n, CHANGE.id, "k", 1_000 + every * n, event, NOTHING, NOTHING)
        for n, event in enumerate(events)
    ]


OPENED = e.ChangeOpened(CHANGE)
PLANNED = e.ChangePlanned(
    CHANGE.id, PLAN, SEAL, SealParts(NOTHING, NOTHING, PLAN.digest, "", "", NOTHING)
)
ASKED = e.MemberAsked(REQUEST, CHANGE.id, SEAL, PLAN.digest, 9_999.0)
APPROVED = e.MemberDecided(REQUEST, CHANGE.id, MemberState.APPROVED, (BOB,))
CLAIMED = e.Claimed(CHANGE.id, SEAL, ("bob",))
APPLIED = e.ApplyFinished(CHANGE.id, "3 writes done")
POLICY = e.AutoApproved(CHANGE.id, SEAL, "policy calm")


def closed(state: ChangeState, why: str = "") -> e.ChangeClosed:
    return e.ChangeClosed(CHANGE.id, state, why)


def drawn(state: ChangeState, *events: e.Event, **more: Any) -> tuple[Step, ...]:
    record = ChangeRecord(CHANGE, state, 1_000, 1_000, more.pop("reason", ""))
    member = more.pop("member", None)
    given = Member(CHANGE.id, SEAL, PLAN.digest, member, yes=(BOB,)) if member else None
    return steps(record, stored(*events), PLAN, 1_500.0, member=given, group=GROUP, **more)


def short(found: tuple[Step, ...]) -> str:
    return " ".join(f"{each.state or '-'}{'!' if each.present else ''}" for each in found)


@pytest.mark.parametrize(
    ("state", "events", "member", "picture"),
    [
        (ChangeState.OPEN, (OPENED,), None, "done working! - - - -"),
        (ChangeState.BLOCKED, (OPENED, PLANNED), None, "done failed! skipped - - -"),
        (
            ChangeState.ASKING,
            (OPENED, PLANNED, ASKED),
            MemberState.ASKING,
            "done done done waiting! - -",
        ),
        (
            ChangeState.ASKING,
            (OPENED, PLANNED, ASKED, APPROVED),
            MemberState.APPROVED,
            "done done done done waiting! -",
        ),
        (ChangeState.OPEN, (OPENED, PLANNED, POLICY), None, "done done done done waiting! -"),
        (
            ChangeState.APPLYING,
            (OPENED, PLANNED, ASKED, APPROVED, CLAIMED),
            MemberState.APPROVED,
            "done done done done working! -",
        ),
        (
            ChangeState.VERIFYING,
            (OPENED, PLANNED, POLICY, CLAIMED, APPLIED),
            None,
            "done done done done done working!",
        ),
        (
            ChangeState.HEALTHY,
            (OPENED, PLANNED, POLICY, CLAIMED, APPLIED, closed(ChangeState.HEALTHY)),
            None,
            "done done done done done done",
        ),
        (
            ChangeState.FAILED,
            (OPENED, PLANNED, POLICY, CLAIMED, closed(ChangeState.FAILED)),
            None,
            "done done done done failed skipped",
        ),
        (
            ChangeState.FAILED,
            (OPENED, PLANNED, POLICY, CLAIMED, APPLIED, closed(ChangeState.FAILED)),
            None,
            "done done done done done failed",
        ),
        (
            ChangeState.DENIED,
            (OPENED, PLANNED, ASKED, closed(ChangeState.DENIED)),
            MemberState.DENIED,
            "done done done failed skipped skipped",
        ),
        (
            ChangeState.SUPERSEDED,
            (OPENED, closed(ChangeState.SUPERSEDED)),
            None,
            "done skipped skipped skipped skipped skipped",
        ),
    ],
)
def test_every_way_a_change_can_go_has_its_picture(
    state: ChangeState, events: tuple[e.Event, ...], member: MemberState | None, picture: str
) -> None:
    found = drawn(state, *events, member=member)
    assert tuple(each.name for each in found) == NAMES
    assert short(found) == picture


def test_what_moves_is_said_in_numbers() -> None:
    progress = Progress(CHANGE.id, 3, 1, 9, 2, 8, ("Deployment shop/web: 1 of 2 replicas",))
    applying = drawn(ChangeState.APPLYING, OPENED, PLANNED, POLICY, CLAIMED, progress=progress)
    assert applying[4].said == "3 of 9 objects written, 1 failed"
    verifying = drawn(
        ChangeState.VERIFYING, OPENED, PLANNED, POLICY, CLAIMED, APPLIED, progress=progress
    )
    said = "2 of 8 objects healthy; waits for Deployment shop/web: 1 of 2 replicas; and 5 more"
    assert verifying[5].said == said
    assert verifying[4].seconds == 10


def test_who_is_waited_for_is_named() -> None:
    asking = drawn(ChangeState.ASKING, OPENED, PLANNED, ASKED, member=MemberState.ASKING)
    assert asking[3].said == "waits for 1 approval of cyd"
    assert (asking[3].waits, asking[3].seconds) == (True, 480)


EVENTS: list[Callable[[], e.Event]] = [
    *(lambda it=it: it for it in (PLANNED, ASKED, APPROVED, POLICY, CLAIMED, APPLIED)),
    lambda: e.ChangeBlocked(CHANGE.id, "no"),
    lambda: e.MemberDecided(REQUEST, CHANGE.id, MemberState.LEFT),
    lambda: closed(ChangeState.HEALTHY),
]


@given(
    st.sampled_from(ChangeState),
    st.lists(st.sampled_from(EVENTS), max_size=12),
    st.sampled_from([None, *MemberState]),
)
def test_at_most_one_step_is_present_and_no_time_is_negative(
    state: ChangeState, events: list[Callable[[], e.Event]], member: MemberState | None
) -> None:
    found = drawn(state, OPENED, *(make() for make in events), member=member)
    assert sum(each.present for each in found) <= (0 if state.terminal else 1)
    assert [each.name for each in found] == list(NAMES)
