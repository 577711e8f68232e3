"""Reads commits, trees and blobs straight from a mirror's object store.

The only module that imports GitPython, and only for its object database: that part reads files
and starts no process. (The part that runs git is where GitPython's advisories come from;
:mod:`.process` replaces it.) Called by :mod:`.snapshot`, :mod:`.history` and :mod:`.source`,
from any thread.

Objects never change, so parsed trees are kept by id: a second revision costs only the trees on the
paths that differ.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from gitops.errors import RenderError, SourceProblem
from gitops.model.source import EntryKind, SourceState

MAX_BLOB = 16 << 20
"""Bytes; ports.Snapshot."""
_MAX_TREE = 64 << 20
_MAX_COMMIT = 1 << 20
_MAX_PEEL = 8
_TREE_ITEMS = 400_000
"""Names of parsed trees kept in memory, of all revisions together."""

# What gitdb lets through when a file is cut off or overwritten.
_BROKEN = (
    FileNotFoundError,
    ValueError,
    AssertionError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
)

K = TypeVar("K")
V = TypeVar("V")


class Missing(SourceProblem):
    """The object is not in the store."""

    def __init__(self, oid: str) -> None:
        super().__init__(
            f"object {oid[:12]} is not in the local copy of the repository",
            state=SourceState.INVALID,
            hint="it is fetched again with the next look at the source",
        )


class Damaged(SourceProblem):
    """The store itself is broken: a crash of the machine, a failing disk."""

    def __init__(self, oid: str, place: str) -> None:
        super().__init__(
            f"object {oid[:12]} of the local copy is damaged",
            state=SourceState.INVALID,
            place=place,
            hint="the copy is made anew with the next look at the source",
        )


@dataclass(frozen=True, slots=True)
class Item:
    """One name in a tree."""

    kind: EntryKind
    oid: str
    executable: bool = False


Tree = Mapping[str, Item]


@dataclass(frozen=True, slots=True)
class RawCommit:
    """A commit object's own fields; both people as ``Name <mail> seconds zone``."""

    tree: str
    parents: tuple[str, ...]
    author: str
    committer: str
    message: str


class Recent(Generic[K, V]):
    """The most recently used values, until their weights add up to a bound. Not thread-safe."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._held: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._weight = 0

    def get(self, key: K) -> V | None:
        found = self._held.get(key)
        if found is None:
            return None
        self._held.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, weight: int) -> None:
        if key in self._held:
            return
        self._held[key] = (value, weight)
        self._weight += weight
        while self._weight > self._bound and len(self._held) > 1:
            _, (_, gone) = self._held.popitem(last=False)
            self._weight -= gone


class Objects:
    """One mirror's objects. Thread-safe: gitdb is not, so one lock guards it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "objects"
        self._lock = threading.Lock()
        self._database: Any = None
        self._trees: Recent[str, Tree] = Recent(_TREE_ITEMS)
        self.damaged = False
        """Something could not be read: the mirror is made anew at the next chance."""

    def has(self, oid: str) -> bool:
        try:
            self._read(oid, 0)
        except (Missing, Damaged):
            return False
        return True

    def reopen(self) -> None:
        """Forget open files: the mirror was repacked or made anew."""
        with self._lock:
            self._database = None
            self.damaged = False

    def blob(self, oid: str, place: str = "") -> bytes:
        """Raises RenderError over 16 MiB or when it is no blob, Missing or Damaged."""
        return self._typed(oid, b"blob", MAX_BLOB, place)

    def tree(self, oid: str) -> Tree:
        """Raises RenderError for a tree git would not have written."""
        with self._lock:
            found = self._trees.get(oid)
        if found is None:
            found = parse_tree(self._typed(oid, b"tree", _MAX_TREE), oid)
            with self._lock:
                self._trees.put(oid, found, len(found) + 1)
        return found

    def commit(self, oid: str) -> RawCommit:
        return parse_commit(self._typed(oid, b"commit", _MAX_COMMIT))

    def peel(self, oid: str) -> str | None:
        """The commit a ref's object stands for (tags are followed); None if it is none."""
        for _ in range(_MAX_PEEL):
            kind, data = self._read(oid, _MAX_COMMIT)
            if kind == b"commit":
                return oid
            if kind != b"tag":
                return None
            oid = data.split(b"\n", 1)[0].removeprefix(b"object ").decode("ascii", "replace")
        return None

    def _typed(self, oid: str, kind: bytes, limit: int, place: str = "") -> bytes:
        found, data = self._read(oid, limit, place)
        if found != kind:
            raise RenderError(f"{oid} is a {found.decode()}, not a {kind.decode()}", place=place)
        return data

    def _read(self, oid: str, limit: int, place: str = "") -> tuple[bytes, bytes]:
        """(type, bytes); a limit of 0 reads no bytes."""
        with self._lock:
            try:
                return self._read_locked(bytes.fromhex(oid), limit, place)
            except KeyError:
                raise Missing(oid) from None
            except _BROKEN:
                self._database = None  # a repack may have removed the file under us: look again
            try:
                return self._read_locked(bytes.fromhex(oid), limit, place)
            except KeyError:
                raise Missing(oid) from None
            except _BROKEN as error:
                self.damaged = True
                raise Damaged(oid, place) from error

    def _read_locked(self, binary: bytes, limit: int, place: str) -> tuple[bytes, bytes]:
        database = self._open()
        info = _find(database, binary)
        if limit == 0:
            return info.type, b""
        if info.size > limit:
            raise RenderError(f"the file has {info.size} bytes; {limit} is the limit", place=place)
        stream = database.stream(binary)
        # A small delta may stand on an enormous base, which reading would unpack.
        base = _base_size(stream)
        if base > 4 * max(limit, MAX_BLOB):
            raise RenderError(
                f"the file is stored against one of {base} bytes, over the limit", place=place
            )
        return info.type, stream.read()

    def _open(self) -> Any:
        if self._database is None:
            from git.db import GitDB  # noqa: PLC0415 - 70 ms that only a fleet with git sources pays

            self._database = GitDB(str(self._folder))
        return self._database


