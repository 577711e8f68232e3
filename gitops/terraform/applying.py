"""Applies a saved plan once, whatever happens to us meanwhile.

A try has a folder of its own below ``runs``; in it lies what :mod:`gitops.terraform.child` writes
before the tool's first instruction and after its last. So a try found after a crash is one of
three: never started (and is then made never to), running (and is waited for), or over (and is
told). Used by :mod:`gitops.terraform.workspace`. Must never signal an apply.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitops.errors import GitopsError, RenderError, StalePlan, StateLocked, Transient
from gitops.model.sealed import StateFacts
from gitops.model.terraform import Backend
from gitops.ports.terraform import ApplyRun
from gitops.terraform import reserve
from gitops.terraform.execution import SHOWN, Orders, begin
from gitops.terraform.files import state_file, write
from gitops.terraform.line import Turn
from gitops.terraform.locks import Journal, outlives
from gitops.terraform.outcomes import Told, told
from gitops.terraform.planfile import planned_on, state_facts
from gitops.terraform.runs import Ended, Run
from gitops.terraform.said import Reader, diagnostics, events
from gitops.terraform.session import LOCK_TIMEOUT, Session, Setting, remove
from gitops.terraform.sockets import forget

_KEPT = 20
"""Records of past tries kept for each workspace."""
_RESCUE = "errored.tfstate"
_NAMED = 10
_BRIEF = 1.0
"""Seconds; an apply that takes less is not asked for its lock."""
_UNDER_WAY = b'"apply_start"'
_BEGINNING = 1 << 20
_STARTING = 60.0
"""Seconds within which a tool that runs has taken its lock."""


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt at an apply, by its folder."""

    folder: Path

    @property
    def run(self) -> Run:
        return Run(self.folder / "apply")

    @property
    def rescue(self) -> Path:
        """A state the tool could not write where it belongs."""
        return self.folder / _RESCUE


