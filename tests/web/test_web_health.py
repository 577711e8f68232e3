"""Probes are told the truth, part by part; requests can be found again in the log."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gitops import logs
from gitops.web.request_ids import RequestIds
from tests.web.test_api import Service, service  # noqa: F401 - a fixture


@pytest.fixture
def running(service: Service) -> Service:  # noqa: F811
    """As after a start that went well."""
    service.controller.parts.keeper._seconds = 15.0
    service.controller.ready.set()
    return service


async def readiness(service: Service) -> tuple[int, dict[str, str]]:  # noqa: F811
    answer = await service.loopback.get("/readyz")
    return answer.status_code, dict(line.split(": ", 1) for line in answer.text.splitlines())


class TestReadiness:
    async def test_is_there_when_everything_is(self, running: Service) -> None:
        assert await readiness(running) == (
            200,
            {"lease": "ok", "start": "ok", "store": "ok", "loop": "ok"},
        )

    async def test_waits_for_sources_and_clusters(self, running: Service) -> None:
        running.controller.ready.clear()
        code, parts = await readiness(running)
        assert (code, parts["start"]) == (503, "sources and clusters are being met")

    async def test_ends_with_the_lease(self, running: Service) -> None:
        running.controller.ledger.epoch = None
        code, parts = await readiness(running)
        assert code == 503
        assert parts["lease"].startswith("not held")

    async def test_ends_when_the_store_takes_no_writes(self, running: Service) -> None:
        running.clock.time += 11
        code, parts = await readiness(running)
        assert (code, parts["store"]) == (503, "took no write for 11 s")

    async def test_ends_when_the_event_loop_stood_still(self, running: Service) -> None:
        running.controller.measures.pulse.beat(9.0)
        code, parts = await readiness(running)
        assert (code, parts["loop"]) == (503, "stood still for 9 s within the last minute")


class TestLiveness:
    async def test_is_not_readiness(self, running: Service) -> None:
        running.controller.ready.clear()
        running.controller.ledger.epoch = None
        assert (await running.loopback.get("/healthz")).status_code == 200

    async def test_ends_where_only_a_new_start_helps(self, running: Service) -> None:
        running.clock.time += 61
        answer = await running.loopback.get("/healthz")
        assert answer.status_code == 503
        assert "not renewed for 61 s" in answer.text


class TestRequestIds:
    @pytest.fixture
    def out(self) -> io.StringIO:
        stream = io.StringIO()
        logs.configure(json=True, stream=stream)
        return stream

    @pytest.fixture
    async def http(self, out: io.StringIO) -> AsyncIterator[httpx.AsyncClient]:
        async def speak(_request: object) -> PlainTextResponse:
            structlog.get_logger().info("spoken")
            return PlainTextResponse("hello")

        application = RequestIds(Starlette(routes=[Route("/", speak)]))
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            yield client

    async def test_are_in_the_log_and_in_the_answer(
        self, http: httpx.AsyncClient, out: io.StringIO
    ) -> None:
        names = [(await http.get("/")).headers["x-request-id"] for _ in range(2)]
        logged = [json.loads(line)["request_id"] for line in out.getvalue().splitlines()]
        assert logged == names
        assert len(set(names)) == 2

    async def test_of_a_proxy_are_kept(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/", headers={"X-Request-Id": "abc-123.DEF_4"})
        assert answer.headers["x-request-id"] == "abc-123.DEF_4"

    @pytest.mark.parametrize(
        "given", ["short", "x" * 65, "a b c d e f", "\x1b[31mred-text", "é" * 9]
    )
    async def test_that_could_do_harm_are_replaced(
        self, http: httpx.AsyncClient, given: str
    ) -> None:
        answer = await http.get("/", headers={b"X-Request-Id": given.encode()})  # type: ignore[arg-type, dict-item]
        assert len(answer.headers["x-request-id"]) == 16

    async def test_given_twice_are_replaced(self, http: httpx.AsyncClient) -> None:
        twice = [("X-Request-Id", "aaaaaaaaa"), ("X-Request-Id", "bbbbbbbbb")]
        assert len((await http.get("/", headers=twice)).headers["x-request-id"]) == 16