def _base_size(stream: Any) -> int:
    from gitdb.stream import DeltaApplyReader  # noqa: PLC0415 - as above

    return stream.stream._bstream.size if isinstance(stream.stream, DeltaApplyReader) else 0


def _find(database: Any, binary: bytes) -> Any:
    from gitdb.exc import BadObject  # noqa: PLC0415 - as above

    try:
        return database.info(binary)
    except BadObject:
        # What a fetch brought as a pack is seen only after the list of packs is read again.
        database.update_cache(force=True)
    try:
        return database.info(binary)
    except BadObject as error:
        raise KeyError(binary) from error


_KINDS = {
    "100644": (EntryKind.BLOB, False),
    "100755": (EntryKind.BLOB, True),
    "100664": (EntryKind.BLOB, False),  # written by very old versions of git
    "120000": (EntryKind.LINK, False),
    "40000": (EntryKind.TREE, False),
    "160000": (EntryKind.GITLINK, False),
}


def parse_tree(data: bytes, oid: str) -> Tree:
    """Pure. Names that are not UTF-8 keep their bytes as surrogates, as the os module does.

    Format: ``MODE SP NAME NUL ID(20)`` repeated. Raises RenderError for names that lead elsewhere.
    """
    items: dict[str, Item] = {}
    position, end = 0, len(data)
    while position < end:
        space = data.find(b" ", position)
        zero = data.find(b"\0", space)
        if space < 0 or zero < 0 or zero + 21 > end:
            raise RenderError(f"tree {oid} is cut off")
        mode = data[position:space].decode("ascii", "replace").lstrip("0")
        name = data[space + 1 : zero].decode("utf-8", "surrogateescape")
        if mode not in _KINDS:
            raise RenderError(f"tree {oid} has an entry of mode {mode[:10]!r}", place=name[:200])
        if name in ("", ".", "..") or "/" in name or name.casefold() == ".git" or name in items:
            raise RenderError(f"tree {oid} has a name git does not allow: {name[:200]!r}")
        kind, executable = _KINDS[mode]
        items[name] = Item(kind, data[zero + 1 : zero + 21].hex(), executable)
        position = zero + 21
    return items


def parse_commit(data: bytes) -> RawCommit:
    """Pure. Undecodable text becomes replacement characters: it is shown and stored, never run."""
    head, _, body = data.partition(b"\n\n")
    fields: dict[str, list[bytes]] = {}
    for line in head.split(b"\n"):
        if not line.startswith(b" "):  # a continued line, of a signature
            key, _, value = line.partition(b" ")
            fields.setdefault(key.decode("ascii", "replace"), []).append(value)
    encoding = fields.get("encoding", [b"utf-8"])[0].decode("ascii", "replace")

    def text(raw: bytes) -> str:
        try:
            return raw.decode(encoding, "replace").replace("\0", "�")
        except LookupError:
            return raw.decode("utf-8", "replace").replace("\0", "�")

    return RawCommit(
        tree=fields.get("tree", [b""])[0].decode("ascii", "replace"),
        parents=tuple(p.decode("ascii", "replace") for p in fields.get("parent", ())),
        author=text(fields.get("author", [b""])[0]),
        committer=text(fields.get("committer", [b""])[0]),
        message=text(body),
    )
