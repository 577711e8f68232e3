"""Lets an approving review of a pull request count as its author's verdict, if the policy says so.

What was reviewed has to be what is asked about: the review was given for the pull request's last
head, after the very plan was shown there, and the plan drawn after the merge has the same digest.
Called by the desk in the transaction that asks; the answer goes through the ballot and its gate
like any other. A question somebody insists on (after a no, or after nobody answered) is never
answered so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gitops.engine.ballot import Ballot, Paper
from gitops.errors import NotAllowed
from gitops.model.approval import Decision, MemberState, Request, root_of
from gitops.model.delivery import ChangeRecord, LaneId
from gitops.model.events import Noted
from gitops.model.fleet import Fleet
from gitops.model.ids import Digest, PersonName, RequestId, SourceName, short
from gitops.model.plan import Plan
from gitops.model.source import PullFacts
from gitops.ports import Clock, Memo, Reading, Transaction

VIA = "review"
SHOWN_FOR = 90 * 86_400.0
"""Seconds after which what a pull request was shown counts for nothing any more."""


@dataclass(frozen=True, slots=True)
class _Posted:
    """What the preview of a pull request shows, and since when."""

    head: str
    plan: str
    at: float


class Reviews:
    """Holds no state: everything is in the transaction it is given."""

    def __init__(self, fleet: Callable[[], Fleet], ballot: Ballot, clock: Clock) -> None:
        self._fleet = fleet
        self._ballot = ballot
        self._clock = clock

    def count(
        self, tx: Transaction, record: ChangeRecord, plan: Plan, request: RequestId
    ) -> tuple[PersonName, ...]:
        """Whose reviews decided the question just asked; empty while people still have to."""
        change, oldest = record.change, self._clock.now() - SHOWN_FOR
        for pull in change.authorship.pull_requests:
            posted = _posted(tx, change.revision.source, pull.number, change.lane)
            if posted is None or posted.at < oldest:
                continue
            if posted.head != pull.head or Digest(posted.plan) != plan.digest:
                continue
            for person in self._reviewers(pull, posted.at):
                self._take(tx, record, pull, person, request)
        present = tx.request(request)
        return _decided(present, record) if present else ()

    def _reviewers(self, pull: PullFacts, since: float) -> Iterator[PersonName]:
        """Persons of the fleet file who approved the head after its plan was shown."""
        for login, at in pull.approved_head:
            person = self._fleet().people.by_login(login)
            if person is not None and at >= since:
                yield person.name

    def _take(
        self,
        tx: Transaction,
        record: ChangeRecord,
        pull: PullFacts,
        person: PersonName,
        request: RequestId,
    ) -> None:
        present = tx.request(request)
        if present is None or _decided(present, record):
            return
        reason = f"approved pull request {pull.number} at {short(pull.head)} {pull.url}".rstrip()
        paper = Paper(
            request,
            root_of(present.members),
            person,
            Decision.APPROVE,
            reason,
            VIA,
            only=record.change.id,
        )
        try:
            self._ballot.take(tx, paper)
        except NotAllowed as refused:
            why = (
                f"{person}'s review of pull request {pull.number} does not count: {refused.message}"
            )
            tx.append(Noted(record.change.id, why))


def _decided(request: Request, record: ChangeRecord) -> tuple[PersonName, ...]:
    for member in request.members:
        if member.change == record.change.id and member.state is MemberState.APPROVED:
            return member.yes
    return ()


def shown_to(source: SourceName) -> str:
    """Whose memo it is which plans a pull request was shown: number → what :func:`shown` wrote."""
    return f"preview/{source}"


def shown(head: str, plans: Mapping[LaneId, Digest]) -> str:
    """As it is remembered: ``{"head": …, "plans": {"app@target": …}}``."""
    named = {str(lane): digest for lane, digest in plans.items()}
    return json.dumps({"head": head, "plans": named}, sort_keys=True)


def _posted(tx: Reading, source: SourceName, number: int, lane: LaneId) -> _Posted | None:
    """What :func:`shown` wrote; optionally with ``at``, seconds since the epoch from which on it
    was to be seen."""
    memo = tx.kept_memo(shown_to(source), str(number))
    return _read(memo, lane) if memo else None


def _read(memo: Memo, lane: LaneId) -> _Posted | None:
    try:
        told = json.loads(memo.value)
        head, plan, at = told["head"], told["plans"][str(lane)], told.get("at", memo.at)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    texts = isinstance(head, str) and isinstance(plan, str) and bool(head and plan)
    since = isinstance(at, int | float) and not isinstance(at, bool) and math.isfinite(at)
    return _Posted(head, plan, at) if texts and since else None
