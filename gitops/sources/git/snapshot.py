"""One commit as a read-only tree of files, without a checkout.

Made by :class:`~gitops.sources.git.source.GitSource`; read by renderers through ports.Snapshot,
from worker threads. Links and submodules are entries: neither is ever followed or fetched.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from gitops.errors import RenderError
from gitops.model.source import Entry, EntryKind, Revision
from gitops.sources.git.objects import Objects, Recent, Tree

MAX_ENTRIES = 200_000
"""Files one listing may hold."""
_MAX_DEPTH = 128
_LISTED = 1_000_000
"""Entries of finished listings kept in memory; shared ones count once for each folder above."""

Listing = tuple[Entry, ...]


class Listings:
    """Finished listings by (path, tree id), shared by all snapshots of one mirror."""

    def __init__(self) -> None:
        self._recent: Recent[tuple[str, str], Listing] = Recent(_LISTED)
        self._lock = threading.Lock()

    def get(self, path: str, oid: str) -> Listing | None:
        with self._lock:
            return self._recent.get((path, oid))

    def put(self, path: str, oid: str, listing: Listing) -> None:
        with self._lock:
            self._recent.put((path, oid), listing, len(listing) + 1)


class GitSnapshot:
    """Plays ports.Snapshot over one commit."""

    def __init__(self, revision: Revision, root: str, objects: Objects, listings: Listings) -> None:
        self._revision = revision
        self._root = root
        self._objects = objects
        self._listings = listings

    @property
    def revision(self) -> Revision:
        return self._revision

    def entry(self, path: str) -> Entry | None:
        if not path:
            return Entry("", EntryKind.TREE, self._root)
        folder, _, name = path.rpartition("/")
        tree = self._tree(folder)
        item = tree.get(name) if tree is not None else None
        return Entry(path, item.kind, item.oid, item.executable) if item else None

    def children(self, path: str) -> Sequence[Entry]:
        tree = self._tree(path)
        if tree is None:
            return ()
        start = f"{path}/" if path else ""
        return tuple(
            Entry(start + name, item.kind, item.oid, item.executable)
            for name, item in sorted(tree.items())
        )

    def files(self, path: str) -> Sequence[Entry]:
        """Raises RenderError over 200,000 entries or 128 folders deep."""
        entry = self.entry(path)
        if entry is None or entry.kind is not EntryKind.TREE:
            return ()
        return self._list(path, entry.oid, 0)

    def read(self, entry: Entry) -> bytes:
        if entry.kind not in (EntryKind.BLOB, EntryKind.LINK):
            raise RenderError(f"a {entry.kind.value} has no bytes to read", place=entry.path)
        return self._objects.blob(entry.oid, entry.path)

    def _tree(self, path: str) -> Tree | None:
        tree = self._objects.tree(self._root)
        for name in path.split("/") if path else ():
            item = tree.get(name)
            if item is None or item.kind is not EntryKind.TREE:
                return None
            tree = self._objects.tree(item.oid)
        return tree

    def _list(self, path: str, oid: str, depth: int) -> Listing:
        found = self._listings.get(path, oid)
        if found is None:
            found = self._make_list(path, oid, depth)
            self._listings.put(path, oid, found)
        return found

    def _make_list(self, path: str, oid: str, depth: int) -> Listing:
        if depth > _MAX_DEPTH:
            raise RenderError(f"folders are nested deeper than {_MAX_DEPTH}", place=path)
        start = f"{path}/" if path else ""
        listing: list[Entry] = []
        for name, item in self._objects.tree(oid).items():
            if item.kind is EntryKind.TREE:
                listing += self._list(start + name, item.oid, depth + 1)
            else:
                listing.append(Entry(start + name, item.kind, item.oid, item.executable))
            if len(listing) > MAX_ENTRIES:
                raise RenderError(f"more than {MAX_ENTRIES} files beneath one folder", place=path)
        listing.sort(key=lambda entry: entry.path)
        return tuple(listing)
