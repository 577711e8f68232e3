"""Every example runs as its README says: planned, asked, approved, rolled out.

Only the clusters are put in another place (the tests' control plane instead of the user's own);
everything else is the example as it is checked in.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.app import assemble
from gitops.config import load
from gitops.controller import Controller
from gitops.errors import NotAllowed
from gitops.model.approval import Decision, Request
from gitops.model.cluster import OWNER_LABEL
from gitops.model.ids import PersonName
from gitops.orders import Orders
from gitops.sandbox import lifecycle
from gitops.sandbox.layout import SandboxInfo
from tests import warm

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("sandboxes")]

EXAMPLES = Path(__file__).parents[2] / "examples"
ROLLED_OUT = {
    "getting-started": {("hello", "hello"): 2},
    "kustomize": {("web-staging", "web"): 1, ("web-prod", "web"): 3},
    "helm": {("default", "guestbook"): 2},
    "many-clusters": {("shop-front", "shop"): 1, ("shop-front", "shop", "prod"): 3},
    "terraform-and-app": {("default", "web"): 3},
}
ELSEWHERE = {"kubernetes", "monitoring"}
"""Examples with a test of their own."""
WAIT = 60.0
TOO_LATE = ("too late", "changed since")
"""Said where the request moved on between our reading and our answering."""


@dataclass(frozen=True, slots=True)
class Example:
    fleet: Path
    clusters: dict[str, SandboxInfo]
    kubectl: Path

    def ready(self, cluster: str, namespace: str, name: str) -> int:
        """Ready replicas of a Deployment we own, as the server has it; -1 if there is none."""
        argv: list[str | Path] = [
            *(self.kubectl, "--kubeconfig", self.clusters[cluster].kubeconfig),
            *("--namespace", namespace, "get", "deployments", f"--selector={OWNER_LABEL}"),
            *("--output", "json"),
        ]
        found = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
        ready = {i["metadata"]["name"]: i["status"].get("readyReplicas", 0) for i in found["items"]}
        return ready.get(name, -1)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return warm.run(["-c", str(self.fleet), *arguments])


@pytest.fixture(scope="module")
def other_sandbox(
    sandbox: SandboxInfo, tools: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SandboxInfo]:
    """A second cluster, with an identity of its own."""
    folder = tmp_path_factory.mktemp("other")
    yield lifecycle.start("other", folder, tools.toolbox, owner=os.getpid())
    lifecycle.stop("other", folder)


@pytest.fixture
def example(
    name: str,
    tmp_path: Path,
    sandbox: SandboxInfo,
    tools: Any,
    request: pytest.FixtureRequest,
) -> Example:
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder)
    fleet = yaml.safe_load((folder / "gitops.yaml").read_text())
    fleet["state_dir"] = str(tmp_path / "state")
    places: dict[str, SandboxInfo] = {}
    for cluster, spec in fleet["clusters"].items():
        where = request.getfixturevalue("other_sandbox") if places else sandbox
        places[cluster] = where
        del spec["sandbox"]
        spec.update(kubeconfig=str(where.kubeconfig), context=where.context)
    for application in fleet.get("applications", {}).values():
        if "terraform" in application:
            request.getfixturevalue("terraform_binaries")[application["terraform"]["binary"]]
    (folder / "gitops.yaml").write_text(yaml.safe_dump(fleet))
    return Example(folder / "gitops.yaml", places, tools.path("kubectl"))


def test_no_example_goes_untested() -> None:
    there = {path.parent.name for path in EXAMPLES.glob("*/gitops.yaml")}
    assert there - ELSEWHERE == set(ROLLED_OUT)


@pytest.mark.parametrize("name", sorted(ROLLED_OUT))
async def test_an_example_is_planned_asked_and_rolled_out(name: str, example: Example) -> None:
    planned = example.command("plan")
    assert planned.returncode == 2, planned.stderr
    running = assemble(load(example.fleet))
    task = asyncio.ensure_future(running.controller.run())
    try:
        await _carry_through(running.controller)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        running.close()
    for place, replicas in ROLLED_OUT[name].items():
        namespace, deployment, *cluster = place
        where = cluster[0] if cluster else next(iter(example.clusters))
        assert example.ready(where, namespace, deployment) == replicas
    after = example.command("plan")
    assert after.returncode == 0, f"nothing is left to change, yet: {after.stdout}"


async def _carry_through(controller: Controller) -> None:
    """Everybody answers whatever they may, until every lane has been delivered."""
    async with asyncio.timeout(WAIT):
        await controller.ready.wait()
        while not await _settled(controller):
            for request in await controller.ledger.read(lambda r: r.requests(open_only=True)):
                await _answer(controller, request)
            await asyncio.sleep(0.05)


async def _settled(controller: Controller) -> bool:
    lanes = controller.roster.lanes()
    records = await controller.ledger.read(lambda r: [r.lane(lane) for lane in lanes])
    for record in records:
        assert record.hold is None, record.hold
    return bool(records) and all(r.delivered and r.current is None for r in records)


async def _answer(controller: Controller, request: Request) -> None:
    """The author is refused each time; the others say yes until it is enough."""
    refusal = await _say_yes(controller, request, "ada")
    assert any(words in refusal for words in ("ada is an author", *TOO_LATE)), refusal
    for person in sorted(set(controller.fleet.people.persons) - {PersonName("ada")}):
        refusal = await _say_yes(controller, request, person)
        assert not refusal or any(words in refusal for words in TOO_LATE), refusal


async def _say_yes(controller: Controller, request: Request, person: str) -> str:
    """The refusal in words; empty for an answer that was taken."""
    try:
        await Orders(controller).answer(
            request.id, request.root, PersonName(person), Decision.APPROVE, via="test"
        )
    except NotAllowed as refusal:
        return refusal.message
    return ""
