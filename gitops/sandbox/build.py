"""Builds the binaries of one pinned module file, once per user and processor.

Called by :meth:`gitops.sandbox.tools.Toolbox.ensure`. Slow (minutes) and needs the network the
first time; ``go.sum`` verifies every byte fetched. A build is made beside its place and renamed:
a folder in the cache is complete or not there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gitops.errors import ToolMissing
from gitops.sandbox.golang import environment, find_go, install_go
from gitops.sandbox.recipes import MODULES, Tool, linker_flags, members, tags
from gitops.sandbox.tools import Progress, Report

_GIB = 1 << 30
_SPACE = {"controlplane": 4 * _GIB, "tofu": 4 * _GIB, "promtool": 4 * _GIB}
"""Free bytes wanted for sources, compiler cache and result; 2 GiB for the small ones."""
_LINES_KEPT = 40


def build(module: str, target: Path, report: Report) -> None:
    """Fills ``target`` with a module's binaries. Raises ToolMissing saying what is in the way.

    Waits for another process that builds the same, then does nothing.
    """
    with _locked(target, module, report):
        if _complete(target, module):
            return
        _check_space(target.parent, module)
        go = find_go(target.parent)
        if go is None:
            report(Progress(module, 0, 0, "installing Go"))
            go = install_go(target.parent)
        _build_into(target, module, go, report)


def _build_into(target: Path, module: str, go: Path, report: Report) -> None:
    staging = target.with_name(f"{target.name}.building")
    shutil.rmtree(staging, ignore_errors=True)  # left by a killed build: the lock is ours
    try:
        staging.mkdir()
        total = _count(go, module, report)
        meter = _Meter(module, total, report)
        for tools in _groups(module):
            _compile(go, module, tools, staging, meter)
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
        report(Progress(module, total, total, "built"))
    except OSError as problem:
        raise ToolMissing(
            f"cannot build {module}: {problem.strerror or problem}", place=str(target)
        ) from problem
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _Meter:
    """Counts what the compiler says it has done, one package a line."""

    def __init__(self, module: str, total: int, report: Report) -> None:
        self._module = module
        self._total = total
        self._report = report
        self._done = 0

    def __call__(self, line: str) -> None:
        if line.startswith("go: downloading"):
            self._report(Progress(self._module, self._done, self._total, line[4:]))
        elif line and " " not in line:
            self._done = min(self._done + 1, self._total)
            self._report(Progress(self._module, self._done, self._total, f"compiling {line}"))


def _groups(module: str) -> Iterator[tuple[Tool, ...]]:
    """Programs one call can build: those Go would name as we do. The others go one by one."""
    named = tuple(t for t in members(module) if t.package.rsplit("/", 1)[-1] == t.name)
    if named:
        yield named
    for tool in members(module):
        if tool not in named:
            yield (tool,)


def _compile(
    go: Path, module: str, tools: Sequence[Tool], folder: Path, meter: Callable[[str], None]
) -> None:
    out = str(folder / tools[0].name) if len(tools) == 1 else f"{folder}/"
    options = ["-v", "-trimpath", "-buildvcs=false", "-ldflags", linker_flags(module), "-o", out]
    _run([str(go), "build", *_tagged(module), *options, *(t.package for t in tools)], module, meter)


def _tagged(module: str) -> list[str]:
    return ["-tags", tags(module)] if tags(module) else []


def _count(go: Path, module: str, report: Report) -> int:
    """How many packages there are; fetches their sources on the way."""
    report(Progress(module, 0, 0, "fetching sources"))
    packages = [tool.package for tool in members(module)]
    said = _run(
        [str(go), "list", *_tagged(module), "-deps", *packages], module, _Meter(module, 0, report)
    )
    return len(said.splitlines())


def _run(argv: Sequence[str], module: str, on_line: Callable[[str], None]) -> str:
    """Runs Go in the module's folder; returns stdout. Raises ToolMissing with its last words."""
    with subprocess.Popen(
        argv,
        cwd=MODULES / module,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        errors: list[str] = []
        reader = threading.Thread(target=_follow, args=(process, on_line, errors))
        reader.start()
        try:
            assert process.stdout is not None
            answer = process.stdout.read()
            process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            reader.join()
    if process.returncode != 0:
        raise _explained(module, errors)
    return answer


def _follow(
    process: subprocess.Popen[str], on_line: Callable[[str], None], errors: list[str]
) -> None:
    for line in process.stderr or ():
        on_line(line.rstrip())
        errors.append(line.rstrip())
        del errors[:-_LINES_KEPT]


def _explained(module: str, lines: Sequence[str]) -> ToolMissing:
    telling = [line for line in lines if not line.startswith("go: downloading") and " " in line]
    last = telling[-1] if telling else "Go said nothing"
    text = "\n".join(lines)
    if "no space left" in text:
        hint = "free some disk space, or set XDG_CACHE_HOME and GOCACHE to a larger disk"
    elif any(sign in text for sign in ("dial tcp", "no such host", "timeout", "proxyconnect")):
        hint = "the first build needs the network (GOPROXY may name a mirror); later ones do not"
    elif "signal: killed" in text:
        hint = "the machine ran out of memory; 4 GB are enough"
    else:
        hint = f"to see it all: cd {MODULES / module} && go build tool"
    return ToolMissing(f"cannot build {module}: {last[:400]}", hint=hint)


def _complete(target: Path, module: str) -> bool:
    return all((target / tool.name).is_file() for tool in members(module))


def _check_space(folder: Path, module: str) -> None:
    wanted = _SPACE.get(module, 2 * _GIB)
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise ToolMissing(
            f"building {module} needs {wanted / _GIB:.0f} GiB of free disk, "
            f"there are {free / _GIB:.1f}",
            place=str(folder),
            hint="free some, or set XDG_CACHE_HOME to a larger disk",
        )


@contextlib.contextmanager
def _locked(target: Path, module: str, report: Report) -> Iterator[None]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(target.with_name(f".{target.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as problem:
        raise ToolMissing(
            f"cannot write to the tool cache: {problem.strerror}",
            place=str(target.parent),
            hint="set XDG_CACHE_HOME to a folder you can write to",
        ) from problem
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(Progress(module, 0, 0, "waiting for another build of it"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
