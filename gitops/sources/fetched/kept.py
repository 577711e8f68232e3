"""The states of one source on this machine: the newest, those delivered, and how to ask for news.

Held by the web and the OCI source. Everything is found again after a restart, so that a host that
is away leaves us with the last good state, and one that is there need not send it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gitops.errors import SourceProblem, SourceUnavailable
from gitops.model.ids import PersonName, SourceName
from gitops.model.source import Authorship, Grade, Revision, SourceState
from gitops.sources.fetched.packs import PARTIAL, Damaged, PackSnapshot, PackWriter

KEPT = 16
"""States kept beside those that are wanted: to go back to one that was delivered before."""
_OPEN = 3
"""Snapshots held open."""
_ABANDONED = 3600.0
"""Seconds after which a pack somebody began is nobody's any more."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the last good look found, and how to ask whether it still holds."""

    revision: str
    fetched: str
    """``sha256:…`` of what was asked for: the archive, the index, the manifest."""
    etag: str = ""
    modified: str = ""
    """As the host wrote ``Last-Modified``."""


class Kept:
    """One source's folder below the state folder."""

    def __init__(
        self, folder: Path, source: SourceName, address: str, shape: str, terms: str = ""
    ) -> None:
        """``shape``: the options by which the same bytes become another tree. ``terms``: those by
        which they are taken at all; what was taken under others is not believed again."""
        self._folder = folder
        self._source = source
        self._address = address
        self._shape = hashlib.sha256(shape.encode()).hexdigest()[:12]
        self._terms = hashlib.sha256(f"{address}\0{shape}\0{terms}".encode()).hexdigest()
        self._open: dict[str, PackSnapshot] = {}
        self._lock = threading.Lock()
        """Lanes ask for snapshots from threads of their own."""

    @property
    def folder(self) -> Path:
        return self._folder

    def revision(self, id: str, ref: str = "") -> Revision:
        return Revision(self._source, id, ref)

    async def head(self) -> Head | None:
        """None when nothing is known, or what is known is not here any more."""
        return await asyncio.to_thread(self._head)

    async def keep(self, head: Head, fill: Callable[[PackWriter], Mapping[str, str]]) -> Head:
        """A new state: ``fill`` writes its files and returns notes on it (``signed``). An empty
        ``head.revision`` becomes the id of the tree. Runs in a thread."""
        try:
            return await asyncio.to_thread(self._keep, head, fill)
        except OSError as error:
            raise SourceUnavailable(
                f"the state folder cannot be written ({(error.strerror or 'unknown').lower()})",
                hint="free space for the state folder",
                place=self._address,
            ) from error

    async def note(self, head: Head) -> None:
        """The state is the known one; how to ask for it has changed."""
        await asyncio.to_thread(self._write_head, head)

    async def snapshot(self, revision: Revision) -> PackSnapshot:
        """Raises SourceProblem for a state that is not here."""
        found = await asyncio.to_thread(self.opened, revision.id)
        if found is None:
            raise SourceProblem(
                f"the state {revision.id[:19]} is not kept any more",
                state=SourceState.GONE,
                place=self._address,
                hint="the host keeps no history: work from its present state",
            )
        return found

    async def authorship(
        self, authors: tuple[PersonName, ...], until: Revision, what: str
    ) -> Authorship:
        """The persons of ``authors:``; bytes from a host know nobody."""
        found = await asyncio.to_thread(self.opened, until.id)
        signer = found.notes.get("signed", "") if found is not None else ""
        grade = Grade.SIGNED if signer else Grade.CLAIMED
        note = f"signed by {signer}" if signer else ""
        if authors:
            return Authorship(people=authors, grade=grade, note=note)
        unknown = f"{what} does not record who wrote it; name the persons under `authors:`"
        note = f"{note}; {unknown}" if note else unknown
        return Authorship(grade=grade, known=False, note=note)

    async def retain(self, wanted: Sequence[Revision]) -> None:
        """Removes every state but these, the newest, and :data:`KEPT` before it."""
        names = {self._pack(revision.id).name for revision in wanted}
        await asyncio.to_thread(self._retire, names)

    def opened(self, id: str) -> PackSnapshot | None:
        """The state of this id as a snapshot; None when it is not here, or damaged."""
        with self._lock:
            found = self._open.pop(id, None) or self._read(id)
            if found is not None:
                self._open[id] = found
            while len(self._open) > _OPEN:
                del self._open[next(iter(self._open))]
            return found

    def _read(self, id: str) -> PackSnapshot | None:
        try:
            return PackSnapshot(self._pack(id), self.revision(id))
        except (OSError, Damaged, ValueError, KeyError, TypeError):
            return None

    def _keep(self, head: Head, fill: Callable[[PackWriter], Mapping[str, str]]) -> Head:
        with PackWriter(self._folder) as writer:
            notes = fill(writer)
            if not head.revision:
                tree = hashlib.sha256(f"tree {writer.tree()}".encode()).hexdigest()
                head = Head(f"sha256:{tree}", head.fetched, head.etag, head.modified)
            writer.finish(self._pack(head.revision), notes)
        with self._lock:
            self._open.pop(head.revision, None)
        self._write_head(head)
        return head

    def _head(self) -> Head | None:
        try:
            made = json.loads((self._folder / "head.json").read_bytes())
            if made.pop("terms") != self._terms:
                return None
            head = Head(**made)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return head if self.opened(head.revision) is not None else None

    def _write_head(self, head: Head) -> None:
        made = {**asdict(head), "terms": self._terms}
        partial = self._folder / f"{PARTIAL}head-{os.getpid()}"
        partial.write_text(json.dumps(made))
        partial.replace(self._folder / "head.json")

    def _pack(self, id: str) -> Path:
        """Ids come from the store as well: whatever they hold, the name is a plain one."""
        return self._folder / f"{hashlib.sha256(id.encode()).hexdigest()[:40]}-{self._shape}.pack"

    def _retire(self, wanted: set[str]) -> None:
        head = self._head()
        if head is not None:
            wanted.add(self._pack(head.revision).name)
        with contextlib.suppress(OSError):
            packs = sorted(self._folder.glob("*.pack"), key=_age)
            spare = [pack for pack in packs if pack.name not in wanted][KEPT:]
            begun = self._folder.glob(f"{PARTIAL}*")
            abandoned = [part for part in begun if time.time() + _age(part) > _ABANDONED]
            for path in (*spare, *abandoned):
                path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Sorts the newest first; what has just gone counts as new."""
    with contextlib.suppress(OSError):
        return -path.stat().st_mtime
    return -time.time()
