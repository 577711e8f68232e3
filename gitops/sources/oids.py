"""Pure: content ids as git computes them, for sources that are not git.

So a closure read from a folder, an archive or an artifact equals that of a commit with the same
content. Called by the directory source and by :mod:`gitops.sources.fetched`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from gitops.model.source import Entry, EntryKind


def blob_id(data: bytes) -> str:
    """As git names a blob: SHA-1 over ``blob SIZE NUL`` and the bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def tree_id(entries: Iterable[Entry]) -> str:
    """As git names a tree: folders sort as if their name ended in ``/``."""
    rows = []
    for entry in entries:
        name = os.fsencode(entry.path.rpartition("/")[2])
        tree = entry.kind is EntryKind.TREE
        rows.append((name + b"/" * tree, _mode(entry) + b" " + name + b"\0", entry.oid))
    body = b"".join(head + bytes.fromhex(oid) for _, head, oid in sorted(rows))
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def _mode(entry: Entry) -> bytes:
    if entry.kind is EntryKind.TREE:
        return b"40000"
    if entry.kind is EntryKind.LINK:
        return b"120000"
    return b"100755" if entry.executable else b"100644"
