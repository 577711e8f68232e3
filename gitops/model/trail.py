"""The audit trail as it is asked for and told: events across all subjects, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from gitops.model.delivery import LaneId
from gitops.model.events import Event
from gitops.model.ids import ApplicationName, ChangeId, Digest, RequestId, TargetName

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events. What is left out or empty does not narrow it."""

    since: float | None = None
    until: float | None = None
    """Seconds since the epoch; from ``since`` on, before ``until``."""
    application: str = ""
    target: str = ""
    kinds: tuple[str, ...] = ()
    """``answered``, ``claimed`` …: names without their version."""
    words: tuple[str, ...] = ()
    """One of these stands somewhere in the event's text, whatever its case: a coarse sieve before
    whoever asks looks closer."""

    @property
    def about(self) -> bool:
        """Of an application or a target."""
        return bool(self.application or self.target)


@dataclass(frozen=True, slots=True)
class Spread:
    """What the changes of one request have in common."""

    changes: int
    application: ApplicationName | None
    """None: several."""
    target: TargetName | None
    """None: several."""


@dataclass(frozen=True, slots=True)
class TrailEvent:
    """One event with what is known around it."""

    sequence: int
    subject: str
    kind: str
    """Without its version."""
    at: float
    event: Event | None
    """None when what is stored can no longer be read: it was tampered with."""
    hash: Digest
    lane: LaneId | None = None
    """Of the change it is about."""
    title: str = ""
    """Of the request it is about."""
    versions: tuple[tuple[str, str], ...] = ()
    """What the delivery brings, of a change that became one."""
    spread: Spread | None = None
    """Where the request it is about asks, of an event of a request."""

    @property
    def change(self) -> ChangeId | None:
        return ChangeId(self.subject) if self.lane is not None else None

    @property
    def request(self) -> RequestId | None:
        """Named by the event itself, or its subject."""
        named = getattr(self.event, "request", None)
        return RequestId(named or self.subject) if named or self.title else None

    @property
    def application(self) -> ApplicationName | None:
        if self.spread is not None:
            return self.spread.application
        lane = self.lane or getattr(self.event, "lane", None)
        return lane.application if lane else getattr(self.event, "application", None)

    @property
    def target(self) -> TargetName | None:
        if self.spread is not None:
            return self.spread.target
        lane = self.lane or getattr(self.event, "lane", None)
        return lane.target if lane else None


@dataclass(frozen=True, slots=True)
class Trail(Generic[T]):
    """A page of it."""

    events: tuple[T, ...]
    """Newest first, each as it was wanted."""
    before: int = 0
    """Sequence to go on below; 0 when there is nothing further. There may be more below a page that
    is not full: looking through events for a word ends after a while."""
    back_to: float | None = None
    """When the last event that was looked through was written."""


@dataclass(frozen=True, slots=True)
class Soundness:
    """How the chain of one subject stands."""

    subject: str
    events: int
    since: float | None
    """When the first of those that were checked was written."""
    broken: int | None = None
    """Sequence of the first event that does not follow from those before it."""
    whole: bool = True
    """False: it is so long that only its newest events were checked."""


@dataclass(frozen=True, slots=True)
class Broken:
    """An event that does not follow from the one before it in its chain."""

    sequence: int
    subject: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """Part of a check of everything, in the order of writing."""

    checked: int
    last: int
    """Sequence to go on after."""
    head: str
    """Digest over every event up to ``last``. Kept elsewhere, it shows later that the end was cut
    off or the whole was written anew."""
    broken: tuple[Broken, ...] = ()
    done: bool = False
