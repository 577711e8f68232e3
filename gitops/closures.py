"""What a rendering read of a source, and whether a later revision still has the same.

A renderer is given a :class:`Recorder` in place of the snapshot; everything it looks at, absences
included, becomes the closure. The engine asks :func:`moved` of each new
revision: one look-up per recorded read decides whether an application is concerned. Symbolic links
are resolved here, inside the tree, and nowhere else: no renderer ever follows one on disk.

Pure: works on any :class:`gitops.ports.Snapshot`. Must never let a path out of the source.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitops.errors import RenderError
from gitops.model.source import Closure, Entry, EntryKind, Read, Revision
from gitops.ports import Snapshot

MAX_LINKS = 40
"""Links followed for one path, as Linux does."""


def normalise(path: str, base: str = "", *, place: str = "") -> str:
    """``path`` as written in a file of folder ``base``, relative to the source's root.

    ``"."`` and ``""`` are ``base`` itself; the root is ``""``. Raises RenderError for an absolute
    path, a NUL byte, and a path that leaves the source.
    """
    if "\0" in path:
        raise RenderError("a path holds a NUL byte", place=place)
    if path.startswith("/"):
        raise RenderError(
            f"the path {path!r} is absolute", hint="write it relative to this file", place=place
        )
    parts = [part for part in base.split("/") if part]
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise RenderError(
                f"the path {path!r} leaves the source", hint="keep it inside", place=place
            )
    return "/".join(parts)


def parent(path: str) -> str:
    return path.rpartition("/")[0]


class Recorder:
    """A snapshot that remembers what was looked at.

    ``entry`` records a blob's, a link's or a gitlink's id, or the absence. A *tree* found by
    ``entry`` is not recorded, for it would stand for everything beneath: what the reader then
    looks up in it is. ``children`` and ``files`` record the tree.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._reads: dict[str, str | None] = {}

    @property
    def revision(self) -> Revision:
        return self._snapshot.revision

    def entry(self, path: str) -> Entry | None:
        found = self._snapshot.entry(path)
        if found is None:
            self._reads[path] = None
        elif found.kind is not EntryKind.TREE:
            self._reads[path] = found.oid
        return found

    def children(self, path: str) -> Sequence[Entry]:
        self._tree(path)
        return self._snapshot.children(path)

    def files(self, path: str) -> Sequence[Entry]:
        self._tree(path)
        return self._snapshot.files(path)

    def read(self, entry: Entry) -> bytes:
        self._reads[entry.path] = entry.oid
        return self._snapshot.read(entry)

    def _tree(self, path: str) -> None:
        found = self._snapshot.entry(path)
        self._reads[path] = found.oid if found else None

    def resolve(self, path: str, *, place: str = "") -> Entry | None:
        """The blob or tree that ``path`` means once links on the way and at its end are followed.

        Its ``path`` is the real one. None where nothing is. Raises RenderError naming the link
        that loops, leaves the source or dangles, and for a submodule.
        """
        hops = [0]
        return self._walk(path, path, hops, place)

    def _walk(self, path: str, asked: str, hops: list[int], place: str) -> Entry | None:
        found = self._snapshot.entry(path)
        if found is not None:
            return self._final(self.entry(path), asked, hops, place)
        # Not there as such: a folder on the way may be a link.
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            over = self._snapshot.entry(above)
            if over is None:
                break
            if over.kind is EntryKind.LINK:
                target = self._target(over, hops, place)
                rest = "/".join(parts[depth:])
                return self._walk(f"{target}/{rest}" if target else rest, asked, hops, place)
        self._reads[path] = None
        return None

    def _final(self, found: Entry | None, asked: str, hops: list[int], place: str) -> Entry | None:
        if found is None or found.kind in (EntryKind.BLOB, EntryKind.TREE):
            return found
        if found.kind is EntryKind.GITLINK:
            raise RenderError(
                f"{found.path} is a submodule, which is not fetched",
                hint="copy the files in, or make it a source of its own",
                place=place,
            )
        target = self._target(found, hops, place)
        beyond = self._walk(target, asked, hops, place)
        if beyond is None:
            raise RenderError(f"the link {found.path} points to nothing", place=place or found.path)
        return beyond

    def _target(self, link: Entry, hops: list[int], place: str) -> str:
        hops[0] += 1
        if hops[0] > MAX_LINKS:
            raise RenderError(f"the link {link.path} leads in a circle", place=place or link.path)
        try:
            text = self.read(link).decode("utf-8")
        except UnicodeDecodeError as error:
            raise RenderError(
                f"the link {link.path} is not UTF-8", place=place or link.path
            ) from error
        try:
            return normalise(text, parent(link.path), place=place or link.path)
        except RenderError as error:
            raise RenderError(
                f"the link {link.path} leaves the source",
                hint="replace it by a copy of the file",
                place=place or link.path,
            ) from error

    def closure(self, outside: Sequence[str] = ()) -> Closure:
        """All reads so far. A read beneath a recorded tree is dropped: the tree covers it."""
        trees = {path for path in self._reads if self._is_tree(path)}
        reads = tuple(
            Read(path, self._reads[path])
            for path in sorted(self._reads)
            if not _covered(path, trees)
        )
        return Closure(reads, tuple(outside))

    def _is_tree(self, path: str) -> bool:
        if self._reads[path] is None:
            return False
        found = self._snapshot.entry(path)
        return found is not None and found.kind is EntryKind.TREE


def _covered(path: str, trees: set[str]) -> bool:
    if not trees or not path:
        return False
    while path:
        path = parent(path)
        if path in trees:
            return True
    return False


def moved(closure: Closure, snapshot: Snapshot) -> tuple[str, ...]:
    """Paths of a closure whose content differs in ``snapshot``; empty: same rendering."""
    result = []
    for read in closure.reads:
        found = snapshot.entry(read.path)
        if (found.oid if found else None) != read.oid:
            result.append(read.path)
    return tuple(result)
