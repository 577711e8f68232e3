"""The one runner of child processes: renderers, checks, and whatever else is not ours.

Called through :class:`gitops.ports.Children`. What a child runs on is hostile, so it gets its own
session, an environment made from nothing, a scratch home, limits set before its first instruction,
a deadline, and an end for everything it started.

How the limits are set: ``preexec_fn`` runs Python between fork and exec and can deadlock in a
process with threads, and a Python launcher costs 30 ms a child. So the command is wrapped: a POSIX
shell sets the limits with ``ulimit`` and replaces itself by the program (``exec "$@"``: nothing is
ever interpreted), and where the kernel permits it, util-linux's ``setpriv`` and ``unshare`` in
front of it give a user, network and process namespace of its own. Then there is no network,
``kill -9`` of us ends the child, and ending the child ends every process it made, whatever session
they hid in. Measured at 7 ms a child, scratch home included. Where it is not permitted
(:attr:`Runner.capabilities` says), the process group is what is ended and the network is not cut;
a command that has to be offline (``Command.offline``) is then refused.

Memory: Go programs reserve far more address space than they use, so ``Limits.memory`` bounds the
address space and a quarter of it the memory a child can really write to (RLIMIT_DATA).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gitops.errors import ChildTimeout, RenderError, ToolMissing
from gitops.ports import Command, Completed, Limits

STDERR_KEPT = 64 << 10
UNISOLATED = "GITOPS_ALLOW_UNISOLATED"
"""Environment variable of the controller; ``1`` lets renderers run with the network in reach."""
_PATH = "/usr/local/bin:/usr/bin:/bin"
_CHUNK = 1 << 16
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -~])"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_NO_MEMORY = re.compile(r"out of memory|cannot allocate memory|MemoryError|bad_alloc", re.I)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this machine lets us do for a child."""

    no_network: bool
    """A network namespace of its own, without any interface up."""
    whole_tree: bool
    """A process namespace: ending the child ends all it started."""
    dies_with_us: bool
    """Ended by the kernel when we are killed."""
    wrapper: tuple[str, ...] = ()

    @property
    def few_processes(self) -> bool:
        """The kernel counts a child's processes: in a user namespace, and never root's."""
        return "--user" in self.wrapper and os.geteuid() != 0

    @property
    def note(self) -> str:
        """One line for ``gitops doctor``; empty when nothing is missing."""
        missing = [
            text
            for held, text in (
                (self.no_network, "children can reach the network"),
                (self.whole_tree, "a child that leaves its session is not ended with it"),
                (self.dies_with_us, "children outlive a killed controller until their limits"),
                (self.few_processes, "the number of a child's processes is not limited (root)"),
            )
            if not held
        ]
        return "; ".join(missing)


_CANDIDATES = (
    Capabilities(
        True,
        True,
        True,
        (
            *("setpriv", "--pdeathsig", "KILL", "unshare", "--user", "--map-root-user"),
            *("--net", "--pid", "--fork", "--kill-child=KILL"),
        ),
    ),
    Capabilities(
        True,
        True,
        True,
        (
            *("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--pid", "--fork"),
            "--kill-child=KILL",
        ),
    ),
    Capabilities(False, False, True, ("setpriv", "--pdeathsig", "KILL")),
)
_NOTHING = Capabilities(False, False, False)


