"""The way of one change as a picture: watch → checks → plan → ask → apply → verify. Pure.

Called by the change's page and the API, from the change's own events: each step with how it stands,
how long it took or takes, and what came out. Words only; who shows them escapes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from gitops.model import events as e
from gitops.model.approval import Electorate, Member, MemberState
from gitops.model.delivery import Cause, ChangeRecord, ChangeState, Progress
from gitops.model.events import StoredEvent
from gitops.model.ids import short
from gitops.model.plan import Plan
from gitops.sentences import listed
from gitops.summary import board, counted, risk

NAMES = ("watch", "checks", "plan", "ask", "apply", "verify")


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    state: str
    """``done``, ``failed``, ``waiting``, ``working``, ``skipped``, or empty for not yet."""
    said: str
    """What came out, or what is going on; foreign text in part."""
    began: float | None = None
    seconds: float | None = None
    """So far, for the present one."""
    waits: bool = False
    """Its time is waiting: nobody and nothing worked on it."""
    present: bool = False


@dataclass(frozen=True, slots=True)
class Times:
    """When a change was where, from its events; None for a place it never was at."""

    opened: float
    planned: float | None = None
    plannings: int = 0
    blocked: float | None = None
    asked: float | None = None
    askings: int = 0
    decided: float | None = None
    claimed: float | None = None
    approved_by: tuple[str, ...] = ()
    applied: float | None = None
    summary: str = ""
    ended: float | None = None


def times_of(record: ChangeRecord, events: Iterable[StoredEvent]) -> Times:
    found: dict[str, object] = {"opened": record.opened_at}
    counts = {"plannings": 0, "askings": 0}
    for stored in events:
        match stored.event:
            case e.ChangePlanned():
                counts["plannings"] += 1
                found.setdefault("planned", stored.at)
            case e.ChangeBlocked():
                found["blocked"] = stored.at
            case e.MemberAsked():
                counts["askings"] += 1
                found.setdefault("asked", stored.at)
                found.pop("decided", None)
            case e.MemberDecided(state=MemberState.LEFT):
                pass
            case e.MemberDecided() | e.AutoApproved():
                found["decided"] = stored.at
            case e.Claimed(approved_by=by):
                found.update(claimed=stored.at, approved_by=by)
            case e.ApplyFinished(summary=summary):
                found.update(applied=stored.at, summary=summary)
            case e.ChangeClosed():
                found["ended"] = stored.at
    return Times(**found, **counts)  # type: ignore[arg-type]


def steps(
    record: ChangeRecord,
    events: Sequence[StoredEvent],
    plan: Plan | None,
    now: float,
    *,
    progress: Progress | None = None,
    member: Member | None = None,
    group: Electorate | None = None,
    trouble: str = "",
) -> tuple[Step, ...]:
    """All six, in order; exactly one is present while the change has not ended."""
    story = _Story(record, times_of(record, events), plan, now, progress, member, group, trouble)
    found = list(story.tell())
    here = max((at for at, each in enumerate(found) if each.present), default=-1)
    return tuple(
        replace(each, present=at == here and not record.state.terminal)
        for at, each in enumerate(found)
    )


@dataclass(frozen=True, slots=True)
class _Story:
    record: ChangeRecord
    at: Times
    plan: Plan | None
    now: float
    progress: Progress | None
    member: Member | None
    group: Electorate | None
    trouble: str

    def tell(self) -> Iterator[Step]:
        yield self._watch()
        yield self._checks()
        yield self._plan()
        yield self._ask()
        yield self._apply()
        yield self._verify()

    @property
    def _over(self) -> bool:
        return self.record.state.terminal

    def _watch(self) -> Step:
        change = self.record.change
        said = {
            Cause.COMMIT: f"{change.revision.source} at {short(change.revision.id)}",
            Cause.DRIFT: "what is live was changed by somebody else",
            Cause.COMMAND: f"asked to {change.occasion}" if change.occasion else "asked for",
            Cause.ROLLBACK: f"asked to go back to {short(change.revision.id)}",
        }[change.cause]
        written = [c.time for c in change.authorship.commits if 0 < c.time <= self.at.opened]
        began = max(written) if written and change.cause is Cause.COMMIT else None
        seconds = None if began is None else self.at.opened - began
        return Step("watch", "done", said, began, seconds, waits=True)

    def _checks(self) -> Step:
        at, state = self.at, self.record.state
        if at.planned is None:
            if state is ChangeState.BLOCKED or at.blocked is not None:
                end = at.blocked or self.now
                seconds = end - at.opened
                present = state is ChangeState.BLOCKED
                return Step(
                    "checks", "failed", self.record.reason, at.opened, seconds, False, present
                )
            if self._over:
                return Step("checks", "skipped", self.record.reason)
            said = self.trouble or "rendering, checking and planning"
            kind = "waiting" if self.trouble else "working"
            seconds = self.now - at.opened
            return Step("checks", kind, said, at.opened, seconds, bool(self.trouble), True)
        blocked = state is ChangeState.BLOCKED
        kind = "failed" if blocked else "done"
        seconds = at.planned - at.opened
        return Step("checks", kind, self._board(), at.opened, seconds, False, blocked)

    def _board(self) -> str:
        standings = board([self.plan] if self.plan else [])
        bad = [each for each in standings if not each.passed]
        found = [f"{each.check}: {counted(len(each.findings), 'finding')}" for each in bad]
        passed = len(standings) - len(bad)
        return "; ".join((*found, *([f"{passed} passed"] if passed else []))) or "no checks"

    def _plan(self) -> Step:
        if self.at.planned is None:
            return Step("plan", "skipped" if self._over else "", "")
        said = risk([self.plan]) if self.plan else "planned"
        if (more := self.at.plannings - 1) > 0:
            said += f"; planned again {counted(more, 'time')}"
        blocked = self.record.state is ChangeState.BLOCKED
        if blocked and self.plan is not None and self.plan.empty:
            return Step("plan", "skipped", "none: see the checks", self.at.planned)
        return Step("plan", "skipped" if blocked else "done", said, self.at.planned)

    def _ask(self) -> Step:
        at, state = self.at, self.record.state
        if at.asked is None:
            return self._unasked()
        if state is ChangeState.ASKING and not self._said_yes():
            said = f"waits for {self._whom()}"
            return Step("ask", "waiting", said, at.asked, self.now - at.asked, True, True)
        ended = at.decided or at.claimed or at.ended
        seconds = max(0.0, (ended or self.now) - at.asked)
        if state in (ChangeState.DENIED, ChangeState.EXPIRED):
            return Step("ask", "failed", self.record.reason or state.value, at.asked, seconds, True)
        if at.claimed is None and not self._said_yes():
            present = not self._over and state is not ChangeState.BLOCKED
            said = self.record.reason or "not asked any more"
            kind = "waiting" if present else "skipped"
            return Step("ask", kind, said, at.asked, seconds, True, present)
        by = self._by()
        return Step(
            "ask", "done", f"approved by {by}" if by else "answered", at.asked, seconds, True
        )

    def _unasked(self) -> Step:
        at = self.at
        if at.claimed is not None or at.decided is not None:
            said = f"nobody was asked: {self._by() or 'approved'}"
            return Step("ask", "done", said, at.decided)
        if at.planned is None or self._over or self.record.state is ChangeState.BLOCKED:
            return Step("ask", "skipped" if self._over else "", "")
        said = self.trouble or self.record.reason or "about to be asked"
        return Step("ask", "waiting", said, at.planned, self.now - at.planned, True, True)

    def _said_yes(self) -> bool:
        """People have said all the yes it takes, or a policy has."""
        if self.at.asked is None:
            return self.at.decided is not None
        return self.member is not None and self.member.state is MemberState.APPROVED

    def _whom(self) -> str:
        if self.group is None:
            return "approval"
        given = len(self.member.yes) if self.member else 0
        left = [
            name for name in self.group.eligible if not self.member or name not in self.member.yes
        ]
        if not self.group.possible:
            return "approval, and nobody can give it"
        number = self.group.needed - given
        return f"{counted(number, 'approval')} of {listed(left)}"

    def _by(self) -> str:
        return listed(self.at.approved_by or (self.member.yes if self.member else ()))

    def _apply(self) -> Step:
        at, state = self.at, self.record.state
        if at.claimed is None:
            if self._over or state is ChangeState.BLOCKED or not self._said_yes():
                return Step("apply", "skipped" if self._over else "", "")
            said = self.trouble or self.record.reason or "approved; begins as soon as it may"
            began = at.decided or self.now
            return Step("apply", "waiting", said, began, self.now - began, True, True)
        if at.applied is not None:
            return Step("apply", "done", at.summary, at.claimed, at.applied - at.claimed)
        if state is ChangeState.APPLYING:
            kind = "waiting" if self.trouble else "working"
            said = "; ".join(filter(None, (self._writes(), self.trouble)))
            return Step("apply", kind, said, at.claimed, self.now - at.claimed, False, True)
        seconds = (at.ended or self.now) - at.claimed
        kind = "failed" if state is ChangeState.FAILED else "skipped"
        return Step("apply", kind, self.record.reason, at.claimed, seconds)

    def _writes(self) -> str:
        given = self.progress
        if given is None:
            return "being applied"
        failed = f", {given.failed:,} failed" if given.failed else ""
        return f"{given.done:,} of {counted(given.writes, 'object')} written{failed}"

    def _verify(self) -> Step:
        at, state = self.at, self.record.state
        if at.applied is None:
            return Step("verify", "skipped" if self._over else "", "")
        if state is ChangeState.VERIFYING:
            return Step(
                "verify", "working", self._health(), at.applied, self.now - at.applied, False, True
            )
        seconds = (at.ended or self.now) - at.applied
        good = state in (ChangeState.HEALTHY, ChangeState.UNCHANGED)
        kind = "done" if good else "failed" if state is ChangeState.FAILED else "skipped"
        return Step("verify", kind, self.record.reason or state.value, at.applied, seconds)

    def _health(self) -> str:
        given = self.progress
        if given is None:
            return "waits until it is healthy"
        said = f"{given.healthy:,} of {counted(given.objects, 'object')} healthy"
        left = given.objects - given.healthy - len(given.waits_for)
        more = f"; and {left:,} more" if left > 0 else ""
        return f"{said}; waits for {'; '.join(given.waits_for)}{more}" if given.waits_for else said
