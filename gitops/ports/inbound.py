"""What comes in over HTTP from forges and chats, and what it may amount to.

A :class:`Receiver` (package ``webhooks``, one plugin a provider) turns a request into facts after
its signature held. It never acts: :mod:`gitops.engine.inbox` compares what was heard with the
configured sources and nudges those. Nothing in a payload becomes a URL, a ref or a path for git.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Letter:
    """A request as it came in, its body read whole (bounded by whoever took it)."""

    headers: Mapping[str, tuple[str, ...]]
    """Lower-case names; every value a name came with, so that a doubled signature is seen."""
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header that came exactly once, else empty."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else ""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository as the forge names it: compared with configured addresses, never fetched."""

    names: tuple[str, ...]
    """URLs (https, ssh, scp-like) and ``owner/name``, foreign text all of them."""


@dataclass(frozen=True, slots=True)
class Pushed:
    repository: Repository
    ref: str
    """``refs/heads/main``; foreign text."""
    after: str
    """Commit id in lower-case hex; all zeros when the ref was deleted."""
    pusher: str = ""
    """``github:ada``: who the forge authenticated; empty where it does not say."""
    commits: tuple[str, ...] = ()
    """Ids the push brought, as far as the payload lists them."""


class PullAction(StrEnum):
    UPDATED = "updated"
    """Opened, reopened, new commits, retargeted, taken out of draft."""
    REVIEWED = "reviewed"
    ASKED = "asked"
    """Somebody asked for the preview again (a comment, a re-run)."""
    CLOSED = "closed"
    """Merged or not."""


@dataclass(frozen=True, slots=True)
class PullMoved:
    repository: Repository
    number: int
    action: PullAction


@dataclass(frozen=True, slots=True)
class CheckAgain:
    """A check run or suite was asked for again (GitHub ``rerequested``)."""

    repository: Repository
    commit: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Says nothing but: look at the sources this webhook is for."""


Word = Pushed | PullMoved | CheckAgain | LookAgain


@dataclass(frozen=True, slots=True)
class Heard:
    """What one request said."""

    delivery: str
    """The provider's own id of it, or empty; not unique by itself (anyone may repeat one)."""
    words: tuple[Word, ...] = ()
    event: str = ""
    """The provider's name of the event, for people."""
    note: str = ""
    """Why nothing follows from it: ``ping``, ``event not of interest``."""
    repeatable: bool = False
    """The same request on another occasion means that occasion: it acts every time."""


class Absent(Exception):
    """No secret is to be had for it: there is no such endpoint, answered with 404. Its text names
    the reference, never a secret."""


class Malformed(Exception):
    """Signed as it should be, and yet not what the provider documents: answered with 400."""


class Forged(Exception):
    """No valid signature: answered with 401, whatever else is in it."""


class Receiver(Protocol):
    name: str

    def hear(self, letter: Letter) -> Heard:
        """Verifies, then parses. Raises Absent, Forged, Malformed; never anything else."""

    def sample(self, address: str, ref: str) -> Letter:
        """A signed push to ``ref`` of the repository at ``address`` as the provider would send it,
        for ``gitops webhook test``. Its commit is 40 zeros but for the last, its pusher nobody.
        Raises Absent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered over HTTP."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Inbound(Protocol):
    """A notifier that also takes requests (a chat's buttons) at ``/hooks/NAME``."""

    async def receive(self, letter: Letter) -> Reply:
        """Verifies and acts; whatever it answers for is committed when it returns."""


@runtime_checkable
class Listener(Protocol):
    """A notifier that keeps a connection of its own for answers (Slack's Socket Mode)."""

    async def listen(self) -> None:
        """For as long as the controller runs; reconnects by itself."""
