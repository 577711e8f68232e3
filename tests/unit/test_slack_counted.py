"""When an answer that comes again is told that it counted: only while it still does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitops.model.approval import Decision, Member, MemberState, Request, RequestState, Verdict
from gitops.model.ids import ChangeId, PersonName, RequestId, combine
from notifiers.slack.answers import counted

BOB, CYD = PersonName("bob"), PersonName("cyd")
CHANGE, SEAL, ROOT = ChangeId("c" * 64), combine("seal"), combine("root")
MEMBER = Member(CHANGE, SEAL, combine("plan"), MemberState.APPROVED, yes=(BOB,))


def request(member: Member, decision: Decision = Decision.APPROVE) -> Request:
    id = RequestId("0123456789abcdef")
    verdict = Verdict(id, ROOT, BOB, decision, "", "slack", 1.0, ((CHANGE, SEAL),))
    return Request(id, "", "", ROOT, RequestState.OPEN, (member,), 0.0, (verdict,))


@pytest.mark.parametrize("state", [MemberState.ASKING, MemberState.APPROVED])
def test_a_yes_that_is_among_those_given_counted(state: MemberState) -> None:
    asked = request(replace(MEMBER, state=state))
    assert counted(asked, ROOT, BOB, Decision.APPROVE)
    assert not counted(asked, ROOT, CYD, Decision.APPROVE)
    assert not counted(asked, ROOT, BOB, Decision.DENY)
    assert not counted(asked, combine("another root"), BOB, Decision.APPROVE)


@pytest.mark.parametrize(
    "member",
    [
        replace(MEMBER, seal=combine("another seal")),
        replace(MEMBER, yes=(CYD,)),
        replace(MEMBER, yes=()),
        replace(MEMBER, change=ChangeId("d" * 64)),
        replace(MEMBER, state=MemberState.DENIED),
        replace(MEMBER, state=MemberState.EXPIRED),
        replace(MEMBER, state=MemberState.LEFT),
    ],
)
def test_a_yes_to_what_is_no_longer_so_does_not(member: Member) -> None:
    assert not counted(request(member), ROOT, BOB, Decision.APPROVE)


def test_a_no_counted_where_it_is_denied_and_nowhere_else() -> None:
    denied = replace(MEMBER, state=MemberState.DENIED, yes=())
    assert counted(request(denied, Decision.DENY), ROOT, BOB, Decision.DENY)
    assert not counted(request(MEMBER, Decision.DENY), ROOT, BOB, Decision.DENY)
