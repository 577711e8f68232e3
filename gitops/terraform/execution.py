"""Runs the tool once: tells the supervisor what to do, waits, reads what came of it.

Used by :mod:`gitops.terraform.session` and :mod:`gitops.terraform.applying`. The tool itself is
called by python_terraform in :mod:`gitops.terraform.workspace`, which hands its call in.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import marshal
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gitops.errors import ConfigError, Transient
from gitops.terraform import child
from gitops.terraform.runs import Ended, Run

SHOWN = 64 << 20
"""Bytes of output kept of one run, and of a plan file."""
LIMITS = {
    "RLIMIT_CORE": 0,
    "RLIMIT_FSIZE": 4 << 30,
    "RLIMIT_DATA": 8 << 30,
    "RLIMIT_NOFILE": 8192,
}
"""Of the tool and of each provider. Generous, since an apply that meets one leaves a half done."""
_GRACE = 10.0
"""Seconds the tool has to let go of its lock when interrupted."""
_PARTING = 5.0
"""Seconds we wait for that when we are being stopped ourselves; the supervisor goes on without."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Call:
    """One command line, as python_terraform takes it."""

    command: str
    """``plan``, ``workspace select``."""
    options: Mapping[str, str | bool | tuple[str, ...]] = field(default_factory=lambda: _NOTHING)
    """``True``: a flag. A tuple: the option once for each."""
    arguments: tuple[str, ...] = ()


Start = Callable[[tuple[str, ...], Path, Path, Call], None]
"""Starts (supervisor, binary, folder, call) and returns when it is recorded as started."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What the supervisor is told, besides the command line."""

    environment: Mapping[str, str]
    hidden: tuple[str, ...] = ()
    """Taken out of whatever the tool prints; with ``lines`` only."""
    lines: bool = False
    seconds: float = 60.0
    """Deadline; means nothing to an apply."""
    forever: bool = False
    """An apply: never signalled, goes on without us."""
    remove: tuple[Path, ...] = ()
    """Files to remove as soon as the tool has ended."""
    orphan: Path | None = None
    """Folder to remove when nobody is left who would."""
    short: Path | None = None
    """A link to remove with it; after an apply in any case."""
    reserve: tuple[Path, ...] = ()
    grace: float = _GRACE
    """Seconds between the first signal and the next, harder one."""
    low: int = 0
    """Free bytes below which the reserve is given back."""

    def packed(self) -> bytes:
        body = marshal.dumps(
            {
                "environment": dict(self.environment),
                "hidden": list(self.hidden),
                "lines": self.lines,
                "seconds": self.seconds,
                "forever": self.forever,
                "remove": [str(path) for path in self.remove],
                "orphan": str(self.orphan or ""),
                "short": str(self.short or ""),
                "reserve": [str(path) for path in self.reserve],
                "low": self.low,
                "room": SHOWN,
                "limits": LIMITS,
                "grace": self.grace,
            }
        )
        return len(body).to_bytes(8, "big") + body


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a run whose end is known."""

    code: int
    stdout: bytes
    stderr: bytes
    cut: bool
    """More was written than is kept."""
    why: str = ""
    seconds: float = 0.0


def begin(start: Start, run: Run, binary: Path, folder: Path, call: Call, orders: Orders) -> int:
    """Starts the tool. Blocks for the tens of milliseconds a start takes: call it in a thread.

    Returns the leash: the tool is interrupted when it is closed (not an apply). Raises Transient
    when the run could not be started; the tool has not run then and never will.
    """
    run.folder.mkdir(mode=0o700)
    leash = _hand_over(run.folder / child.ORDERS, orders.packed())
    try:
        start(child.command(str(run.folder)), binary, folder, call)
        _require_started(run, binary)
    except BaseException:
        os.close(leash)
        raise
    return leash


def _require_started(run: Run, binary: Path) -> None:
    if run.started() is None and run.give_up():
        raise Transient(
            f"{binary.name} could not be started", hint="is the disk or the process table full?"
        )


def _hand_over(fifo: Path, orders: bytes) -> int:
    """Puts the orders where the supervisor finds them, in memory: a FIFO's bytes are gone with
    its last holder, so that nothing starts once we are."""
    os.mkfifo(fifo, 0o600)
    descriptor = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        if len(orders) > 64 << 10:
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, len(orders))
        written = os.write(descriptor, orders)
    except BlockingIOError:
        written = 0
    if written < len(orders):
        os.close(descriptor)
        raise ConfigError(
            f"the environment of a run is too large ({len(orders)} bytes)",
            hint="pass less of it; a pipe of this machine holds no more",
        )
    return descriptor


async def execute(
    start: Start, run: Run, binary: Path, folder: Path, call: Call, orders: Orders
) -> Finished:
    """Runs to the end, or to the deadline. Cancelled, it has the tool interrupted.

    Raises Transient when it could not be started or nobody knows how it ended.
    """
    leash = await asyncio.to_thread(begin, start, run, binary, folder, call, orders)
    with _held(leash) as let_go:
        waiting = asyncio.ensure_future(run.settle())
        try:
            ended = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            let_go()
            await asyncio.wait({waiting}, timeout=_PARTING)
            waiting.cancel()
            raise
    if ended is None:
        raise Transient(f"{binary.name} {call.command} was ended from outside", hint="try again")
    return finished(run, ended)


def finished(run: Run, ended: Ended) -> Finished:
    """Reads what a run that has ended left."""
    started = run.started()
    seconds = ended.ended - started.began if started else 0.0
    cut = any(ended.dropped)
    return Finished(ended.code, run.output(SHOWN), run.complaint(), cut, ended.why, seconds)


@contextlib.contextmanager
def _held(leash: int) -> Iterator[Callable[[], None]]:
    open_ = [leash]

    def let_go() -> None:
        while open_:
            os.close(open_.pop())

    try:
        yield let_go
    finally:
        let_go()
