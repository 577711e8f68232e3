"""Changes and the record of carrying one to its target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from gitops.model.ids import (
    ApplicationName,
    ChangeId,
    DeliveryId,
    Digest,
    PersonName,
    TargetName,
    combine,
)
from gitops.model.source import Authorship, Revision


class Cause(StrEnum):
    COMMIT = "commit"
    DRIFT = "drift"
    COMMAND = "command"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, order=True)
class LaneId:
    """One application on one target: changes in a lane are delivered one after the other."""

    application: ApplicationName
    target: TargetName

    def __str__(self) -> str:
        return f"{self.application}@{self.target}"


@dataclass(frozen=True, slots=True)
class Rollback:
    """Back to what an earlier delivery brought. Holds a lane from the claim on until the source's
    files of the application move, or somebody asks about the newest again."""

    delivery: DeliveryId
    revision: Revision
    """The delivery's: what the lane is rendered from while this holds."""
    leaves: Digest
    """What the newest rendering read of its source when this was asked for
    (:attr:`gitops.model.source.Closure.inside`): once it reads anything else, this is over."""
    by: PersonName
    why: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Something wants an application on a target to become ``after``.

    The id covers the lane's *generation*, which rises at every terminal state: the same wish twice
    while one is open is one change, the same drift again after it was healed is a new one.
    """

    lane: LaneId
    generation: int
    after: Digest
    """What the lane should become: digest over closure, terms of delivery (namespace, account,
    policies) and the target's identity. For drift, over the drifted objects' live values."""
    cause: Cause
    revision: Revision
    authorship: Authorship = Authorship()
    occasion: str = ""
    """What collects changes into one request: the revision, the drift batch, the command's id."""
    rollback: Rollback | None = None
    """Of cause ROLLBACK."""
    id: ChangeId = field(init=False)

    def __post_init__(self) -> None:
        parts = (*self._key(), self.generation, self.after, self.cause)
        object.__setattr__(self, "id", ChangeId(combine("change", *parts)))

    def _key(self) -> tuple[str, str]:
        return self.lane.application, self.lane.target


class ChangeState(StrEnum):
    """Where a change stands. The last seven are terminal."""

    OPEN = "open"
    """Being rendered, checked, planned."""
    BLOCKED = "blocked"
    """A finding of severity error: waits for a newer commit."""
    ASKING = "asking"
    APPLYING = "applying"
    VERIFYING = "verifying"
    HEALTHY = "healthy"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    DENIED = "denied"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    REPORTED = "reported"
    """Drift under policy ``report``: said, not healed."""

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset(
    {
        ChangeState.HEALTHY,
        ChangeState.UNCHANGED,
        ChangeState.FAILED,
        ChangeState.DENIED,
        ChangeState.EXPIRED,
        ChangeState.SUPERSEDED,
        ChangeState.REPORTED,
    }
)
CLAIMED = frozenset({ChangeState.APPLYING, ChangeState.VERIFYING})
"""A change in one of these is being carried out, whatever the source does meanwhile."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The last state of a lane that reached its target."""

    closure: Digest
    """``Change.after`` of the change that brought it there."""
    revision: Revision
    seal: Digest
    """Under which it went out, or would have if anything had differed."""
    at: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Denied, expired or failed: not tried again until the closure moves or a person says so
    (``gitops ask``, ``gitops retry``)."""

    plan: Digest
    closure: Digest
    why: str
    """``denied by ada: not before the freeze`` – shown by ``why``."""
    failed: bool = False
    """It was applied, or in part, and did not work out: what is live is neither the last good
    state nor the new one, so drift is not judged until somebody acts."""


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """What the store knows of a lane; the default is a lane never seen."""

    lane: LaneId
    generation: int = 0
    delivered: Delivered | None = None
    current: ChangeId | None = None
    """The one change that is not terminal."""
    hold: Hold | None = None
    """Of a commit, command or rollback."""
    drift_hold: Hold | None = None
    """Of a drift; its ``closure`` is the drift's digest (``Change.after``)."""
    rollback: Rollback | None = None
    """What it was set back to, as long as that holds."""


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    change: Change
    state: ChangeState
    opened_at: float
    updated_at: float
    reason: str = ""
    """Why it is in that state, in words; for failures the cause and the next thing to do."""
    plan: Digest | None = None
    seal: Digest | None = None
    request: str | None = None
    delivery: DeliveryId | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Until its end nothing of an application is asked or claimed; what is claimed goes on."""

    application: ApplicationName
    by: PersonName
    why: str
    since: float
    until: float
    """Seconds since the epoch; from then on it says nothing any more."""

    def holds(self, now: float) -> bool:
        return now < self.until

    @property
    def told(self) -> str:
        """``paused by ada until 2026-11-21 12:30Z: the freeze``"""
        end = datetime.fromtimestamp(self.until, UTC)
        return f"paused by {self.by} until {end:%Y-%m-%d %H:%M}Z: {self.why}"


@dataclass(frozen=True, slots=True)
class ObjectOutcome:
    """How one object fared in an apply."""

    address: str
    done: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the change is that is being carried out; of one that is, to be shown."""

    change: ChangeId
    done: int
    """Writes that arrived."""
    failed: int
    writes: int
    """All there are to do."""
    healthy: int
    objects: int
    """How many have to be healthy in the end."""
    waits_for: tuple[str, ...] = ()
    """Some of the objects that are not, each with why; from the cluster, so foreign text."""


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """The traceable record of one change carried to one target."""

    id: DeliveryId
    change: ChangeRecord
    started_at: float
    finished_at: float | None
    state: ChangeState
    reason: str
    approved_by: tuple[str, ...]
    """Persons, or ``policy: NAME`` for an automatic approval."""
    versions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AppliedObject:
    """What the engine last saw the server make of one object it applied."""

    desired: Digest
    """Keyed digest of the manifest sent."""
    projection: Digest
    """Keyed digest of the fields our manager owns, as the server returned them."""
    uid: str


@dataclass(frozen=True, slots=True)
class Begun:
    """What became of one ``rollback``."""

    changes: Mapping[LaneId, ChangeId]
    skipped: Mapping[LaneId, str] = field(default_factory=dict)
    """Why nothing is done about the other lanes, in words."""
