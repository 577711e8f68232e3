"""``gitops`` as a process of its own, begun where its modules are imported already.

Stories start hundreds of controllers and commands, and importing is nearly all that starting one
costs (2.5 s of CPU for a controller). So each worker of a run keeps one process that has imported
what they import and done nothing else, and every ``gitops`` is a fork of that: a process with a pid
of its own, its own memory, environment, folder and streams, that can be killed like any other. That
a command starts from nothing too is told by the stories that run ``sys.executable`` themselves
(the demo, the command line's own, containers).

Used through :func:`start` and :func:`run`; run as a script it is the process that forks.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent.parent
_IMPORTED = (
    "gitops.app",
    "gitops.cli.plan",
    "gitops.cli.run",
    "gitops.cli.failures",
    "gitops.config",
    "gitops.forges.github",
    "gitops.forges.github_app",
    "gitops.kube.cluster",
    "gitops.logs",
    "gitops.sources.git",
    "gitops.store",
    "gitops.terraform.workspace",
    "gitops.web.client",
    "gitops.web.serve",
    "planners.plan.planner",
    "planners.plan.terraform.planner",
    "alembic.command",
    "kubernetes.aio.config",
)
"""Imported beforehand. What is missing here is imported by whoever needs it."""


class Child:
    """What of :class:`subprocess.Popen` the tests use."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self._descriptor = os.pidfd_open(pid)
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._descriptor], [], [], 0)[0]:
            self._bury()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._descriptor], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"gitops ({self.pid})", timeout or 0.0)
            self._bury()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _bury(self) -> None:
        self.returncode = self._nursery.ask({"wait": self.pid})
        os.close(self._descriptor)


class Nursery:
    """The process that forks, from the side of a test."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm"],
            cwd=_HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        atexit.register(self.end)

    def ask(self, question: Mapping[str, Any]) -> int:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with self._lock:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        assert answer, "the process that forks has ended"
        return int(answer)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()


_nurseries: list[Nursery] = []


def _nursery() -> Nursery:
    """Of this worker. One that ended (somebody killed more than was theirs) is replaced, or every
    story after it would fail for it."""
    if not _nurseries or _nurseries[-1].ended:
        _nurseries.append(Nursery())
    return _nurseries[-1]


def start(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    out: Path,
    err: Path,
    cwd: Path | None = None,
    stdin: Path = Path(os.devnull),
) -> Child:
    """``gitops ARGUMENTS``; what it prints is added to the files ``out`` and ``err``."""
    question = {
        "arguments": [str(each) for each in arguments],
        "env": dict(env),
        "cwd": str(cwd or Path.cwd()),
        "streams": [str(stdin), str(out), str(err)],
    }
    nursery = _nursery()
    return Child(nursery, nursery.ask(question))


def run(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str = "",
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """``gitops ARGUMENTS`` to its end, as :func:`subprocess.run` with its output caught."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("in", "out", "err")]
        streams[0].write_text(input)
        given = os.environ if env is None else env
        child = start(
            arguments, env=given, cwd=cwd, stdin=streams[0], out=streams[1], err=streams[2]
        )
        try:
            code = child.wait(timeout)
        finally:
            if child.returncode is None:
                child.kill()
                child.wait()
        out, err = (path.read_bytes().decode() for path in streams[1:])
        return subprocess.CompletedProcess(["gitops", *arguments], code, out, err)


# --- the process that forks ----------------------------------------------------------------------


def _serve() -> list[str] | None:
    """Until nobody asks any more; in a fork: the arguments it is to run with."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _IMPORTED:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a thread does not survive a fork"
    gc.collect()
    gc.freeze()
    for line in iter(sys.stdin.buffer.readline, b""):
        question = json.loads(line)
        if "wait" in question:
            answer = os.waitstatus_to_exitcode(os.waitpid(question["wait"], 0)[1])
        else:
            answer = os.fork()
            if not answer:
                return _become(question)
        sys.stdout.buffer.write(b"%d\n" % answer)
        sys.stdout.buffer.flush()
    return None


def _become(question: Mapping[str, Any]) -> list[str]:
    stdin, out, err = question["streams"]
    write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, (path, flags) in enumerate(((stdin, os.O_RDONLY), (out, write), (err, write))):
        descriptor = os.open(path, flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(question["env"])
    time.tzset()
    os.chdir(question["cwd"])
    arguments: list[str] = question["arguments"]
    sys.argv = ["gitops", *arguments]
    return arguments


if __name__ == "__main__" and (told := _serve()) is not None:
    from gitops.cli import main

    main(told)
