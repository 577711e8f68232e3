"""Every role the engine needs somebody to play. Each port has one to three methods.

Adapters import this module and the model; the engine and the steps import this module and never
an adapter. ``app.py`` alone knows which adapter plays which role.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from gitops.model.approval import Request
from gitops.model.cluster import (
    ClusterFacts,
    ClusterStatus,
    LiveEvent,
    LiveObject,
    Resource,
    Written,
)
from gitops.model.delivery import (
    AppliedObject,
    Cause,
    Change,
    ChangeRecord,
    ChangeState,
    DeliveryRecord,
    LaneId,
    LaneRecord,
    ObjectOutcome,
    Pause,
)
from gitops.model.events import Epoch, Event, Notice, StoredEvent
from gitops.model.finding import Finding
from gitops.model.fleet import ApplicationSpec
from gitops.model.health import ObjectHealth
from gitops.model.ids import ApplicationName, ChangeId, Digest, RequestId
from gitops.model.manifest import Desired, ObjectId, RenderedFile
from gitops.model.passage import Passage
from gitops.model.plan import Plan
from gitops.model.sealed import Sealed, SealedSet
from gitops.model.serving import TokenRecord
from gitops.model.source import Authorship, Entry, Read, Revision, SourceStatus
from gitops.model.trail import Asked, Soundness, Stretch, Trail, TrailEvent

T = TypeVar("T")


# --- time and secrets -------------------------------------------------------------------------


class Clock(Protocol):
    def now(self) -> float:
        """Wall clock, seconds since the epoch: for records and expiry."""

    def monotonic(self) -> float:
        """For deadlines."""


class Digester(Protocol):
    """Keyed digests over content that may hold secrets (promise 7)."""

    def of(self, data: bytes) -> Digest: ...


class Cipher(Protocol):
    """Keeps what may hold secrets from whoever finds the file."""

    def encrypt(self, content: bytes, bound_to: bytes) -> bytes: ...

    def decrypt(self, sealed: bytes, bound_to: bytes) -> bytes | None:
        """None for anything but what :meth:`encrypt` gave for the same ``bound_to``."""


class Vault(Protocol):
    """Approved bytes, encrypted at rest, by seal."""

    async def put(self, seal: Digest, content: bytes) -> None:
        """Durable (file and folder fsynced) when it returns. Putting a seal twice is fine."""

    async def get(self, seal: Digest) -> bytes | None:
        """None when lost or unreadable: the seal is void then, never guessed at."""

    async def discard(self, seal: Digest) -> None: ...

    async def held(self) -> Sequence[Digest]:
        """Every seal something is kept for."""


# --- sources ----------------------------------------------------------------------------------

MAX_BLOB = 16 << 20
"""Bytes of one file; no snapshot reads a larger one."""


class Snapshot(Protocol):
    """One revision, read-only, synchronous and safe to use from a worker thread."""

    @property
    def revision(self) -> Revision: ...

    def entry(self, path: str) -> Entry | None:
        """What is at ``path``; links are returned as links, never followed."""

    def children(self, path: str) -> Sequence[Entry]:
        """Entries directly in the tree at ``path``, sorted by name; empty if it is no tree."""

    def files(self, path: str) -> Sequence[Entry]:
        """Every non-tree entry beneath ``path``, sorted by path."""

    def read(self, entry: Entry) -> bytes:
        """A blob's bytes. Raises RenderError over :data:`MAX_BLOB`."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a source found."""

    revision: Revision
    rewritten: bool = False
    """The last good revision is not an ancestor of this one."""


class Source(Protocol):
    async def look(self, last: Revision | None) -> Look:
        """One request for the remote's head; fetches if it moved. Raises SourceProblem (gone,
        empty, refused, invalid) or SourceUnavailable; the caller keeps ``last`` then."""

    async def snapshot(self, revision: Revision) -> Snapshot:
        """A revision that a look of this or an earlier process returned."""

    async def authorship(
        self, since: Revision | None, until: Revision, reads: Sequence[Read]
    ) -> Authorship:
        """Who wrote what lies between: every commit in ``since..until`` that touches ``reads``;
        without ``since`` the last writer of each file read."""