@dataclass(frozen=True, slots=True)
class Applying:
    """One apply, from whatever point it is found at."""

    setting: Setting
    backend: Backend
    runs: Path
    """Folder of this name's tries."""
    plan_file: bytes
    reserve: int
    read_state: Callable[[], Awaitable[StateFacts]]
    """Where the state stands now."""
    await_lock: Callable[[], Awaitable[None]]
    """Returns once nobody holds the state's lock; raises StateLocked."""
    find_lock: Callable[[], Awaitable[StateLocked | None]]
    """Who holds the state's lock now."""
    force_lock: Callable[[str], Awaitable[None]]
    """Takes that lock away; raises RenderError when it is not the one that is held."""

    async def carry_out(self, turn: Turn) -> ApplyRun:
        """Starts the tool, or finds it started. Raises what kept it from starting at all."""
        planned = planned_on(self.plan_file)
        found = await asyncio.to_thread(self._found)
        session: Session | None = None
        if found is None:
            found, session = await self._start()
        ended = await self._end(found, turn)
        released = await self._release(found, ended)
        state = await _read_back(session) if session and ended and ended.code == 0 else None
        if ended is not None or _is_here(found):
            await asyncio.to_thread(self._tidy, found)
        return await self._tell(found, ended, planned, released, state)

    def _found(self) -> Try | None:
        """The try that was started under this name; what never started is made away with."""
        for folder in sorted(self.runs.iterdir()) if self.runs.is_dir() else ():
            attempt = Try(folder)
            if not attempt.run.give_up():
                return attempt
            reserve.release(self._reserves(attempt))
            forget(folder / "home")
            shutil.rmtree(folder, ignore_errors=True)
        return None

    async def _start(self) -> tuple[Try, Session]:
        attempt = Try(self.runs / uuid.uuid4().hex)
        session = Session(attempt.folder, self.setting)
        try:
            await asyncio.to_thread(session.prepare, self.backend)
            await session.ready()
            await asyncio.to_thread(self._begin, attempt, session)
        except BaseException:
            if await asyncio.to_thread(attempt.run.give_up):
                await asyncio.to_thread(reserve.release, self._reserves(attempt))
                await asyncio.to_thread(remove, session.base)
            raise
        session.orphan = None  # what happened here is a record from now on
        return attempt, session

    def _begin(self, attempt: Try, session: Session) -> None:
        write(session.plan_file, self.plan_file)
        folders = self._reserve_folders(attempt)
        held = reserve.allocate(folders, attempt.folder.name, self.reserve)
        options: dict[str, Any] = {"json": True, "lock_timeout": LOCK_TIMEOUT}
        call = session.call("apply", options, (str(session.plan_file),))
        plain = session.orders()
        orders = Orders(
            plain.environment,
            plain.hidden,
            lines=True,
            forever=True,
            remove=(session.plan_file, attempt.folder / "variables.tfvars.json"),
            reserve=held,
            short=session.short,
            low=self.reserve // 2,
        )
        setting = self.setting
        leash = begin(setting.start, attempt.run, setting.binary.path, session.folder, call, orders)
        os.close(leash)

    def _reserve_folders(self, attempt: Try) -> tuple[Path, ...]:
        # The try's own folder first: where both are on one disk, its removal frees the reserve.
        state = state_file(self.backend, self.setting.spec.workspace)
        return (attempt.folder, state.parent) if state else (attempt.folder,)

    def _reserves(self, attempt: Try) -> tuple[Path, ...]:
        folders = self._reserve_folders(attempt)
        return tuple(reserve.place(folder, attempt.folder.name) for folder in folders)

    async def _end(self, attempt: Try, turn: Turn) -> Ended | None:
        started = attempt.run.started()
        if started is not None and not started.here and attempt.run.ended() is None:
            # Its pids mean nothing here. Whoever applies holds the state's lock.
            await self.await_lock()
            if attempt.run.ended() is None and time.time() - started.began < _STARTING:
                raise Transient("the apply began on another machine moments ago", retry_after=10.0)
            return attempt.run.ended()
        waiting = asyncio.ensure_future(attempt.run.settle())
        noting = asyncio.ensure_future(self._note_lock(attempt))
        try:
            began = started.began if started else time.time()
            left = began + self.setting.spec.deadlines.apply.total_seconds() - time.time()
            done, _ = await asyncio.wait({waiting}, timeout=max(0.0, left))
            if not done:
                turn.is_late()
            return await waiting
        finally:
            waiting.cancel()
            noting.cancel()
            await asyncio.gather(noting, return_exceptions=True)

    async def _note_lock(self, attempt: Try) -> None:
        """Finds out the id of the lock the tool holds, once it surely does, and writes it down."""
        started, journal = attempt.run.started(), Journal(attempt.run.folder)
        if started is None or not outlives(self.backend) or journal.read():
            return
        while True:  # another process writes the file: there is nothing to wait on
            await asyncio.sleep(_BRIEF)
            if _UNDER_WAY in await asyncio.to_thread(attempt.run.output, _BEGINNING):
                break
        with contextlib.suppress(GitopsError, OSError):
            found = await self.find_lock()
            # Letting go is the last thing the tool does: alive a while later, it had not yet.
            await asyncio.sleep(_BRIEF)
            if found is not None and found.lock and attempt.run.alive():
                await asyncio.to_thread(journal.write, found.lock)

    async def _release(self, attempt: Try, ended: Ended | None) -> str:
        """Takes away the lock that a dead apply of ours left behind. What was done, in words."""
        lock = Journal(attempt.run.folder).read()
        if not lock or not _is_here(attempt) or (ended is not None and ended.code == 0):
            return ""
        try:
            await self.force_lock(lock)
        except RenderError:
            return ""  # it let go itself, or somebody did and somebody else holds the state now
        except GitopsError as error:
            return f"the lock {lock} it may have left behind was not released: {error.message}"
        return f"the lock {lock} it left behind was released, since its process is dead"

    def _tidy(self, attempt: Try) -> None:
        """Keeps the record, and the state the tool could not write; removes the rest."""
        work = Session(attempt.folder, self.setting)
        left = work.folder / _RESCUE
        if left.is_file() and not left.is_symlink():
            left.chmod(0o600)
            left.replace(attempt.rescue)
        reserve.release(self._reserves(attempt))
        forget(work.base / "home")
        for path in attempt.folder.iterdir():
            if path.is_dir() and path != attempt.run.folder:
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_file() and path != attempt.rescue:
                path.unlink(missing_ok=True)
        _prune(self.runs)

    async def _tell(
        self,
        attempt: Try,
        ended: Ended | None,
        planned: StateFacts,
        released: str,
        state: StateFacts | None,
    ) -> ApplyRun:
        output = await asyncio.to_thread(attempt.run.output, SHOWN)
        reader = self.setting.reader
        seen = await asyncio.to_thread(told, events(output), reader)
        if not seen.outcomes:
            await self._refuse(attempt, ended, seen, reader)
        done = ended.code == 0 if ended else seen.complete
        if state is None:
            with contextlib.suppress(GitopsError):
                state = await self.read_state()
        if not done and state == planned:
            seen = seen.unrecorded()
        message = "" if done else self._message(attempt, ended, seen, state, planned)
        if released and not done:
            message += f"\n{released}"
        return ApplyRun(done, seen.outcomes, message, state)

    async def _refuse(self, attempt: Try, ended: Ended | None, seen: Told, reader: Reader) -> None:
        """Raises StalePlan or StateLocked when the tool refused to begin."""
        if ended is None or ended.code <= 0:
            return
        said = seen.errors or diagnostics(b"", attempt.run.complaint())
        error = reader.error(said, "apply")
        if isinstance(error, StateLocked):  # it may be tried again under the same name
            await asyncio.to_thread(shutil.rmtree, attempt.folder, ignore_errors=True)
        if isinstance(error, StateLocked | StalePlan):
            raise error

    def _message(
        self,
        attempt: Try,
        ended: Ended | None,
        seen: Told,
        state: StateFacts | None,
        planned: StateFacts,
    ) -> str:
        tool = self.setting.binary.name
        parts = [_cause(tool, ended, here=_is_here(attempt))]
        said = seen.errors or (
            diagnostics(b"", attempt.run.complaint()) if ended and ended.code > 0 else ()
        )
        if said:
            parts = [str(self.setting.reader.error(said, "apply"))]
        if seen.begun:
            names = ", ".join(seen.begun[:_NAMED])
            more = len(seen.begun) - _NAMED
            names += f" and {more} more" if more > 0 else ""
            parts.append(f"begun, and nobody knows how it ended: {names}: look there")
        elif not seen.outcomes and not said:
            parts.append("no resource had been begun")
        parts.append(_standing(state, planned))
        if attempt.rescue.exists():
            size = attempt.rescue.stat().st_size
            parts.append(f"the state it could not write is kept in {attempt.rescue} ({size} bytes)")
        return "; ".join(part for part in parts if part)


