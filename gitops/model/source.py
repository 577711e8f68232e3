"""Sources, their revisions, and what a rendering read from one.

A *revision* is one immutable state of a source; a *closure* is the part of it that a rendering
really read. Two revisions with the same closure give the same rendering, which is how a commit
that does not concern an application is recognised without asking anybody to annotate paths.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gitops.model.ids import Digest, PersonName, SourceName, combine


@dataclass(frozen=True, slots=True)
class Revision:
    """One immutable state of a source."""

    source: SourceName
    id: str
    """Commit id in hex, or ``sha256:…`` of the bytes fetched."""
    ref: str = ""
    """The branch or tag it was found under; recorded for people, never part of a digest."""

    def __str__(self) -> str:
        return f"{self.source}@{self.id[:12]}"


class EntryKind(StrEnum):
    BLOB = "blob"
    TREE = "tree"
    LINK = "link"
    GITLINK = "gitlink"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a revision's tree."""

    path: str
    """Relative to the source's root, ``/`` separated, no leading slash; ``""`` is the root."""
    kind: EntryKind
    oid: str
    """Content id (git object id): equal oids mean equal content, the whole subtree included."""
    executable: bool = False
    size: int | None = None
    """Bytes of a blob where known."""


@dataclass(frozen=True, slots=True)
class Read:
    """One thing a rendering looked at; ``oid`` is None where it looked and found nothing.

    Absence belongs to a closure: a values file that appears later changes the rendering.
    """

    path: str
    oid: str | None


@dataclass(frozen=True, slots=True)
class Closure:
    """Everything a rendering read, as path → content id. Its digest names the state."""

    reads: tuple[Read, ...]
    """Sorted by path, no duplicates. A tree stands for everything beneath it."""
    outside: tuple[str, ...] = ()
    """Digests of inputs outside the source: a pinned chart, renderer and version, options."""
    digest: Digest = field(init=False)

    def __post_init__(self) -> None:
        parts: list[str | None] = []
        for read in self.reads:
            parts += [read.path, read.oid]
        object.__setattr__(self, "digest", combine(len(self.reads), *parts, *self.outside))

    @property
    def inside(self) -> Digest:
        """Digest of what was read of the source alone."""
        return Closure(self.reads).digest if self.outside else self.digest


class Grade(StrEnum):
    """How much the recorded authorship of a revision can be trusted, worst first."""

    CLAIMED = "claimed"
    SIGNED = "signed"
    AUTHENTICATED = "authenticated"

    @property
    def rank(self) -> int:
        return list(Grade).index(self)


@dataclass(frozen=True, slots=True)
class Signature:
    """A person as git names them: free text, worth nothing as proof."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What is shown and recorded of one commit. Text is foreign: escape it before display."""

    id: str
    subject: str
    author: Signature
    committer: Signature
    co_authors: tuple[Signature, ...] = ()
    time: float = 0.0
    """Committer time, seconds since the epoch (claimed, not trusted)."""
    signed_by: str = ""
    """Key or principal of a verified signature, else empty."""


@dataclass(frozen=True, slots=True)
class PullFacts:
    """A merged pull request as the forge told of it, once. Text is foreign."""

    number: int
    url: str
    """http(s), or empty."""
    title: str
    author: str
    """``github:ada``; empty for an account that is gone."""
    merger: str = ""
    base: str = ""
    """Branch it went into."""
    head: str = ""
    """Commit id of its newest commit."""
    merged_as: str = ""
    made_by_forge: bool = False
    """The forge vouches that it made ``merged_as`` itself: a merge, and nobody's text."""
    reviewers: tuple[str, ...] = ()
    """Who gave a decisive review, approving or not."""
    approvers: tuple[str, ...] = ()
    approved_head: tuple[tuple[str, float], ...] = ()
    """(login, seconds since the epoch) of approvals that were given for ``head``."""


@dataclass(frozen=True, slots=True)
class Authorship:
    """Who made what an application is about to become.

    ``known`` is False when the set could not be established (a web host without ``authors:``, a
    rewritten history): the gate then asks for two distinct approvers.
    """

    commits: tuple[Commit, ...] = ()
    signatures: tuple[Signature, ...] = ()
    """Author, committer and co-authors of every commit that counts, without duplicates."""
    logins: tuple[str, ...] = ()
    """``forge:login`` of pusher and PR author where a forge told."""
    mergers: tuple[str, ...] = ()
    """Logins that had no other hand in it than merging: authors too, unless the policy says
    otherwise and somebody else is one."""
    people: tuple[PersonName, ...] = ()
    """Persons named outright: a source's ``authors:``, the requester of a command."""
    grade: Grade = Grade.CLAIMED
    known: bool = True
    note: str = ""
    """Why authorship is unknown or weaker than wished, in words."""
    pull_requests: tuple[PullFacts, ...] = ()
    """Those that brought these commits, as far as a forge told."""
    unasked: bool = False
    """A forge that may know more has not answered yet: it is asked again."""


class SourceState(StrEnum):
    """What a source's last look said; every state but READY keeps the last good revision."""

    NEW = "new"
    READY = "ready"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """Credentials or host key refused."""
    GONE = "gone"
    """The repository answers, the branch does not exist (deleted or renamed)."""
    EMPTY = "empty"
    REWRITTEN = "rewritten"
    """Force-pushed: the last good revision is no ancestor of the present one."""
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What ``gitops status`` shows of a source."""

    source: SourceName
    state: SourceState
    revision: Revision | None = None
    """The last good one."""
    message: str = ""
    checked_at: float | None = None
    changed_at: float | None = None