class Runner:
    """Runs children (:class:`gitops.ports.Children`), at most ``concurrency`` at a time.

    ``network`` is for the rare program that must reach a host (terraform); renderers get none.
    ``allow_unisolated`` runs what has to be offline even where the network cannot be cut.
    """

    def __init__(
        self,
        scratch: Path | None = None,
        *,
        concurrency: int | None = None,
        network: bool = False,
        allow_unisolated: bool = False,
    ) -> None:
        self._scratch = scratch
        self._slots = asyncio.Semaphore(concurrency or len(os.sched_getaffinity(0)))
        self._network = network
        self._allow_unisolated = allow_unisolated
        self._found: Capabilities | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Probed at the first use (about 10 ms)."""
        if self._found is None:
            self._found = _probe()
        return self._found

    async def run(self, command: Command) -> Completed:
        """Runs to the end. See :class:`gitops.ports.Children` for the errors raised."""
        async with self._slots:
            capabilities = await asyncio.to_thread(lambda: self.capabilities)
            home = tempfile.mkdtemp(prefix="child-", dir=self._scratch)
            try:
                return await self._in(Path(home), command, capabilities)
            finally:
                await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)

    def _isolates(self, may: Capabilities) -> bool:
        return self._allow_unisolated or (may.no_network and not self._network)

    async def _in(self, home: Path, command: Command, may: Capabilities) -> Completed:
        started = time.monotonic()
        if not os.access(command.argv[0], os.X_OK):
            raise ToolMissing(f"{_name(command)} is not there", hint="run `gitops doctor`")
        if command.offline and not self._isolates(may):
            raise RenderError(
                f"{_name(command)} is not run: its network cannot be cut on this machine",
                hint="permit user namespaces (see `gitops doctor`); or confine the controller "
                f"yourself and set {UNISOLATED}=1",
            )
        argv = wrapped(command, may, network=self._network)
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=command.cwd,
                env=_environment(home, command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolMissing(f"{_name(command)} cannot be started: {error.strerror}") from error
        try:
            async with asyncio.timeout(command.limits.seconds):
                out, err = await _talk(process, command)
                code = await process.wait()
        except TimeoutError as error:
            seconds = command.limits.seconds
            raise ChildTimeout(f"{_name(command)} did not finish in {seconds:g} s") from error
        finally:
            await asyncio.shield(_end(process))
        done = Completed(code, out, clean(err), time.monotonic() - started)
        _judge(done, command)
        return done


def wrapped(command: Command, may: Capabilities, *, network: bool = False) -> list[str]:
    """The argument list that runs a command under its limits."""
    wrapper = list(may.wrapper)
    if network:
        wrapper = [part for part in wrapper if part != "--net"]
    return [*wrapper, "/bin/sh", "-c", _limits(command.limits, may), "sh", *command.argv]


def _limits(limits: Limits, may: Capabilities) -> str:
    """A shell line that sets soft and hard limits, then becomes the program.

    The number of processes is limited in a user namespace of our own only: elsewhere the kernel
    counts every process of the user. It never limits root. dash calls it -p, bash -u.
    """
    lines = [
        f"ulimit -v {limits.memory >> 10}",
        f"ulimit -d {limits.memory >> 12}",
        f"ulimit -t {int(limits.seconds) + 1}",
        f"ulimit -f {limits.file_size >> 9}",
        "ulimit -c 0",
        "ulimit -n 1024",
    ]
    if may.few_processes:
        count = limits.processes
        lines.append(f"(ulimit -u {count}) 2>/dev/null && ulimit -u {count} || ulimit -p {count}")
    return " && ".join(f"{{ {line}; }}" for line in lines) + ' && exec "$@"'


def _environment(home: Path, command: Command) -> dict[str, str]:
    return {
        **command.env,
        "HOME": str(home),
        "TMPDIR": str(home),
        "PATH": _PATH,
        "LANG": "C.UTF-8",
    }


async def _talk(process: asyncio.subprocess.Process, command: Command) -> tuple[bytes, bytes]:
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    if stdin is None or stdout is None or stderr is None:  # all three are PIPE
        raise RenderError(f"{_name(command)} has no pipes")
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(stdin, command.stdin))
        out = group.create_task(_drain(stdout, command.limits.output, process))
        err = group.create_task(_drain(stderr, command.limits.output, process))
        leader = group.create_task(process.wait())
        # A process left behind may hold the pipes open: it does not hold us up.
        leader.add_done_callback(
            lambda _: asyncio.get_running_loop().call_later(1.0, _kill, process)
        )
    if out.result() is None or err.result() is None:
        raise RenderError(
            f"{_name(command)} wrote more than {command.limits.output >> 20} MiB",
            hint="something in it repeats without end",
        )
    return out.result() or b"", err.result() or b""


async def _feed(stdin: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(data)
        await stdin.drain()
    stdin.close()


async def _drain(
    stream: asyncio.StreamReader, limit: int, process: asyncio.subprocess.Process
) -> bytes | None:
    """Everything written, or None once it is more than ``limit``: that ends the process."""
    held = bytearray()
    while chunk := await stream.read(_CHUNK):
        held += chunk
        if len(held) > limit:
            _kill(process)
            _let_go(process)
            return None
    return bytes(held)


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends the whole group; harmless when it is gone."""
    _kill(process)
    _let_go(process)
    if process.returncode is None:
        await process.wait()
    process._transport.close()  # type: ignore[attr-defined]
    await asyncio.sleep(0)  # the pipes are closed in the loop's next turn


def _let_go(process: asyncio.subprocess.Process) -> None:
    """Closes our ends of the pipes. ``wait`` returns only when all are closed (CPython gh-119710):
    never, where we stopped reading in the middle or where whoever escaped holds the other end."""
    for number in range(3):
        pipe = process._transport.get_pipe_transport(number)  # type: ignore[attr-defined]
        if pipe is not None:
            pipe.close()


def _judge(done: Completed, command: Command) -> None:
    """A child that met a limit is an error here; any other failure is the caller's to read."""
    name, limits = _name(command), command.limits
    ended = -done.code if done.code < 0 else done.code - 128
    if ended == signal.SIGXCPU:
        raise RenderError(f"{name} used more than {limits.seconds:g} s of processor time")
    if ended == signal.SIGXFSZ:
        raise RenderError(f"{name} wrote a file of more than {limits.file_size >> 20} MiB")
    if done.code and _NO_MEMORY.search(done.stderr[:4096]):
        raise RenderError(
            f"{name} needed more than {limits.memory >> 22} MiB of memory",
            hint="something in it repeats without end, or is too large to render",
        )


def clean(raw: bytes) -> str:
    """Text of a foreign program for people: decoded, no terminal escapes, cut to 64 KiB."""
    text = _ESCAPES.sub("", raw[: STDERR_KEPT * 2].decode("utf-8", "replace"))
    if len(text) > STDERR_KEPT:
        return text[:STDERR_KEPT] + "\n[cut]"
    return text


def _name(command: Command) -> str:
    return Path(command.argv[0]).name


def _probe() -> Capabilities:
    return next((each for each in _CANDIDATES if _works(each.wrapper)), _NOTHING)


def _works(wrapper: Sequence[str]) -> bool:
    found = shutil.which(wrapper[0], path=_PATH)
    if found is None:
        return False
    argv = [*wrapper, "/bin/sh", "-c", "exit 42"]
    try:
        pid = os.posix_spawn(
            found,
            argv,
            {"PATH": _PATH},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
            ],
        )
    except OSError:
        return False
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 42