async def _read_back(session: Session) -> StateFacts | None:
    """Where the state stands, asked in the folder it was applied in. None: not to be found out
    there."""
    with contextlib.suppress(GitopsError, OSError):
        return await asyncio.to_thread(state_facts, await session.document("state pull"))
    return None


def _is_here(attempt: Try) -> bool:
    started = attempt.run.started()
    return started is not None and started.here


def begun(runs: Path) -> bool:
    """Whether a try below that folder was started."""
    return runs.is_dir() and any(Try(each).run.started() for each in runs.iterdir())


def _cause(tool: str, ended: Ended | None, *, here: bool) -> str:
    if ended is None and not here:
        return f"{tool} applied on another machine, and nobody there wrote down how it ended"
    if ended is None:
        return f"{tool} and its supervisor were killed while applying"
    if ended.code < 0:
        return f"{tool} was killed by signal {-ended.code} while applying"
    return f"{tool} apply failed with exit status {ended.code}"


def _standing(state: StateFacts | None, planned: StateFacts) -> str:
    if state is None:
        return f"where the state stands now could not be read; the plan was made on {planned}"
    if state == planned:
        return f"the state is still the one the plan was made on ({planned})"
    return f"the state was written: it is {state} now, the plan was made on {planned}"


def _prune(runs: Path) -> None:
    """Forgets the oldest tries; never one with a state that was not written."""
    others = [path for path in runs.parent.iterdir() if path != runs]
    others.sort(key=lambda path: path.stat().st_mtime)
    for path in others[: max(0, len(others) - _KEPT)]:
        tries = [Try(folder) for folder in path.iterdir()]
        if all(each.run.ended() and not each.rescue.exists() for each in tries):
            shutil.rmtree(path, ignore_errors=True)
