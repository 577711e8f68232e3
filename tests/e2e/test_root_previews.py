"""A pull request that changes roots: planned without a lock, told with what depends on it.

No cluster: real tools with local states, a recording GitHub, real git.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from gitops.model.ids import SourceName
from gitops.model.preview import Depth, Preview
from tests.e2e.rig import System
from tests.e2e.test_previews import Stage
from tests.e2e.test_root_needs import HOSTS, NET, TwoRoots
from tests.forges.github import GitHubServer

pytestmark = pytest.mark.slow

SOURCE = SourceName("config")
EXEC = 'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n    command = "id"\n  }\n}\n'


def on_forge(rig: TwoRoots, forge: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("FORGE_TOKEN", forge.token)
    source = rig.fleet["sources"]["config"]
    named = {"api": forge.api, "repository": "acme/config", "token": {"env": "FORGE_TOKEN"}}
    source["forge"], source["pull_requests"] = {"github": named}, {}
    return Stage(rig, forge)


async def delivered(system: System) -> None:
    for _ in range(2):
        await system.nudge()
        for request in await system.requests():
            await system.answer("bob", request=request)
        await system.quiet()
    await system.until_async(lambda: all_there(system))


async def all_there(system: System) -> bool:
    lanes = await system.controller.ledger.read(lambda r: r.lanes())
    return len([lane for lane in lanes if lane.delivered]) == 2


async def preview(system: System, number: int) -> Preview:
    found = await system.controller.previews.again(SOURCE, number)
    assert found is not None
    return found


async def test_roots_are_planned_without_their_lock_and_what_they_give_is_planned_with_it(
    tmp_path: Path, a_terraform: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, path = a_terraform
    rig = TwoRoots(tmp_path, binary=name, path=path)
    rig.add_hosts()
    rig.write("infra/main.tf", NET)
    rig.write("hosts/main.tf", HOSTS)
    rig.commit("both")
    with GitHubServer() as forge:
        stage = on_forge(rig, forge, monkeypatch)
        async with rig.controller() as system:
            await delivered(system)
            states = {f: f.read_bytes() for f in tmp_path.glob("*.tfstate")}
            assert len(states) == 2
            stage.propose(1, {"infra/main.tf": NET.replace('"a"', '"b"')})
            with rig.state.open("r+b") as held:
                fcntl.lockf(held, fcntl.LOCK_EX)  # as the tool does while somebody applies
                drawn = await preview(system, 1)
            hosts, network = drawn.lanes
            assert network.plan is not None, network
            assert [change.address for change in network.plan.changes] == ["output.zone"]
            assert hosts.plan is not None, hosts
            after = {str(f.after) for c in hosts.plan.changes for f in c.fields}
            assert "in b" in after, "with the value the other plan gives"
            assert {f: f.read_bytes() for f in states} == states
            assert not list(tmp_path.glob("*.lock.info"))
            kept = (tmp_path / "state" / "vault").rglob("*")
            assert not [file for file in kept if file.is_file()]

            rig.git("merge", "--quiet", "topic1")
            rig.git("push", "--quiet", "origin", "HEAD:main")
            await system.nudge()
            await system.until_asking(2)
            for request in await system.requests():
                for member in request.members:
                    plan = await system.controller.ledger.read(
                        lambda r, change=member.change: r.plan(change)
                    )
                    shown = {each.lane.application: each.plan for each in drawn.lanes}
                    assert plan is not None
                    assert plan.digest == shown[plan.application].digest  # type: ignore[union-attr]

            # From a fork the code is read, and the tool never sees a backend.
            stage.propose(2, {"infra/main.tf": NET + EXEC}, fork=True)
            linted = await preview(system, 2)
            assert linted.depth is Depth.LINT
            (root,) = linted.lanes
            assert root.plan is not None
            assert "terraform-validate" not in root.plan.checks
            assert any("provision" in f.message for f in root.plan.blocked_by), root.plan.findings
