"""One folder with a root in it, and the commands run there one after the other.

Used by :mod:`gitops.terraform.workspace` for calls that leave nothing behind but what ``init`` made
(:mod:`gitops.terraform.prepared`), and by :mod:`gitops.terraform.applying` for an apply, whose
folder stays until its end is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import posixpath
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitops.errors import ChildTimeout, RenderError, Transient
from gitops.model.terraform import Backend, TerraformSpec
from gitops.ports.terraform import Root
from gitops.terraform.binaries import Binary
from gitops.terraform.environment import environment
from gitops.terraform.execution import SHOWN, Call, Finished, Orders, Start, execute
from gitops.terraform.files import dumps, safe, write, write_backend, write_settings, write_tree
from gitops.terraform.runs import Run
from gitops.terraform.said import Reader, diagnostics
from gitops.terraform.sockets import forget, link_of, shorten

LOCK_TIMEOUT = "5s"
"""How long the tool itself waits for a state; we wait longer, and say for whom."""
_Options = Mapping[str, str | bool | tuple[str, ...]]
_CACHE_PAUSE = 0.25
_DATA = "data"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a session works with."""

    start: Start
    root: Root
    spec: TerraformSpec
    binary: Binary
    reader: Reader
    granted: Mapping[str, str]
    """Variables of the environment, credentials among them."""
    cache: Path
    mirror: Path | None
    wanted: Callable[[str], bool] = field(default=lambda path: True)
    """Which of the root's files are written out."""


