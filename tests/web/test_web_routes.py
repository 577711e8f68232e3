"""Everything that listens asks who is there, whoever adds a route."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount

from gitops.web.api import build
from gitops.web.late import LateRoute
from tests.web.test_web_sessions import HERE, Service, service

__all__ = ["service"]

OPEN = {
    *(("GET", path) for path in ("/healthz", "/readyz", "/sign-in", "/sign-in.css")),
    ("GET", "/sign-in/begin"),
    ("GET", "/sign-in/return"),
    ("POST", "/sign-in"),
}
"""What strangers may ask for: probes, and the way in."""
ASSETS = re.compile(r"/static/|/assets/|/favicon")
"""Style and script of the pages: the same for everybody."""


def routes(found: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in found:
        inner = getattr(route, "routes", None)
        if isinstance(route, Mount) or (inner and not isinstance(route, APIRoute)):
            yield from routes(list(inner or []), prefix + getattr(route, "path", ""))
        elif hasattr(route, "methods"):
            path = prefix + str(getattr(route, "path", ""))
            for method in sorted(getattr(route, "methods", None) or ()):
                yield method, path


async def test_no_route_answers_a_stranger_but_the_ones_on_the_list(service: Service) -> None:
    app = build(service.controller, trusted=False)
    every = {each for each in routes(list(app.routes)) if not ASSETS.match(each[1])}
    assert {each for each in every if each[0] != "HEAD"} >= OPEN
    assert len(every) > 30
    for method, path in sorted(every - OPEN):
        if (method, path) in {("HEAD", known) for _, known in OPEN}:
            continue
        url = HERE + re.sub(r"\{[^}]+\}", "7", path)
        answer = await service.client.request(method, url, headers={"accept": "*/*"})
        assert answer.status_code in (401, 404, 405), (method, path, answer.status_code)


@pytest.mark.slow
async def test_a_wrong_token_opens_none_of_them_either(service: Service) -> None:
    app = build(service.controller, trusted=False)
    headers = {"authorization": "Bearer gct_wrong"}
    for method, path in sorted(set(routes(list(app.routes))) - OPEN):
        if method != "HEAD" and path.startswith("/api/"):
            url = HERE + re.sub(r"\{[^}]+\}", "7", path)
            answer = await service.client.request(method, url, headers=headers)
            assert answer.status_code == 401, (method, path, answer.status_code)


async def test_every_handler_can_be_called_though_routes_are_analysed_late(
    service: Service,
) -> None:
    app = build(service.controller, trusted=False)
    found = [route for route in app.routes if isinstance(route, LateRoute)]
    assert len(found) > 60
    for route in found:
        assert route.dependant.call is route.endpoint


async def test_a_handler_nobody_can_call_answers_nobody(service: Service) -> None:
    app = build(service.controller, trusted=True)

    @app.get("/wrong")
    async def wrong(value: Service) -> None:
        """No shape of a request becomes one."""

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
        for _ in range(2):
            assert (await client.get("/wrong")).status_code == 500
        assert (await client.post("/wrong")).status_code == 405
