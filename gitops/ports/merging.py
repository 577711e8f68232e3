"""What a pull request would make of a source, before it is merged.

Played by git sources; used by pull-request previews, which render, check and plan the revision they
get and apply nothing. A source that cannot merge (a web host, a folder) does not play it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gitops.model.source import Revision


@dataclass(frozen=True, slots=True)
class Conflict:
    """The two cannot be merged without a person."""

    paths: tuple[str, ...]
    """What both sides changed, sorted; at most 100. Foreign text: escape it before display."""
    reason: str = ""
    """Why, where no path is to blame: the two have no common history."""


@runtime_checkable
class Merging(Protocol):
    async def merged(self, base: Revision, head: str) -> Revision | Conflict:
        """What merging commit ``head`` (full id in hex) into ``base``, a revision that a look
        returned, would give. The result works with ``snapshot`` and ``authorship`` like any other
        revision and is the same for the same two commits. Raises SourceProblem when the remote
        does not have ``head``, SourceUnavailable when it does not answer."""

    async def forget(self, revision: Revision) -> None:
        """Let go of what :meth:`merged` returned; anything else stays as it is."""
