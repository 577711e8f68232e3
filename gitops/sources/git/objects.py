"""Reads commits, trees and blobs from a mirror's object store.

The only module that imports GitPython, and only for its persistent ``cat-file`` reader, started the
hardened way. (Its pure-Python database maps pack files into our own memory, where a file cut short
by a failing disk ends the whole controller with SIGBUS; a child that dies of it is started again.)
Called by :mod:`.snapshot`, :mod:`.history` and :mod:`.source`, from any thread.

Objects never change, so parsed trees are kept by id: a second revision costs only the trees on the
paths that differ.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, TypeVar
from weakref import WeakKeyDictionary, finalize

from gitops.errors import RenderError, SourceProblem
from gitops.model.source import EntryKind, SourceState
from gitops.ports import MAX_BLOB
from gitops.sources.git.process import serve

_MAX_TREE = 64 << 20
_MAX_COMMIT = MAX_BLOB
_MAX_PEEL = 8
_TREE_ITEMS = 400_000
"""Names of parsed trees kept in memory, of all revisions together."""

_MAX_READERS = 16
"""Reader processes of all mirrors together; the one started first makes room."""

_SECONDS = re.compile(r"> (-?\d{1,18})\b")

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
    signed: bytes = b""
    """First line of its signature; empty when it has none."""

    @property
    def time(self) -> int:
        """Committer time, seconds since the epoch: claimed."""
        found = _SECONDS.search(self.committer)
        return int(found[1]) if found else 0


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


class _Content:
    """One object's bytes on the reader's pipe. GitPython's own class reads what nobody wanted into
    memory when it is dropped, however large; here the reader is ended instead."""

    def __init__(self, size: int, pipe: IO[bytes]) -> None:
        self._size = size
        self._pipe = pipe

    def read(self) -> bytes:
        data = self._pipe.read(self._size + 1)  # and the newline after it
        if len(data) != self._size + 1:
            raise EOFError
        return data[:-1]


class Objects:
    """One mirror's objects. Thread-safe."""

    _readers: ClassVar[WeakKeyDictionary[Objects, None]] = WeakKeyDictionary()
    _registry: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._reader: Any = None
        self._closer: finalize[[], Objects] | None = None
        self._trees: Recent[str, Tree] = Recent(_TREE_ITEMS)
        self.damaged = False
        """Something could not be read: the mirror is made anew at the next chance."""
        self.partial = False
        """Files may be missing without anything being broken."""
        self.lost = False
        """One was: what is thought to be here has to be looked for again."""

    def has(self, oid: str) -> bool:
        """Is it here as a commit (or tag) that can be read?"""
        try:
            self._read(oid, _MAX_COMMIT)
        except (Missing, Damaged):
            return False
        except RenderError:
            return True
        return True

    def holds(self, oid: str) -> bool:
        """Is a file here, whatever its size?"""
        try:
            self._read(oid, MAX_BLOB)
        except Missing:
            return False
        except RenderError:
            return True
        return True

    def reopen(self) -> None:
        """Read anew: the mirror was made again."""
        with self._lock:
            self._end_reader()
            self.damaged = False

    def close(self) -> None:
        """End the reader; it starts again when needed."""
        with self._lock:
            self._end_reader()

    def blob(self, oid: str, place: str = "") -> bytes:
        """Raises RenderError over 16 MiB or when it is no blob, Missing or Damaged."""
        return self._typed(oid, "blob", MAX_BLOB, place)

    def tree(self, oid: str) -> Tree:
        """Raises RenderError for a tree git would not have written."""
        with self._lock:
            found = self._trees.get(oid)
        if found is None:
            found = parse_tree(self._typed(oid, "tree", _MAX_TREE), oid)
            with self._lock:
                self._trees.put(oid, found, len(found) + 1)
        return found

    def commit(self, oid: str) -> RawCommit:
        return parse_commit(self._typed(oid, "commit", _MAX_COMMIT))

    def peel(self, oid: str) -> str | None:
        """The commit a ref's object stands for (tags are followed); None if it is none."""
        for _ in range(_MAX_PEEL):
            kind, data = self._read(oid, MAX_BLOB)
            if kind == "commit":
                return oid
            if kind != "tag":
                return None
            oid = data.split(b"\n", 1)[0].removeprefix(b"object ").decode("ascii", "replace")
        return None

    def _typed(self, oid: str, kind: str, limit: int, place: str = "") -> bytes:
        try:
            found, data = self._read(oid, limit, place)
        except Missing:
            # A commit may be unknown; what a commit here holds must be here as well.
            if kind == "blob" and self.partial:
                self.lost = True
            else:
                self.damaged = self.damaged or kind != "commit"
            raise
        if found != kind:
            raise RenderError(f"{oid} is a {found}, not a {kind}", place=place)
        return data

    def _read(self, oid: str, limit: int, place: str = "") -> tuple[str, bytes]:
        """(type, bytes)"""
        with self._lock:
            for attempt in (1, 2):
                try:
                    return self._ask(oid, limit, place)
                except (BrokenPipeError, EOFError) as error:
                    # The reader is gone: ended from outside, or by what it was to read.
                    self._end_reader()
                    if attempt == 2:
                        self.damaged = True
                        raise Damaged(oid, place) from error
        raise AssertionError("unreachable")

    def _ask(self, oid: str, limit: int, place: str) -> tuple[str, bytes]:
        try:
            _, raw, size, content = self._started().stream_object_data(oid)
        except ValueError as error:
            if "missing" in str(error):
                raise Missing(oid) from None
            raise EOFError from error  # no answer at all
        if size > limit:
            self._end_reader()
            raise RenderError(f"the file has {size} bytes; {limit} is the limit", place=place)
        return raw.decode("ascii"), content.read()  # bytes, whatever its annotation says

    def _started(self) -> Any:
        if self._reader is None:
            if not (self._folder / "HEAD").exists():
                raise ValueError("missing")
            reader = _reader_class()(str(self._folder))
            # Also ends the process when we are dropped or the interpreter exits.
            self._closer = finalize(self, reader.clear_cache)
            self._reader = reader
            self._make_room()
        return self._reader

    def _make_room(self) -> None:
        with self._registry:
            self._readers[self] = None
            first = next(iter(self._readers))
            crowded = len(self._readers) > _MAX_READERS
        if crowded and first is not self and first._lock.acquire(blocking=False):
            try:
                first._end_reader()
            finally:
                first._lock.release()

    def _end_reader(self) -> None:
        if self._closer is not None:
            self._closer()
        self._reader = self._closer = None
        with self._registry:
            self._readers.pop(self, None)


