"""What was delivered is watched over: what falls ill is told with its reason, once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gitops.engine.cases import Patience
from gitops.model.delivery import ChangeState
from gitops.office import FrontOffice
from tests.e2e.rig import Rig, System
from tests.e2e.test_delivery import deployment

pytestmark = pytest.mark.e2e

QUICK = Patience(crashing=0.5, degraded=1.0, unwell=60.0, recovered=1.0)
KILLED = {
    "name": "web",
    "image": "registry.example/web:1.4.1",
    "imageID": "",
    "ready": False,
    "started": False,
    "restartCount": 4,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
    "lastState": {
        "terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "no memory for the heap"}
    },
}
RUNNING = {
    **KILLED,
    "ready": True,
    "started": True,
    "state": {"running": {}},
}


@dataclass
class Ear:
    """Hears what a webhook is told."""

    told: list[Mapping[str, Any]] = field(default_factory=list)

    async def hear(self, request: web.Request) -> web.Response:
        self.told.append(await request.json())
        return web.Response()

    def kinds(self) -> list[str]:
        return [each["kind"] for each in self.told if each["kind"] in ("degraded", "recovered")]

    def last(self, kind: str) -> Mapping[str, Any]:
        return next(each for each in reversed(self.told) if each["kind"] == kind)


@pytest.fixture
async def ear(rig: Rig) -> AsyncIterator[Ear]:
    heard, app = Ear(), web.Application()
    app.router.add_post("/", heard.hear)
    server = TestServer(app)
    await server.start_server()
    rig.fleet["notifiers"] = {"ops": {"webhook": {"url": str(server.make_url("/"))}}}
    yield heard
    await server.close()


def pods(rig: Rig) -> list[str]:
    found = rig.kubectl("-n", rig.namespace, "get", "pods", "-o", "name", "-l", "app=web")
    return found.split()


def patch(rig: Rig, pod: str, container: Mapping[str, Any]) -> None:
    ready = "True" if container["ready"] else "False"
    status = {
        "containerStatuses": [container],
        "conditions": [
            {"type": "Ready", "status": ready},
            {"type": "ContainersReady", "status": ready},
        ],
    }
    rig.kubectl(
        *("-n", rig.namespace, "patch", pod, "--subresource=status", "--type=merge"),
        *("--patch", json.dumps({"status": status})),
    )


async def until(system: System, ear: Ear, *kinds: str) -> None:
    await system.until(lambda: ear.kinds() == list(kinds), seconds=30)


async def test_what_crashes_after_its_delivery_is_told_once_and_so_is_its_recovery(
    rig: Rig, ear: Ear
) -> None:
    rig.write("app/web.yaml", deployment("web", fail="false"))
    rig.commit()
    async with rig.controller() as system:
        system.controller.vigil.patience = QUICK
        delivered = await system.deliver()
        victim = pods(rig)[0]
        patch(rig, victim, KILLED)
        await until(system, ear, "degraded")
        told = ear.last("degraded")
        assert told["change"] == delivered.change.id, "in the thread of its last delivery"
        for words in ("Deployment.apps", victim.split("/")[1], "CrashLoopBackOff", "OOMKilled"):
            assert words in told["reason"], told
        assert "exit code 137" in told["reason"]
        assert "no memory for the heap" in told["reason"]
        office = FrontOffice(system.controller)
        (standing,) = await office.standings()
        assert (standing.state, "OOMKilled" in standing.note) == ("degraded", True)
        (sentences,) = (await office.why(system.lane.application)).values()
        assert any("OOMKilled" in sentence for sentence in sentences)
    async with rig.controller() as system:
        system.controller.vigil.patience = QUICK
        await system.until(lambda: system.controller.vigil.ailments(system.lane))
        patch(rig, victim, {**KILLED, "restartCount": 5})
        await system.quiet()
        patch(rig, victim, RUNNING)
        await until(system, ear, "degraded", "recovered")
        assert ear.last("recovered")["change"] == delivered.change.id
        assert not system.controller.vigil.ailments(system.lane)
    assert sorted(asked_about_pods(rig)) == sorted(
        [(resource, "list") for resource in ("pods", "replicasets")] * 2
    ), "once a start, and watches"


def asked_about_pods(rig: Rig) -> list[tuple[str, str]]:
    """(resource, verb) of the controller's requests about them, watches left out."""
    found = []
    for line in rig.sandbox.audit_log.read_text().splitlines():
        if rig.namespace not in line or '"gitops-controller"' not in line:
            continue
        event = json.loads(line)
        about = event["objectRef"]
        if about.get("namespace") == rig.namespace and event["stage"] == "ResponseComplete":
            found.append((about["resource"], event["verb"]))
    return [each for each in found if each[0] in ("pods", "replicasets") and each[1] != "watch"]


async def test_a_failed_delivery_says_what_its_pods_say_and_says_it_once(
    rig: Rig, ear: Ear
) -> None:
    rig.app["verify_timeout"] = "3s"
    rig.write("app/web.yaml", deployment("web", fail="true"))
    rig.commit()
    async with rig.controller() as system:
        system.controller.vigil.patience = QUICK
        await system.nudge()
        record = await system.approve()
        assert record.state is ChangeState.FAILED
        assert "CrashLoopBackOff" in record.reason
        await system.until(lambda: system.controller.vigil.ailments(system.lane))
        await system.until(lambda: any(each["kind"] == "failed" for each in ear.told))
        assert "exit code 1" in ear.last("failed")["reason"]
        assert ear.kinds() == []
