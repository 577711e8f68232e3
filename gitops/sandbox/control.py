"""The near end of the supervisor's socket, and the truth about whether one is running.

Called by :mod:`gitops.sandbox.lifecycle`. The lock a supervisor holds is the truth: process ids are
reused, a held lock is not. Must never signal a process it only knows from a file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gitops.errors import GitopsError, Permanent, Transient

_SUPERVISOR = Path(__file__).with_name("supervisor.py")


class Gone(Transient):
    """No supervisor answers in this folder."""


def supervised(folder: Path) -> bool:
    """Whether a supervisor runs for this folder now."""
    try:
        with (folder / "supervisor.lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def launch(folder: Path, *, seconds: float = 10.0) -> None:
    """Starts a supervisor in a session of its own and waits until it answers."""
    with (folder / "logs" / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", _SUPERVISOR, folder],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8"},
            start_new_session=True,
        )
    deadline = time.monotonic() + seconds
    while True:
        try:
            ask(folder, "status")
        except Gone:
            if process.poll() is not None or time.monotonic() > deadline:
                raise _no_start(folder) from None
            time.sleep(0.01)
        else:
            # It outlives us by design: forget it without the warning a lost child deserves.
            process.returncode = 0
            return


def ask(
    folder: Path, do: str, names: Sequence[str] = (), *, seconds: float = 30.0, **more: object
) -> dict[str, Any]:
    """One command, one answer: the state of every child after it. Raises Gone."""
    line = json.dumps({"do": do, "names": list(names), **more}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            _connect(connection, folder)
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                answer = answers.readline()
    except OSError as problem:
        raise Gone("the sandbox's supervisor does not answer", place=str(folder)) from problem
    if not answer:
        raise Gone(f"the sandbox's supervisor did not understand {do!r}", place=str(folder))
    return dict(json.loads(answer))


def shut_down(folder: Path, *, seconds: float = 20.0) -> None:
    """Ends the supervisor and with it everything; returns when no process is left."""
    try:
        pid = int(ask(folder, "status")["supervisor"])
        ending = os.pidfd_open(pid)
    except (Gone, ProcessLookupError):
        _await_lock(folder, seconds)  # it is starting, or on its way out already
        return
    try:
        with contextlib.suppress(Gone):
            ask(folder, "shutdown")
        if not select.select([ending], [], [], seconds)[0]:
            raise _stuck(folder)
        with contextlib.suppress(ChildProcessError):  # not ours: somebody else launched it
            os.waitpid(pid, 0)
    finally:
        os.close(ending)


def _await_lock(folder: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while supervised(folder):
        if time.monotonic() > deadline:
            raise _stuck(folder)
        time.sleep(0.02)


def _stuck(folder: Path) -> GitopsError:
    return Permanent(
        "the sandbox's supervisor does not end", place=str(folder), hint=f"see {folder / 'logs'}"
    )


def _connect(connection: socket.socket, folder: Path) -> None:
    # Through a descriptor of the folder: socket names may have 107 bytes, folders have more.
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{opened}/control.sock")
    finally:
        os.close(opened)


def _no_start(folder: Path) -> GitopsError:
    log = folder / "logs" / "supervisor.log"
    said = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
    return Permanent(
        f"the sandbox's supervisor did not start: {said[0] if said else 'it said nothing'}",
        place=str(log),
    )
