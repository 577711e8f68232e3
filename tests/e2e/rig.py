"""A whole system for one test: a git repository, a fleet file, a controller, a real cluster.

The controller runs inside the test's own event loop, put together by ``app.assemble`` as in
production. What is true is always asked of the API server, with kubectl, never of the controller.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gitops.app import Running, assemble
from gitops.config import load
from gitops.controller import Controller
from gitops.model.approval import Decision, Member, MemberState, Request, Verdict
from gitops.model.delivery import ChangeRecord, ChangeState, LaneId
from gitops.model.ids import ApplicationName, PersonName, SourceName, TargetName
from gitops.model.plan import Plan
from gitops.orders import Orders
from gitops.sandbox.layout import SandboxInfo

ADA = ("Ada", "ada@example.com")
BOB = ("Bob", "bob@example.com")
CYD = ("Cyd", "cyd@example.com")
PEOPLE = {name.lower(): {"emails": [mail]} for name, mail in (ADA, BOB, CYD)}
WAIT = 180.0
"""Seconds: a bound for what hangs, not for a machine that is busy."""


def config_map(name: str, **data: str) -> str:
    """A ConfigMap manifest."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    return yaml.safe_dump(body)


@dataclass
class Rig:
    folder: Path
    sandbox: SandboxInfo
    kubectl_path: Path
    namespace: str
    fleet: dict[str, Any] = field(default_factory=dict)
    cluster: str = "here"

    def __post_init__(self) -> None:
        self.work = self.folder / "work"
        self.remote = self.folder / "remote.git"
        repository(self.remote, self.work)
        self.fleet = {
            "state_dir": str(self.folder / "state"),
            "sources": {"config": {"git": str(self.remote), "allow_local": True, "interval": "1h"}},
            "clusters": {
                self.cluster: {
                    "context": f"gitops-sandbox-{self.sandbox.name}",
                    "kubeconfig": str(self.sandbox.kubeconfig),
                }
            },
            "applications": {
                self.application: {"path": "app", "namespace": self.namespace, **_IMPATIENT}
            },
            "people": PEOPLE,
        }
        self.kubectl("create", "namespace", self.namespace)

    @property
    def application(self) -> str:
        """Unique on the cluster, which tests share."""
        return f"app-{self.namespace}"

    @property
    def app(self) -> dict[str, Any]:
        """The application's section of the fleet file, to be changed before the start."""
        section: dict[str, Any] = self.fleet["applications"][self.application]
        return section

    # --- the repository -----------------------------------------------------------------------

    def write(self, path: str, text: str) -> None:
        file = self.work / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))

    def remove(self, path: str) -> None:
        (self.work / path).unlink()

    def commit(
        self,
        message: str = "change",
        *,
        author: tuple[str, str] = ADA,
        committer: tuple[str, str] | None = None,
        push: bool = True,
    ) -> str:
        """Commits everything and pushes; returns the commit's id."""
        by = committer or author
        self.git("add", "--all")
        self.git(
            "-c",
            f"user.name={by[0]}",
            "-c",
            f"user.email={by[1]}",
            "commit",
            "--quiet",
            "--allow-empty",
            f"--author={author[0]} <{author[1]}>",
            f"--message={message}",
        )
        if push:
            self.git("push", "--quiet", "--force", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        return git("-C", str(self.work), *arguments)

    # --- the cluster --------------------------------------------------------------------------

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return subprocess.run(
            [self.kubectl_path, "--kubeconfig", self.sandbox.kubeconfig, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def live(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object as the API server has it now; None when it has none."""
        text = self.kubectl(
            "-n", self.namespace, "get", kind, name, "--ignore-not-found", "-o", "json"
        )
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def data(self, name: str) -> dict[str, str] | None:
        """A ConfigMap's data."""
        found = self.live("configmap", name)
        return found.get("data", {}) if found else None

    # --- the controller -----------------------------------------------------------------------

    def save(self) -> Path:
        path = self.folder / "gitops.yaml"
        path.write_text(yaml.safe_dump(self.fleet))
        return path

    @contextlib.asynccontextmanager
    async def controller(self) -> AsyncIterator[System]:
        """Runs until the block is left, as a process that is told to stop."""
        running: Running = assemble(load(self.save()))
        task = asyncio.ensure_future(running.controller.run())
        try:
            system = System(self, running.controller)
            await system.until(lambda: running.controller.ready.is_set() or task.done())
            yield system
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            running.close()


_IMPATIENT = {"verify_timeout": "20s"}


@dataclass
class System:
    """A running controller, and what a person would do with it."""

    rig: Rig
    controller: Controller

    @property
    def orders(self) -> Orders:
        return Orders(self.controller)

    @property
    def lane(self) -> LaneId:
        return LaneId(ApplicationName(self.rig.application), TargetName(self.rig.cluster))

    async def until(self, holds: Callable[[], Any], seconds: float = WAIT) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.02)

    async def until_async(
        self, holds: Callable[[], Awaitable[object]], seconds: float = WAIT
    ) -> None:
        async with asyncio.timeout(seconds):
            while not await holds():
                await asyncio.sleep(0.05)

    async def nudge(self) -> None:
        """The source is looked at, and every lane is as far as it gets."""
        await self.orders.nudge(SourceName("config"))
        await self.quiet()

    async def quiet(self) -> None:
        async with asyncio.timeout(WAIT):
            await self.controller.lanes.quiet()

    async def requests(self) -> Sequence[Request]:
        return await self.controller.ledger.read(lambda r: r.requests(open_only=True))

    async def request(self) -> Request:
        """The one open request; waits for it."""
        async with asyncio.timeout(WAIT):
            while not (found := await self.requests()):
                await asyncio.sleep(0.02)
        assert len(found) == 1, found
        return found[0]

    async def until_asking(self, count: int) -> None:
        """Waits until people are asked about this many changes, in one request or several."""

        async def asks() -> bool:
            return count == sum(len(asking(request)) for request in await self.requests())

        await self.until_async(asks)

    async def plan(self) -> Plan:
        """The plan of the one open request's one member."""
        request = await self.request()
        open_ = asking(request)
        assert len(open_) == 1, request.members
        plan = await self.controller.ledger.read(lambda r: r.plan(open_[0].change))
        assert plan is not None
        return plan

    async def answer(
        self,
        person: str,
        decision: Decision = Decision.APPROVE,
        *,
        reason: str = "",
        confirmation: str = "",
        request: Request | None = None,
    ) -> Verdict:
        asked = request or await self.request()
        return await self.orders.answer(
            asked.id,
            asked.root,
            PersonName(person),
            decision,
            reason=reason,
            via="test",
            confirmation=confirmation,
        )

    async def approve(self, person: str = "bob", *, confirmation: str = "") -> ChangeRecord:
        """Approves what is open and waits until it is through; returns the change."""
        await self.answer(person, confirmation=confirmation)
        await self.quiet()
        return await self.last()

    async def deny(self, person: str = "bob", reason: str = "not now") -> ChangeRecord:
        await self.answer(person, Decision.DENY, reason=reason)
        await self.quiet()
        return await self.last()

    async def changes(self) -> Sequence[ChangeRecord]:
        """Newest first."""
        return await self.controller.ledger.read(
            lambda r: r.changes(open_only=False, lane=self.lane)
        )

    async def last(self) -> ChangeRecord:
        return (await self.changes())[0]

    async def deliver(self, person: str = "bob", *, confirmation: str = "") -> ChangeRecord:
        """Nudge, approve, and see it healthy."""
        await self.nudge()
        record = await self.approve(person, confirmation=confirmation)
        assert record.state is ChangeState.HEALTHY, record
        return record


def asking(request: Request) -> list[Member]:
    """What of a request people are still asked about."""
    return [member for member in request.members if member.state is MemberState.ASKING]


def repository(remote: Path, work: Path) -> None:
    """An empty repository, and a working copy to push to it from."""
    git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(remote))
    git("init", "--quiet", "--template=", "--initial-branch=main", str(work))
    # Nothing here lives long enough to be tidied up: each commit would start three processes more.
    for config in (remote / "config", work / ".git" / "config"):
        with config.open("a") as file:
            file.write("[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n")
            file.write("[receive]\n\tautogc = false\n")
            file.write(f'[remote "origin"]\n\turl = {remote}\n')
            file.write("\tfetch = +refs/heads/*:refs/remotes/origin/*\n")


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()
