"""Requests, members, verdicts: what people are asked and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gitops.model.ids import ChangeId, Digest, PersonName, RequestId, combine
from gitops.model.plan import Plan


class Decision(StrEnum):
    APPROVE = "approve"
    DENY = "deny"


class RequestState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    """Every member was answered, left or expired."""


class MemberState(StrEnum):
    ASKING = "asking"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    LEFT = "left"
    """Superseded by a newer change, or its plan moved and it was asked again under a new seal."""


@dataclass(frozen=True, slots=True)
class Member:
    """One change in a request, under the seal people are shown."""

    change: ChangeId
    seal: Digest
    plan: Digest
    state: MemberState = MemberState.ASKING
    expires_at: float = 0.0
    moved: str = ""
    """What changed since people last looked, in words; empty for a first ask."""
    yes: tuple[PersonName, ...] = ()
    """Who said yes to this seal since it was last asked about, sorted. An answer from before that
    is history: a plan that moved and came back is a new question."""
    reason: str = ""
    """Why it was denied, expired or left, in words."""


def root_of(members: tuple[Member, ...]) -> Digest:
    """The hash an answer must name: covers every member still asking, in order of change id."""
    asking = sorted((m for m in members if m.state is MemberState.ASKING), key=lambda m: m.change)
    return combine("root", *(part for m in asking for part in (m.change, m.seal)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """One person's answer to one root."""

    request: RequestId
    root: Digest
    person: PersonName
    decision: Decision
    reason: str
    via: str
    """``cli``, ``api``, ``slack``, ``page``."""
    at: float
    covers: tuple[tuple[ChangeId, Digest], ...]
    """(change, seal) of the members it speaks for: those asking under that root which the person
    is entitled to. An answer dies with its seal: a member asked again needs a new one."""
    confirmation: str = ""
    """What was typed where deletes went over the budget."""


@dataclass(frozen=True, slots=True)
class Request:
    id: RequestId
    occasion: str
    title: str
    """``shop-config@1a2b3c4d5e6f: raise replicas`` – foreign text, escape before display."""
    root: Digest
    state: RequestState
    members: tuple[Member, ...]
    opened_at: float
    verdicts: tuple[Verdict, ...] = ()

    @property
    def spoken_of(self) -> Digest:
        """The root people see: what is asked now, else what the last answer was to; empty when it
        ended without one. (With nothing asked, ``root`` covers nothing.)"""
        if self.state is RequestState.OPEN:
            return self.root
        return self.verdicts[-1].root if self.verdicts else Digest("")


class AnswerKind(StrEnum):
    """How ``ask`` came out for one change; values, not exceptions."""

    NOT_NEEDED = "not-needed"
    """The plan is empty."""
    APPROVED = "approved"
    PENDING = "pending"
    BLOCKED = "blocked"
    DENIED = "denied"
    EXPIRED = "expired"
    PAUSED = "paused"
    """The application is: it is asked about once that is over."""
    HELD = "held"
    """Denied or expired before, and nothing moved since."""
    REPORTED = "reported"
    SUPERSEDED = "superseded"
    """A newer change of the lane took its place while this one was being worked on."""
    REFUSED = "refused"
    """This desk asks nobody (``gitops plan``)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the desk says of one plan."""

    kind: AnswerKind
    plan: Plan
    seal: Digest
    request: RequestId | None = None
    by: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The gate's decision about one person and one member."""

    allowed: bool
    reason: str
    """In words; for a refusal, what would have to be different."""


@dataclass(frozen=True, slots=True)
class Electorate:
    """Who could say yes to one change, and how many of them have to."""

    eligible: tuple[PersonName, ...]
    needed: int
    refusals: Mapping[PersonName, str]
    """Why each of the others may not, in words."""
    note: str = ""
    """Said on every card: why two are needed, how authorship is known."""

    @property
    def possible(self) -> bool:
        return len(self.eligible) >= self.needed
