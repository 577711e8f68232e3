"""Where the demo is played: a folder, a control plane, a repository and a controller.

Called by the ``demo`` command, which leaves the ``with`` block in whatever way: everything that
was started is ended then, unless it was told to stay.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from gitops.demo.process import ControllerProcess
from gitops.demo.repository import Repository
from gitops.demo.roottool import TOFU, RootTool, on_path
from gitops.demo.witness import Witness
from gitops.errors import ConfigError, Permanent
from gitops.sandbox import lifecycle
from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.recipes import CONTROL_PLANE, RENDERING
from gitops.sandbox.tools import Report, Toolbox
from gitops.web.client import Address, Api

NAME = "demo"
NAMESPACE = "shop"
SOURCE = "shop-config"
TOOLS = (*CONTROL_PLANE, *RENDERING, "kubectl")
_MARK = ".gitops-demo"
_ROOM = "run"
_SHORT_TEMP = "/tmp"  # noqa: S108 - mkdtemp makes a folder of our own in it
_LONGEST_SOCKET = 100
"""Bytes; a Unix socket's path is limited to 108 by the kernel (unix(7))."""

FLEET = """\
# The fleet of `gitops demo`. `gitops config schema` describes every key.
state_dir: state
api: {{socket: {socket}{page}}}
sources:
  shop-config: {{git: {remote}, allow_local: true}}
clusters:
  sandbox: {{kubeconfig: {kubeconfig}, context: {context}}}
discover:
  - {{path: apps/*, namespace: shop}}
  - {{path: infra/*, terraform: {{binary: {binary}, backend: {{local: {{path: {tfstate}}}}}}}}}
  - {{path: web/*, namespace: shop, needs: {{host: site.host}}}}
terraform: {{folders: [{binaries}]}}
people:
  ada: {{emails: [ada@example.com]}}
  grace: {{emails: [grace@example.com]}}
"""


def folder_for(wanted: Path | None) -> Path:
    """A new folder, or the one that was asked for, emptied if an earlier demo left it.

    Raises ConfigError for a folder that holds anything else, or a demo that still runs.
    """
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="gitops-demo-"))
    folder = wanted.absolute()
    if (folder / _MARK).is_file():
        _clear_earlier(folder)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "the folder is not empty and no demo's", place=str(folder), hint="choose another --dir"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as problem:
        raise ConfigError(
            f"the folder cannot be made: {problem.strerror}",
            place=str(folder),
            hint="choose another --dir",
        ) from problem
    return folder


def _clear_earlier(folder: Path) -> None:
    if lifecycle.read(NAME, folder / "sandbox") is not None or _listens(_socket(folder)):
        raise ConfigError(
            "a demo still runs there",
            place=str(folder),
            hint="\n".join(["end it first:", *ending(folder)]),
        )
    _give_room_back(folder)
    shutil.rmtree(folder)


def _socket(folder: Path) -> Path:
    room = folder / _ROOM
    return (room.readlink() if room.is_symlink() else folder / "state") / "api.sock"


def _make_room_for_socket(folder: Path) -> None:
    """Where the folder's own path is too long for a socket, it goes to a short one for us alone,
    and a link remembers which: the demo may be told to stay, and be ended much later."""
    if len(os.fsencode(_socket(folder))) <= _LONGEST_SOCKET:
        return
    usual = tempfile.gettempdir()
    base = usual if len(os.fsencode(usual)) <= _LONGEST_SOCKET // 2 else _SHORT_TEMP
    try:
        room = tempfile.mkdtemp(prefix="gitops-demo-", dir=base)
    except OSError as problem:
        raise ConfigError(
            f"the path is too long for a Unix socket in it, and {base} cannot be written to",
            place=str(folder),
            hint="choose a shorter --dir",
        ) from problem
    (folder / _ROOM).symlink_to(room)


def _give_room_back(folder: Path) -> None:
    room = folder / _ROOM
    if not room.is_symlink():
        return
    # Never a whole tree: what a link names is believed no further than this.
    with contextlib.suppress(OSError):
        _socket(folder).unlink(missing_ok=True)
        room.readlink().rmdir()
    room.unlink()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:  # a path too long among them
            return False
        return True


def ending(folder: Path, program: str = "gitops") -> list[str]:
    """The commands that end what was told to stay."""
    lines = [
        f"kill $(cat {folder}/controller.pid)",
        f"{program} sandbox down --name {NAME} --state {folder}/sandbox",
    ]
    if (folder / _ROOM).is_symlink():
        lines.append(f"rmdir {(folder / _ROOM).readlink()}")
    return lines


