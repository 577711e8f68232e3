"""Runs terraform and tofu through python_terraform, one folder a call, one ``init`` a root.

Plays :class:`gitops.ports.terraform.Workspace` for every root of the controller; the composition
root makes one :class:`Workspaces`. The only importer of python_terraform, which knows no deadline,
no cancellation and no clean environment: it starts our supervisor
(:mod:`gitops.terraform.child`) with the command line it has made up, and the supervisor runs the
tool. Credentials of an apply are read in :meth:`Workspaces.apply` and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import posixpath
import re
import shutil
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import python_terraform

from gitops.errors import GitopsError, RenderError, StateLocked
from gitops.model.finding import Finding
from gitops.model.ids import combine
from gitops.model.sealed import StateFacts
from gitops.model.secret import SecretRef
from gitops.model.terraform import Backend, TerraformHost, TerraformSpec
from gitops.ports.terraform import ApplyRun, OutputValue, Place, PlanRun, Root
from gitops.spelling import texts
from gitops.terraform.answers import document, rewritten, tested, validated
from gitops.terraform.applying import Applying, begun
from gitops.terraform.binaries import Binaries
from gitops.terraform.calls import hold, on_disk
from gitops.terraform.environment import Scrub, environment, granted
from gitops.terraform.execution import Call, Finished, Orders, execute
from gitops.terraform.files import TESTS, checked, dumps, own_state, write_settings
from gitops.terraform.line import Line, Turn
from gitops.terraform.locks import force, held
from gitops.terraform.names import folder_name
from gitops.terraform.planfile import planned_on, providers, read_state, state_facts
from gitops.terraform.prepared import Prepared
from gitops.terraform.runs import Run
from gitops.terraform.said import Reader, diagnostics, telling
from gitops.terraform.session import Session, Setting, remove

_LOCK_ID = re.compile(r"[A-Za-z0-9_.:/=+][A-Za-z0-9_.:/=+-]{0,199}")
_LOCK_FILE = ".terraform.lock.hcl"
_QUICK = 60.0
T = TypeVar("T")


class _Supervised(python_terraform.Terraform):  # type: ignore[misc]  # it has no types
    """Makes up the command line, and starts our supervisor with it."""

    def __init__(self, supervisor: Sequence[str], binary: Path, folder: Path) -> None:
        self.supervisor = tuple(supervisor)
        super().__init__(
            working_dir=str(folder), terraform_bin_path=str(binary), is_env_vars_included=False
        )

    def generate_cmd_string(self, cmd: str, *args: str, **kwargs: Any) -> list[str]:
        return [*self.supervisor, *super().generate_cmd_string(cmd, *args, **kwargs)]

    def read_state_file(self, file_path: str | None = None) -> None:
        """Never: it would parse a hostile file of the working folder in this process."""


def start(supervisor: tuple[str, ...], binary: Path, folder: Path, call: Call) -> None:
    """Starts one run (see :data:`gitops.terraform.execution.Start`)."""
    tool = _Supervised(supervisor, binary, folder)
    options: dict[str, Any] = {}
    for name, value in call.options.items():
        # A dict would become a file that everybody on the machine may read; there is none here.
        options[name] = python_terraform.IsFlagged if value is True else value
        if isinstance(value, tuple):
            options[name] = list(value)
    tool.cmd(call.command, *call.arguments, **options)


def _silence() -> None:
    """Its log repeats command lines and output, through a method Python has deprecated."""
    log = logging.getLogger("python_terraform")
    log.disabled = True
    log.warn = log.warning  # type: ignore[method-assign]


_silence()


class Workspaces:
    """The tool, for every root (:class:`gitops.ports.terraform.Workspace`).

    ``tofu`` finds a tofu that is in none of the host's folders and not on PATH, or raises
    ToolMissing; ``mask`` takes secrets out of a text. Keeps everything below
    ``STATE_DIR/terraform``.
    """

    def __init__(
        self,
        host: TerraformHost,
        state_dir: Path,
        *,
        tofu: Callable[[str], Path],
        mask: Callable[[str], str],
    ) -> None:
        self._host = host
        self._home = state_dir.absolute() / "terraform"
        self._mask = mask
        self._line = Line(host.parallel)
        self._binaries = Binaries(host, tofu, self._ask_version)
        # No application is called this: its folder's name never begins with a dot.
        self._holding = threading.Lock()
        self._calls = self._home / ".calls" / uuid.uuid4().hex
        self._prepared = Prepared(self._new_folder)
        self._cache = host.cache or self._home / ".providers"
        self._held = -1

    def close(self) -> None:
        """Removes what was kept between calls. Blocks; nothing may be under way."""
        shutil.rmtree(self._calls, ignore_errors=True)

    def queue(self) -> tuple[Place, ...]:
        """Who runs, who waits for whom, which apply is past its deadline."""
        return self._line.places()

    def identity(self, root: Root) -> str:
        """``local:default:DIGEST``. Without what the environment adds (``PG_CONN_STR``): that is
        secret, and another database is another lineage."""
        spec = _spec(root)
        own = root.application.name if spec.backend is None else None
        backend = spec.backend or Backend()
        settings = dumps(backend.settings)
        digest = combine("terraform state", backend.kind, settings, spec.workspace, own)
        return f"{backend.kind}:{spec.workspace}:{digest}"

    async def tool(self, root: Root) -> str:
        return str(await self._binaries.find(_spec(root)))

    async def fmt(self, root: Root) -> Sequence[tuple[str, str]]:
        async def look(session: Session) -> Sequence[tuple[str, str]]:
            done = await session.run(
                "fmt", {"recursive": True, "list": False}, ("../" * _depth(root) or ".",),
                seconds=_QUICK, bare=True,
            )  # fmt: skip
            session.check(done, "fmt")
            return await asyncio.to_thread(rewritten, session, root)

        return await self._session(root, "fmt", look, state="", credentials={})

    async def validate(self, root: Root) -> Sequence[Finding]:
        async def look(session: Session) -> Sequence[Finding]:
            reader = session.setting.reader
            done = await session.init(backend=False)
            try:
                session.check(done, "init")
            except RenderError:
                found = diagnostics(done.stdout, done.stderr)
                return [reader.finding(each) for each in telling(found)]
            seconds = session.setting.spec.deadlines.plan.total_seconds()
            done = await session.run("validate", {"json": True}, seconds=seconds, bare=True)
            if done.why or done.code < 0:
                session.check(done, "validate")
            return [reader.finding(each) for each in validated(done)]

        # What it finds is an answer and no error: never from a folder that may have suffered.
        return await self._session(root, "validate", look, state="", credentials={}, fresh=True)

    async def test(self, root: Root, files: Sequence[str]) -> Sequence[Finding]:
        if not files:
            return []
        folder = root.application.path
        prefix = f"{folder}/" if folder else ""
        named = {posixpath.normpath(name) for name in files}
        named |= {f"{prefix}{name}" for name in named}

        def wanted(path: str) -> bool:
            # A test file that is not there cannot apply anything, whatever the filter matches.
            name = path.rpartition("/")[2]
            return path in named or not any(fnmatchcase(name, each) for each in TESTS)

        async def look(session: Session) -> Sequence[Finding]:
            session.check(await session.init(backend=False), "init")
            options: dict[str, Any] = {
                "json": True,
                "filter": tuple(sorted({name.removeprefix(prefix) for name in files})),
                "var_file": session.variables(),
            }
            seconds = session.setting.spec.deadlines.plan.total_seconds()
            done = await session.run("test", options, seconds=seconds, bare=True)
            return tested(session, done)

        credentials = _spec(root).environment.plan
        return await self._session(
            root, "test", look, state="", credentials=credentials, wanted=wanted
        )

    async def plan(
        self, root: Root, *, refresh_only: bool = False, locking: bool = True
    ) -> PlanRun:
        async def draw(session: Session) -> PlanRun:
            await session.ready(make=locking)
            seconds = await session.plan(refresh_only=refresh_only, locking=locking)
            plan_file = await asyncio.to_thread(session.read_plan)
            shown = await session.document("show", str(session.plan_file))
            lock = _lock_file(root)
            return PlanRun(
                plan_file=b"" if refresh_only else plan_file,
                shown=await asyncio.to_thread(document, shown),
                state=await asyncio.to_thread(planned_on, plan_file),
                tool=str(session.setting.binary),
                providers=providers(lock),
                lock_sha256=sha256(lock).hexdigest() if lock else "",
                seconds=seconds,
            )

        credentials = _spec(root).environment.plan
        doing = "plan" if locking else "preview"
        return await self._session(root, doing, draw, credentials=credentials, alone=locking)

    async def show(self, root: Root, plan_file: bytes) -> Mapping[str, Any]:
        async def look(session: Session) -> Mapping[str, Any]:
            session.check(await session.init(backend=False), "init")
            await asyncio.to_thread(session.plan_file.write_bytes, plan_file)
            shown = await session.document("show", str(session.plan_file))
            return await asyncio.to_thread(document, shown)

        credentials = _spec(root).environment.plan
        return await self._session(root, "show", look, state="", credentials=credentials)

    async def state(self, root: Root) -> StateFacts:
        credentials = _spec(root).environment.plan
        return await self._session(root, "state", _state, credentials=credentials)

    async def begun(self, root: Root, run: str) -> bool:
        return await asyncio.to_thread(begun, self._runs(root) / folder_name(run))

    async def outputs(self, root: Root) -> Mapping[str, OutputValue]:
        async def look(session: Session) -> Mapping[str, Any]:
            await session.ready()
            return document(await session.document("output"))

        credentials = _spec(root).environment.plan
        shown = await self._session(root, "outputs", look, credentials=credentials)
        return {
            str(name): OutputValue(each.get("value"), bool(each.get("sensitive", True)))
            for name, each in shown.items()
            if isinstance(each, dict)
        }

    async def reached(self, root: Root) -> tuple[Mapping[str, OutputValue], StateFacts]:
        async def look(session: Session) -> tuple[Mapping[str, OutputValue], StateFacts]:
            await session.ready()
            return await asyncio.to_thread(read_state, await session.document("state pull"))

        credentials = _spec(root).environment.plan
        return await self._session(root, "outputs", look, credentials=credentials)

    async def unlock(self, root: Root, lock: str) -> None:
        if not _LOCK_ID.fullmatch(lock):
            raise RenderError("no id of a lock", hint="take it from the message that names it")
        spec = _spec(root)
        # A person said yes to it by now, and a role that only plans may not touch locks.
        credentials = {**spec.environment.plan, **spec.environment.apply}
        async with self._turn(root, "unlock", self.identity(root)):
            setting = await self._setting(root, credentials)
            async with self._folder(setting, self._backend(root)) as session:
                await session.ready()
                await force(session, lock)

    async def apply(self, root: Root, plan_file: bytes, run: str) -> ApplyRun:
        """See the port. Raises Transient when there is no room for the state. Cancelled, it leaves
        the tool running: call it again with the same ``run``."""
        spec = _spec(root)
        credentials = {**spec.environment.plan, **spec.environment.apply}
        async with self._turn(root, "apply", self.identity(root)) as turn:
            setting = await self._setting(root, credentials)

            async def read_state() -> StateFacts:
                async with self._folder(setting, self._backend(root)) as session:
                    return await _state(session)

            async def await_lock() -> None:
                async with self._folder(setting, self._backend(root)) as session:
                    await _await_lock(session)

            async def find_lock() -> StateLocked | None:
                async with self._folder(setting, self._backend(root)) as session:
                    await session.ready()
                    return await held(session)

            async def force_lock(lock: str) -> None:
                async with self._folder(setting, self._backend(root)) as session:
                    await session.ready()
                    await force(session, lock)

            applying = Applying(
                setting,
                self._backend(root),
                self._runs(root) / folder_name(run),
                plan_file,
                self._host.reserve,
                read_state,
                await_lock,
                find_lock,
                force_lock,
            )
            with on_disk():
                return await applying.carry_out(turn)

    async def _session(
        self,
        root: Root,
        doing: str,
        work: Callable[[Session], Awaitable[T]],
        *,
        credentials: Mapping[str, str | SecretRef],
        state: str | None = None,
        wanted: Callable[[str], bool] = lambda path: True,
        alone: bool = True,
        fresh: bool = False,
    ) -> T:
        """Does that in a folder with the root in it. ``state`` empty: without the backend.
        ``alone``: nobody else of ours works on that state meanwhile. ``fresh``: where nobody ran
        the tool before; never with the credentials of an apply otherwise."""
        identity = self.identity(root) if state is None else state
        async with self._turn(root, doing, identity if alone else ""):
            setting = await self._setting(root, credentials, wanted)
            backend = self._backend(root) if identity else None
            return await self._prepared.work(setting, backend, work, fresh=fresh)

    @contextlib.asynccontextmanager
    async def _folder(self, setting: Setting, backend: Backend | None) -> AsyncIterator[Session]:
        with on_disk():
            session = Session(await asyncio.to_thread(self._new_folder), setting)
            try:
                await asyncio.to_thread(session.prepare, backend)
                yield session
            finally:
                await asyncio.to_thread(remove, session.base)

    @contextlib.asynccontextmanager
    async def _turn(self, root: Root, doing: str, state: str) -> AsyncIterator[Turn]:
        async with self._line.turn(root.lane, state, doing) as turn:
            yield turn

    async def _setting(
        self,
        root: Root,
        credentials: Mapping[str, str | SecretRef],
        wanted: Callable[[str], bool] = lambda path: True,
    ) -> Setting:
        spec = _spec(root)
        binary = await self._binaries.find(spec)
        values, secrets = await asyncio.to_thread(granted, credentials)
        scrub = Scrub(self._mask, [*secrets, *texts(root.variables)])
        reader = Reader(scrub, root.application.path, binary.name)
        return Setting(
            start, root, spec, binary, reader, values, self._cache, self._host.mirror, wanted
        )

    def _backend(self, root: Root) -> Backend:
        spec = _spec(root)
        if spec.backend is None:
            return own_state(self._home, root.application.name, spec.workspace)
        return checked(spec.backend, spec.workspace)

    def _runs(self, root: Root) -> Path:
        application, workspace = root.application.name, _spec(root).workspace
        return self._home / folder_name(application) / folder_name(workspace) / "runs"

    def _new_folder(self) -> Path:
        with self._holding:
            if self._held < 0:
                self._held = hold(self._calls)
        return self._calls / uuid.uuid4().hex

    async def _ask_version(self, path: Path) -> Finished:
        with on_disk():
            folder = await asyncio.to_thread(self._new_folder)
            try:
                return await self._say_version(path, folder)
            except GitopsError:
                return Finished(1, b"", b"", cut=False)
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _say_version(self, path: Path, folder: Path) -> Finished:
        await asyncio.to_thread(folder.mkdir, 0o700)
        config = folder / "settings.tfrc"
        write_settings(config, None)
        orders = Orders(
            environment(folder, folder / "data", config, folder, {}), seconds=_QUICK, orphan=folder
        )
        call = Call("version", {"json": True})
        return await execute(start, Run(folder / "run"), path, folder, call, orders)


def _spec(root: Root) -> TerraformSpec:
    spec = root.application.terraform
    if spec is None:
        raise RenderError(f"{root.application.name} is no Terraform root")
    return spec


def _depth(root: Root) -> int:
    path = root.application.path
    return path.count("/") + 1 if path else 0


def _lock_file(root: Root) -> bytes:
    wanted = posixpath.normpath(posixpath.join(root.application.path, _LOCK_FILE))
    return next((file.content for file in root.files if file.path == wanted), b"")


async def _state(session: Session) -> StateFacts:
    await session.ready()
    return await asyncio.to_thread(state_facts, await session.document("state pull"))


async def _await_lock(session: Session) -> None:
    """Raises StateLocked while somebody holds the state: a plan takes the lock, and is not kept."""
    await session.ready()
    try:
        await session.plan(refresh_only=False)
    except StateLocked:
        raise
    except RenderError:
        return  # it had the lock, or complains of what the apply will have changed
