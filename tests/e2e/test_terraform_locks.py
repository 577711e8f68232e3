"""Locks of a state that somebody holds: waited for, said, and never forced without a person.

On backends that keep locks as they do in earnest: PostgreSQL, whose locks end with their holder's
connection, and http, whose locks stay when their holder is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitops.errors import NotAllowed
from gitops.model.delivery import Cause, ChangeState
from gitops.terraform.runs import Run
from gitops.web import views
from gitops.web.client import Api
from tests.e2e.http_state import HttpState, serving
from tests.e2e.process import PATIENCE, Process, approve, delivered, token
from tests.e2e.rig import System
from tests.e2e.root_rig import RootRig

pytestmark = pytest.mark.slow

ONE = """\
resource "terraform_data" "one" {
  input = "first"
}
"""


@pytest.fixture
def root(tmp_path: Path, terraform: tuple[str, Path]) -> RootRig:
    name, path = terraform
    rig = RootRig(tmp_path, binary=name, path=path)
    rig.write("infra/main.tf", ONE)
    rig.commit("one")
    return rig


@pytest.fixture
def http() -> Iterator[HttpState]:
    with serving() as place:
        yield place


@pytest.fixture
def on_http(root: RootRig, http: HttpState) -> RootRig:
    root.terraform["backend"] = {"http": http.backend}
    return root


@pytest.fixture
def on_postgres(root: RootRig, postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> RootRig:
    address = postgres_database.replace("postgresql+psycopg", "postgres")
    monkeypatch.setenv("STATE_DATABASE", f"{address}&sslmode=disable")
    root.terraform["backend"] = {"pg": {}}
    root.terraform["environment"] = {"plan": {"PG_CONN_STR": {"env": "STATE_DATABASE"}}}
    return root


class ByHand:
    """Somebody's own apply on the same state, which lasts until told to go on."""

    def __init__(self, root: RootRig, backend: str, **environment: str) -> None:
        self.folder = root.folder / "by-hand"
        self.folder.mkdir()
        self.go = self.folder / "go"
        command = f"touch {self.folder}/begun; while [ ! -e {self.go} ]; do sleep 0.05; done"
        (self.folder / "main.tf").write_text(
            f"terraform {{\n  {backend}\n}}\n"
            'resource "terraform_data" "slow" {\n  provisioner "local-exec" {\n'
            f'    command = "{command}"\n  }}\n}}\n'
        )
        self.environment = {"PATH": os.defpath, "HOME": str(self.folder), **environment}
        self.root = root
        self._run("init", "-input=false").wait()
        self.apply = self._run("apply", "-auto-approve", "-input=false")
        while not (self.folder / "begun").exists():
            assert self.apply.poll() is None
            time.sleep(0.05)

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.folder / "log").open("ab")
        with log:
            return subprocess.Popen(
                [self.root.path, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def finish(self) -> None:
        self.go.touch()
        assert self.apply.wait(60) == 0

    def kill(self) -> None:
        """As a machine that loses power: nothing is let go of."""
        self.apply.kill()
        self.apply.wait(60)
        self.go.touch()


@contextlib.contextmanager
def by_hand(root: RootRig, backend: str, **environment: str) -> Iterator[ByHand]:
    held = ByHand(root, backend, **environment)
    try:
        yield held
    finally:
        held.kill()


def http_block(http: HttpState) -> str:
    settings = "\n".join(
        f"    {name} = {value}" if isinstance(value, int) else f'    {name} = "{value}"'
        for name, value in http.backend.items()
    )
    return f'backend "http" {{\n{settings}\n  }}'


async def explained(system: System) -> str:
    found = await views.why(system.controller, system.lane.application)
    assert found is not None
    return repr(found)


async def trouble(system: System) -> str:
    await system.until(lambda: system.controller.lanes.trouble(system.lane))
    found = system.controller.lanes.trouble(system.lane)
    assert found is not None
    return f"{found.message} ({found.hint})"


def in_the_way(system: System) -> str:
    found = system.controller.lanes.trouble(system.lane)
    return f"{found.message} {found.hint}" if found else ""


def tries(system: System) -> int:
    found = system.controller.lanes.trouble(system.lane)
    return found.attempts if found else 0


async def goes_on(system: System) -> None:
    """Without anybody's help: the lane tries again by itself."""
    await system.until_async(system.requests)
    confirmation = "delete 1" if (await system.plan()).over_budget else ""
    record = await system.approve(confirmation=confirmation)
    assert record.state is ChangeState.HEALTHY, record.reason


# --- somebody else's --------------------------------------------------------------------------


async def test_a_state_on_postgres_is_planned_applied_and_kept_there(
    on_postgres: RootRig, postgres_database: str
) -> None:
    import psycopg

    async with on_postgres.controller() as system:
        await system.deliver()
        assert not await system.requests()
    with psycopg.connect(postgres_database.replace("+psycopg", "")) as connection:
        (row,) = connection.execute("SELECT data FROM terraform_remote_state.states").fetchall()
    assert '"first"' in row[0]


async def test_somebodys_apply_on_postgres_is_waited_for(on_postgres: RootRig) -> None:
    address = os.environ["STATE_DATABASE"]
    with by_hand(on_postgres, 'backend "pg" {}', PG_CONN_STR=address) as held:
        async with on_postgres.controller() as system:
            await system.nudge()
            said = await trouble(system)
            assert "the state is locked" in said
            assert "does not say by whom" in said, "the tool names whoever asks, not the holder"
            assert "gitops unlock" not in said, "nothing there can be forced"
            assert "the state is locked" in await explained(system)
            held.finish()
            await goes_on(system)


async def test_somebodys_apply_is_waited_for_and_why_says_who_it_is(
    on_http: RootRig, http: HttpState
) -> None:
    with by_hand(on_http, http_block(http)) as held:
        assert http.lock is not None
        async with on_http.controller() as system:
            await system.nudge()
            said = await explained(system)
            assert http.lock["ID"] in said
            if on_http.binary == "tofu":
                assert http.lock["Who"] in said
                assert http.lock["Created"][:16].replace("T", " ") in said
            else:  # it shows its own request in place of the lock that is held
                assert "terraform does not say by whom" in said
            assert not await system.requests()
            held.finish()
            await goes_on(system)
            assert "locked" not in await explained(system)


async def test_a_lock_somebody_left_behind_is_forced_only_on_another_persons_word(
    on_http: RootRig, http: HttpState
) -> None:
    with by_hand(on_http, http_block(http)) as held:
        held.kill()
    assert http.lock is not None
    lock = http.lock["ID"]
    async with on_http.controller() as system:
        await system.nudge()
        assert lock in await explained(system)
        await system.until(lambda: tries(system) >= 2)
        assert http.unlocked == (), "never forced by itself"

        await system.orders.unlock(system.lane.application, "ada", lock)
        await system.quiet()
        request = await system.request()
        plan = await system.plan()
        assert (await system.last()).change.cause is Cause.COMMAND
        assert lock in plan.changes[0].address
        with pytest.raises(NotAllowed):
            await system.answer("ada", confirmation="delete 1")
        with pytest.raises(NotAllowed, match="delete 1"):
            await system.answer("bob", request=request)
        assert http.unlocked == ()
        http.lock, theirs = {**http.lock, "ID": "0a1b2c3d-newer"}, http.lock
        await system.answer("bob", request=request, confirmation="delete 1")
        await system.quiet()
        assert http.unlocked == (), "another lock than the one that was approved"
        http.lock = theirs
        system.controller.lanes.offer(system.lane)
        await system.until(lambda: lock in in_the_way(system))
        await system.orders.unlock(system.lane.application, "ada", lock)
        await system.quiet()
        await system.answer("bob", confirmation="delete 1")
        await system.until(lambda: http.unlocked == (lock,))
        await goes_on(system)
    assert [r["name"] for r in http.json["resources"]] == ["one"]


# --- our own ----------------------------------------------------------------------------------


SLOW = """\
resource "terraform_data" "first" {{
  input = "first"
}}

resource "terraform_data" "slow" {{
  depends_on = [terraform_data.first]
  provisioner "local-exec" {{
    command = "touch {0}/begun; while [ ! -e {0}/go ]; do sleep 0.05; done"
  }}
}}
"""


@pytest.fixture
def slow(on_http: RootRig) -> RootRig:
    on_http.terraform["allow"] = {"provisioners": True}
    on_http.write("infra/main.tf", SLOW.format(on_http.folder))
    on_http.commit("something slow")
    return on_http


def journal(root: RootRig) -> list[Path]:
    return list((root.folder / "state" / "terraform").glob("*/*/runs/*/*/apply/lock"))


def kill_tool(root: RootRig) -> None:
    """The one that applies, and nothing of it is left; never by name."""
    (record,) = (root.folder / "state" / "terraform").glob("*/*/runs/*/*/apply/started")
    started = Run(record.parent).started()
    assert started is not None
    for pid in (started.supervisor.pid, started.tool.pid):
        os.kill(pid, signal.SIGKILL)
    (root.folder / "go").touch()


def killed_in_the_middle(root: RootRig) -> str:
    """The controller and the tool, while the root is applied; returns bob's token."""
    process = Process(root)
    secret = token(process, "bob")
    approve(process, secret)
    wait(lambda: journal(root))
    process.child.kill()
    process.child.wait(PATIENCE)
    kill_tool(root)
    return secret


def wait(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_the_lock_of_our_own_dead_apply_is_released_by_the_next_controller(
    slow: RootRig, http: HttpState
) -> None:
    secret = killed_in_the_middle(slow)
    assert http.lock is not None
    ours = http.lock["ID"]
    process = Process(slow)
    process.until(failed)
    (told,) = process.until(lambda api: api.get("deliveries")["deliveries"])
    assert "terraform_data.slow" in told["reason"]
    assert f"the lock {ours} it left behind was released" in told["reason"]
    assert http.unlocked[-1] == ours
    assert http.lock is None
    with process.api(secret) as api:
        api.post("applications", "network", "again")
    approve(process, secret)
    process.until(delivered)
    process.stop()


def test_a_lock_somebody_else_took_meanwhile_is_not_taken_for_ours(
    slow: RootRig, http: HttpState
) -> None:
    secret = killed_in_the_middle(slow)
    assert http.lock is not None
    theirs = {**http.lock, "ID": "0a1b2c3d-theirs", "Who": "cyd@laptop"}
    http.lock = theirs
    before = http.unlocked
    process = Process(slow)
    told = process.until(failed)
    assert "was released" not in told["reason"]
    with process.api(secret) as api:
        api.post("applications", "network", "again")
    process.until(lambda api: theirs["ID"] in repr(api.get("why", "network")))
    process.stop()
    assert (http.lock, http.unlocked) == (theirs, before)


def failed(api: Api) -> Any:
    rows = api.get("deliveries")["deliveries"]
    return rows[0] if rows and rows[0]["state"] == "failed" else None