class Session:
    """Commands of one root in one folder."""

    def __init__(self, base: Path, setting: Setting, *, initialised: bool = False) -> None:
        """``initialised``: the folder is there, and ``init`` has run in it as it would here."""
        self.base = base
        self.orphan: Path | None = base
        """Removed by whoever supervises a command, should we die meanwhile."""
        self.setting = setting
        self.initialised = initialised
        self.folder = base / "tree" / setting.root.application.path
        self.plan_file = base / "plan.tfplan"
        self._variables = base / "variables.tfvars.json"
        self._count = 0

    def prepare(self, backend: Backend | None) -> None:
        """Writes everything out; blocks. Raises RenderError, ConfigError."""
        if self.base.is_dir():
            self.strip()  # a process an earlier call left may have written since
        (self.base / _DATA).mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.base / "home").mkdir(mode=0o700)
        shorten(self.base / "home")
        self.setting.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_settings(self.base / "settings.tfrc", self.setting.mirror)
        root = self.setting.root
        write_tree(self.base / "tree", root.files, self.setting.wanted)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if backend is not None:
            write_backend(self.folder, backend)
        values = {**self.setting.spec.variables, **root.variables}
        if values:
            write(self._variables, dumps(values).encode())

    async def init(self, *, backend: bool) -> Finished:
        """Fetches what the lock file names, unless that was done here before. The plugin cache
        bears one at a time."""
        if self.initialised:
            return Finished(0, b"", b"", cut=False)
        options: dict[str, Any] = {"json": True, "lockfile": "readonly", "backend": backend}
        if self.setting.binary.name == "tofu":  # backends and module sources may read variables
            options["var_file"] = self.variables()
        async with _alone(self.setting.cache / ".gitops-init"):
            done = await self.run("init", options, seconds=self._deadline("init"))
        self.initialised = done.code == 0
        return done

    async def ready(self, *, make: bool = True) -> None:
        """Connects to the backend and selects the workspace, which is made where there is none yet
        (``make``). Raises what the tool complains of."""
        if self.initialised:
            return
        self.check(await self.init(backend=True), "init")
        name = self.setting.spec.workspace
        if name != "default":
            found = await self.run(
                "workspace select",
                {"or_create": True} if make else {},
                (name,),
                seconds=self._deadline("init"),
                bare=True,
            )
            self.check(found, "workspace select")

    async def run(
        self,
        command: str,
        options: _Options,
        arguments: tuple[str, ...] = (),
        *,
        seconds: float,
        data: bool = False,
        bare: bool = False,
    ) -> Finished:
        """One command. ``data``: its output is a value, kept as it is; else it is lines for
        people, kept without secrets. ``bare``: the command knows no ``-input``."""
        self._count += 1
        run = Run(self.base / f"run-{self._count:02}-{command.replace(' ', '-')}")
        orders = self.orders(seconds=seconds, lines=not data)
        call = self.call(command, options, arguments, bare=bare)
        setting = self.setting
        return await execute(setting.start, run, setting.binary.path, self.folder, call, orders)

    def call(
        self,
        command: str,
        options: _Options,
        arguments: tuple[str, ...] = (),
        *,
        bare: bool = False,
    ) -> Call:
        asked: _Options = {} if bare else {"input": False}
        return Call(command, {**asked, "no_color": True, **options}, arguments)

    def orders(self, *, seconds: float = 0.0, lines: bool = True) -> Orders:
        return Orders(
            environment(
                self.base / "home",
                self.base / _DATA,
                self.base / "settings.tfrc",
                self.setting.cache,
                self.setting.granted,
                self.short,
            ),
            hidden=self.setting.reader.scrub.hidden,
            lines=lines,
            seconds=seconds,
            orphan=self.orphan,
            short=self.short,
        )

    @property
    def short(self) -> Path:
        """The folder for temporary files, by a path with room for a socket's name."""
        return link_of(self.base / "home")

    def variables(self) -> tuple[str, ...]:
        """Paths of the variable files, the later over the earlier. Raises RenderError."""
        root, found = self.setting.root, []
        for name in self.setting.spec.variable_files:
            path = safe(posixpath.normpath(posixpath.join(root.application.path, name)))
            if not (self.base / "tree" / path).is_file():
                raise RenderError("the variable file is not in the source", place=path)
            found.append(str(self.base / "tree" / path))
        if self._variables.exists():
            found.append(str(self._variables))
        return tuple(found)

    async def plan(self, *, refresh_only: bool, locking: bool = True) -> float:
        """Writes :attr:`plan_file`. Seconds it took."""
        options: dict[str, Any] = {
            "json": True,
            "out": str(self.plan_file),
            "lock_timeout": LOCK_TIMEOUT,
            "var_file": self.variables(),
        }
        if refresh_only:
            options["refresh_only"] = True
        if not locking:
            del options["lock_timeout"]
            options["lock"] = False
        done = await self.run("plan", options, seconds=self._deadline("plan"))
        self.check(done, "plan")
        return done.seconds

    async def document(self, command: str, *arguments: str) -> bytes:
        """What a command prints as a value. Raises RenderError when it is too large."""
        options: _Options = {} if command == "state pull" else {"json": True}
        seconds = self._deadline("plan")
        done = await self.run(command, options, arguments, seconds=seconds, data=True, bare=True)
        self.check(done, command)
        if done.cut:
            raise RenderError(f"what `{command}` prints is larger than {SHOWN >> 20} MiB")
        return done.stdout

    def read_plan(self) -> bytes:
        """The saved plan's bytes. Raises RenderError when there are too many."""
        with self.plan_file.open("rb") as file:
            content = file.read(SHOWN + 1)
        if len(content) > SHOWN:
            raise RenderError(f"the saved plan is larger than {SHOWN >> 20} MiB")
        return content

    def check(self, done: Finished, doing: str) -> None:
        """Raises what a run that failed means."""
        name = self.setting.binary.name
        if done.why == "deadline":
            raise ChildTimeout(
                f"{name} {doing} did not finish in time and was interrupted",
                hint="look for what it waits for, or raise the application's terraform.deadlines",
            )
        if done.code < 0:
            raise Transient(f"{name} {doing} was ended by signal {-done.code}", hint="try again")
        if done.code:
            raise self.setting.reader.error(diagnostics(done.stdout, done.stderr), doing)

    def _deadline(self, of: str) -> float:
        deadlines = self.setting.spec.deadlines
        return (deadlines.init if of == "init" else deadlines.plan).total_seconds()

    def strip(self) -> None:
        """Leaves nothing in the folder but what ``init`` made: no file of the root, no value, no
        output. Blocks. Raises OSError."""
        forget(self.base / "home")
        for path in self.base.iterdir():
            if not path.is_dir():
                path.unlink()
            elif path.name != _DATA:
                shutil.rmtree(path)


def remove(base: Path) -> None:
    """Removes a session's folder and all in it."""
    forget(base / "home")
    shutil.rmtree(base, ignore_errors=True)


@contextlib.asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    """The only one at it, among all processes of this machine: the tool's plugin cache is not
    made for two that fetch at once."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(_CACHE_PAUSE)  # the kernel offers no way to wait in a loop
            else:
                break
        yield
    finally:
        os.close(descriptor)
