"""One delivery on a real cluster as metrics, a trace and a period's figures tell it."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from gitops.web import observing
from gitops.web.stats_routes import report
from tests.contract.otlp import receiving
from tests.e2e.rig import Rig, System, config_map

pytestmark = pytest.mark.e2e


async def scraped(system: System) -> dict[str, float]:
    transport = httpx.ASGITransport(observing.application(system.controller))
    async with httpx.AsyncClient(transport=transport, base_url="http://metrics") as http:
        text = (await http.get("/metrics")).text
    return {m[1]: float(m[2]) for m in re.finditer(r"^(\S+(?:\{.*\})?) (\S+)$", text, re.M)}


async def test_a_delivery_is_counted_traced_and_told(rig: Rig) -> None:
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rig.commit("paint the sky")
    lane = f'application="{rig.application}",target="{rig.cluster}"'
    with receiving() as receiver:
        rig.fleet["tracing"] = {"endpoint": receiver.endpoint}
        rig.app["labels"] = {"team": "painters"}
        async with rig.controller() as system:
            await system.nudge()
            await system.until_asking(1)
            asking = await scraped(system)
            await asyncio.sleep(0.3)  # people take their time: it is a span of its own
            await system.approve("bob")
            after = await scraped(system)
            figures = await report(system.controller)
    state = "gitops_lane_state"
    assert asking[
        f'{state}{{application="{rig.application}",state="asking",target="{rig.cluster}"}}'
    ]
    assert asking["gitops_requests_open"] == 1
    assert f"gitops_deliveries_total{{{lane}}}" not in asking
    healthy = f'application="{rig.application}",result="healthy",target="{rig.cluster}"'
    assert after[f"gitops_deliveries_total{{{healthy}}}"] == 1
    for step in ("watch", "render", "check", "plan", "ask", "apply", "verify"):
        assert after[f'gitops_step_duration_seconds_count{{step="{step}"}}'] >= 1, step
    wrote = f'cluster="{rig.cluster}",code="201",verb="apply"'
    assert after[f"gitops_cluster_requests_total{{{wrote}}}"] >= 1
    assert after[f'gitops_cluster_up{{cluster="{rig.cluster}"}}'] == 1

    names = [span.name for span in receiver.spans]
    assert {"watch", "render", "check", "plan", "ask", "answer", "apply", "verify"} <= set(names)
    assert names.count("delivery") == 1
    assert len({span.trace_id for span in receiver.spans}) == 1
    assert b"paint the sky" not in receiver.bytes

    assert figures.teams["painters"].deployments == 1
    assert figures.teams["painters"].failure_rate == 0
    waits = {stage.stage.value: stage.spread.median for stage in figures.stream}
    assert waits["answer"] >= 0.3