@runtime_checkable
class Retaining(Protocol):
    """A source whose host keeps no history, so that it keeps states itself."""

    async def retain(self, wanted: Sequence[Revision]) -> None:
        """These may still be asked for; most others may go."""


@runtime_checkable
class Remembering(Protocol):
    """A source that may lose a state by the next look, and can keep one it is told of."""

    async def remember(self, revision: Revision) -> None:
        """People are asked about this state: have it to be had by ``snapshot`` later, as far as
        that can be done. Cheap when it is kept already; raises nothing."""


# --- rendering and checking -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RenderJob:
    application: ApplicationSpec
    snapshot: Snapshot
    facts: ClusterFacts | None = None
    """None when no cluster is at hand (``gitops render``)."""
    needs: Mapping[str, Any] = field(default_factory=dict)
    """Outputs of other applications by the name they have here. May be secret."""


class Renderer(Protocol):
    name: str
    version: str

    def detects(self, snapshot: Snapshot, path: str) -> bool:
        """Does the folder look like mine? Asked in order of specificity: Helm, Kustomize, plain."""

    async def render(self, job: RenderJob) -> Desired: ...


class Scope(StrEnum):
    FILE = "file"
    """Depends on one file's bytes only: cached by content id."""
    APPLICATION = "application"
    """Depends on one application's desired set and its target."""
    FLEET = "fleet"
    """Looks across applications: keeps an index, is told what changed."""


class KindCatalogue(Protocol):
    """The kinds one target knows and their schemas."""

    async def resource(self, group: str, kind: str, version: str = "") -> Resource | None:
        """None when the target has no such kind; the preferred version when none is named."""

    async def schema(self, group: str, version: str, kind: str) -> Mapping[str, Any] | None:
        """The target's own OpenAPI v3 schema of a kind; ``$ref`` resolve in ``document``."""

    async def document(self, group: str, version: str) -> Mapping[str, Any] | None:
        """The OpenAPI v3 document of a group version."""


@dataclass(frozen=True, slots=True)
class CheckJob:
    lane: LaneId
    application: ApplicationSpec
    desired: Desired
    files: Sequence[RenderedFile]
    catalogue: KindCatalogue | None
    """None when no cluster is at hand: a check that needs it says so in an INFO finding."""
    facts: ClusterFacts | None = None
    """Of the target, where there is one: for hints, and to know findings of an older target."""
    delivered: bool = False
    """The lane reached its target before: what it has there is its own."""
    options: Mapping[str, Any] = field(default_factory=dict)


class Check(Protocol):
    name: str
    version: str
    scope: Scope

    async def run(self, job: CheckJob) -> Sequence[Finding]: ...


# --- clusters ---------------------------------------------------------------------------------


class LiveView(Protocol):
    """Live objects that carry our owner label, in memory, kept by label-selected watches."""

    async def follow(self, kinds: Sequence[Resource]) -> None:
        """Have a watch on each of these; returns when each has listed once. Idempotent."""

    def owned(self, application: str) -> Mapping[ObjectId, LiveObject]: ...

    def events(self) -> AsyncIterator[LiveEvent]:
        """Every change from now on; one subscriber's slowness does not slow another."""


class Writer(Protocol):
    """Writes, and their dry-runs. Errors: ClusterRefused (and its kinds), FieldConflict,
    ObjectMoved, ClusterUnavailable, AnswerLost. No error text holds a Secret's value."""

    async def apply(
        self,
        resource: Resource,
        id: ObjectId,
        body: bytes,
        *,
        dry_run: bool,
        force: bool = False,
        run_as: str = "",
    ) -> Written:
        """Server-side apply of canonical JSON; preconditions (uid, resourceVersion) are in the
        body's metadata."""

    async def delete(
        self, resource: Resource, id: ObjectId, *, uid: str, dry_run: bool = False, run_as: str = ""
    ) -> None:
        """With a uid precondition, background propagation; NotFound if already gone."""


