"""One state of a source as one file: its contents one after another, then an index of them.

Written by :mod:`.unpack` and the web source, read as a snapshot by renderers. An archive is
unpacked once, not at every look and every restart, and of a large one no more is in memory than
was read. A pack is complete or not there; every content is held against its id when it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from gitops.errors import RenderError
from gitops.model.source import Entry, EntryKind, Revision
from gitops.ports import MAX_BLOB
from gitops.sources.oids import blob_id, tree_id

_MAGIC = b"gitops pack 1\n"
_TAIL = 8 + 32
"""Length of the index and its SHA-256, at the very end."""
PARTIAL = ".part-"


class Damaged(Exception):
    """A pack is not what was written; it is made again."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Where one file's content is."""

    path: str
    oid: str
    sha256: str
    offset: int
    size: int
    executable: bool


class PackWriter:
    """A pack being written. Use as a context; what is not finished leaves nothing behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=PARTIAL, dir=folder)
        self._file = os.fdopen(handle, "wb")
        self._path: Path | None = Path(name)
        self._entries: list[Packed] = []
        self._known: dict[str, int] = {}
        self._file.write(_MAGIC)
        self._at = len(_MAGIC)
        self.size = 0
        """Bytes of all files added."""

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    @property
    def empty(self) -> bool:
        return not self._entries

    def add(self, path: str, content: bytes, *, executable: bool = False) -> None:
        """One file; the same content is kept once."""
        digest = hashlib.sha256(content).hexdigest()
        offset = self._known.get(digest)
        if offset is None:
            offset = self._known[digest] = self._at
            self._file.write(content)
            self._at += len(content)
        self.size += len(content)
        self._entries.append(
            Packed(path, blob_id(content), digest, offset, len(content), executable)
        )

    def tree(self) -> str:
        """The id git would give the tree of what was added so far."""
        return _Folders(self._entries).root

    def finish(self, target: Path, notes: Mapping[str, str]) -> None:
        """Durable under ``target`` when it returns."""
        rows = [[e.path, e.oid, e.sha256, e.offset, e.size, e.executable] for e in self._entries]
        index = json.dumps({"notes": dict(notes), "entries": rows}).encode()
        self._file.write(index + len(index).to_bytes(8, "big") + hashlib.sha256(index).digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        assert self._path is not None
        self._path.replace(target)
        self._path = None
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class PackSnapshot:
    """Plays ports.Snapshot over a pack. Reads go on although the file is removed meanwhile."""

    def __init__(self, path: Path, revision: Revision) -> None:
        """Raises Damaged, or OSError when there is none."""
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._handle)
        packed, self.notes = _index(self._handle)
        self._revision = revision
        self._packed = {each.path: each for each in packed}
        self._by_sha256 = {each.sha256: each for each in packed}
        self._folders = _Folders(packed)
        found = (entry for entries in self._folders.by_path.values() for entry in entries)
        self._entries = {entry.path: entry for entry in found}
        self._entries[""] = Entry("", EntryKind.TREE, self._folders.root)

    @property
    def revision(self) -> Revision:
        return self._revision

    def entry(self, path: str) -> Entry | None:
        return self._entries.get(path)

    def children(self, path: str) -> Sequence[Entry]:
        return self._folders.by_path.get(path, ())

    def files(self, path: str) -> Sequence[Entry]:
        return sorted(self._walk(path), key=lambda entry: entry.path)

    def read(self, entry: Entry) -> bytes:
        """A blob's bytes. Raises RenderError over 16 MiB, and when the disk lost them."""
        found = self._packed.get(entry.path)
        if found is None or entry.kind is not EntryKind.BLOB:
            raise RenderError(f"a {entry.kind.value} has no bytes to read", place=entry.path)
        if found.size > MAX_BLOB:
            message = f"the file has {found.size} bytes; {MAX_BLOB} is the limit"
            raise RenderError(message, place=entry.path)
        data = self._bytes(found)
        if data is None or blob_id(data) != entry.oid:
            raise RenderError(
                "the copy kept of this file is damaged",
                hint="check the disk of the state folder",
                place=entry.path,
            )
        return data

    def by_sha256(self, digest: str) -> bytes | None:
        """The content with this digest, if it is here and whole."""
        found = self._by_sha256.get(digest)
        data = self._bytes(found) if found is not None else None
        whole = data is not None and hashlib.sha256(data).hexdigest() == digest
        return data if whole else None

    def digests(self) -> Mapping[str, Packed]:
        """Each file by its content's SHA-256 in hex."""
        return self._by_sha256

    def _walk(self, path: str) -> Iterator[Entry]:
        for entry in self._folders.by_path.get(path, ()):
            if entry.kind is EntryKind.TREE:
                yield from self._walk(entry.path)
            else:
                yield entry

    def _bytes(self, found: Packed) -> bytes | None:
        with contextlib.suppress(OSError):
            return os.pread(self._handle, found.size, found.offset)
        return None


class _Folders:
    """Folders from paths, and their ids from the leaves up."""

    def __init__(self, packed: Sequence[Packed]) -> None:
        inside: dict[str, dict[str, Entry]] = {"": {}}
        for each in packed:
            entry = Entry(each.path, EntryKind.BLOB, each.oid, each.executable, each.size)
            inside.setdefault(_parent(each.path), {})[each.path] = entry
            folder = _parent(each.path)
            while folder:
                inside.setdefault(_parent(folder), {})
                folder = _parent(folder)
        self.by_path: dict[str, tuple[Entry, ...]] = {}
        self.root = ""
        for folder in sorted(inside, key=_depth, reverse=True):
            entries = inside[folder].values()
            # By name, as ports.Snapshot wants it; git's own order is the id's affair.
            self.by_path[folder] = tuple(sorted(entries, key=lambda entry: entry.path))
            oid = tree_id(entries)
            if folder:
                inside[_parent(folder)][folder] = Entry(folder, EntryKind.TREE, oid)
            else:
                self.root = oid


def _index(handle: int) -> tuple[list[Packed], Mapping[str, str]]:
    size = os.fstat(handle).st_size
    tail = os.pread(handle, _TAIL, max(0, size - _TAIL))
    length = int.from_bytes(tail[:8], "big")
    index = os.pread(handle, length, size - _TAIL - length) if length < size - _TAIL else b""
    if len(tail) < _TAIL or hashlib.sha256(index).digest() != tail[8:]:
        raise Damaged("the index of a pack is damaged")
    made = json.loads(index)
    return [Packed(*row) for row in made["entries"]], made["notes"]


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _depth(path: str) -> int:
    return path.count("/") + 1 if path else 0
