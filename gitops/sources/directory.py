"""A folder on this machine as a source: for trying things out, and for ``gitops plan --local DIR``.

Built through the plugin registry for sources of kind ``directory``; :meth:`DirectorySnapshot.of` is
also called directly for ``--local``. Content ids are computed exactly as git computes them, so a
closure read from a working tree equals the closure of the commit made from it.

It never follows a symbolic link (a link is an entry of its own), never leaves the folder, and never
returns bytes that differ from what it hashed: a file edited in between is an error, not a mixture.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from gitops.errors import RenderError, SourceProblem
from gitops.model.fleet import GitCredentials
from gitops.model.ids import PersonName, SourceName
from gitops.model.source import (
    Authorship,
    Entry,
    EntryKind,
    Read,
    Revision,
    SourceState,
)
from gitops.plugins import Services
from gitops.ports import MAX_BLOB, Look, Snapshot
from gitops.sources.oids import blob_id, tree_id
from gitops.sources.remembered import Remembered

NAME = "directory"
VERSION = "1"

MAX_ENTRIES = 200_000
"""Names in one folder tree; more is a folder somebody did not mean."""
_MAX_DEPTH = 128
_LOCAL = SourceName("local")
_CHUNK = 1 << 20
_SETTLED_NS = 2_000_000_000
"""A file touched less than this before it was hashed may change again without its stat showing it
(coarse timestamps): hashed again at the next look."""


@dataclass(frozen=True, slots=True)
class Options:
    """The fields of a :class:`~gitops.model.fleet.SourceSpec` this source uses."""

    name: str = "local"
    url: str = ""
    """The folder: a path, or ``file://`` and a path. Needs ``allow_local: true``."""
    ref: str = ""
    """Unused: a folder has one state."""
    interval: timedelta = timedelta(seconds=30)
    """Unused here: whoever looks decides when."""
    credentials: GitCredentials = GitCredentials()
    """Unused."""
    allow_local: bool = False
    authors: tuple[PersonName, ...] = ()
    """Who counts as author; none given: unknown."""


def build(options: Options, services: Services) -> DirectorySource:
    """Raises SourceProblem when the folder was not allowed by the fleet file."""
    if not options.allow_local:
        raise SourceProblem(
            f"source {options.name!r} names a folder of this machine",
            state=SourceState.REFUSED,
            hint="say `allow_local: true` at this source if that is meant",
        )
    name = SourceName(options.name)
    states = Remembered(services.state_dir / "sources" / "directory" / name)
    return DirectorySource(Path(options.url.removeprefix("file://")), name, options.authors, states)


class DirectorySource:
    """Plays ports.Source over one folder. A look costs one ``lstat`` for each file."""

    def __init__(
        self,
        root: Path,
        source: SourceName,
        authors: tuple[PersonName, ...] = (),
        states: Remembered | None = None,
    ) -> None:
        self._states = states
        self._root = root
        self._source = source
        self._authors = authors
        self._hashes = _Hashes()
        self._latest: DirectorySnapshot | None = None

    async def look(self, last: Revision | None) -> Look:
        """The folder's present state; a folder has no history, so nothing is ever rewritten."""
        del last
        return Look((await self._scan()).revision)

    async def snapshot(self, revision: Revision) -> Snapshot:
        """Raises SourceProblem when the folder has moved on from a state that was not kept."""
        latest = self._latest
        if latest is None or latest.revision.id != revision.id:
            if self._states is not None:
                kept = await asyncio.to_thread(self._states.find, revision)
                if kept is not None:
                    return kept
            latest = await self._scan()
        if latest.revision.id != revision.id:
            raise SourceProblem(
                f"the folder is no longer in the state {revision.id[:19]}",
                state=SourceState.GONE,
                place=str(self._root),
                hint="a folder keeps no history: look again and work from its present state",
            )
        return latest

    async def authorship(
        self, since: Revision | None, until: Revision, reads: Sequence[Read]
    ) -> Authorship:
        """The persons of ``authors:``; a folder itself knows nobody."""
        del since, until, reads
        if self._authors:
            return Authorship(people=self._authors)
        return Authorship(
            known=False,
            note="a folder does not record who wrote it; name the persons under `authors:`",
        )

    async def remember(self, revision: Revision) -> None:
        """Have this state to be had later, if the folder is still in it. See ports.Remembering."""
        latest = self._latest
        if self._states is not None and latest is not None and latest.revision.id == revision.id:
            with contextlib.suppress(RenderError, OSError):
                await asyncio.to_thread(self._states.keep, latest)

    async def retain(self, wanted: Sequence[Revision]) -> None:
        """See ports.Retaining."""
        if self._states is not None:
            await asyncio.to_thread(self._states.retain, wanted)

    async def _scan(self) -> DirectorySnapshot:
        self._latest = await asyncio.to_thread(
            DirectorySnapshot.of, self._root, self._source, self._hashes
        )
        return self._latest


