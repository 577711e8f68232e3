"""Supervises one run of the tool: the process that stays when the controller goes.

Started by :mod:`gitops.terraform.workspace` with :func:`command`, ``… RUN TOOL ARG…``, in the
folder the tool works in. It forks, so that its starter has its answer at once, and the fork
(a session of its own) reads its orders from the FIFO ``RUN/orders``, starts the tool, writes
``RUN/started`` before the tool's first instruction and ``RUN/ended`` after its last, both durably,
and copies the tool's output into ``RUN/stdout`` and ``RUN/stderr``.

What its orders hold (credentials, values to hide) never touches the disk or an argument list. An
apply is never signalled; any other run is interrupted, which lets the tool release
its lock, at its deadline or when the controller lets go of the FIFO, be it by dying.

Nothing but the standard library, since ``-S`` leaves nothing else, and of that what is written in
C: a delivery starts it a dozen times, and ``contextlib``, ``json`` and ``signal`` would each cost
as much as all of the rest. Exits 0 and prints nothing, always: whoever started it has nothing to
log.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what signal.py wraps in enums
import fcntl
import marshal
import os
import resource
import select
import sys
import time
from _json import encode_basestring_ascii  # what json.encoder writes texts with

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing for that would cost as much as all the rest of this file
    from collections.abc import Mapping, Sequence
    from typing import Any

ORDERS = "orders"
STARTED = "started"
ENDED = "ended"
OUTPUTS = ("stdout", "stderr")
_PIPE = 1 << 20
_CHUNK = 1 << 16
_LINE = 1 << 20
_PATIENCE = 30.0
"""Seconds the orders may take; nothing is started after that."""
_DRAIN = 3.0
_TICK = 0.5
_LASTING = (b'"apply_', b'"diagnostic"', b'"change_summary"')
"""Events that say how an apply went: kept when mere progress is no longer."""
_NAMES = frozenset(
    {
        "type", "hook", "resource", "addr", "changes", "operation", "diagnostic", "severity",
        "summary", "detail", "address", "range", "filename", "start", "line", "column",
        "test_run", "path", "run", "status",
    }
)  # fmt: skip
_KINDS = (("type",), ("changes", "operation"), ("diagnostic", "severity"), ("test_run", "status"))
"""Names and values by which events are read. What is to be hidden may be equal to one (outputs of
other applications are hidden, and anybody's), and has to leave the event what it is."""


def command(run: str) -> tuple[str, ...]:
    """How it is started for that run: as a module, whose bytecode is kept, unlike a script's."""
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    code = f"import sys; sys.path.append({folder!r}); import child; child.main(sys.argv)"
    return (sys.executable, "-I", "-S", "-c", code, run)


class _Suppressed:
    """``contextlib.suppress``."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
        return kind is not None and issubclass(kind, self._kinds)


def _spelled(value: Any) -> str:
    """JSON of a record: of texts, whole and other numbers, and what holds them."""
    if isinstance(value, str):
        return str(encode_basestring_ascii(value))
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_spelled(k)}: {_spelled(v)}' for k, v in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_spelled, value))}]"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)


def host() -> str:
    """Names the table of processes a pid belongs to: machine, boot, process namespace."""
    with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123 - pathlib costs 10 ms
        boot = file.read().strip()
    return f"{os.uname().nodename}/{boot}/{os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115


def start_time(pid: int) -> int:
    """When a process began, in clock ticks since boot (field 22); 0: there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return int(fields[19])


def write_durably(folder: str, name: str, value: Mapping[str, Any], *, once: bool = False) -> bool:
    """Writes a record so that it is there whole or not at all. ``once``: False if one is there."""
    temporary, final = f"{folder}/.{name}.{os.getpid()}", f"{folder}/{name}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, _spelled(value).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(temporary, final) if once else os.rename(temporary, final)  # noqa: PTH104
    except FileExistsError:
        return False
    finally:
        if once:
            os.unlink(temporary)  # noqa: PTH108
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)
    os.close(directory)
    return True