def bring_tools(progress: Report) -> RootTool:
    """Finds or builds what is needed; returns what the Terraform root is run with: the terraform
    that is here already, else OpenTofu. Raises ToolMissing."""
    toolbox, present = Toolbox(), on_path()
    toolbox.ensure(TOOLS if present else (*TOOLS, TOFU), progress)
    return present or RootTool(TOFU, toolbox.path(TOFU))


@dataclass
class Stage:
    """Everything the story needs. Parts come up one by one, as the story calls for them."""

    folder: Path
    root_tool: RootTool
    stays: bool = False
    """Leave the controller and the control plane running at the end."""
    page: str = ""
    """Host and port of the status page; empty where it is none."""
    toolbox: Toolbox = field(default_factory=Toolbox)
    sandbox: SandboxInfo = field(init=False)
    repository: Repository = field(init=False)
    witness: Witness = field(init=False)
    _controller: ControllerProcess | None = None
    _apis: list[Api] = field(default_factory=list)

    def __enter__(self) -> Self:
        (self.folder / _MARK).touch()
        (self.folder / "logs").mkdir(exist_ok=True)
        _make_room_for_socket(self.folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _undisturbed():
            self._end(failed=kind is not None)

    def _end(self, *, failed: bool) -> None:
        for api in self._apis:
            api.close()
        if self.stays and not failed:
            return
        if self._controller is not None:
            self._controller.end()
        if failed:
            self._save_logs()
        lifecycle.stop(NAME, self.folder / "sandbox")
        _give_room_back(self.folder)

    @property
    def config(self) -> Path:
        return self.folder / "gitops.yaml"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def tfstate(self) -> Path:
        """Where the Terraform root's state is kept."""
        return self.folder / "site.tfstate"

    def start_sandbox(self, say: lifecycle.Say) -> None:
        self.sandbox = lifecycle.start(
            NAME,
            self.folder / "sandbox",
            self.toolbox,
            owner=None if self.stays else os.getpid(),
            say=say,
        )
        self.witness = Witness(
            self.toolbox.path("kubectl"), self.sandbox.kubeconfig, NAMESPACE, self.folder
        )
        self.witness.make_namespace()

    def make_repository(self) -> None:
        """The repository, and the fleet file that watches it."""
        self.repository = Repository.create(self.folder)
        text = FLEET.format(
            socket=json.dumps(str(_socket(self.folder))),
            page=self._page(),
            remote=json.dumps(str(self.repository.remote)),
            kubeconfig=json.dumps(str(self.sandbox.kubeconfig)),
            context=self.sandbox.context,
            binary=self.root_tool.name,
            binaries=json.dumps(str(self.root_tool.path.parent)),
            tfstate=json.dumps(f"{self.folder}/{{application}}.tfstate"),
        )
        self.config.write_text(text, "utf-8")

    def _page(self) -> str:
        """What stays shows its status page, at a port that is free now."""
        if not self.stays:
            return ""
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.page = f"127.0.0.1:{found.getsockname()[1]}"
        return f', listen: "{self.page}", sign_in: {{local: true}}'

    def start_controller(self) -> None:
        self._controller = ControllerProcess(
            self.config, self.logs / "controller.log", stays=self.stays
        )
        (self.folder / "controller.pid").write_text(f"{self._controller.pid}\n")

    def check_alive(self) -> None:
        """Raises Permanent when the controller has ended, with its last words."""
        if self._controller is not None and not self._controller.running:
            said = (self.logs / "controller.log").read_text("utf-8", "replace").strip()
            lines = said.splitlines() or ["it said nothing"]
            errors = [at for at, line in enumerate(lines) if line.startswith("error: ")]
            last = [line.strip() for line in lines[errors[-1] if errors else -1 :]]
            raise Permanent(f"the controller has ended: {'; '.join(last[:3])}")

    def api(self, person: str = "") -> Api:
        """The controller's API, as its operator or as a person with a token of their own."""
        token = ""
        if person:
            token = self.api().post("tokens", body={"person": person, "days": 1})["token"]
            self._keep(person, token)
        api = Api(Address(_socket(self.folder), token=token))
        self._apis.append(api)
        return api

    def _keep(self, person: str, token: str) -> None:
        file = self.folder / f"{person}.token"
        file.touch(mode=0o600)
        file.write_text(f"{token}\n")

    def _save_logs(self) -> None:
        """A sandbox takes its logs with it; after a failure they are what is wanted."""
        theirs = self.folder / "sandbox" / NAME / "logs"
        if theirs.is_dir():
            shutil.copytree(theirs, self.logs / "sandbox", dirs_exist_ok=True)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second ctrl-C waits until everything has been ended."""
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
