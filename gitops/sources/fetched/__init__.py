"""What a web host and a registry have in common once their bytes are here.

:mod:`.names` judges what a stranger calls a file, :mod:`.unpack` reads archives, :mod:`.packs`
keeps one state as one file that is a snapshot, :mod:`.kept` the states of one source. Called by
:mod:`gitops.sources.web` and :mod:`gitops.sources.oci`, the packs also by
:mod:`gitops.sources.remembered` for folders. No name from an archive or an index ever
becomes a name on this machine's disk.
"""

from __future__ import annotations

from dataclasses import dataclass

from gitops.errors import SourceProblem
from gitops.model.source import SourceState
from gitops.ports import MAX_BLOB


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large one state may be. Numbers a team's configuration does not come near."""

    fetched: int = 64 << 20
    """Bytes on the wire, in all."""
    unpacked: int = 256 << 20
    """Bytes of all files."""
    entries: int = 50_000
    """Files and folders."""
    file: int = MAX_BLOB
    """Bytes of one file."""


def unfit(message: str, place: str, hint: str = "") -> SourceProblem:
    """What came is nothing to deliver from; the last good state stays."""
    return SourceProblem(message, state=SourceState.INVALID, hint=hint, place=place)
