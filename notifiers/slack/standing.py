"""How a request and each of its members stand, in a word and a sentence. Pure.

Derived from what the store says now, never from the notice that woke us: a card that was brought
up to date late shows what is true and not what was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gitops import gate
from gitops.model.approval import MemberState
from gitops.model.delivery import Cause, ChangeState
from gitops.model.ids import short
from gitops.ports.office import Card, Row
from gitops.summary import counted


class State(StrEnum):
    """Of a card as a whole; the first that is true of it."""

    STUCK = "nobody can approve"
    ASKING = "approval needed"
    APPLYING = "applying"
    STARTING = "approved, starting"
    REPLANNING = "being planned again"
    FAILED = "failed"
    BLOCKED = "blocked"
    DENIED = "denied"
    EXPIRED = "expired"
    REPORTED = "drift reported"
    HEALTHY = "healthy"
    UNCHANGED = "nothing to do"
    SUPERSEDED = "superseded"

    @property
    def over(self) -> bool:
        return self not in (
            State.STUCK,
            State.ASKING,
            State.APPLYING,
            State.STARTING,
            State.REPLANNING,
            State.BLOCKED,
        )


ICONS = {
    State.STUCK: "🚫",
    State.ASKING: "🔵",
    State.APPLYING: "⏳",
    State.STARTING: "⏳",
    State.REPLANNING: "🔄",
    State.FAILED: "❌",
    State.BLOCKED: "🚧",
    State.DENIED: "⛔",
    State.EXPIRED: "⌛",
    State.REPORTED: "👀",
    State.HEALTHY: "✅",
    State.UNCHANGED: "✅",
    State.SUPERSEDED: "⏭️",
}
DESTRUCTIVE = "🔴"

_BY_CHANGE = {
    ChangeState.APPLYING: State.APPLYING,
    ChangeState.VERIFYING: State.APPLYING,
    ChangeState.HEALTHY: State.HEALTHY,
    ChangeState.UNCHANGED: State.UNCHANGED,
    ChangeState.FAILED: State.FAILED,
    ChangeState.DENIED: State.DENIED,
    ChangeState.EXPIRED: State.EXPIRED,
    ChangeState.SUPERSEDED: State.SUPERSEDED,
    ChangeState.REPORTED: State.REPORTED,
    ChangeState.BLOCKED: State.BLOCKED,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where one member stands."""

    state: State
    words: str
    """Foreign text in part (reasons): clean before showing."""

    @property
    def icon(self) -> str:
        return ICONS[self.state]


def place_of(card: Card, row: Row) -> Place:
    """Of one member of a card."""
    member, record = row.member, row.record
    if member.state is MemberState.ASKING:
        state = State.ASKING if row.electorate is None or row.electorate.possible else State.STUCK
        return Place(state, _asking(row))
    elsewhere = record.request not in (None, "", card.request.id)
    if elsewhere and card.request.id:
        return Place(State.SUPERSEDED, f"asked again in request {short(str(record.request))}")
    state = _BY_CHANGE.get(record.state, State.REPLANNING)
    if state is State.REPLANNING and member.state is MemberState.APPROVED:
        return Place(State.STARTING, f"approved by {_by(row)}, starts as soon as it may")
    return Place(state, _words(row, state))


def _asking(row: Row) -> str:
    needed = row.electorate.needed if row.electorate else 1
    if row.member.yes:
        return f"{len(row.member.yes)} of {needed} approvals: {', '.join(row.member.yes)}"
    return "waits for approval" if needed == 1 else f"waits for {needed} approvals"


def _by(row: Row) -> str:
    given = row.delivery.approved_by if row.delivery else ()
    return ", ".join(given or row.member.yes) or "policy"


def _words(row: Row, state: State) -> str:
    """One sentence; the reason in it is the store's own."""
    record = row.record
    why = record.reason or row.member.reason
    match state:
        case State.APPLYING if record.state is ChangeState.VERIFYING:
            return "; ".join(filter(None, ("applied, waits until it is healthy", why)))
        case State.APPLYING:
            return f"approved by {_by(row)}, being applied"
        case State.HEALTHY:
            return "; ".join(filter(None, (f"healthy{_after(row)}, approved by {_by(row)}", why)))
        case State.REPLANNING:
            return why or "what it was planned against moved"
    if why.startswith(state.value):
        return why
    return f"{state.value}: {why}" if why else state.value


def _after(row: Row) -> str:
    """`` after 41 s``"""
    done = row.delivery
    if done is None or done.finished_at is None:
        return ""
    return f" after {duration(done.finished_at - done.started_at)}"


def duration(seconds: float) -> str:
    """``41 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, left = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {left} s" if left else "")
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def state_of(card: Card) -> State:
    """Of the card: the first in the order of :class:`State` that any of its members is in."""
    states = {place_of(card, row).state for row in card.rows}
    return next((state for state in State if state in states), State.SUPERSEDED)


def progress(card: Card) -> str:
    """``2 of 5 healthy, 1 failed``; empty for a single member."""
    if len(card.rows) < 2:
        return ""
    states = [place_of(card, row).state for row in card.rows]
    done = states.count(State.HEALTHY) + states.count(State.UNCHANGED)
    others = (State.FAILED, State.DENIED, State.EXPIRED, State.BLOCKED, State.SUPERSEDED)
    told = [f"{states.count(each)} {each.value}" for each in others if states.count(each)]
    return ", ".join((f"{done} of {len(states)} healthy", *told))


def subject(card: Card) -> str:
    """``shop on prod-eu``, ``shop on 3 clusters``, ``2 applications in 4 places``; what is not
    caused by a commit says so first."""
    applications = list(dict.fromkeys(row.lane.application for row in card.rows))
    targets = list(dict.fromkeys(row.lane.target for row in card.rows))
    if len(applications) == 1:
        where = targets[0] if len(targets) == 1 else counted(len(targets), "target")
        text = f"{applications[0]} on {where}"
        if targets == ["default"]:
            text = applications[0]
    else:
        text = f"{counted(len(applications), 'application')} in {counted(len(card.rows), 'place')}"
    return _prefix(card) + text


def _prefix(card: Card) -> str:
    change = card.lead.record.change if card.lead else None
    if change is not None and change.cause is Cause.COMMAND and change.occasion:
        return f"{change.occasion.split()[0]} of "
    known = {Cause.DRIFT: "drift of ", Cause.ROLLBACK: "rollback of "}
    return known.get(change.cause, "") if change else ""


def next_step(card: Card, state: State) -> str:
    """What a person can do now, in words; empty when there is nothing to do."""
    lead = _lead_in(card, state)
    if lead is None:
        return ""
    name = lead.lane.application
    steps = {
        State.FAILED: f"push a fix, or: gitops retry {name} – gitops rollback {name}",
        State.BLOCKED: "push a commit that mends it; it is asked about then",
        State.DENIED: f"a newer commit asks again, or: gitops ask {name}",
        State.EXPIRED: f"a newer commit asks again, or: gitops ask {name}",
        State.REPORTED: f"see what differs: gitops why {name}",
    }
    if state is State.STUCK and lead.electorate and lead.application:
        return gate.nobody_can(lead.electorate, lead.application.approval)
    return steps.get(state, "")


def _lead_in(card: Card, state: State) -> Row | None:
    return next((row for row in card.rows if place_of(card, row).state is state), None)


def shown(card: Card) -> Sequence[Row]:
    """Rows whose plans the card is about: those that are asked about, else all."""
    return card.asking or card.rows
