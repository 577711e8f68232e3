"""The page of an application on a real cluster: what the cluster made of a delivery, how it is, and
what it says of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape

import httpx
import pytest

from gitops.model.delivery import ChangeState
from gitops.model.ids import PersonName
from gitops.web.api import build
from gitops.web.auth.sessions import Sessions
from tests.e2e.rig import Rig, System
from tests.e2e.test_delivery import deployment

pytestmark = pytest.mark.e2e

PASSWORD = "s3cret-of-this-test"
SECRET = f"""
apiVersion: v1
kind: Secret
metadata: {{name: db}}
stringData: {{password: {PASSWORD}}}
"""
CRASHES = deployment("crashes", fail="true")


@asynccontextmanager
async def browser(system: System) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who is signed in."""
    controller = system.controller
    sign_in = controller.fleet.api.sign_in
    sessions = Sessions(controller.ledger, controller.parts.clock, lambda: sign_in)
    cookie = await sessions.begin(PersonName("cyd"), "local")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build(controller, trusted=False)),
        base_url="http://127.0.0.1:8080",
        headers={"accept": "text/html", "cookie": f"gitops={cookie}"},
    ) as client:
        yield client


async def until_shown(system: System, client: httpx.AsyncClient, *words: str) -> str:
    """The page, once it shows all of these."""
    page = ""

    async def shows() -> bool:
        nonlocal page
        page = (await client.get(f"/applications/{system.rig.application}")).text
        return all(word in page for word in words)

    await system.until_async(shows)
    return page


def looks(page: str, kind: str) -> list[str]:
    """Addresses of the closer looks at objects of a kind, in the page's order."""
    found = re.findall(rf'>{kind}</span>.*?data-fill href="([^"]+)"', page, re.DOTALL)
    return [unescape(each) for each in found]


async def test_a_delivery_is_seen_down_to_its_pods_with_their_events_and_logs(rig: Rig) -> None:
    rig.fleet["api"] = {"listen": "127.0.0.1:8080"}
    rig.app["verify_timeout"] = "2s"
    rig.write("app/web.yaml", deployment("web", fail="false"))
    rig.write("app/db.yaml", SECRET)
    rig.commit()
    async with rig.controller() as system, browser(system) as client:
        await system.deliver()
        page = await until_shown(system, client, "2 of 2 pods are well")
        (made,) = rig.kubectl("-n", rig.namespace, "get", "replicasets", "-o", "name").split()
        assert made.split("/")[1] in page
        for pod in rig.kubectl("-n", rig.namespace, "get", "pods", "-o", "name").split():
            assert pod.split("/")[1] in page
        assert PASSWORD not in page
        rig.write("app/crashes.yaml", CRASHES)
        rig.commit()
        await system.nudge()
        assert (await system.approve()).state is ChangeState.FAILED
        page = await until_shown(system, client, "CrashLoopBackOff", "exit code 1", "5 restarts")
        look = (await client.get(looks(page, "Pod")[0])).text
        assert "cannot reach the database" in look, "of the container before"
        assert "Scheduled" in look
        assert "default-scheduler" in look
        rig.kubectl("-n", rig.namespace, "scale", "deployment/web", "--replicas=0")
        await until_shown(system, client, "drifted")
        rig.kubectl("-n", rig.namespace, "delete", "secret/db")
        await until_shown(system, client, "missing")


async def test_right_after_a_restart_a_log_hides_what_was_delivered_before(rig: Rig) -> None:
    rig.fleet["api"] = {"listen": "127.0.0.1:8080"}
    rig.write("app/web.yaml", deployment("web", fail="false"))
    rig.write("app/db.yaml", SECRET)
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
    with (rig.sandbox.folder / "pods" / "present.log").open("a") as log:
        log.write(f"2026-01-01T00:00:09Z stdout F signing in with {PASSWORD}\n")
    async with rig.controller() as system, browser(system) as client:
        page = await until_shown(system, client, "2 of 2 pods are well")
        look = (await client.get(looks(page, "Pod")[0])).text
        assert "signing in with &lt;hidden&gt;" in look
        assert PASSWORD not in look