class Reader(Protocol):
    async def get(self, resource: Resource, id: ObjectId) -> LiveObject | None:
        """A quorum read; None when it is not there."""

    async def facts(self) -> ClusterFacts: ...

    def status(self) -> ClusterStatus: ...


@runtime_checkable
class Counting(Protocol):
    """An adapter that counts its requests to the other side."""

    def requests(self) -> Mapping[tuple[str, str], int]:
        """(verb, HTTP status code or ``lost``) → how many there were since it was made. Both are
        from short lists of our own and of HTTP."""


class Inventory(Protocol):
    """What each application owns in one cluster, kept in that cluster."""

    async def read(self, application: str) -> frozenset[ObjectId] | None:
        """None when there is none (first delivery, or lost: prune is off until rebuilt)."""

    async def write(self, application: str, owns: frozenset[ObjectId]) -> None:
        """No request when nothing differs from what was read or written last."""


class Cluster(KindCatalogue, Writer, Reader, Protocol):
    """All roles of one target cluster, as one adapter plays them."""

    @property
    def live(self) -> LiveView: ...

    @property
    def inventory(self) -> Inventory: ...

    async def close(self) -> None: ...


# --- state ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memo:
    """One thing an adapter remembers between runs."""

    key: str
    value: str
    at: float


class Reading(Protocol):
    """Queries, consistent within one transaction. All are synchronous: they run on the store's
    own thread."""

    def lane(self, lane: LaneId) -> LaneRecord: ...
    def lanes(self) -> Sequence[LaneRecord]: ...
    def change(self, change: ChangeId) -> ChangeRecord | None: ...
    def changes(
        self, *, open_only: bool = True, lane: LaneId | None = None, limit: int = 1_000
    ) -> Sequence[ChangeRecord]:
        """Newest first. ``limit`` is of those that ended too: open ones are all told."""

    def find_change(self, id_or_prefix: str) -> ChangeRecord | None:
        """By id or the beginning of one. Raises Permanent when the beginning fits several."""

    def of_occasion(self, record: ChangeRecord, *, limit: int = 100) -> Sequence[ChangeRecord]:
        """Changes of the same occasion that were opened about then, itself among them, by lane."""

    def pause(self, application: ApplicationName) -> Pause | None:
        """The last one that nobody ended; it may be over."""

    def pauses(self) -> Sequence[Pause]: ...
    def plan(self, change: ChangeId) -> Plan | None: ...
    def approved_seal(self, lane: LaneId, seal: Digest) -> tuple[str, ...]:
        """Who approved this very seal in this lane before (for ``retry``); empty if nobody."""

    def request(self, request: RequestId) -> Request | None: ...
    def find_request(self, id_or_prefix: str) -> Request | None:
        """By id, or by a beginning of four characters and more. Raises Permanent when that fits
        several."""

    def requests(
        self, *, open_only: bool = True, limit: int = 100, before: str = ""
    ) -> Sequence[Request]:
        """Newest first; ``before`` is the id of the last one seen."""

    def request_for(self, occasion: str) -> Request | None:
        """The open request of an occasion."""

    def deliveries(
        self,
        *,
        lane: LaneId | None = None,
        application: ApplicationName | None = None,
        state: ChangeState | None = None,
        cause: Cause | None = None,
        limit: int = 50,
        before: str = "",
    ) -> Sequence[DeliveryRecord]:
        """Newest first; ``before`` is the id of the last one seen."""

    def delivery(self, id_or_prefix: str) -> DeliveryRecord | None: ...
    def passages(
        self, since: float, *, application: ApplicationName | None = None, limit: int = 10_000
    ) -> Sequence[Passage]:
        """Changes that ended at ``since`` or later, the newest of them, oldest first."""

    def events(self, subject: str) -> Sequence[StoredEvent]: ...
    def broken(self, subject: str) -> int | None:
        """Sequence of the first event that does not follow from those before it (audit chain);
        None when the subject's story is complete and unchanged."""

    def trail(
        self,
        asked: Asked,
        tell: Callable[[TrailEvent], T | None],
        *,
        before: int = 0,
        limit: int = 100,
    ) -> Trail[T]:
        """Events across all subjects, newest first, each as ``tell`` has it; None leaves it out.
        ``before`` is where the last page ended."""

    def sound(self, subject: str, *, most: int = 1_000) -> Soundness:
        """How a subject's chain stands; of a longer one its newest ``most`` events."""

    def verified(
        self, after: int = 0, head: str = "", *, limit: int = 5_000, until: int = 0
    ) -> Stretch:
        """The next stretch of a check of every chain, in the order of writing; ``after`` and
        ``head`` are what the stretch before it ended with. ``until`` is the last place to look at
        (0: all)."""

    def applied(self, lane: LaneId) -> Mapping[ObjectId, AppliedObject]: ...
    def sources(self) -> Sequence[SourceStatus]: ...
    def token(self, hash: str) -> TokenRecord | None:
        """A token that is not revoked."""

    def tokens(self) -> Sequence[Mapping[str, Any]]: ...
    def outbox(
        self, limit: int = 100, *, without: Collection[str] = (), due: float | None = None
    ) -> Sequence[Notice]:
        """Not yet delivered, oldest first; ``without`` those of these notifiers, with ``due`` only
        those that may be told by then."""

    def told(self, notifier: str, subject: str, now: float) -> bool:
        """Was a notifier told something of a subject, and is nothing more of it held back?"""

    def held_until(self, now: float) -> float | None:
        """When the first notice is due that is held back at ``now``; None when none is."""

    def memo(self, owner: str, key: str) -> str | None:
        """What ``memorise`` kept."""

    def kept_memo(self, owner: str, key: str) -> Memo | None:
        """The same, with when it was kept."""

    def memos(self, owner: str, *, limit: int = 100) -> Sequence[Memo]:
        """Of one owner, newest first."""


