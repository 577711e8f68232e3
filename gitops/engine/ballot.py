"""Answers: whose count, what they cover, and what they amount to.

Called by the desk, inside the store's transaction, for every answer through whichever face; the
gate says who may. An approval is only ever of what is being asked under the root that was named. A
denial may also take an approval back, as long as nothing of the change is being applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gitops import gate
from gitops.errors import NotAllowed, Outdated, Unknown
from gitops.model.approval import (
    Decision,
    Member,
    MemberState,
    Request,
    RequestState,
    Verdict,
    root_of,
)
from gitops.model.delivery import CLAIMED, Cause, ChangeRecord, ChangeState, Hold
from gitops.model.events import Answered, ChangeClosed, MemberDecided
from gitops.model.fleet import ApplicationSpec, Fleet
from gitops.model.ids import ApplicationName, ChangeId, Digest, PersonName, RequestId
from gitops.ports import Clock, Reading, Transaction

SpecOf = Callable[[ApplicationName], ApplicationSpec | None]
Pair = tuple[Member, ChangeRecord]


@dataclass(frozen=True, slots=True)
class Paper:
    """One answer as it was handed in."""

    request: RequestId
    root: Digest
    person: PersonName
    decision: Decision
    reason: str
    via: str
    confirmation: str = ""
    only: ChangeId | None = None
    """The one member it is about; None: everything that is being asked under the root."""


class Ballot:
    """Counts answers. Holds no state: everything is in the transaction it is given."""

    def __init__(self, fleet: Callable[[], Fleet], spec_of: SpecOf, clock: Clock) -> None:
        self._fleet = fleet
        self._spec_of = spec_of
        self._clock = clock

    def take(self, tx: Transaction, paper: Paper) -> tuple[Verdict, tuple[ChangeRecord, ...]]:
        """Records an answer. Returns it and the changes it decided. Raises NotAllowed in words fit
        for the person."""
        present = _present(tx, paper.request)
        meant = _meant(tx, present, paper)
        covered, refusals = self._covered(tx, meant, paper)
        if not covered:
            raise NotAllowed("; ".join(dict.fromkeys(refusals)))
        if paper.decision is Decision.APPROVE:
            _confirmed(tx, covered, paper.confirmation)
        elif not paper.reason.strip():
            hint = 'say why in a few words (in a terminal: --reason "…")'
            raise NotAllowed("a denial needs a reason", hint=hint)
        verdict = self._verdict(paper, covered)
        tx.append(Answered(verdict))
        return verdict, tuple(pair[1] for pair in covered if self._settle(tx, pair, verdict))

    def _verdict(self, paper: Paper, covered: list[Pair]) -> Verdict:
        return Verdict(
            request=paper.request,
            root=paper.root,
            person=paper.person,
            decision=paper.decision,
            reason=paper.reason.strip(),
            via=paper.via,
            at=self._clock.now(),
            covers=tuple((member.change, member.seal) for member, _ in covered),
            confirmation=paper.confirmation,
        )

    def _covered(
        self, tx: Reading, meant: list[Member], paper: Paper
    ) -> tuple[list[Pair], list[str]]:
        covered, refusals = [], []
        for member in meant:
            record = tx.change(member.change)
            refusal = self._refusal(member, record, paper)
            if record is not None and not refusal:
                covered.append((member, record))
            else:
                refusals.append(refusal)
        return covered, refusals

    def _refusal(self, member: Member, record: ChangeRecord | None, paper: Paper) -> str:
        """Why this answer does not count for this member; empty when it does."""
        spec = self._spec_of(record.change.lane.application) if record else None
        if record is None or spec is None:
            return "the application is no longer in the fleet file"
        if member.state is MemberState.ASKING and member.expires_at <= self._clock.now():
            return f"the question about {record.change.lane} has expired"
        ruling = gate.may_answer(
            paper.person,
            paper.decision,
            spec.approval,
            record.change.authorship,
            self._fleet().people,
        )
        return "" if ruling.allowed else ruling.reason

    def _settle(self, tx: Transaction, pair: Pair, verdict: Verdict) -> bool:
        """Does the verdict decide this member? Denials do at once, approvals at the quorum."""
        member, record = pair
        if verdict.decision is Decision.DENY:
            back = "the approval was taken back: " if member.state is MemberState.APPROVED else ""
            why = f"{back}denied by {verdict.person}: {verdict.reason}"
            close(tx, verdict.request, pair, MemberState.DENIED, why, (verdict.person,))
            return True
        spec = self._spec_of(record.change.lane.application)
        yes = {*member.yes, verdict.person}
        if spec is None or len(yes) < self._needed(spec, record):
            return False
        by = tuple(sorted(yes))
        tx.append(MemberDecided(verdict.request, member.change, MemberState.APPROVED, by))
        return True

    def _needed(self, spec: ApplicationSpec, record: ChangeRecord) -> int:
        people = self._fleet().people
        return gate.electorate(spec.approval, record.change.authorship, people).needed


def close(
    tx: Transaction,
    request: RequestId,
    pair: Pair,
    state: MemberState,
    why: str,
    by: tuple[PersonName, ...] = (),
) -> None:
    """Ends a member, DENIED or EXPIRED, and its change with it."""
    member, record = pair
    tx.append(MemberDecided(request, member.change, state, by, why))
    ended = ChangeState.DENIED if state is MemberState.DENIED else ChangeState.EXPIRED
    hold = None
    # A no to what a person asked for says nothing of the source.
    if record.change.cause not in (Cause.COMMAND, Cause.ROLLBACK):
        hold = Hold(member.plan, record.change.after, why)
    tx.append(ChangeClosed(record.change.id, ended, why, hold=hold))


def leave(tx: Transaction, record: ChangeRecord, why: str) -> None:
    """Takes back the question about a change, if there is one; the change stays."""
    request = tx.request(RequestId(record.request)) if record.request else None
    if request is None:
        return
    for member in request.members:
        if member.change == record.change.id and member.state is MemberState.ASKING:
            tx.append(MemberDecided(request.id, member.change, MemberState.LEFT, reason=why))


def _present(tx: Reading, request: RequestId) -> Request:
    present = tx.request(request)
    if present is None:
        raise Unknown(f"there is no request {request}", hint="`gitops status` lists them")
    return present


def _meant(tx: Reading, present: Request, paper: Paper) -> list[Member]:
    """The members the person looked at and may still say something about."""
    denies = paper.decision is Decision.DENY
    asking: list[Member] = []
    if present.state is RequestState.OPEN and root_of(present.members) == paper.root:
        asking = [m for m in present.members if m.state is MemberState.ASKING]
        asking = [m for m in asking if paper.only in (None, m.change)]
    back = _revocable(tx, present, paper) if denies else []
    if not asking and not back:
        raise _too_late(tx, present, denies=denies)
    return [*asking, *back] if denies else _not_yet_approved(present, asking, paper.person)


def _revocable(tx: Reading, present: Request, paper: Paper) -> list[Member]:
    """Members people said yes to of which nothing is applied yet, as far as this root showed them:
    it is the present one, or one that an answer to them named."""
    shown = {pair for v in present.verdicts if v.root == paper.root for pair in v.covers}
    now = root_of(present.members) == paper.root
    return [
        member
        for member in present.members
        if member.state is MemberState.APPROVED
        and (now or (member.change, member.seal) in shown)
        and _waits(tx.change(member.change), member, present.id)
    ]


def _waits(record: ChangeRecord | None, member: Member, request: RequestId) -> bool:
    if record is None or (record.seal, record.request) != (member.seal, request):
        return False
    return record.state in (ChangeState.OPEN, ChangeState.ASKING)


def _not_yet_approved(request: Request, asking: list[Member], person: PersonName) -> list[Member]:
    """Raises NotAllowed when this person said yes to all of it: a quorum is of different people."""
    left = [member for member in asking if person not in member.yes]
    if not left:
        raise NotAllowed(
            f"{person} has approved this already: somebody else has to",
            hint=f"gitops show {request.id} says who may",
        )
    return left


def _confirmed(tx: Reading, covered: list[Pair], confirmation: str) -> None:
    plans = [plan for member, _ in covered if (plan := tx.plan(member.change))]
    phrase = gate.confirmation_phrase(plans)
    if phrase and confirmation.strip() != phrase:
        why = "; ".join(reason for plan in plans for reason in plan.over_budget)
        raise NotAllowed(
            f"this deletes more than its budget allows ({why})",
            hint=f"confirm by typing: {phrase}",
        )


def _too_late(tx: Reading, present: Request, *, denies: bool) -> Outdated:
    applied = [
        str(record.change.lane)
        for member in present.members
        if member.state is MemberState.APPROVED
        and (record := tx.change(member.change)) is not None
        and record.state in CLAIMED
    ]
    if denies and applied:
        return Outdated(
            f"too late: {', '.join(applied)} is being applied",
            hint="what is being applied is never cancelled; revert it in its source",
        )
    if present.state is not RequestState.OPEN:
        return Outdated(
            f"too late: {_how_it_ended(present)}", hint=f"`gitops show {present.id}` tells more"
        )
    return Outdated(
        "the plan changed since you looked, so the answer was not taken",
        hint=f"look again: gitops show {present.id}",
    )


def _how_it_ended(present: Request) -> str:
    last = present.verdicts[-1] if present.verdicts else None
    if last is None:
        states = {member.state for member in present.members}
        if states == {MemberState.EXPIRED}:
            return "it expired unanswered"
        whys = (member.reason for member in present.members if member.state is MemberState.LEFT)
        return "; ".join(dict.fromkeys(filter(None, whys))) or "a newer change took its place"
    word = "approved" if last.decision is Decision.APPROVE else "denied"
    return f"{last.person} {word} it" + (f" ({last.reason})" if last.reason else "")
