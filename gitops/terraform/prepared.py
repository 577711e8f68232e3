"""Folders the tool was initialised in, kept from one call on a root for the next.

``init`` fetches modules, hashes providers and reaches the backend: for most calls that is the work.
What it leaves lies in a data folder apart from the root's files, and that folder alone is kept;
files, variables and settings are written anew by whoever takes it. A folder is lent to one call at
a time, and only for the very same files, tool and values (its *basis*); what was connected to a
backend, only for the same backend, workspace and credentials (its *connection*).

Used by :mod:`gitops.terraform.workspace`. Never lent to an apply, which starts from nothing but
what was approved, nor to anything that may use an apply's credentials.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from gitops.errors import RenderError
from gitops.model.ids import Digest, combine
from gitops.model.terraform import Backend
from gitops.terraform.calls import on_disk
from gitops.terraform.files import dumps
from gitops.terraform.session import Session, Setting, remove

T = TypeVar("T")
_ROOM = 32
"""Folders kept; the one not used for longest goes first."""


@dataclass(frozen=True, slots=True)
class Key:
    basis: Digest
    connection: str
    """Empty: to no backend."""


def key_of(setting: Setting, backend: Backend | None) -> Key:
    """Digests over whole files: call it in a thread. Holds no secret that leaves this process."""
    root, spec, binary = setting.root, setting.spec, setting.binary
    contents = ((f.path, int(f.executable), sha256(f.content).hexdigest()) for f in root.files)
    basis = combine(
        "prepared",
        str(binary.path),
        str(binary),
        str(setting.cache),
        str(setting.mirror),
        root.application.path,
        dumps({**spec.variables, **root.variables}),
        *spec.variable_files,
        "files",
        *(part for each in contents for part in each),
    )
    if backend is None:
        return Key(basis, "")
    settings, granted = dumps(backend.settings), dumps(dict(setting.granted))
    return Key(basis, combine(backend.kind, settings, spec.workspace, granted))


@dataclass(frozen=True, slots=True)
class Lent:
    base: Path
    ready: bool
    """As connected as was asked for. False: fetched, but connected to no backend yet."""


class Prepared:
    """The folders of one process's calls. For one thread."""

    def __init__(self, new_folder: Callable[[], Path], room: int = _ROOM) -> None:
        """``new_folder`` names a folder that is not there yet; it may block."""
        self._new_folder = new_folder
        self._room = room
        self._kept: dict[Key, Path] = {}

    async def work(
        self,
        setting: Setting,
        backend: Backend | None,
        work: Callable[[Session], Awaitable[T]],
        *,
        fresh: bool = False,
    ) -> T:
        """Does that in a folder with the root in it. ``fresh``: in one nobody used before. What
        fails with a RenderError in one that was used is done again in a fresh one: somebody may
        have cleared the cache of providers meanwhile."""
        key = await asyncio.to_thread(key_of, setting, backend)
        lent = None if fresh else self._take(key)
        if lent is not None:
            try:
                return await self._work(setting, backend, work, key, lent)
            except RenderError:
                if not lent.ready:
                    raise
        return await self._work(setting, backend, work, key, None)

    async def _work(
        self,
        setting: Setting,
        backend: Backend | None,
        work: Callable[[Session], Awaitable[T]],
        key: Key,
        lent: Lent | None,
    ) -> T:
        with on_disk():
            base = lent.base if lent else await asyncio.to_thread(self._new_folder)
            session = Session(base, setting, initialised=lent is not None and lent.ready)
            superfluous: Path | None = base
            try:
                await asyncio.to_thread(session.prepare, backend)
                done = await work(session)
                if session.initialised:
                    with contextlib.suppress(OSError):
                        await asyncio.to_thread(session.strip)
                        superfluous = self._put(key, base)
                return done
            finally:
                if superfluous is not None:
                    await asyncio.to_thread(remove, superfluous)

    def _take(self, key: Key) -> Lent | None:
        """From now on it is the taker's alone."""
        for found in dict.fromkeys((key, Key(key.basis, ""))):
            if (base := self._kept.pop(found, None)) is not None:
                return Lent(base, found == key)
        return None

    def _put(self, key: Key, base: Path) -> Path | None:
        """What has to be removed for it, if anything."""
        superfluous = self._kept.pop(key, None)
        self._kept[key] = base
        if superfluous is None and len(self._kept) > self._room:
            superfluous = self._kept.pop(next(iter(self._kept)))
        return superfluous
