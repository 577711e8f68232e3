"""States of a folder that were asked about, so that one that was delivered can be gone back to.

A folder has one state and no history. Held by the directory source, which packs a state when the
engine says that people are asked about it. Never grows without bound: what is too large is not
kept, and :data:`KEPT` states stay beside those somebody wants.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

from gitops.model.source import EntryKind, Revision
from gitops.ports import Snapshot
from gitops.sources.fetched.packs import Damaged, PackSnapshot, PackWriter

KEPT = 16
LARGEST = 64 << 20
"""Bytes of all files of a state; a larger one is not kept."""


class Remembered:
    """One source's folder below the state folder. Synchronous: call it off the loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, snapshot: Snapshot) -> None:
        """Does nothing for a state that is too large, or that has links: a pack holds files.
        Raises RenderError when the folder moves on meanwhile, OSError when it cannot be written."""
        target = self._pack(snapshot.revision)
        entries = snapshot.files("")
        if target.exists() or any(entry.kind is not EntryKind.BLOB for entry in entries):
            return
        if sum(entry.size or 0 for entry in entries) > LARGEST:
            return
        with PackWriter(self._folder) as writer:
            for entry in entries:
                writer.add(entry.path, snapshot.read(entry), executable=entry.executable)
            writer.finish(target, {})

    def find(self, revision: Revision) -> PackSnapshot | None:
        with contextlib.suppress(OSError, Damaged, ValueError, KeyError, TypeError):
            return PackSnapshot(self._pack(revision), revision)
        return None

    def retain(self, wanted: Sequence[Revision]) -> None:
        """Removes every state but these and the newest."""
        names = {self._pack(revision) for revision in wanted}
        with contextlib.suppress(OSError):
            packs = sorted(self._folder.glob("*.pack"), key=lambda pack: -pack.stat().st_mtime)
            for pack in [pack for pack in packs if pack not in names][KEPT:]:
                pack.unlink(missing_ok=True)

    def _pack(self, revision: Revision) -> Path:
        return self._folder / f"{hashlib.sha256(revision.id.encode()).hexdigest()[:40]}.pack"
