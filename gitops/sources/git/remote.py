"""One remote within this process: every source on one address shares its requests and its copy.

Held by :class:`~gitops.sources.git.source.GitSource`. All looks that begin in the same turn of the
event loop, or while an earlier request is still under way, are answered by one request. A look is
never answered by a request that began before it: a push between the two would be missed, and a
nudge comes right after a push.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import ClassVar, TypeVar
from weakref import WeakValueDictionary

from gitops.sources.git.address import candidates
from gitops.sources.git.mirror import Mirror, MissingRef
from gitops.sources.git.process import Access

T = TypeVar("T")

_THREADS = ThreadPoolExecutor(32, thread_name_prefix="git-remote")
"""For whatever waits for a remote, for minutes if that is silent. The threads of the event loop,
few as they are, look up names, start renderers and write files for everybody else."""


class Heads:
    """What one request told: each ref's object, and which refs there are where one was missing."""

    def __init__(self, found: dict[str, str], listing: dict[str, str] | None = None) -> None:
        self._found = found
        self._listing = listing

    def of(self, ref: str) -> str | None:
        return next((self._found[n] for n in candidates(ref) if n in self._found), None)

    @property
    def empty(self) -> bool:
        return self._listing is not None and not self._listing

    @property
    def branches(self) -> list[str]:
        start = "refs/heads/"
        return sorted(n.removeprefix(start) for n in self._listing or () if n.startswith(start))


class Remote:
    """One address as reached with one set of credentials."""

    _all: ClassVar[WeakValueDictionary[tuple[Path, Access], Remote]] = WeakValueDictionary()
    _mirrors: ClassVar[WeakValueDictionary[tuple[Path, str], Mirror]] = WeakValueDictionary()

    def __init__(self, base: Path, access: Access) -> None:
        self.access = access
        url = access.address.url
        self.mirror = self._mirrors.setdefault((base, url), Mirror(base, url))
        self._waiting: set[str] = set()
        self._next: asyncio.Task[Heads] | None = None
        self._listeners: dict[asyncio.Task[Heads], int] = {}
        self._busy = asyncio.Lock()
        self._names: dict[str, str] = {}
        """Under which full name a ref was found last."""
        self.requests = 0
        """Head requests made so far."""

    @classmethod
    def shared(cls, base: Path, access: Access) -> Remote:
        """The one Remote of this process for an address and its credentials."""
        key = (base, access)
        found = cls._all.get(key)
        if found is None:
            found = cls._all.setdefault(key, cls(base, access))
        return found

    async def heads(self, ref: str) -> Heads:
        """The remote's present answer, ``ref`` among what was asked; its objects are here then."""
        self._waiting.add(ref)
        if self._next is None:
            self._next = asyncio.create_task(self._round())
        task = self._next
        self._listeners[task] = self._listeners.get(task, 0) + 1
        try:
            return await asyncio.shield(task)
        finally:
            self._listeners[task] -= 1
            if not self._listeners[task]:
                del self._listeners[task]
                if not task.done():  # nobody is left who wants to know
                    task.cancel()
                    if self._next is task:
                        self._next = None

    async def fetch_commit(self, oid: str) -> None:
        """Bring one commit by its id. Raises MissingRef when the remote does not have it."""
        async with self._busy:
            await stoppable(lambda stop: self.mirror.fetch(self.access, (oid,), stop))

    async def _round(self) -> Heads:
        await asyncio.sleep(0)  # everybody of this turn is in
        async with self._busy:
            self._next = None
            refs, self._waiting = sorted(self._waiting), set()
            return await stoppable(lambda stop: self._ask(refs, stop))

    def _ask(self, refs: list[str], stop: threading.Event) -> Heads:
        """Fetching *is* the head request: where nothing moved, git asks for no objects.

        One missing ref fails the fetch of all. Then the remote is asked what it has, and what
        exists is fetched; a ref known to be missing goes this way at once.
        """
        names = {ref: self._names.get(ref, candidates(ref)[0]) for ref in refs}
        self.requests += 1
        if "" not in names.values():
            try:
                return Heads(self.mirror.fetch(self.access, sorted(set(names.values())), stop))
            except MissingRef:
                pass
        return self._ask_what_there_is(refs, stop)

    def _ask_what_there_is(self, refs: list[str], stop: threading.Event) -> Heads:
        listing = self.mirror.list_refs(self.access, stop)
        for ref in refs:
            self._names[ref] = next((n for n in candidates(ref) if n in listing), "")
        there = {name: listing[name] for name in map(self._names.get, refs) if name}
        moved = [name for name, oid in there.items() if self.mirror.present(name) != oid]
        if moved:
            there |= self.mirror.fetch(self.access, sorted(moved), stop)
        return Heads(there, listing)


async def stoppable(work: Callable[[threading.Event], T]) -> T:
    """Run ``work`` in a thread; being cancelled stops its git process."""
    stop, loop = threading.Event(), asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(_THREADS, copy_context().run, work, stop)
    except asyncio.CancelledError:
        stop.set()
        raise