class Transaction(Reading, Protocol):
    def append(self, event: Event) -> int:
        """Chains the event and applies it to the tables; StaleWrite if its precondition fails.
        Returns its place among all events, higher than that of every one before it."""

    def record_applied(self, lane: LaneId, seen: Mapping[ObjectId, AppliedObject | None]) -> None:
        """Upserts; None removes."""

    def enqueue(self, notice: Notice) -> None: ...
    def sent(self, notice: str, attempts: int, error: str = "") -> None:
        """Marks a notice delivered (no error) or counts an attempt."""

    def memorise(self, owner: str, key: str, value: str | None) -> None:
        """Keeps a value for an adapter until it is replaced; None forgets it."""

    def memorise_first(self, owner: str, key: str, value: str) -> bool:
        """The same, only if there is none: False when somebody was first. How a delivery that is
        repeated acts once."""

    def forget_memos(self, owner: str, before: float) -> None:
        """Those of one owner kept before that time."""


class Store(Protocol):
    async def write(self, work: Callable[[Transaction], T], epoch: Epoch) -> T:
        """Runs ``work`` in one serialised transaction that first checks the lease epoch (raises
        StaleWrite). Durable when it returns. ``work`` may run more than once on PostgreSQL, so it
        must have no effect but through the transaction."""

    async def read(self, query: Callable[[Reading], T]) -> T: ...


class Leases(Protocol):
    async def acquire(self, name: str, holder: str, seconds: float) -> Epoch | None:
        """None while somebody else holds it. Every acquisition by a new holder raises the epoch."""

    async def renew(self, epoch: Epoch, holder: str, seconds: float) -> bool: ...
    async def release(self, epoch: Epoch, holder: str) -> None: ...


