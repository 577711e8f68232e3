"""A commit on a forge: who brought it, who may approve it, and what its status says all the way.

The controller is a process of its own, killed in the middle; the forge is the recording GitHub.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import pytest

from tests.e2e.process import Process, approve, delivered, request, token
from tests.e2e.rig import Rig, config_map
from tests.forges.github import GitHubServer
from tests.forges.server import TOKEN

pytestmark = pytest.mark.e2e
WHEN = "2026-01-02T03:04:05Z"


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


def on_github(rig: Rig, github: GitHubServer) -> None:
    """The rig's repository is the one of the recording GitHub."""
    secret = rig.folder / "forge-token"
    secret.write_text(TOKEN)
    secret.chmod(0o600)
    rig.fleet["sources"]["config"]["forge"] = {
        "github": {
            "api": github.api,
            "repository": "acme/config",
            "token": {"file": str(secret)},
        }
    }
    rig.fleet["notifiers"] = {"marks": "commit-status"}
    for name, person in rig.fleet["people"].items():
        person["github"] = [name]


def words(github: GitHubServer, commit: str) -> list[str]:
    """What people saw, one after the other; the same again is not seen."""
    told = (each.description for each in github.statuses if each.commit == commit)
    return [word for word, _ in groupby(told)]


def until(holds: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def refusals(process: Process) -> str:
    """Why which people may not approve what is asked."""
    asked = process.until(request)
    with process.api() as api:
        (row,) = api.get("show", asked["id"])["members"]
    return " ".join(row["electorate"]["refusals"].values()) + row["electorate"]["note"]


def pulls(api: Any) -> Any:
    """Of the newest delivery."""
    change = api.get("deliveries")["deliveries"][0]["change"]["change"]
    return change["authorship"]["pull_requests"]


def test_a_merged_pull_request_is_followed_through_a_kill_and_an_outage(
    rig: Rig, github: GitHubServer
) -> None:
    on_github(rig, github)
    rig.write("app/a.yaml", config_map("a", v="1"))
    commit = rig.commit()
    github.merged(7, commits=[commit], merger="bob", reviews=[("cyd", "approve", "b" * 40, WHEN)])
    process = Process(rig, "claimed")
    secret = token(process, "cyd")
    until(lambda: "awaiting approval" in words(github, commit))
    told = refusals(process)
    assert "ada is an author of this change" in told
    assert "bob merged this change" in told
    assert "authorship is authenticated" in told
    approve(process, secret)
    process.wait_killed()
    github.down()
    process = Process(rig)
    process.until(delivered)
    (facts,) = process.until(pulls)
    assert (facts["number"], facts["author"], facts["merger"]) == (7, "github:ada", "github:bob")
    assert facts["approvers"] == ["github:cyd"]
    github.up()
    until(lambda: words(github, commit)[-1].startswith("healthy: after"))
    process.stop()
    seen = [word.partition(":")[0] for word in words(github, commit)]
    order = ["checking", "awaiting approval", "approved", "applying"]
    order += ["applied, waiting for health", "healthy"]
    assert seen == [word for word in order if word in seen], "out of order"
    assert seen[:2] == order[:2]
    assert seen[-1] == "healthy"
    context = f"gitops/{rig.application}@{rig.cluster}"
    assert {each.context for each in github.statuses} == {context}
    assert github.latest()[context][0] == "success"


def test_a_forge_that_is_away_leaves_authorship_claimed_and_is_asked_again(
    rig: Rig, github: GitHubServer
) -> None:
    on_github(rig, github)
    rig.app["approval"] = {"minimum_grade": "authenticated"}
    rig.write("app/a.yaml", config_map("a", v="1"))
    commit = rig.commit()
    github.merged(7, commits=[commit], merger="bob")
    github.down()
    process = Process(rig)
    assert "authorship at least authenticated, this change is claimed" in refusals(process)
    github.up()
    process.until(lambda _api: "authorship is authenticated" in refusals(process), seconds=120)
    approve(process, token(process, "cyd"))
    process.until(delivered)
    process.stop()
