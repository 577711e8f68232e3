"""Owns the processes of one sandbox: if it dies, however it dies, the kernel ends them all.

Run by file name (``python -I -S supervisor.py STATE_DIR``) by :mod:`gitops.sandbox.lifecycle` in a
session of its own; imports the standard library only so that it starts at once and depends on
nothing that may be upgraded under it. It knows nothing of Kubernetes: ``spec.json`` in the state
folder names the children, ``control.sock`` takes one JSON line and answers one. Must never start
a child that could outlive it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

_PR_SET_PDEATHSIG = 1
_GRACE = 5.0
_RESTART_PAUSE = 1.0
_TICK = 0.5
_LOCK_TRIES = 50
_LOCK_PAUSE = 0.02


def end_with_parent(parent: int, by: int = signal.SIGKILL) -> Callable[[], None]:
    """For the child, between fork and exec: die with the parent, even if that is SIGKILLed."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, by, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return bind


class Child:
    """One supervised process. ``wanted`` is what we were told, ``process`` what there is."""

    def __init__(self, name: str, argv: list[str], log: Path) -> None:
        self.name = name
        self.argv = argv
        self.log = log
        self.wanted = False
        self.process: subprocess.Popen[bytes] | None = None
        self.exits = 0
        self.last_exit: int | None = None
        self.not_before = 0.0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """A program that cannot be run has exited: its log says why, as with any other."""
        self.wanted = True
        if self.running:
            return
        with self.log.open("ab") as log:
            try:
                self.process = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=end_with_parent(os.getpid()),  # noqa: PLW1509 - we have one thread
                )
            except OSError as problem:
                log.write(f"error: cannot run {self.argv[0]}: {problem.strerror}\n".encode())
                self.exits += 1
                self.last_exit = 127
                self.not_before = time.monotonic() + _RESTART_PAUSE

    def signal(self, number: int) -> None:
        if self.process is not None and self.running:
            self.process.send_signal(number)

    def reap(self) -> None:
        """Notes an exit nobody asked for."""
        if self.process is None or self.process.poll() is None:
            return
        self.last_exit = self.process.returncode
        self.process = None
        if self.wanted:
            self.exits += 1
            self.not_before = time.monotonic() + _RESTART_PAUSE

    def state(self) -> dict[str, Any]:
        pid = self.process.pid if self.process is not None and self.running else None
        return {
            "pid": pid,
            "wanted": self.wanted,
            "exits": self.exits,
            "last_exit": self.last_exit,
        }


def end(children: Iterable[Child], grace: float = _GRACE) -> None:
    """SIGTERM all, then SIGKILL what is left after ``grace`` seconds."""
    group = list(children)
    for child in group:
        child.wanted = False
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace
    for child in group:
        if child.process is None:
            continue
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        child.reap()


class Supervisor:
    """A loop over: commands, the owner's death, signals, exits of children."""

    def __init__(self, folder: Path) -> None:
        spec = json.loads((folder / "spec.json").read_bytes())
        self.children = {
            name: Child(name, argv, folder / "logs" / f"{name}.log")
            for name, argv in spec["children"].items()
        }
        self.settled = False
        """Set once the sandbox was ready: from then on an exit is a crash and is repaired."""
        self.stopping = False
        self._socket_path = folder / "control.sock"
        self._selector = selectors.DefaultSelector()
        self._owner: int | None = None
        self._listen()
        self._watch(spec["owner"])

    def run(self) -> None:
        try:
            while not self.stopping:
                for key, _ in self._selector.select(_TICK):
                    key.data()
                self._repair()
        finally:
            # Storage goes last, so that nobody fails for want of it while saying good-bye.
            end(c for c in self.children.values() if c.name != "etcd")
            end(self.children.values())
            self._socket_path.unlink(missing_ok=True)

    def _listen(self) -> None:
        self._socket_path.unlink(missing_ok=True)
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.chdir(self._socket_path.parent)  # a relative name: absolute ones may exceed 107 bytes
        self._server.bind(self._socket_path.name)
        self._server.listen(8)
        self._selector.register(self._server, selectors.EVENT_READ, self._answer)
        waking, wakened = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
        self._selector.register(waking, selectors.EVENT_READ, lambda: os.read(waking, 4096))

    def _watch(self, owner: int | None) -> None:
        if owner is None:
            return
        try:
            self._owner = os.pidfd_open(owner)
        except ProcessLookupError:
            self.stopping = True
            return
        self._selector.register(self._owner, selectors.EVENT_READ, self.stop)

    def stop(self) -> None:
        self.stopping = True

    def _repair(self) -> None:
        for child in self.children.values():
            child.reap()
            due = child.wanted and not child.running and time.monotonic() >= child.not_before
            if self.settled and due and not self.stopping:
                child.start()

    def _answer(self) -> None:
        connection, _ = self._server.accept()
        # A client that went away, or sent rubbish, is its own problem.
        with connection, contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            connection.settimeout(2.0)
            with connection.makefile("rwb") as stream:
                request = json.loads(stream.readline(65536))
                stream.write(json.dumps(self._do(request)).encode() + b"\n")

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        names = request.get("names", ())
        chosen = [self.children[name] for name in names]
        match request["do"]:
            case "start":
                for child in chosen:
                    child.start()
            case "stop":
                end(chosen)
            case "kill":
                end(chosen, grace=0.0)
            case "signal":
                for child in chosen:
                    child.signal(int(request["signal"]))
            case "settle":
                self._settle(keep_owner=bool(request["keep_owner"]))
            case "shutdown":
                self.stopping = True
        for child in self.children.values():
            child.reap()
        return {
            "supervisor": os.getpid(),
            "settled": self.settled,
            "children": {name: child.state() for name, child in self.children.items()},
        }

    def _settle(self, *, keep_owner: bool) -> None:
        self.settled = True
        if not keep_owner and self._owner is not None:
            self._selector.unregister(self._owner)
            os.close(self._owner)
            self._owner = None


def _only_one(folder: Path) -> bool:
    """Takes the lock that says this folder is supervised; it lasts as long as the process."""
    lock = os.open(folder / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_LOCK_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_LOCK_PAUSE)  # whoever asks for the status holds it for an instant
    return False


def main(folder: Path) -> int:
    if not _only_one(folder):
        return 3
    supervisor = Supervisor(folder)

    def leave(number: int, frame: FrameType | None) -> None:
        supervisor.stop()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, leave)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
