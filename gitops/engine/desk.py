"""Requests and verdicts: who is asked what, who answered, what that amounts to.

``ask`` is called by the step of that name and returns at once: a pending question is a row, not a
waiting coroutine. ``answer`` is called by every face (CLI, API, and later page and chat) with the
same arguments. Both run the gate inside the store's transaction, so two people answering at once
are put in order by the database and the second is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gitops import gate
from gitops.errors import NotAllowed, Outdated, Unknown
from gitops.model.approval import (
    Answer,
    AnswerKind,
    Decision,
    Member,
    MemberState,
    Request,
    RequestState,
    Verdict,
    root_of,
)
from gitops.model.delivery import Cause, ChangeRecord, ChangeState, Hold
from gitops.model.events import (
    Answered,
    AutoApproved,
    ChangeBlocked,
    ChangeClosed,
    ChangePlanned,
    MemberAsked,
    MemberDecided,
    RequestOpened,
)
from gitops.model.fleet import ApplicationSpec, DriftPolicy, Fleet
from gitops.model.ids import (
    ApplicationName,
    ChangeId,
    Digest,
    PersonName,
    RequestId,
    combine,
)
from gitops.model.plan import Plan, SealParts
from gitops.ports import Clock, Reading, Transaction

SpecOf = Callable[[ApplicationName], ApplicationSpec | None]


def seal_of(parts: SealParts) -> Digest:
    """The digest an approval is about (design section 5)."""
    return combine(
        "seal", parts.closure, parts.artifact, parts.plan, parts.tools, parts.target, parts.policy
    )


@dataclass(frozen=True, slots=True)
class Question:
    """One plan, ready to be asked about."""

    record: ChangeRecord
    application: ApplicationSpec
    plan: Plan
    parts: SealParts
    title: str
    cluster_labels: Mapping[str, str]
    moved: str = ""
    """What moved since people last looked, in words."""
    insisted: bool = False
    """A person asked for another try of it: earlier answers to the same seal count."""

    @property
    def seal(self) -> Digest:
        return seal_of(self.parts)

    def answered(
        self,
        kind: AnswerKind,
        request: RequestId | None = None,
        *,
        by: tuple[str, ...] = (),
        reason: str = "",
    ) -> Answer:
        return Answer(kind, self.plan, self.seal, request, by, reason)


class Desk:
    """The gate's office. Holds no state: everything is in the transaction it is given."""

    def __init__(self, fleet: Callable[[], Fleet], spec_of: SpecOf, clock: Clock) -> None:
        self._fleet = fleet
        self._spec_of = spec_of
        self._clock = clock

    # --- asking -------------------------------------------------------------------------------

    def ask(self, tx: Transaction, question: Question) -> Answer:
        """Records the plan and says how it stands with its approval."""
        record = tx.change(question.record.change.id)
        if record is None or record.state.terminal:
            return question.answered(AnswerKind.SUPERSEDED)
        if (
            record.seal != question.seal
            or record.plan != question.plan.digest
            or (record.state is ChangeState.BLOCKED and not question.plan.blocked_by)
        ):
            tx.append(ChangePlanned(record.change.id, question.plan, question.seal, question.parts))
        if question.plan.blocked_by:
            return self._block(tx, record, question)
        if question.plan.empty:
            return question.answered(AnswerKind.NOT_NEEDED)
        if self._only_reported(question):
            return question.answered(AnswerKind.REPORTED)
        by = self._without_asking(tx, question)
        if by:
            tx.append(AutoApproved(record.change.id, question.seal, ", ".join(by)))
            self._leave(tx, record, "approved without asking")
            return question.answered(AnswerKind.APPROVED, by=by)
        return self._ask_people(tx, record, question)

    def _block(self, tx: Transaction, record: ChangeRecord, question: Question) -> Answer:
        count = len(question.plan.blocked_by)
        first = question.plan.blocked_by[0]
        reason = f"{first.place + ': ' if first.place else ''}{first.message}"
        if count > 1:
            reason += f" (and {count - 1} more)"
        self._leave(tx, record, reason)
        if record.state is not ChangeState.BLOCKED or record.reason != reason:
            tx.append(ChangeBlocked(record.change.id, reason))
        return question.answered(AnswerKind.BLOCKED, reason=reason)

    def _only_reported(self, question: Question) -> bool:
        drift = question.record.change.cause is Cause.DRIFT
        return drift and question.application.drift is DriftPolicy.REPORT

    def _without_asking(self, tx: Transaction, question: Question) -> tuple[str, ...]:
        """Who or what already said yes: policy, the drift policy, or people to this very seal."""
        change, policy = question.record.change, question.application.approval
        earlier = self._earlier(tx, question) if question.insisted else ()
        if earlier:
            return earlier
        # Healing puts back bytes people approved before, and no more than that: what would be
        # deleted or replaced is asked about all the same.
        heals = change.cause is Cause.DRIFT and question.application.drift is DriftPolicy.HEAL
        if heals and not question.plan.deletes and not question.plan.over_budget:
            return ("drift policy heal",)
        if gate.auto_approves(policy, question.plan, question.cluster_labels, change.authorship):
            return (f"policy {policy.name}",)
        return ()

    def _earlier(self, tx: Transaction, question: Question) -> tuple[str, ...]:
        """People who approved this very seal before it failed, as far as the gate would let them
        approve this change too; nobody unless they are enough."""
        change, policy = question.record.change, question.application.approval
        people = self._fleet().people
        earlier = tuple(
            name
            for name in tx.approved_seal(change.lane, question.seal)
            if gate.may_answer(
                PersonName(name), Decision.APPROVE, policy, change.authorship, people
            ).allowed
        )
        needed = gate.electorate(policy, change.authorship, people).needed
        return earlier if len(earlier) >= needed else ()

    def _ask_people(self, tx: Transaction, record: ChangeRecord, question: Question) -> Answer:
        change = record.change
        request = self._request_of(tx, record)
        member = _member(request, change.id)
        if request and member and member.seal == question.seal and self._stands(member):
            return self._standing(request, member, question)
        if request is None or request.state is not RequestState.OPEN:
            request = tx.request_for(change.occasion)
        request_id = request.id if request else self._open(tx, question)
        expires = self._clock.now() + question.application.approval.expires_after.total_seconds()
        moved = question.moved or ("the plan changed since it was asked" if member else "")
        tx.append(
            MemberAsked(request_id, change.id, question.seal, question.plan.digest, expires, moved)
        )
        group = gate.electorate(
            question.application.approval, change.authorship, self._fleet().people
        )
        reason = ""
        if not group.possible:
            reason = gate.nobody_can(group, question.application.approval)
        return question.answered(AnswerKind.PENDING, request_id, reason=reason)

    def _stands(self, member: Member) -> bool:
        """An answer does not outlive the time the question had."""
        if member.state is MemberState.APPROVED:
            return member.expires_at > self._clock.now()
        return member.state is MemberState.ASKING

    def _request_of(self, tx: Reading, record: ChangeRecord) -> Request | None:
        """The request the change was last asked in, closed or not: an approved member's request
        closes at once when it is the only one."""
        return tx.request(RequestId(record.request)) if record.request else None

    def _standing(self, request: Request, member: Member, question: Question) -> Answer:
        if member.state is MemberState.APPROVED:
            by = tuple(sorted(approvers_of(request, member)))
            return question.answered(AnswerKind.APPROVED, request.id, by=by)
        return question.answered(AnswerKind.PENDING, request.id)

    def _open(self, tx: Transaction, question: Question) -> RequestId:
        change = question.record.change
        opened = self._clock.now()
        request_id = RequestId(combine("request", change.occasion, change.id, str(opened))[:16])
        tx.append(RequestOpened(request_id, change.occasion, question.title))
        return request_id

    # --- answering ----------------------------------------------------------------------------

    def answer(
        self,
        tx: Transaction,
        *,
        request: RequestId,
        root: Digest,
        person: PersonName,
        decision: Decision,
        reason: str = "",
        via: str,
        confirmation: str = "",
    ) -> tuple[Verdict, tuple[ChangeRecord, ...]]:
        """Records one person's answer. Returns it and the changes it decided.

        Raises NotAllowed in words fit for the person: too late, changed since they looked, not
        entitled, author, confirmation missing.
        """
        present = self._present(tx, request, root)
        asking = [m for m in present.members if m.state is MemberState.ASKING]
        if decision is Decision.APPROVE:
            asking = _not_yet_approved(present, asking, person)
        covered, refusals = self._covered(tx, asking, person, decision)
        if not covered:
            raise NotAllowed("; ".join(dict.fromkeys(refusals)))
        if decision is Decision.APPROVE:
            self._confirmed(tx, covered, confirmation)
        if decision is Decision.DENY and not reason.strip():
            raise NotAllowed("a denial needs a reason", hint='say why: --reason "…"')
        verdict = Verdict(
            request=request,
            root=root,
            person=person,
            decision=decision,
            reason=reason.strip(),
            via=via,
            at=self._clock.now(),
            covers=tuple((member.change, member.seal) for member, _ in covered),
            confirmation=confirmation,
        )
        tx.append(Answered(verdict))
        decided = [
            record
            for member, record in covered
            if self._settle(tx, present, member, record, verdict)
        ]
        return verdict, tuple(decided)

    def _present(self, tx: Reading, request: RequestId, root: Digest) -> Request:
        present = tx.request(request)
        if present is None:
            raise Unknown(f"there is no request {request}", hint="`gitops status` lists them")
        if present.state is not RequestState.OPEN:
            raise Outdated(
                f"too late: {_how_it_ended(present)}", hint=f"`gitops show {present.id}` tells more"
            )
        if root_of(present.members) != root:
            raise Outdated(
                "the plan changed since you looked, so the answer was not taken",
                hint=f"look again: gitops show {present.id}",
            )
        return present

    def _covered(
        self, tx: Reading, asking: list[Member], person: PersonName, decision: Decision
    ) -> tuple[list[tuple[Member, ChangeRecord]], list[str]]:
        people, now = self._fleet().people, self._clock.now()
        covered, refusals = [], []
        for member in asking:
            record = tx.change(member.change)
            spec = self._spec_of(record.change.lane.application) if record else None
            if record is None or spec is None:
                refusals.append("the application is no longer in the fleet file")
            elif member.expires_at <= now:
                refusals.append(f"the question about {record.change.lane} has expired")
            else:
                ruling = gate.may_answer(
                    person, decision, spec.approval, record.change.authorship, people
                )
                if ruling.allowed:
                    covered.append((member, record))
                else:
                    refusals.append(ruling.reason)
        return covered, refusals

    def _confirmed(
        self, tx: Reading, covered: list[tuple[Member, ChangeRecord]], confirmation: str
    ) -> None:
        plans = [plan for member, _ in covered if (plan := tx.plan(member.change))]
        phrase = gate.confirmation_phrase(plans)
        if phrase and confirmation.strip() != phrase:
            why = "; ".join(reason for plan in plans for reason in plan.over_budget)
            raise NotAllowed(
                f"this deletes more than its budget allows ({why})",
                hint=f"confirm by typing: {phrase}",
            )

    def _settle(
        self,
        tx: Transaction,
        request: Request,
        member: Member,
        record: ChangeRecord,
        verdict: Verdict,
    ) -> bool:
        """Does the verdict decide this member? Denials do at once, approvals at the quorum."""
        if verdict.decision is Decision.DENY:
            why = f"denied by {verdict.person}: {verdict.reason}"
            self.close(tx, request.id, member, record, MemberState.DENIED, why, (verdict.person,))
            return True
        spec = self._spec_of(record.change.lane.application)
        policy = spec.approval if spec else None
        yes = approvers_of(request, member) | {verdict.person}
        needed = (
            gate.electorate(policy, record.change.authorship, self._fleet().people).needed
            if policy
            else len(yes) + 1
        )
        if len(yes) < needed:
            return False
        tx.append(
            MemberDecided(request.id, member.change, MemberState.APPROVED, tuple(sorted(yes)))
        )
        return True

    # --- endings ------------------------------------------------------------------------------

    def expire(self, tx: Transaction) -> tuple[ChangeRecord, ...]:
        """Ends every question past its time. Called by the engine's timer."""
        now, ended = self._clock.now(), []
        for request in tx.requests(open_only=True, limit=10_000):
            for member in request.members:
                if member.state is not MemberState.ASKING or member.expires_at > now:
                    continue
                record = tx.change(member.change)
                if record is not None:
                    why = "nobody answered in time"
                    self.close(tx, request.id, member, record, MemberState.EXPIRED, why)
                    ended.append(record)
        return tuple(ended)

    def close(
        self,
        tx: Transaction,
        request: RequestId,
        member: Member,
        record: ChangeRecord,
        state: MemberState,
        why: str,
        by: tuple[PersonName, ...] = (),
    ) -> None:
        tx.append(MemberDecided(request, member.change, state, by, why))
        ended = ChangeState.DENIED if state is MemberState.DENIED else ChangeState.EXPIRED
        hold = Hold(member.plan, record.change.after, why)
        tx.append(ChangeClosed(record.change.id, ended, why, hold=hold))

    def _leave(self, tx: Transaction, record: ChangeRecord, why: str) -> None:
        request = self._request_of(tx, record)
        member = _member(request, record.change.id)
        if request and member and member.state is MemberState.ASKING:
            tx.append(MemberDecided(request.id, record.change.id, MemberState.LEFT, reason=why))