class _Sink:
    """One stream of the tool on its way to a file: bounded, and without what must not be shown."""

    def __init__(self, run: str, name: str, orders: dict[str, Any]) -> None:
        fifo = f"{run}/{name}.fifo"
        os.mkfifo(fifo, 0o600)
        self.source = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        # The tool holds a reading end too. Should we be killed, its writes fill the pipe instead of
        # ending it with SIGPIPE, half way through an apply; whoever comes next reads the rest.
        self.tool = os.open(fifo, os.O_RDWR)
        with _Suppressed(OSError):
            fcntl.fcntl(self.source, fcntl.F_SETPIPE_SZ, _PIPE)
        self._file = os.open(f"{run}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._room = self._half = int(orders["room"])
        self._half //= 2
        self._lines = bool(orders["lines"])
        self._hidden = [text.encode("utf-8", "surrogatepass") for text in orders["hidden"]]
        self._rest = b""
        self.dropped = 0

    def pump(self, until: float = 0.0) -> None:
        """Takes what is there: one piece, or all of it until that moment."""
        while True:
            try:
                piece = os.read(self.source, _CHUNK)
            except BlockingIOError:
                return
            self._take(piece)
            if time.monotonic() >= until:
                return

    def close(self) -> None:
        self._keep(self._rest)
        with _Suppressed(OSError):
            os.fsync(self._file)

    def _take(self, piece: bytes) -> None:
        if not self._lines:
            self._keep(piece)
            return
        whole, newline, self._rest = (self._rest + piece).rpartition(b"\n")
        if len(self._rest) > _LINE:  # half a line cannot be searched for values to hide
            self.dropped += len(self._rest)
            self._rest = b""
        if newline:
            self._keep(whole + newline)

    def _keep(self, data: bytes) -> None:
        if self._lines and data:
            if any(value in data for value in self._hidden):
                data = self._veiled(data)
            if self._room < self._half:
                data = self._weed(data)
        kept = data[: self._room]
        self.dropped += len(data) - len(kept)
        self._room -= len(kept)
        while kept:
            try:
                kept = kept[os.write(self._file, kept) :]
            except OSError:  # a full disk must not end the tool
                self.dropped += len(kept)
                return

    def _veiled(self, data: bytes) -> bytes:
        """Events by their values, for half of one tells nothing; all else as the text it is."""
        kept: list[bytes] = []
        prose: list[bytes] = []
        for line in data.splitlines(keepends=True):
            event = self._event(line) if line.startswith(b"{") else None
            if event is None:
                prose.append(line)
            else:
                kept += (self._plain(b"".join(prose)), event)
                prose.clear()
        return b"".join((*kept, self._plain(b"".join(prose))))

    def _event(self, line: bytes) -> bytes | None:
        """None for a line that is none."""
        if not any(value in line for value in self._hidden):
            return line
        import json  # noqa: PLC0415 - most runs hide nothing

        try:
            return json.dumps(self._inner(json.loads(line), ())).encode() + b"\n"
        except (ValueError, RecursionError):
            return None

    def _inner(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, str):
            return value if path in _KINDS else self._text(value)
        if isinstance(value, list):
            return [self._inner(item, (*path, "")) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key if key in _NAMES else self._text(key): self._inner(item, (*path, key))
            for key, item in value.items()
        }

    def _text(self, text: str) -> str:
        data = self._plain(text.encode("utf-8", "surrogatepass"))
        return data.decode("utf-8", "surrogatepass")

    def _plain(self, data: bytes) -> bytes:
        for value in self._hidden:
            data = data.replace(value, b"(hidden)")
        return data

    def _weed(self, data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        lasting = b"".join(line for line in lines if any(mark in line for mark in _LASTING))
        self.dropped += len(data) - len(lasting)
        return lasting


class _Supervisor:
    def __init__(self, run: str, argv: Sequence[str], ready: int) -> None:
        self._run, self._argv, self._ready = run, list(argv), ready
        self._leash = os.open(f"{run}/{ORDERS}", os.O_RDONLY | os.O_NONBLOCK)
        self._orders: dict[str, Any] = {}
        self._why = ""
        """Why the tool was ended: ``deadline``, ``alone``."""
        self._alone = False
        self._next: list[tuple[float, int]] = []

    def supervise(self) -> None:
        orders = self._receive()
        if orders is None:
            return
        self._orders = orders
        sinks = [_Sink(self._run, name, orders) for name in OUTPUTS]
        tool = self._start(sinks)
        if not tool:
            return
        os.close(self._ready)
        code = self._watch(tool, sinks)
        self._finish(tool, code, sinks)

    def _receive(self) -> dict[str, Any] | None:
        """The orders, or None when nobody is left to give them."""
        data, size = b"", -1
        poller = select.poll()
        poller.register(self._leash, select.POLLIN)
        until = time.monotonic() + _PATIENCE
        while size < 0 or len(data) < size + 8:
            # Whoever gives orders has given them before we came: nothing there, nobody there. Read
            # first, for poll does not tell of a writer that never was.
            try:
                piece = os.read(self._leash, _CHUNK)
            except BlockingIOError:
                if not poller.poll(max(0.0, until - time.monotonic()) * 1000):
                    return None
                continue
            if not piece:
                return None
            data += piece
            if size < 0 and len(data) >= 8:
                size = int.from_bytes(data[:8], "big")
        orders: dict[str, Any] = marshal.loads(data[8:])  # noqa: S302 - of whoever started us
        if orders["forever"]:
            os.close(self._leash)
            self._leash = -1
        return orders

    def _start(self, sinks: Sequence[_Sink]) -> int:
        """The tool's pid; 0 when this run was given up meanwhile. The tool begins only once it is
        on disk that it does: whoever finds no record may be sure that nothing runs."""
        gate, opener = os.pipe()
        # Ours to ignore, the tool's to obey: sent before it is the tool, it has to wait until then.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        pid = os.fork()
        if pid == 0:
            os.close(opener)
            self._become(gate, sinks)
        os.close(gate)
        with _Suppressed(OSError):
            os.setpgid(pid, pid)
        record = {
            "host": host(),
            "supervisor": {"pid": os.getpid(), "start": start_time(os.getpid())},
            "tool": {"pid": pid, "start": start_time(pid)},
            "argv": self._argv,
            "began": time.time(),
        }
        ours = write_durably(self._run, STARTED, record, once=True)
        if ours:
            os.write(opener, b"!")
        os.close(opener)
        for sink in sinks:
            os.close(sink.tool)
        if not ours:
            os.waitpid(pid, 0)
        return pid if ours else 0

    def _become(self, gate: int, sinks: Sequence[_Sink]) -> None:
        """In the fork: becomes the tool, or ends."""
        try:
            os.setpgid(0, 0)
            if os.read(gate, 1) != b"!":
                os._exit(0)
            for each in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGTERM):
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            os.umask(0o077)
            for name, value in self._orders["limits"].items():
                _limit(getattr(resource, name), value)
            for number, sink in enumerate(sinks, 1):
                os.dup2(sink.tool, number)
            os.execve(self._argv[0], self._argv, self._orders["environment"])  # noqa: S606
        except OSError as error:
            os.write(2, f"{self._argv[0]} cannot be started: {error.strerror}\n".encode())
        finally:
            os._exit(127)

    def _watch(self, tool: int, sinks: Sequence[_Sink]) -> int:
        """Until the tool has ended, whoever still holds its streams. Its exit status."""
        process = os.pidfd_open(tool)
        poller = select.poll()
        for sink in sinks:
            poller.register(sink.source, select.POLLIN)
        poller.register(process, select.POLLIN)
        if self._leash >= 0:
            poller.register(self._leash, 0)
            self._next = [(time.monotonic() + self._orders["seconds"], signal.SIGINT)]
        while True:
            ready = {descriptor for descriptor, _ in poller.poll(self._pause())}
            for sink in sinks:
                if sink.source in ready:
                    sink.pump()
            if process in ready:
                return os.waitstatus_to_exitcode(os.waitpid(tool, 0)[1])
            if self._leash in ready:
                poller.unregister(self._leash)
                self._press(tool, "alone")
            elif self._next and time.monotonic() >= self._next[0][0]:
                self._press(tool, "deadline")
            self._free_room()

    def _pause(self) -> float | None:
        """Milliseconds until something is due."""
        due = [max(0.0, self._next[0][0] - time.monotonic())] if self._next else []
        if self._orders["reserve"]:
            due.append(_TICK)
        return min(due) * 1000 if due else None

    def _press(self, tool: int, why: str) -> None:
        """The next, harder way to end the tool. Only the last reaches what it started: providers
        are to be ended by the tool, which then still knows what they did."""
        self._alone = self._alone or why == "alone"
        if why == "alone" and self._why:
            return
        self._why = self._why or why
        number = self._next[0][1]
        now, grace = time.monotonic(), self._orders["grace"]
        if number == signal.SIGINT:
            self._next = [(now + grace, signal.SIGTERM)]
        elif number == signal.SIGTERM:
            self._next = [(now + grace, signal.SIGKILL)]
        else:
            self._next = []
        with _Suppressed(ProcessLookupError):
            os.killpg(tool, number) if number == signal.SIGKILL else os.kill(tool, number)

    def _free_room(self, *, now: bool = False) -> None:
        """Gives the reserve back when the disk gets short: the tool writes its state at any time,
        truncating it first, so the room has to be there while it runs."""
        for path in list(self._orders["reserve"]):
            with _Suppressed(OSError):
                disk = os.statvfs(os.path.dirname(path))  # noqa: PTH120
                if not now and disk.f_bavail * disk.f_frsize >= self._orders["low"]:
                    continue
            with _Suppressed(OSError):
                os.unlink(path)  # noqa: PTH108
            self._orders["reserve"].remove(path)

    def _finish(self, tool: int, code: int, sinks: Sequence[_Sink]) -> None:
        if not self._orders["forever"]:
            with _Suppressed(ProcessLookupError):
                os.killpg(tool, signal.SIGKILL)  # providers a dead tool left behind
        self._free_room(now=True)
        for sink in sinks:
            sink.pump(time.monotonic() + _DRAIN)
            sink.close()
        for path in self._orders["remove"]:
            with _Suppressed(OSError):
                os.unlink(path)  # noqa: PTH108
        dropped = [sink.dropped for sink in sinks]
        record = {"code": code, "ended": time.time(), "dropped": dropped, "why": self._why}
        write_durably(self._run, ENDED, record)
        if self._alone or self._orders["forever"]:
            with _Suppressed(OSError):
                os.unlink(self._orders["short"])  # noqa: PTH108
        if self._alone:
            import shutil  # noqa: PLC0415 - costs more than the rest of this file

            shutil.rmtree(self._orders["orphan"], ignore_errors=True)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bound, bound))


def main(argv: Sequence[str]) -> None:
    """Forks; the parent's return says that the run is recorded as started, or never will be."""
    os.umask(0o077)
    waiting, ready = os.pipe()
    if os.fork():
        os.close(ready)
        os.read(waiting, 1)
        return
    try:
        os.setsid()
        for each in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(each, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.close(waiting)
        _Supervisor(argv[1], argv[2:], ready).supervise()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv)
