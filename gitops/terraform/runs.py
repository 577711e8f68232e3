"""What a run left on disk, and whether it still runs.

A run is a folder written by :mod:`gitops.terraform.child`. Everything here works for a run this
process started and for one it found: after a crash there is no other kind. A process counts as
alive only when machine, boot, process namespace, pid and start time all match.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitops.terraform import child

_RECORD = 64 << 10


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    start: int
    """Clock ticks since boot."""


@dataclass(frozen=True, slots=True)
class Started:
    """Who runs it, written before the tool's first instruction."""

    host: str
    supervisor: Process
    tool: Process
    argv: tuple[str, ...]
    began: float

    @property
    def here(self) -> bool:
        """Its pids mean something to us."""
        return self.host == child.host()


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended, written after the tool's last instruction."""

    code: int
    """Exit status; the negative number of the signal that ended it."""
    ended: float
    dropped: tuple[int, ...] = (0, 0)
    """Bytes of stdout and stderr beyond what is kept."""
    why: str = ""
    """``deadline`` or ``alone`` when its supervisor ended it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run's folder."""

    folder: Path

    @property
    def stdout(self) -> Path:
        return self.folder / "stdout"

    @property
    def stderr(self) -> Path:
        return self.folder / "stderr"

    def started(self) -> Started | None:
        """None: the tool never ran here, or the run was given up before it did."""
        record = _record(self.folder / child.STARTED)
        if not record or record.get("void"):
            return None
        return Started(
            host=str(record["host"]),
            supervisor=Process(**record["supervisor"]),
            tool=Process(**record["tool"]),
            argv=tuple(record["argv"]),
            began=float(record["began"]),
        )

    def ended(self) -> Ended | None:
        record = _record(self.folder / child.ENDED)
        if not record:
            return None
        return Ended(
            int(record["code"]), float(record["ended"]), tuple(record["dropped"]), record["why"]
        )

    def alive(self) -> bool:
        """Whether the tool runs at this moment, here."""
        started = self.started()
        if started is None or not started.here or self.ended() is not None:
            return False
        return child.start_time(started.tool.pid) == started.tool.start

    def give_up(self) -> bool:
        """Makes sure that the tool never starts here. False: it has started."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return child.write_durably(
            str(self.folder), child.STARTED, {"void": True}, once=True
        ) or bool(_record(self.folder / child.STARTED).get("void"))

    def output(self, limit: int) -> bytes:
        """At most ``limit`` bytes of what the tool wrote to its standard output."""
        return _head(self.stdout, limit)

    def complaint(self, limit: int = 64 << 10) -> bytes:
        """The same of its standard error."""
        return _head(self.stderr, limit)

    async def settle(self) -> Ended | None:
        """Waits for its end. None: it is over, and nobody wrote down how.

        Only for a run of this host: a pid of another one says nothing.
        """
        started = self.started()
        if started is None:
            return self.ended()
        await _gone(started.supervisor)
        if self.ended() is None:
            await self._outlive(started.tool)
        return self.ended()

    async def _outlive(self, tool: Process) -> None:
        """Its supervisor was killed, the tool perhaps not: reads on in the supervisor's place, so
        that the tool never stands before a full pipe."""
        with contextlib.ExitStack() as drains:
            for name in child.OUTPUTS:
                drains.enter_context(_drained(self.folder, name))
            await _gone(tool)


def _record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_head(path, _RECORD) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _head(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except FileNotFoundError:
        return b""


async def _gone(process: Process) -> None:
    """Until the process has ended; at once if it is not that very process."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # Looked at after the descriptor is held: the pid cannot be another's from here on.
        if child.start_time(process.pid) != process.start:
            return
        await _readable(descriptor)
        _bury(process.pid)
    finally:
        os.close(descriptor)


def _bury(pid: int) -> None:
    """Where we are process 1, orphans are ours when they end."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _once, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _once(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


@contextlib.contextmanager
def _drained(folder: Path, name: str, room: int = 16 << 20) -> Iterator[None]:
    """Copies what is in the pipe to the file, as long as this lasts."""
    try:
        source = os.open(folder / f"{name}.fifo", os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        yield
        return
    loop = asyncio.get_running_loop()
    with (folder / name).open("ab") as file:

        def pump() -> None:
            with contextlib.suppress(BlockingIOError):
                piece = os.read(source, 1 << 16)
                file.write(piece[: max(0, room - file.tell())])

        loop.add_reader(source, pump)
        try:
            yield
        finally:
            loop.remove_reader(source)
            for _ in range(64):  # what is left, in a pipe of a mebibyte at most
                pump()
            os.close(source)