# --- children and notices ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    seconds: float = 60.0
    memory: int = 1 << 30
    """Bytes of address space (Go programs reserve a lot: give them 4 GiB)."""
    output: int = 64 << 20
    """Bytes of stdout and of stderr each; more ends the child."""
    processes: int = 512
    file_size: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Command:
    argv: tuple[str, ...]
    """argv[0] is an absolute path. Nothing secret: arguments are visible to the whole machine."""
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment but for HOME, PATH, TMPDIR and LANG, which the runner sets."""
    stdin: bytes = b""
    limits: Limits = Limits()
    offline: bool = False
    """Runs on what nobody approved, with a program that could connect: not run where the network
    cannot be cut, unless the operator allows that."""


@dataclass(frozen=True, slots=True)
class Completed:
    code: int
    stdout: bytes
    stderr: str
    """Decoded, terminal escapes stripped, cut to 64 KiB."""
    seconds: float


class Children(Protocol):
    async def run(self, command: Command) -> Completed:
        """Raises ChildTimeout at the deadline, RenderError over a limit; a non-zero exit is not
        an error here."""


class Notifier(Protocol):
    name: str

    async def send(self, notice: Notice) -> None:
        """Deliver once per notice id as far as the other side allows. Transient or Permanent."""


@runtime_checkable
class Expecting(Protocol):
    """A notifier that can tell several notices as one."""

    def expect(self, notices: Sequence[Notice]) -> None:
        """What is sent next, before the first of it is; all of it has happened already."""


@runtime_checkable
class Gathering(Protocol):
    """A notifier whose messages stay as they were sent: what waited for an outage or quiet hours to
    end is told in one, and what came to nothing meanwhile not at all."""

    async def send_together(self, notices: Sequence[Notice]) -> None:
        """Like ``Notifier.send`` for all of these, in the order they happened; all are of one
        channel."""


# --- planning and executing -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DrawJob:
    """What a plan is drawn from."""

    change: Change
    application: ApplicationSpec
    desired: Desired
    findings: tuple[Finding, ...]
    cluster: Cluster
    applied: Mapping[ObjectId, AppliedObject]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan and everything needed to carry it out."""

    plan: Plan
    sealed: Sealed
    artifact: Digest
    """Keyed digest of the bytes to be sent; does not move with resource versions."""
    settled: Mapping[ObjectId, AppliedObject | None]
    """Objects found to be right already: recorded, so that the next pass asks nothing."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """Of a Terraform plan, its outputs as they will be; name → ``OutputValue`` or ``UNKNOWN``."""


@dataclass(frozen=True, slots=True)
class Executed:
    outcomes: tuple[ObjectOutcome, ...]
    applied: Mapping[ObjectId, AppliedObject | None]
    """What the server made of each object written; None for one that is gone."""
    void: str = ""
    """Nothing was begun, because what was approved no longer fits what is there: why, in words.
    It is planned and asked about again."""

    @property
    def failed(self) -> tuple[ObjectOutcome, ...]:
        return tuple(outcome for outcome in self.outcomes if not outcome.done)


class Planner(Protocol):
    """Draws plans for one kind of target and carries them out."""

    async def draw(self, job: DrawJob) -> Drawn: ...

    async def execute(
        self,
        sealed: SealedSet,
        cluster: Cluster,
        on_outcome: Callable[[ObjectOutcome], None] = lambda outcome: None,
    ) -> Executed:
        """Carries out a claimed set; called again after a crash it goes on where it was. Each
        write is told as it is done. Raises ClusterUnavailable when the cluster went away in the
        middle."""


class Watchman(Protocol):
    async def until_healthy(
        self, application: str, ids: Sequence[ObjectId], cluster: Cluster, seconds: float
    ) -> Mapping[ObjectId, ObjectHealth]:
        """Waits on watch events until all are healthy, one is degraded for good, or the time is
        up; says how each is then."""