@cache
def _reader_class() -> Any:
    from git.cmd import Git  # noqa: PLC0415 - 70 ms that only a fleet with git sources pays

    class Reader(Git):
        """GitPython's reader on a process that :mod:`.process` started."""

        CatFileContentStream = _Content  # type: ignore[assignment]

        def execute(self, command: Any, *_: Any, **__: Any) -> Any:
            folder = Path(str(self._working_dir))
            return self.AutoInterrupt(serve(tuple(command[1:]), folder=folder), command)

    return Reader


# Python knows codecs that compute, fail or yield lone surrogates; a commit names its own codec.
_ENCODINGS = re.compile(
    r"(?:iso-?8859-(?:[1-9]|1[0134-6])|latin-?1|(?:windows-|cp)125[0-8]|koi8-[ru]|euc-(?:jp|kr)"
    r"|shift_jis|gbk|gb2312|gb18030|big5)\Z",
    re.IGNORECASE,
)
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
    declared = fields.get("encoding", [b""])[0].decode("ascii", "replace")
    encoding = declared if _ENCODINGS.match(declared) else "utf-8"

    def text(raw: bytes) -> str:
        return raw.decode(encoding, "replace").replace("\0", "�")

    return RawCommit(
        tree=fields.get("tree", [b""])[0].decode("ascii", "replace"),
        parents=tuple(p.decode("ascii", "replace") for p in fields.get("parent", ())),
        author=text(fields.get("author", [b""])[0]),
        committer=text(fields.get("committer", [b""])[0]),
        message=text(body),
        signed=fields.get("gpgsig", [b""])[0],
    )
