"""What merging a pull request would do is told before anybody merges it, and nothing is written.

A recording GitHub beside a real repository and a real API server, whose audit log is the witness.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gitops.model.delivery import ChangeState, LaneId
from gitops.model.ids import ApplicationName, SourceName, TargetName
from gitops.model.preview import Preview
from gitops.sandbox.layout import SandboxInfo
from tests.conftest import Tools
from tests.e2e.rig import BOB, Rig, System, config_map
from tests.e2e.test_cli import gitops
from tests.forges.github import GitHubServer
from tests.forges.server import Pull

pytestmark = pytest.mark.e2e

SOURCE = SourceName("config")
HERE = TargetName("here")
READS = {"get", "list", "watch"}


@dataclass
class Stage:
    """A rig, and the forge its repository is on."""

    rig: Rig
    forge: GitHubServer
    seen: int = 0

    def propose(self, number: int, files: Mapping[str, str | None], **more: Any) -> str:
        """Opens or updates a pull request against main; returns its head."""
        rig = self.rig
        rig.git("fetch", "--quiet", "origin")
        rig.git("checkout", "--quiet", "--force", "-B", f"topic{number}", "origin/main")
        for path, text in files.items():
            rig.remove(path) if text is None else rig.write(path, text)
        head = rig.commit(f"proposal {number}", author=BOB, push=False)
        rig.git("push", "--quiet", "--force", "origin", f"HEAD:refs/pull/{number}/head")
        rig.git("checkout", "--quiet", "--force", "main")
        self.forge.commits.add(head)
        self.forge.pulls[number] = Pull(number, head=head, author="bob", **more)
        return head

    def comments(self, number: int) -> list[str]:
        return [each.body for each in self.forge.comments.get(number, [])]

    def status(self, head: str, context: str = "gitops/preview") -> tuple[str, str]:
        found = [s for s in self.forge.statuses if (s.commit, s.context) == (head, context)]
        return (found[-1].state, found[-1].description) if found else ("", "")

    def mark(self) -> None:
        """From here on every request to the API server counts."""
        self.seen = Path(self.rig.sandbox.audit_log).stat().st_size

    def requests(self) -> list[Mapping[str, Any]]:
        """Those of our own client since the mark, that are about this test."""
        with Path(self.rig.sandbox.audit_log).open() as file:
            file.seek(self.seen)
            events = [json.loads(line) for line in file]
        return [
            event
            for event in events
            if "gitops" in event.get("userAgent", "") and self.rig.namespace in event["requestURI"]
        ]


def writes(events: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [e for e in events if e["verb"] not in READS and "dryRun=All" not in e["requestURI"]]


@pytest.fixture
def stage(
    tmp_path: Path,
    sandbox: SandboxInfo,
    tools: Tools,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    rig = Rig(tmp_path, sandbox, tools.path("kubectl"), namespace)
    monkeypatch.setenv("FORGE_TOKEN", GitHubServer().token)
    with GitHubServer() as forge:
        source = rig.fleet["sources"]["config"]
        source["forge"] = {
            "github": {
                "api": forge.api,
                "repository": "acme/config",
                "token": {"env": "FORGE_TOKEN"},
            }
        }
        source["pull_requests"] = {}
        yield Stage(rig, forge)


@contextlib.asynccontextmanager
async def delivered(stage: Stage) -> AsyncIterator[System]:
    """A controller whose one application (two objects) is where it should be."""
    stage.rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    stage.rig.write("app/shapes.yaml", config_map("shapes", sun="round"))
    stage.rig.write("README.md", "nothing is delivered from here\n")
    stage.rig.commit("first")
    async with stage.rig.controller() as system:
        await system.deliver()
        yield system


async def preview(system: System, number: int) -> Preview:
    found = await system.controller.previews.again(SOURCE, number)
    assert found is not None
    return found


async def test_a_pull_request_is_told_what_it_would_do_and_nothing_is_written(stage: Stage) -> None:
    rig = stage.rig
    async with delivered(stage) as system:
        stage.mark()
        head = stage.propose(7, {"app/colours.yaml": config_map("colours", sky="@grey")})
        await system.controller.previews.look(SOURCE)
        await system.until(lambda: stage.status(head)[0] == "success")
        (body,) = stage.comments(7)
        assert f"| `{rig.application}` | `here` |  | 1 |  |  |" in body
        assert '- "blue"\n+ "@grey"' in body
        assert stage.status(head) == ("success", "1 update in here")
        assert stage.status(head, f"gitops/preview/{rig.application}")[0] == "success"
        made = stage.requests()
        assert writes(made) == []
        assert len([e for e in made if "dryRun=All" in e["requestURI"]]) == 1, "what moved alone"
        assert not [e for e in made if e["verb"] in ("list", "watch")]
        assert rig.data("colours") == {"sky": "blue"}
        assert await system.requests() == []
        assert len(await system.changes()) == 1, "no change was opened for it"

        # Updated: the same comment, edited.
        first = stage.forge.comments[7][0].id
        head = stage.propose(7, {"app/colours.yaml": None})
        await system.controller.previews.look(SOURCE)
        await system.until(lambda: stage.status(head)[0] == "success")
        (comment,) = stage.forge.comments[7]
        assert comment.id == first
        assert f"| `{rig.application}` | `here` |  |  |  | 1 |" in comment.body

        # What no application reads concerns nobody.
        other = stage.propose(8, {"README.md": "more\n"})
        drawn = await preview(system, 8)
        assert drawn.lanes == ()
        assert stage.status(other) == ("success", "no application reads what it changes")

        # Closed: gone from there.
        stage.forge.pulls[7].state = stage.forge.pulls[8].state = "closed"
        await system.controller.previews.look(SOURCE)
        await system.until(lambda: not stage.comments(7) and not stage.comments(8))
        assert writes(stage.requests()) == []


async def test_the_plan_that_was_shown_is_the_plan_that_is_asked_after_the_merge(
    stage: Stage,
) -> None:
    rig = stage.rig
    async with delivered(stage) as system:
        new = {"app/colours.yaml": config_map("colours", sky="red"), "app/new.yaml": None}
        new["app/new.yaml"] = config_map("new", v="1")
        stage.propose(3, {**new, "app/shapes.yaml": None})
        drawn = await preview(system, 3)
        (shown,) = [each.plan for each in drawn.lanes]
        assert shown is not None
        memo = await system.controller.ledger.read(lambda r: r.memo("preview/config", "3"))
        assert json.loads(memo or "")["plans"] == {str(system.lane): shown.digest}
        rig.git("merge", "--quiet", "topic3")
        rig.git("push", "--quiet", "origin", "HEAD:main")
        await system.nudge()
        assert (await system.plan()).digest == shown.digest
        stage.forge.pulls[3].state = "merged"
        await system.controller.previews.look(SOURCE)
        await system.until(lambda: not stage.comments(3))
        kept = await system.controller.ledger.read(lambda r: r.memo("preview/config", "3"))
        assert kept == memo, "a review of it may count now"
        assert (await system.approve("ada", confirmation="delete 1")).state is ChangeState.HEALTHY


async def test_conflicts_forks_and_broken_files_are_told_in_words(stage: Stage) -> None:
    rig = stage.rig
    async with delivered(stage) as system:
        stage.mark()
        fork = stage.propose(4, {"app/colours.yaml": config_map("colours", sky="x")}, fork=True)
        await preview(system, 4)
        state, words = stage.status(fork)
        assert state == "success"
        assert "fork" in words
        (body,) = stage.comments(4)
        assert "blue" not in body, "what is live is not shown to a stranger"
        broken = stage.propose(5, {"app/colours.yaml": "kind: ConfigMap\nmetadata: {name: [}\n"})
        await preview(system, 5)
        assert stage.status(broken)[0] == "failure"
        assert "app/colours.yaml:2" in stage.comments(5)[0]
        assert [e for e in stage.requests() if e["verb"] not in READS] == [], "not even tried"

        clash = stage.propose(6, {"app/colours.yaml": config_map("colours", sky="mine")})
        rig.write("app/colours.yaml", config_map("colours", sky="yours"))
        rig.commit("meanwhile")
        await system.nudge()
        await preview(system, 6)
        state, words = stage.status(clash)
        assert (state, words) == ("failure", "cannot be merged: app/colours.yaml")
        assert "`app/colours.yaml`" in stage.comments(6)[0]


async def test_applications_that_come_and_go_are_shown_and_so_on_the_command_line(
    stage: Stage,
) -> None:
    rig = stage.rig
    prefix = rig.namespace
    del rig.fleet["applications"]
    rig.fleet["discover"] = [
        {"path": "apps/*", "name": f"{prefix}-{{name}}", "namespace": rig.namespace}
    ]
    for name in ("web", "old", "other"):
        rig.write(f"apps/{name}/a.yaml", config_map(name, v="1"))
    rig.commit("three")
    async with rig.controller() as system:
        await system.nudge()
        for request in await system.requests():
            await system.answer("bob", request=request)
        await system.quiet()
        head = stage.propose(
            1,
            {
                "apps/old/a.yaml": None,
                "apps/fresh/a.yaml": config_map("fresh", v="1"),
                "apps/Bad_Name/a.yaml": config_map("x", v="1"),
                "apps/web/a.yaml": config_map("other", v="mine"),
            },
        )
        stage.mark()
        drawn = await preview(system, 1)
        told = {each.lane.application.removeprefix(f"{prefix}-"): each for each in drawn.lanes}
        assert told.keys() == {"fresh", "old", "web"}, "what is not touched is not looked at"
        assert told["fresh"].arrives
        assert told["old"].departs
        plans = {name: each.plan for name, each in told.items()}
        assert [c.action for c in plans["fresh"].changes] == ["create"]  # type: ignore[union-attr]
        assert [c.action for c in plans["old"].changes] == ["delete"]  # type: ignore[union-attr]
        assert "other" in plans["web"].blocked_by[0].message  # type: ignore[union-attr]
        assert "Bad_Name" in drawn.refused[0]
        assert stage.status(head)[0] == "failure"
        assert system.controller.roster.spec(ApplicationName(f"{prefix}-fresh")) is None
        assert system.controller.parts.checker.freed() == frozenset(), "nothing was given up"
        assert (
            system.controller.lanes.trouble(LaneId(drawn.lanes[0].lane.application, HERE)) is None
        )
        assert writes(stage.requests()) == []

    stage.forge.pulls[1].head = stage.propose(1, {"apps/web/a.yaml": config_map("web", v="2")})
    before = len(stage.forge.requests)
    shown = await asyncio.to_thread(gitops, rig, "preview", "config", "1")
    assert shown.code == 2, shown.err
    assert f"{prefix}-web on here: 1 to update" in shown.out
    assert writes(stage.requests()) == []
    assert {r.method for r in stage.forge.requests[before:]} == {"GET"}, "nothing is posted"
