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
from gitops.engine import heals
from gitops.engine.ballot import Ballot, Paper, SpecOf, close, leave
from gitops.engine.pauses import paused
from gitops.engine.reviews import Reviews
from gitops.model.approval import (
    Answer,
    AnswerKind,
    Decision,
    Member,
    MemberState,
    Request,
    RequestState,
    Verdict,
)
from gitops.model.delivery import Cause, ChangeRecord, ChangeState
from gitops.model.events import (
    AutoApproved,
    ChangeBlocked,
    ChangePlanned,
    MemberAsked,
    RequestOpened,
)
from gitops.model.fleet import ApplicationSpec, DriftPolicy, Fleet
from gitops.model.ids import (
    ChangeId,
    Digest,
    PersonName,
    RequestId,
    combine,
)
from gitops.model.plan import Plan, SealParts
from gitops.ports import Clock, Reading, Transaction


def seal_of(parts: SealParts) -> Digest:
    """The digest an approval is about."""
    return combine(
        *("seal", parts.closure, parts.artifact, parts.plan, parts.tools, parts.target),
        # Only where there is something: a plan within its budget keeps the seal it has.
        *(parts.policy, *parts.over_budget),
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
        self._ballot = Ballot(fleet, spec_of, clock)
        self._reviews = Reviews(fleet, self._ballot, clock)

    # --- asking -------------------------------------------------------------------------------

    def ask(self, tx: Transaction, question: Question) -> Answer:
        """Records the plan and says how it stands with its approval."""
        record = tx.change(question.record.change.id)
        if record is None or record.state.terminal:
            return question.answered(AnswerKind.SUPERSEDED)
        news = _budget_news(tx, record, question)
        if (
            record.seal != question.seal
            or record.plan != question.plan.digest
            or (record.state is ChangeState.BLOCKED and not question.plan.blocked_by)
        ):
            tx.append(ChangePlanned(record.change.id, question.plan, question.seal, question.parts))
            record = tx.change(record.change.id) or record  # planning ends its being blocked
        unasked = self._unasked(tx, record, question)
        if unasked is not None:
            return unasked
        quarrel = self._quarrel(tx, record, question)
        by = () if quarrel else self._without_asking(tx, question)
        if by:
            tx.append(AutoApproved(record.change.id, question.seal, ", ".join(by)))
            leave(tx, record, "approved without asking")
            return question.answered(AnswerKind.APPROVED, by=by)
        return self._ask_people(tx, record, question, tuple(filter(None, (quarrel, news))))

    def _unasked(self, tx: Transaction, record: ChangeRecord, question: Question) -> Answer | None:
        """The answer where nobody and nothing is to be asked."""
        if question.plan.blocked_by:
            return self._block(tx, record, question)
        if question.plan.empty:
            return question.answered(AnswerKind.NOT_NEEDED)
        if self._only_reported(question):
            return question.answered(AnswerKind.REPORTED)
        pause = paused(tx, record.change.lane.application, self._clock.now())
        if pause is None:
            return None
        leave(tx, record, pause.told)
        return question.answered(AnswerKind.PAUSED, reason=pause.told)

    def _block(self, tx: Transaction, record: ChangeRecord, question: Question) -> Answer:
        count = len(question.plan.blocked_by)
        first = question.plan.blocked_by[0]
        reason = f"{first.place + ': ' if first.place else ''}{first.message}"
        if count > 1:
            reason += f" (and {count - 1} more)"
        leave(tx, record, reason)
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
        mends = change.cause is Cause.DRIFT and question.application.drift is DriftPolicy.HEAL
        if mends and not question.plan.deletes and not question.plan.over_budget:
            return (heals.BY_POLICY,)
        if gate.auto_approves(policy, question.plan, question.cluster_labels, change.authorship):
            return (f"policy {policy.name}",)
        return ()

    def _quarrel(self, tx: Reading, record: ChangeRecord, question: Question) -> str:
        """Why a drift is not mended without a person, in words. Once people are asked they are:
        the hour's end does not take the question from them."""
        change = question.record.change
        if change.cause is not Cause.DRIFT:
            return ""
        member = _member(self._request_of(tx, record), change.id)
        if member and member.seal == question.seal and member.state is MemberState.ASKING:
            return member.moved or "people are asked already"
        return heals.quarrel(tx, change, question.plan, self._clock.now())

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

    def _ask_people(
        self, tx: Transaction, record: ChangeRecord, question: Question, news: tuple[str, ...]
    ) -> Answer:
        change = record.change
        asked_in = request = self._request_of(tx, record)
        member = _member(request, change.id)
        if request and member and member.seal == question.seal and self._stands(member):
            return self._standing(request, member, question)
        if request is None or request.state is not RequestState.OPEN:
            request = tx.request_for(change.occasion)
        request_id = request.id if request else self._open(tx, question)
        expires = self._clock.now() + question.application.approval.expires_after.total_seconds()
        moved = "; ".join((*news, *_since_they_looked(asked_in, member, question, news)))
        tx.append(
            MemberAsked(request_id, change.id, question.seal, question.plan.digest, expires, moved)
        )
        if question.application.approval.review_counts and not question.insisted:
            by = self._reviews.count(tx, record, question.plan, request_id)
            if by:
                return question.answered(AnswerKind.APPROVED, request_id, by=by)
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
            return question.answered(AnswerKind.APPROVED, request.id, by=member.yes)
        return question.answered(AnswerKind.PENDING, request.id)

    def _open(self, tx: Transaction, question: Question) -> RequestId:
        change = question.record.change
        opened = self._clock.now()
        parts = (change.occasion, change.id, question.seal, str(opened))
        request_id = RequestId(combine("request", *parts)[:16])
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
        return self._ballot.take(
            tx, Paper(request, root, person, decision, reason, via, confirmation)
        )

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
                    close(tx, request.id, (member, record), MemberState.EXPIRED, why)
                    ended.append(record)
        return tuple(ended)


class RefusingDesk(Desk):
    """Asks nobody: what ``gitops plan`` uses. The plan comes back, nothing is recorded."""

    def ask(self, tx: Transaction, question: Question) -> Answer:
        if question.plan.blocked_by:
            return question.answered(AnswerKind.BLOCKED)
        if question.plan.empty:
            return question.answered(AnswerKind.NOT_NEEDED)
        return question.answered(AnswerKind.REFUSED)


def _since_they_looked(
    request: Request | None, member: Member | None, question: Question, news: tuple[str, ...]
) -> tuple[str, ...]:
    """What moved, in words, and whose yes went with it: who has answered once would not look
    again unless told."""
    if request is None or member is None:
        return (question.moved,) if question.moved else ()
    same = member.seal == question.seal
    aside = f": {member.reason}" if member.reason else ""
    told = f"it was put aside meanwhile{aside}" if same else "the plan changed since it was asked"
    if not same and member.plan == question.plan.digest:
        told = "the plan is the same; live state, files, tools, policy or people are not"
    gone = sorted(
        {
            verdict.person
            for verdict in request.verdicts
            if verdict.decision is Decision.APPROVE
            and any(change == member.change for change, _ in verdict.covers)
        }
    )
    voided = [f"an earlier yes no longer counts: {', '.join(gone)}"] if gone else []
    return (*([question.moved or told] if question.moved or not news else []), *voided)


def _budget_news(tx: Reading, record: ChangeRecord, question: Question) -> str:
    """The same changes may come to need a typed confirmation, or need it no longer. Read before
    the new plan takes the old one's place."""
    if record.plan != question.plan.digest or record.seal == question.seal:
        return ""
    before, now = tx.plan(record.change.id), question.plan.over_budget
    if before is None or before.over_budget == now:
        return ""
    if not now:
        return "it no longer deletes more than its budget allows"
    return f"it now deletes more than its budget allows ({'; '.join(now)})"


def _member(request: Request | None, change: ChangeId) -> Member | None:
    if request is None:
        return None
    return next((m for m in request.members if m.change == change), None)
