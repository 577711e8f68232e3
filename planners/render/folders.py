"""Finds the manifest files beneath a folder, walking again only what moved.

Called by the plain renderer. What a folder came to is kept under its tree id, so that one changed
file among thousands costs a walk of the folders above it. A folder with a link in it is walked each
time: what it comes to depends on more than its tree, and every look is part of the closure.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gitops.closures import Recorder
from gitops.errors import RenderError
from gitops.model.source import Entry, EntryKind
from planners.render.names import legible
from planners.render.objects import Assembly, Parsed

SUFFIXES = (".yaml", ".yml", ".json")
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
DEPTH = 128
MAX_FILES = 50_000
_KEPT = 200_000

Read = Callable[[Recorder, str, Entry], Parsed]


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder and everything beneath it came to."""

    oid: str
    parts: tuple[Parsed, ...]
    """In order of path."""
    warnings: tuple[str, ...] = ()
    folders: Mapping[str, Folder] = field(default_factory=dict)
    """Those directly in it, by path."""
    linked: bool = False


@dataclass(frozen=True, slots=True)
class Walked:
    """What a root last came to: its files, and these put together."""

    folder: Folder
    assembly: Assembly


class Folders:
    """The last walk of each root; the least used go when they hold too many files. Thread-safe."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._limit = kept
        self._held: OrderedDict[str, Walked] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, root: str) -> Walked | None:
        with self._lock:
            return self._held.get(root)

    def put(self, root: str, walked: Walked) -> None:
        with self._lock:
            self._held[root] = walked
            self._held.move_to_end(root)
            files = sum(len(each.folder.parts) for each in self._held.values())
            while len(self._held) > 1 and files > self._limit:
                files -= len(self._held.popitem(last=False)[1].folder.parts)


@dataclass(slots=True)
class Walk:
    """One walk from a root down. ``chosen`` is asked with paths relative to the root."""

    recorder: Recorder
    read: Read
    chosen: Callable[[str], bool]
    root: str = ""

    def beneath(self, root: Entry, last: Folder | None) -> Folder:
        """Raises RenderError for a link that leads astray, a file that is no manifest, and for too
        many files or folders within folders."""
        self.root = root.path
        if last is not None and last.oid == root.oid:
            self.recorder.children(root.path)  # looked at, if not walked: part of the closure
        return self._folder(root.path, root.oid, last, 0)

    def _folder(self, path: str, oid: str, last: Folder | None, depth: int) -> Folder:
        if last is not None and last.oid == oid and not last.linked:
            return last
        if depth > DEPTH:
            raise RenderError(f"folders are nested deeper than {DEPTH}", place=path)
        entries = sorted(self.recorder.children(path), key=_in_order)
        chart = next((e for e in entries if depth and _is_chart(e)), None)
        if chart is not None:
            return Folder(oid, (), (_left_out(chart.path),))
        known = last.folders if last is not None else {}
        return self._put_together(path, oid, entries, known, depth)

    def _put_together(
        self,
        path: str,
        oid: str,
        entries: Sequence[Entry],
        known: Mapping[str, Folder],
        depth: int,
    ) -> Folder:
        parts: list[Parsed] = []
        warnings: list[str] = []
        folders: dict[str, Folder] = {}
        linked = False
        skip = len(path) + 1 if path else 0
        for entry in entries:
            if entry.path.startswith(".", skip):
                continue
            if entry.kind is not EntryKind.BLOB:
                legible(entry.path)
            if entry.kind is EntryKind.TREE:
                found = self._folder(entry.path, entry.oid, known.get(entry.path), depth + 1)
                folders[entry.path] = found
                parts += found.parts
                warnings += found.warnings
                linked = linked or found.linked
            elif entry.kind is EntryKind.BLOB:
                self._file(entry.path, entry, parts, warnings)
            else:
                linked = True
                self._linked(entry, parts, warnings)
            if len(parts) > MAX_FILES:
                raise RenderError(f"more than {MAX_FILES:,} manifest files", place=self.root)
        return Folder(oid, tuple(parts), tuple(warnings), folders, linked)

    def _file(self, path: str, blob: Entry, parts: list[Parsed], warnings: list[str]) -> None:
        if not path.endswith(SUFFIXES):
            return
        legible(path)
        if path.rpartition("/")[2] in KUSTOMIZATIONS:
            warnings.append(_not_followed(path))
        elif self.chosen(path[len(self.root) + 1 :] if self.root else path):
            parts.append(self.read(self.recorder, path, blob))

    def _linked(self, link: Entry, parts: list[Parsed], warnings: list[str]) -> None:
        """A link to a manifest, or to a folder of them (links in it are not followed further)."""
        named = link.path.endswith(SUFFIXES)
        if link.kind is EntryKind.LINK and "." in link.path.rpartition("/")[2] and not named:
            return
        target = self.recorder.resolve(link.path, place=link.path)
        if target is None:
            return
        if target.kind is EntryKind.BLOB:
            if named:
                self.recorder.read(target)
                self._file(link.path, target, parts, warnings)
            return
        if link.path.startswith(f"{target.path}/") or not target.path:
            raise RenderError(
                f"the link {link.path} points to a folder it lies in", place=link.path
            )
        for inner in self.recorder.files(target.path):
            if inner.kind is EntryKind.BLOB:
                self._file(link.path + inner.path[len(target.path) :], inner, parts, warnings)


def _in_order(entry: Entry) -> str:
    """Paths of files come out sorted when folders are sorted as if they ended in a slash."""
    return f"{entry.path}/" if entry.kind is EntryKind.TREE else entry.path


def _is_chart(entry: Entry) -> bool:
    return entry.path.endswith("/Chart.yaml") and entry.kind is not EntryKind.TREE


def _left_out(path: str) -> str:
    return (
        f"{path}: a Helm chart inside a plain folder is left out; make it an "
        "application of its own, or name `renderer: helm`"
    )


def _not_followed(path: str) -> str:
    return (
        f"{path}: not followed, the files around it are taken as they are; make the folder an "
        "application of its own, or name `renderer: kustomize`"
    )
