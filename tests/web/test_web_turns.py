"""Of one sender so many requests are worked on at once, and nobody else waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import StreamingResponse

from gitops.web import turns
from gitops.web.api import build
from gitops.web.auth.roles import LOOKING
from gitops.web.auth.viewer import Viewer, Viewing, Way, sender_of
from gitops.web.turns import AT_ONCE, give_back
from tests.web.change_cases import ADA, BOB, HERE, House, house

__all__ = ["house"]


class Door:
    """The real application with two routes that answer when they are told to."""

    def __init__(self, house: House) -> None:
        self.house, self.working, self.done = house, 0, asyncio.Event()
        app = build(house.controller, trusted=False)

        @app.get("/slow")
        async def slow(found: Viewing) -> str:
            self.working += 1
            await self.done.wait()
            self.working -= 1
            return str(found.person)

        @app.get("/streams")
        async def streams(found: Viewing, request: Request) -> StreamingResponse:
            async def lines() -> AsyncIterator[str]:
                await self.done.wait()
                yield str(found.person)

            give_back(request)
            self.working += 1
            return StreamingResponse(lines())

        transport = httpx.ASGITransport(app)
        self.client = httpx.AsyncClient(transport=transport, base_url=HERE, timeout=60)

    def asked(self, path: str, person: str, number: int) -> list[asyncio.Task[httpx.Response]]:
        return [asyncio.create_task(self._ask(path, person)) for _ in range(number)]

    async def _ask(self, path: str, person: str) -> httpx.Response:
        who = ADA if person == "ada" else BOB
        return await self.client.get(path, headers=await self.house.as_(who))

    async def until(self, working: int) -> None:
        async with asyncio.timeout(60):
            while self.working != working:
                await asyncio.sleep(0.01)


@pytest.fixture
async def door(house: House) -> AsyncIterator[Door]:
    for person in (ADA, BOB):
        await house.as_(person)
    found = Door(house)
    yield found
    await found.client.aclose()


async def test_one_sender_waits_for_their_own_requests_and_nobody_else_does(door: Door) -> None:
    hers = door.asked("/slow", "ada", AT_ONCE + 3)
    await door.until(AT_ONCE)
    his = door.asked("/slow", "bob", 1)
    await door.until(AT_ONCE + 1)
    door.done.set()
    answers = await asyncio.gather(*hers, *his)
    assert [each.json() for each in answers] == ["ada"] * (AT_ONCE + 3) + ["bob"]


async def test_who_has_too_much_waiting_is_told_so(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING", 1)
    first = door.asked("/slow", "ada", AT_ONCE + 1)
    await door.until(AT_ONCE)
    await asyncio.sleep(0)
    (more,) = await asyncio.gather(*door.asked("/slow", "ada", 1))
    assert (more.status_code, more.headers["retry-after"]) == (429, "1")
    door.done.set()
    assert [each.status_code for each in await asyncio.gather(*first)] == [200] * (AT_ONCE + 1)


async def test_a_stream_and_a_request_that_failed_keep_no_turn(door: Door) -> None:
    streams = door.asked("/streams", "ada", AT_ONCE + 2)
    await door.until(AT_ONCE + 2)
    for _ in range(AT_ONCE + 1):
        assert (await door._ask("/changes/0000000000", "ada")).status_code == 404
    door.done.set()
    assert [each.text for each in await asyncio.gather(*streams)] == ["ada"] * (AT_ONCE + 2)


async def test_who_goes_away_while_waiting_leaves_no_trace() -> None:
    line, held = turns.Turns(), []  # type: ignore[var-annotated]
    request = Request({"type": "http", "headers": [], "gitops.turns": held})
    for _ in range(AT_ONCE):
        await line.take(request, "ada")
    waiting = asyncio.create_task(line.take(request, "ada"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    give_back(request)
    assert not line._lines


def test_nobody_uses_up_what_is_a_persons_whose_name_they_bear() -> None:
    def asked(by: str) -> Request:
        return Request({"type": "http", "client": (by, 1), "headers": []})

    ada = sender_of(asked("192.0.2.1"), Viewer(ADA, LOOKING, Way.SESSION))
    same = sender_of(asked("192.0.2.1"), Viewer(None, LOOKING, Way.SESSION, name="ada"))
    nobody = Viewer(None, LOOKING, Way.ANONYMOUS)
    assert len({ada, same, sender_of(asked("192.0.2.1"), nobody)}) == 3
    # Anybody has as many addresses of one network of IPv6 as they like.
    near = (sender_of(asked(by), nobody) for by in ("2001:db8::1", "2001:db8::ffff"))
    assert len(set(near)) == 1