class RefusingDesk(Desk):
    """Asks nobody: what ``gitops plan`` uses. The plan comes back, nothing is recorded."""

    def ask(self, tx: Transaction, question: Question) -> Answer:
        if question.plan.blocked_by:
            return question.answered(AnswerKind.BLOCKED)
        if question.plan.empty:
            return question.answered(AnswerKind.NOT_NEEDED)
        return question.answered(AnswerKind.REFUSED)


def approvers_of(request: Request, member: Member) -> frozenset[PersonName]:
    """Distinct people who said yes to this member under the seal it has now."""
    return frozenset(
        verdict.person
        for verdict in request.verdicts
        if verdict.decision is Decision.APPROVE and (member.change, member.seal) in verdict.covers
    )


def _not_yet_approved(request: Request, asking: list[Member], person: PersonName) -> list[Member]:
    """Raises NotAllowed when this person said yes to all of it: a quorum is of different people."""
    left = [m for m in asking if person not in approvers_of(request, m)]
    if asking and not left:
        raise NotAllowed(
            f"{person} has approved this already: somebody else has to",
            hint=f"gitops show {request.id} says who may",
        )
    return left


def _member(request: Request | None, change: ChangeId) -> Member | None:
    if request is None:
        return None
    return next((m for m in request.members if m.change == change), None)


def _how_it_ended(request: Request) -> str:
    last = request.verdicts[-1] if request.verdicts else None
    if last is None:
        states = {member.state for member in request.members}
        if states == {MemberState.EXPIRED}:
            return "it expired unanswered"
        return "a newer change took its place"
    word = "approved" if last.decision is Decision.APPROVE else "denied"
    return f"{last.person} {word} it" + (f" ({last.reason})" if last.reason else "")
