"""Facts, appended to the store and never edited. Every row of every other table follows from them.

One event is one sentence of the audit trail. Its ``subject`` is the id of the chain it belongs
to: a change (and so its delivery), a request, a source, a person. The store chains events per
subject by hash and applies them to its tables in the same transaction; an event whose
precondition no longer holds is refused with :class:`gitops.errors.StaleWrite` and nothing of the
transaction is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gitops.model.approval import Decision, MemberState, Verdict
from gitops.model.delivery import Change, ChangeState, Delivered, Hold, LaneId
from gitops.model.ids import ApplicationName, ChangeId, Digest, PersonName, RequestId
from gitops.model.plan import Plan, SealParts
from gitops.model.serving import Role
from gitops.model.source import SourceStatus


@dataclass(frozen=True, slots=True)
class Epoch:
    """Proof of a lease, checked in the transaction of every write."""

    lease: str
    number: int


@dataclass(frozen=True, slots=True)
class ChangeOpened:
    """Precondition: the lane has no current change, and its generation is the change's."""

    change: Change


@dataclass(frozen=True, slots=True)
class ChangePlanned:
    """Precondition: the change is current and not yet applying. Keeps the (masked) plan."""

    change: ChangeId
    plan: Plan
    seal: Digest
    parts: SealParts


@dataclass(frozen=True, slots=True)
class ChangeBlocked:
    """A blocking finding, or a permanent error before any plan: waits for the closure to move."""

    change: ChangeId
    reason: str


@dataclass(frozen=True, slots=True)
class RequestOpened:
    request: RequestId
    occasion: str
    title: str


@dataclass(frozen=True, slots=True)
class MemberAsked:
    """Adds a member, or puts one back under a new seal; the request's root follows."""

    request: RequestId
    change: ChangeId
    seal: Digest
    plan: Digest
    expires_at: float
    moved: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """A person answered. Precondition: the verdict names the request's present root and covers
    members that are being asked. A denial may also cover members that are approved and not yet
    claimed; one that covers nothing else needs no open request."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class MemberDecided:
    """A member reached its quorum, was denied, expired, or left. The request's root follows;
    a request without asking members closes, and a change that left is asked about no more.
    Precondition: it is being asked about, or it is approved, not yet claimed, and now denied."""

    request: RequestId
    change: ChangeId
    state: MemberState
    by: tuple[PersonName, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AutoApproved:
    """A policy answered instead of a person."""

    change: ChangeId
    seal: Digest
    policy: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """From here on the change is applied and never cancelled. Precondition, checked in the
    transaction: the change is current and not yet claimed, its application is not paused; ``seal``
    is the one of its plan *and* was approved: a member in state APPROVED under it, AutoApproved
    with it, or, for a retry, people who approved this very seal before. A rollback holds its lane
    from here on."""

    change: ChangeId
    seal: Digest
    approved_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApplyFinished:
    """All writes are done (state VERIFYING); ``summary`` counts them in words."""

    change: ChangeId
    summary: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something worth keeping in a change's story: an object that had to be written twice, a
    restart in the middle of apply, a retry of a passing error."""

    change: ChangeId
    text: str


@dataclass(frozen=True, slots=True)
class Reminded:
    """A question that is still open was brought to mind. Precondition: the change is known."""

    change: ChangeId
    request: RequestId
    expires_at: float
    stuck: str = ""
    """Why nobody can approve it; empty when somebody can."""


@dataclass(frozen=True, slots=True)
class HealthMoved:
    """What a lane's last delivery brought fell ill, or is well again. ``change`` is that
    delivery's. Precondition: the change is known."""

    change: ChangeId
    well: bool
    reason: str
    """Which objects, and why; masked."""


@dataclass(frozen=True, slots=True)
class ChangeClosed:
    """A terminal state. The lane's generation rises and it has no current change any more;
    ``delivered`` becomes the lane's where given, ``hold`` its drift hold for a change of cause
    DRIFT and its hold for any other. A member still asking leaves its request."""

    change: ChangeId
    state: ChangeState
    reason: str = ""
    delivered: Delivered | None = None
    hold: Hold | None = None
    unbegun: bool = False
    """Nothing of it was started: only then may what is claimed end as superseded."""


@dataclass(frozen=True, slots=True)
class HoldLifted:
    """Clears the lane's hold, or with ``drift`` its drift hold."""

    lane: LaneId
    by: str
    """A person, or in words what moved."""
    drift: bool = False


@dataclass(frozen=True, slots=True)
class RollbackLifted:
    """The lane goes by the newest revision again. Precondition: it was set back."""

    lane: LaneId
    by: str
    """A person, or in words what moved."""


@dataclass(frozen=True, slots=True)
class ApplicationPaused:
    """Takes the place of an earlier pause. Precondition: it ends later than it begins."""

    application: ApplicationName
    by: PersonName
    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class ApplicationResumed:
    """Precondition: it is paused, over or not."""

    application: ApplicationName
    by: str
    """A person, or in words that its time was up."""


@dataclass(frozen=True, slots=True)
class SourceLooked:
    """A source's state or revision changed (not appended for a look that found nothing new)."""

    status: SourceStatus


@dataclass(frozen=True, slots=True)
class TokenCreated:
    """``hash`` is a salted scrypt hash or SHA-256 of a 256-bit random token; never the token."""

    token: str
    """Its public id."""
    person: PersonName
    hash: str
    expires_at: float
    note: str = ""
    role: Role = Role.ADMIN
    """The most it may do; the default is no cut below what its person may."""
    applications: tuple[str, ...] = ()
    """Names or patterns it may act on; empty: every one its person may."""


@dataclass(frozen=True, slots=True)
class TokenRevoked:
    token: str
    by: str


Event = (
    ChangeOpened
    | ChangePlanned
    | ChangeBlocked
    | RequestOpened
    | MemberAsked
    | Answered
    | MemberDecided
    | AutoApproved
    | Claimed
    | ApplyFinished
    | Noted
    | Reminded
    | HealthMoved
    | ChangeClosed
    | HoldLifted
    | RollbackLifted
    | ApplicationPaused
    | ApplicationResumed
    | SourceLooked
    | TokenCreated
    | TokenRevoked
)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as read back."""

    sequence: int
    subject: str
    kind: str
    at: float
    event: Event
    previous: Digest
    """Hash of the subject's event before it; empty for the first."""
    hash: Digest


@dataclass(frozen=True, slots=True)
class Notice:
    """A row of the outbox: something to tell people, delivered at least once, found again by id."""

    id: str
    notifier: str
    kind: str
    subject: str
    payload: dict[str, object] = field(default_factory=dict)
    created_at: float = 0.0
    attempts: int = 0
    channel: str = ""
    """Where the notifier is to tell it, as a route says; empty: where it usually does."""
    not_before: float = 0.0
    """Held back until then: it is told after somebody's quiet hours."""


__all__ = ["Decision", "Epoch", "Event", "Notice", "StoredEvent"]
