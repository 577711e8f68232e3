"""Starting, reading and stopping a sandbox: a real control plane on loopback, without root.

Called by ``gitops sandbox``, the demo, the tests and ``sandbox`` clusters of a fleet file. It is a
throw-away: :func:`stop` removes its state folder. Must never leave a process behind: all belong to
a supervisor that the kernel makes them die with.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gitops.errors import GitopsError, Permanent
from gitops.sandbox import control, layout, seed
from gitops.sandbox.components import CONTROLLERS, CORE, LOOPBACK, Ports, commands
from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.pki import write_private
from gitops.sandbox.recipes import CONTROL_PLANE
from gitops.sandbox.tools import Report, Toolbox

_STAGES = Path(__file__).parent / "manifests" / "stages.yaml"
_READY_SECONDS = 90.0
_ATTEMPTS = 3
Say = Callable[[str], None]


class _Exited(Permanent):
    """A program of the control plane ended while we waited for it."""


@dataclass(frozen=True, slots=True)
class ChildStatus:
    pid: int | None
    wanted: bool
    exits: int
    """How often it ended without being told to."""
    last_exit: int | None


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    """What is really there. ``info`` is None when nothing (or nothing usable) is."""

    name: str
    state: str
    """``running``, ``degraded`` (a program is down), ``starting``, ``dead`` (files, no processes:
    it was killed) or ``absent``."""
    info: SandboxInfo | None = None
    children: dict[str, ChildStatus] = field(default_factory=dict)


def default_state_dir() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local/state") / "gitops-controller" / "sandbox"


def start(
    name: str = "default",
    state_dir: Path | None = None,
    toolbox: Toolbox | None = None,
    *,
    port: int = 0,
    bodies: bool = False,
    owner: int | None = None,
    progress: Report | None = None,
    say: Say = lambda message: None,
) -> SandboxInfo:
    """Starts a sandbox, or finds the running one of that name; usable when it returns.

    ``port`` 0 chooses a free one; ``bodies`` makes the audit log keep requests and answers;
    ``owner`` is a process whose end, however it comes, ends the sandbox too. Raises ToolMissing
    when a program is neither found nor buildable, Permanent or ClusterUnavailable when the sandbox
    does not come up.
    """
    root = (state_dir or default_state_dir()).absolute()
    folder = root / layout.checked_name(name)
    tools = (toolbox or Toolbox()).ensure(CONTROL_PLANE, progress)
    with _alone(root, name):
        running = read(name, root)
        if running is not None:
            return running
        _clear(folder)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return _bring_up(name, folder, tools, port, bodies=bodies, owner=owner, say=say)
            except _Exited:
                # Somebody took a port between our choosing it and the program's binding it.
                _clear(folder, keep_logs=port != 0 or attempt == _ATTEMPTS)
                if port or attempt == _ATTEMPTS:
                    raise
            except BaseException:
                _clear(folder, keep_logs=True)
                raise
    raise AssertionError("unreachable")


def read(name: str = "default", state_dir: Path | None = None) -> SandboxInfo | None:
    """The running sandbox of that name with its process ids, or None."""
    found = status(name, state_dir)
    return found.info if found.state in {"running", "degraded"} else None


def status(name: str = "default", state_dir: Path | None = None) -> SandboxStatus:
    """The truth about a sandbox, from its supervisor and not from its files."""
    folder = _folder(name, state_dir)
    info = layout.load(folder)
    if not control.supervised(folder):
        left = folder.exists() and any(folder.iterdir())
        return SandboxStatus(name, "dead" if left else "absent")
    try:
        answer = control.ask(folder, "status")
    except control.Gone:
        return SandboxStatus(name, "starting")
    children = {n: ChildStatus(**c) for n, c in answer["children"].items()}
    if info is None or not answer["settled"]:
        return SandboxStatus(name, "starting", None, children)
    state = "running" if all(c.pid for c in children.values()) else "degraded"
    return SandboxStatus(name, state, replace(info, pids=_pids(answer)), children)


def stop(name: str = "default", state_dir: Path | None = None) -> bool:
    """Ends the processes and removes the files; False if there was nothing. Idempotent."""
    root = (state_dir or default_state_dir()).absolute()
    folder = root / layout.checked_name(name)
    if not folder.exists():
        return False
    with _alone(root, name):
        _clear(folder)
    return True


def names(state_dir: Path | None = None) -> tuple[str, ...]:
    """Every sandbox that has a folder, alive or not."""
    root = state_dir or default_state_dir()
    if not root.is_dir():
        return ()
    return tuple(sorted(p.name for p in root.iterdir() if p.is_dir() and _named(p.name)))


def stop_apiserver(info: SandboxInfo, *, kill: bool = False) -> None:
    """Takes the API server away (its port refuses connections) until it is started again."""
    control.ask(info.folder, "kill" if kill else "stop", ["kube-apiserver"])


def start_apiserver(info: SandboxInfo) -> None:
    """Brings it back on the same port and waits until it is ready."""
    control.ask(info.folder, "start", ["kube-apiserver"])
    seed.wait_until_ready(info, lambda: None, seconds=_READY_SECONDS)


def restart_apiserver(info: SandboxInfo, *, kill: bool = False) -> None:
    """Gone and back, on the same port with the same state."""
    stop_apiserver(info, kill=kill)
    start_apiserver(info)


def pause(info: SandboxInfo, *components: str) -> None:
    """Freezes programs (default: the API server): connections hang instead of being refused."""
    _signal(info, components, signal.SIGSTOP)


def resume(info: SandboxInfo, *components: str) -> None:
    _signal(info, components, signal.SIGCONT)


def _signal(info: SandboxInfo, components: tuple[str, ...], number: signal.Signals) -> None:
    control.ask(info.folder, "signal", components or ("kube-apiserver",), signal=int(number))


def _bring_up(
    name: str,
    folder: Path,
    tools: dict[str, Path],
    port: int,
    *,
    bodies: bool,
    owner: int | None,
    say: Say,
) -> SandboxInfo:
    tokens = layout.prepare(folder, bodies=bodies)
    ports = _free_ports(port)
    info = SandboxInfo(
        name=name,
        folder=folder,
        url=f"https://{LOOPBACK}:{ports.apiserver}",
        ca_file=folder / "pki" / "ca.crt",
        token=tokens["admin"],
        ordinary_token=tokens["ordinary"],
        kubeconfig=folder / "kubeconfig",
        audit_log=folder / "audit.log",
    )
    layout.write_kubeconfigs(info, tokens)
    spec = {"owner": owner or os.getpid(), "children": commands(folder, tools, ports, _STAGES)}
    write_private(folder / "spec.json", json.dumps(spec).encode())
    control.launch(folder)
    _populate(info, say)
    layout.save(info)
    return replace(info, pids=_pids(control.ask(folder, "settle", keep_owner=owner is not None)))


def _populate(info: SandboxInfo, say: Say) -> None:
    def alive() -> None:
        _check_alive(info.folder)

    say("starting etcd and the API server")
    control.ask(info.folder, "start", CORE)
    seed.wait_until_ready(info, alive, seconds=_READY_SECONDS)
    say("starting controllers, scheduler and fake nodes")
    control.ask(info.folder, "start", CONTROLLERS)
    seed.furnish(info)
    seed.wait_until_usable(info, alive, seconds=_READY_SECONDS)


def _check_alive(folder: Path) -> None:
    for name, child in control.ask(folder, "status")["children"].items():
        if child["wanted"] and child["pid"] is None:
            log = folder / "logs" / f"{name}.log"
            raise _Exited(
                f"{name} ended with {child['last_exit']}: {_last_words(log)}",
                place=str(log),
                hint="if a port is taken, choose another with --port or leave it out",
            )


def _last_words(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
    telling = [line for line in lines if "rror" in line or "fatal" in line.lower()]
    return (telling or lines or ["it said nothing"])[-1].strip()[:300]


def _clear(folder: Path, *, keep_logs: bool = False) -> None:
    """Ends whatever still runs there, then removes the files (or leaves them to be read)."""
    if control.supervised(folder):
        control.shut_down(folder)
    if not keep_logs:
        layout.clean(folder)


@contextlib.contextmanager
def _alone(root: Path, name: str) -> Iterator[None]:
    """One starter or stopper of a name at a time; others wait."""
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (root / f".{name}.lock").open("a")
    except OSError as problem:
        raise Permanent(
            f"cannot write to the sandboxes' folder: {problem.strerror}",
            place=str(root),
            hint="give a writable folder with --state",
        ) from problem
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _free_ports(wanted: int) -> Ports:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(4)]
        for number, taken in enumerate(sockets):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind((LOOPBACK, wanted if number == 0 else 0))
            except OSError as problem:
                raise Permanent(
                    f"port {wanted} cannot be used: {problem.strerror}",
                    place=LOOPBACK,
                    hint="choose another with --port, or leave it out for a free one",
                ) from problem
        return Ports(*(taken.getsockname()[1] for taken in sockets))


def _pids(answer: dict[str, Any]) -> dict[str, int]:
    found = {n: c["pid"] for n, c in answer["children"].items() if c["pid"] is not None}
    return {"supervisor": answer["supervisor"], **found}


def _folder(name: str, state_dir: Path | None) -> Path:
    return (state_dir or default_state_dir()).absolute() / layout.checked_name(name)


def _named(name: str) -> bool:
    with contextlib.suppress(GitopsError):
        return layout.checked_name(name) == name
    return False
