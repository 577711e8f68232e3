"""What a forge (GitHub, GitLab, Bitbucket, Gitea) is asked and told about one repository.

Played by ``gitops.forges``, one client each; used by pull-request previews, by the commit-status
notifier and where authorship is established. Every answer is foreign text and every call may fail:
Transient (with ``retry_after`` where the forge said so) or Permanent in words for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gitops.errors import Permanent


class Overfull(Permanent):
    """The answer is more than is read. Whoever may comment or open pull requests can make it so:
    what it would have said is unknown, never nothing."""


class PullState(StrEnum):
    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Review:
    login: str
    """``github:ada``."""
    approves: bool
    commit: str = ""
    """The head it was given for, where the forge says; empty otherwise."""
    at: float = 0.0
    """Seconds since the epoch by the forge's clock; 0 where it does not say."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """As the forge's API has it now; titles and names are foreign text."""

    number: int
    state: PullState
    title: str
    author: str
    """``github:ada``; empty for a deleted account."""
    base: str
    """Branch it goes into, without ``refs/heads/``."""
    head: str
    """Commit id of its newest commit, lower-case hex."""
    fork: bool
    """Its commits come from another repository."""
    url: str
    draft: bool = False
    merged_as: str = ""
    """Commit id it became on the base branch, when merged."""
    merger: str = ""
    made_by_forge: bool = False
    """The forge vouches that it made ``merged_as`` itself: a merge, and nobody's text."""
    reviews: tuple[Review, ...] = ()
    """The last decisive one of each reviewer."""


class CommitState(StrEnum):
    """What a commit status can say; clients map it to the forge's own words."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CommitStatus:
    commit: str
    context: str
    """``gitops/shop@prod``: one line per context on the commit, newest wins."""
    state: CommitState
    description: str
    """Cut by the client to what the forge takes (GitHub 140, GitLab 255, Bitbucket 255)."""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Annotation:
    path: str
    line: int
    severity: str
    """``failure``, ``warning`` or ``notice``."""
    message: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A status with text and remarks at file and line: a check run where the forge has such."""

    status: CommitStatus
    summary: str
    """Markdown, already escaped and bounded."""
    annotations: tuple[Annotation, ...] = ()


class Forge(Protocol):
    """One repository on one forge, with the operator's credentials."""

    kind: str
    """``github``, ``gitlab``, ``bitbucket``, ``gitea``: the prefix of its logins."""

    async def tell(self, status: CommitStatus) -> None:
        """Idempotent: the same status again changes nothing that people see."""

    async def report(self, report: Report) -> None:
        """A check run with annotations; where the forge has none (or the credentials may not), the
        status alone and the annotations are left to the comment."""

    async def comment(self, number: int, marker: str, body: str) -> None:
        """Writes the one comment that holds ``marker`` (made by our own account), or edits it in
        place; several of them (a lost answer) become one again."""

    async def uncomment(self, number: int, marker: str) -> None:
        """Removes it; nothing there is fine."""

    async def pull(self, number: int) -> PullRequest:
        """Raises Unknown when there is none."""

    async def open_pulls(self) -> Sequence[PullRequest]:
        """Every open one, without reviews."""

    async def pulls_of(self, commit: str) -> Sequence[PullRequest]:
        """The merged pull requests that brought a commit to its branch, with reviews."""