class DirectorySnapshot:
    """Plays ports.Snapshot over a folder as it was when :meth:`of` read it."""

    def __init__(
        self, root: Path, revision: Revision, folders: Mapping[str, tuple[Entry, ...]]
    ) -> None:
        self._root = root
        self._revision = revision
        self._folders = folders
        self._entries = {e.path: e for entries in folders.values() for e in entries}

    @classmethod
    def of(
        cls, root: Path, source: SourceName = _LOCAL, known: _Hashes | None = None
    ) -> DirectorySnapshot:
        """Hash everything beneath ``root`` but ``.git``.

        Raises SourceProblem when the folder is missing, unreadable or over the limits.
        """
        top = root.expanduser().resolve()
        scan = _Scan(top, known or _Hashes())
        oid = scan.run()
        digest = hashlib.sha256(f"tree {oid}".encode()).hexdigest()
        snapshot = cls(top, Revision(source, f"sha256:{digest}"), scan.folders)
        snapshot._entries[""] = Entry("", EntryKind.TREE, oid)
        return snapshot

    @property
    def root(self) -> Path:
        return self._root

    @property
    def revision(self) -> Revision:
        return self._revision

    def entry(self, path: str) -> Entry | None:
        return self._entries.get(path)

    def children(self, path: str) -> Sequence[Entry]:
        return self._folders.get(path, ())

    def files(self, path: str) -> Sequence[Entry]:
        return sorted(self._walk(path), key=lambda entry: entry.path)

    def read(self, entry: Entry) -> bytes:
        """A blob's bytes, or a link's target. Raises RenderError over 16 MiB, and when the file is
        no longer what was hashed."""
        if entry.kind not in (EntryKind.BLOB, EntryKind.LINK):
            raise RenderError(f"a {entry.kind.value} has no bytes to read", place=entry.path)
        if (entry.size or 0) > MAX_BLOB:
            raise RenderError(
                f"the file has {entry.size} bytes; {MAX_BLOB} is the limit", place=entry.path
            )
        data = self._bytes(entry)
        if data is None or blob_id(data) != entry.oid:
            raise RenderError(
                "the file changed while the folder was being read",
                place=entry.path,
                hint="run again once nothing writes to the folder",
            )
        return data

    def _walk(self, path: str) -> Iterator[Entry]:
        for entry in self._folders.get(path, ()):
            if entry.kind is EntryKind.TREE:
                yield from self._walk(entry.path)
            else:
                yield entry

    def _bytes(self, entry: Entry) -> bytes | None:
        path = self._root / entry.path
        try:
            if entry.kind is EntryKind.LINK:
                return os.fsencode(path.readlink())
            with open(path, "rb", opener=_no_follow) as file:
                return file.read(MAX_BLOB + 1)
        except OSError:
            return None


