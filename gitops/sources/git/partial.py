"""A copy without old file contents: all commits and folders, and the files of what is delivered.

Called by :mod:`.mirror` (how is fetched) and, off the event loop, by :mod:`.source` and
:mod:`.merging` (what has to be here before anything reads it). The history says who wrote what
without a single file, so the first fetch leaves files out (git's partial clone) and then brings
those of the commit looked at, in one request. A fetch after that leaves nothing out that is new;
what a commit takes back from long ago is noticed here and brought in one request again.

Nothing but a fetch ever asks the remote for what is missing: readers find it missing and say so.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gitops.errors import RenderError
from gitops.model.source import EntryKind
from gitops.ports import MAX_BLOB
from gitops.sources.git.objects import Objects

if TYPE_CHECKING:
    from gitops.sources.git.mirror import Mirror
    from gitops.sources.git.process import Access

REMOTE = "gitops"
WITHOUT_FILES = "blob:none"
WITHOUT_ENORMOUS = f"blob:limit={MAX_BLOB + 1}"
"""What is larger is never read; naming a limit at all keeps the copy a partial one."""
_FEW = 32
"""Files looked for one by one; more are looked for by a process."""
_ROOTS = 64


def promises(url: str) -> Mapping[str, str]:
    """Configuration that tells one git process whose objects may be missing. Written nowhere: in
    the copy's own configuration every git that reads there would fetch what it misses."""
    return {
        f"remote.{REMOTE}.url": url,
        f"remote.{REMOTE}.promisor": "true",
        f"remote.{REMOTE}.partialCloneFilter": WITHOUT_FILES,
    }


class Files:
    """Knows which folders of a mirror have every file beneath them."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._whole: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def forget(self) -> None:
        """The copy is another one. (Without the lock: whoever holds it may be who made it so.)"""
        self._whole.clear()

    def complete(self, access: Access, commits: Iterable[str], stop: threading.Event) -> None:
        """Bring what is missing of these commits' files, in one request if there is anything.

        Raises SourceUnavailable or SourceProblem as a fetch does, MissingRef when the remote no
        longer has them.
        """
        if self._mirror.partial:
            with self._lock:  # what one brings, the next need not
                self._complete(access, commits, stop)

    def _complete(self, access: Access, commits: Iterable[str], stop: threading.Event) -> None:
        objects = self._mirror.objects
        if objects.lost:
            objects.lost = False
            self._whole.clear()
        known = next(reversed(self._whole), "")
        roots = [objects.commit(oid).tree for oid in commits]
        roots = [root for root in roots if root not in self._whole]
        wanted = {oid: None for root in roots for oid in _files(objects, root, known)}
        missing = self._missing(list(wanted))
        if missing:
            self._mirror.bring_files(access, missing, stop)
        self._whole |= dict.fromkeys(roots)
        while len(self._whole) > _ROOTS:
            self._whole.popitem(last=False)

    def _missing(self, oids: Sequence[str]) -> list[str]:
        if len(oids) <= _FEW:
            return [oid for oid in oids if not self._mirror.objects.holds(oid)]
        ended = self._mirror.git(
            ("cat-file", "--batch-check", "--buffer"), input="\n".join([*oids, ""]).encode("ascii")
        )
        lines = ended.stdout.decode("ascii", "replace").splitlines()
        return [line.removesuffix(" missing") for line in lines if line.endswith(" missing")]


def _files(objects: Objects, root: str, known: str) -> Iterator[str]:
    """Every file beneath ``root`` that is not at the same place beneath ``known``.

    No folder is looked through twice: a few of them can hold one another's names a billion times
    over. One that git would not have written is left to whoever reads it.
    """
    seen, pending = {root}, [(root, known)]
    while pending:
        new, old = pending.pop()
        try:
            before = objects.tree(old) if old else {}
            after = objects.tree(new)
        except RenderError:
            continue
        for name, item in after.items():
            was = before.get(name)
            if was == item or item.kind is EntryKind.GITLINK:
                continue
            if item.kind is not EntryKind.TREE:
                yield item.oid
            elif item.oid not in seen:
                seen.add(item.oid)
                pending.append((item.oid, was.oid if was and was.kind is item.kind else ""))