@dataclass(slots=True)
class _Hashes:
    """Content ids by stat, so that an unchanged file is not read again."""

    known: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)

    def get(self, path: str, facts: os.stat_result) -> str | None:
        found = self.known.get(path)
        return found[1] if found and found[0] == _fingerprint(facts) else None


@dataclass(slots=True)
class _Scan:
    """One pass over a folder. Folders are opened relative to one another and links never
    followed, so that a folder swapped for a link meanwhile leads nowhere."""

    root: Path
    hashes: _Hashes
    folders: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    count: int = 0
    started: int = field(default_factory=time.time_ns)
    fresh: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)

    def run(self) -> str:
        """The root's tree id."""
        try:
            top = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise self._problem(error, "") from error
        try:
            oid = self._folder(top, "", 0)
        finally:
            os.close(top)
        self.hashes.known = self.fresh
        return oid

    def _folder(self, handle: int, path: str, depth: int) -> str:
        if depth > _MAX_DEPTH:
            raise self._limit(f"folders are nested deeper than {_MAX_DEPTH}", path)
        with os.scandir(handle) as found:
            names = sorted(item.name for item in found)
        entries = [
            entry
            for name in names
            if name != ".git" and (entry := self._one(handle, path, name, depth)) is not None
        ]
        self.count += len(entries)
        if self.count > MAX_ENTRIES:
            raise self._limit(f"more than {MAX_ENTRIES} files and folders", path)
        self.folders[path] = tuple(entries)
        return tree_id(entries)

    def _one(self, parent: int, folder: str, name: str, depth: int) -> Entry | None:
        path = f"{folder}/{name}" if folder else name
        try:
            facts = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(facts.st_mode):
                target = os.fsencode(os.readlink(name, dir_fd=parent))
                return Entry(path, EntryKind.LINK, blob_id(target), size=len(target))
            if stat.S_ISDIR(facts.st_mode):
                return self._subfolder(parent, path, name, depth)
            if stat.S_ISREG(facts.st_mode):
                return self._file(parent, path, name, facts)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._problem(error, path) from error
        # Sockets, pipes and devices: git has no word for them either.
        return None

    def _subfolder(self, parent: int, path: str, name: str, depth: int) -> Entry | None:
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            oid = self._folder(handle, path, depth + 1)
        finally:
            os.close(handle)
        if not self.folders[path]:  # git does not record empty folders
            del self.folders[path]
            return None
        return Entry(path, EntryKind.TREE, oid)

    def _file(self, parent: int, path: str, name: str, facts: os.stat_result) -> Entry:
        oid = self.hashes.get(path, facts)
        if oid is None:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
            try:
                facts = os.fstat(handle)
                oid = _hash_file(handle, facts.st_size)
            finally:
                os.close(handle)
            if oid is None:
                raise self._limit("the file changed while it was being read", path)
        if facts.st_mtime_ns < self.started - _SETTLED_NS:
            self.fresh[path] = (_fingerprint(facts), oid)
        executable = bool(facts.st_mode & stat.S_IXUSR)
        return Entry(path, EntryKind.BLOB, oid, executable, facts.st_size)

    def _problem(self, error: OSError, path: str) -> SourceProblem:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        return SourceProblem(
            f"cannot be read: {(error.strerror or 'unknown error').lower()}",
            state=SourceState.GONE if missing else SourceState.REFUSED,
            place=str(self.root / path),
        )

    def _limit(self, message: str, path: str) -> SourceProblem:
        return SourceProblem(message, state=SourceState.INVALID, place=str(self.root / path))


def _fingerprint(facts: os.stat_result) -> tuple[int, ...]:
    return (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino, facts.st_dev)


def _no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _hash_file(handle: int, size: int) -> str | None:
    """None when the file did not have the size it said."""
    state = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    total = 0
    while chunk := os.read(handle, _CHUNK):
        state.update(chunk)
        total += len(chunk)
    return state.hexdigest() if total == size else None
