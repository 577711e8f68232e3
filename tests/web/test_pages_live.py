"""Streams to open pages: what they say, what they cost, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
import uvicorn

from gitops.engine import bell
from gitops.engine.bell import Bell
from gitops.model.cluster import ClusterState, ClusterStatus
from gitops.model.serving import SignInSpec
from gitops.web.api import build
from gitops.web.connections import PatientProtocol
from gitops.web.pages import live
from tests.web.test_web_sessions import ADA, Service, service

__all__ = ["service"]


@pytest.fixture
async def port(service: Service) -> AsyncIterator[int]:
    """The pages on a real socket: streams are about connections."""
    door = uvicorn.Config(
        build(service.controller, trusted=False),
        port=0,
        http=PatientProtocol,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(door)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    for reader in Reader.opened:
        reader.writer.close()
        with contextlib.suppress(ConnectionError):
            await reader.writer.wait_closed()
    Reader.opened.clear()
    server.should_exit = True
    await running


class Reader:
    """A browser's end of a stream, as bytes."""

    opened: ClassVar[list[Reader]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int, cookie: str, *, limit: int = 1 << 16) -> Reader:
        found = cls(*await asyncio.open_connection("127.0.0.1", port, limit=limit))
        cls.opened.append(found)
        found.writer.write(
            f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nCookie: gitops={cookie}\r\n"
            "Sec-Fetch-Dest: empty\r\n\r\n".encode()
        )
        return found

    async def until(self, text: str) -> str:
        got = b""
        async with asyncio.timeout(10):
            while text.encode() not in got:
                more = await self.reader.read(1 << 16)
                if not more:
                    raise EOFError(got.decode())
                got += more
        return got.decode()

    async def rest(self) -> str:
        """Up to the end of the answer."""
        return await self.until("0\r\n\r\n")


async def test_a_page_hears_what_moved_and_only_that(service: Service, port: int) -> None:
    reader = await Reader.open(port, await service.sessions.begin(ADA, "local"))
    started = await reader.until("event: hello")
    assert "200 OK" in started
    assert "text/event-stream" in started
    await service.controller.ledger.write(lambda tx: tx.memorise("x", "y", "z"))
    service.controller.ledger.bell.ring(["application:shop", "change:1"])
    service.controller.ledger.bell.ring(["application:shop"])
    said = await reader.until("change:1\n\n")
    assert said.count("application:shop") == 1


async def test_who_reads_nothing_is_hung_up_on_and_slows_nobody(
    service: Service, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SLOWEST", 0.3)
    monkeypatch.setattr(live, "GATHERS", 0.0)
    monkeypatch.setattr(live, "MOST_TOLD", 100_000)
    cookie = await service.sessions.begin(ADA, "local")
    deaf = await Reader.open(port, cookie, limit=1)
    quick = await Reader.open(port, cookie)
    await asyncio.gather(deaf.until("hello"), quick.until("hello"))
    bell, long = service.controller.ledger.bell, "x" * 4_000
    async with asyncio.timeout(30):
        number = 0
        while len(bell._listeners) > 1:
            bell.ring([f"application:{long}{n}" for n in range(50)])
            number += 1
            bell.ring([f"change:{number}"])
            await quick.until(f"change:{number}\n")
    with pytest.raises((EOFError, ConnectionError)):
        await deaf.until("never said")


async def test_streams_end_at_once_when_the_controller_stops(service: Service, port: int) -> None:
    cookie = await service.sessions.begin(ADA, "local")
    readers = [await Reader.open(port, cookie) for _ in range(20)]
    await asyncio.gather(*(reader.until("hello") for reader in readers))
    service.controller.ledger.bell.close()
    async with asyncio.timeout(5):
        await asyncio.gather(*(reader.rest() for reader in readers))
    late = await Reader.open(port, cookie)
    await late.rest()


async def test_a_session_that_ends_ends_its_streams_however_much_moves(
    service: Service, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BEATS", 0.1)
    cookie = await service.sessions.begin(ADA, "local")
    reader = await Reader.open(port, cookie)
    await reader.until("hello")
    await reader.until(":")  # a silent stream goes on
    await service.sessions.end(cookie)

    async def moving() -> None:
        while True:
            service.controller.ledger.bell.ring(["application:shop"])
            await asyncio.sleep(0.02)

    storm = asyncio.create_task(moving())
    await reader.rest()
    storm.cancel()


async def test_an_open_page_does_not_keep_its_session_alive(service: Service) -> None:
    cookie = await service.sessions.begin(ADA, "local")
    headers = {"cookie": f"gitops={cookie}", "accept": "text/html"}
    by_itself = {**headers, "sec-fetch-dest": "empty"}
    idle = SignInSpec().idle.total_seconds()
    service.clock.time += idle - 10
    assert (await service.client.get("/", headers=by_itself)).status_code == 200
    service.clock.time += 20
    assert (await service.client.get("/", headers=by_itself)).status_code == 303
    cookie = await service.sessions.begin(ADA, "local")
    headers["cookie"] = f"gitops={cookie}"
    service.clock.time += idle - 10
    assert (await service.client.get("/", headers=headers)).status_code == 200
    service.clock.time += 20
    assert (await service.client.get("/", headers=headers)).status_code == 200, "it was used"


async def test_so_many_streams_there_are_and_who_leaves_makes_room(
    service: Service, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_EACH", 2)
    cookie = await service.sessions.begin(ADA, "local")
    first, second = [await Reader.open(port, cookie) for _ in range(2)]
    await asyncio.gather(first.until("hello"), second.until("hello"))
    third = await Reader.open(port, cookie)
    assert "503" in await third.until("\r\n\r\n")
    first.writer.close()
    async with asyncio.timeout(5):
        while len(service.controller.ledger.bell._listeners) > 1:
            await asyncio.sleep(0.01)
    fourth = await Reader.open(port, cookie)
    await fourth.until("hello")


async def test_strangers_hear_nothing(service: Service) -> None:
    assert (await service.client.get("/live")).status_code == 401


async def test_how_a_cluster_stands_is_looked_at_while_somebody_reads(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOKS", 0.01)

    class Away:
        state = ClusterState.READY

        def status(self) -> ClusterStatus:
            return ClusterStatus(self.state)

    away = Away()
    service.controller.clusters._connected["east"] = away  # type: ignore[index,assignment]
    lookout = live.Lookout(service.controller)
    with service.controller.ledger.bell.listening() as listener, lookout.keeping():
        await asyncio.sleep(0.05)
        away.state = ClusterState.UNREACHABLE
        assert await listener.heard() == (bell.cluster("east"),)
    assert lookout._task is None
    del service.controller.clusters._connected["east"]  # type: ignore[attr-defined]


async def test_what_moved_between_reading_and_listening_is_heard() -> None:
    rung = Bell()
    rung.ring(["before"])
    read = rung.rung
    rung.ring(["a", "b"])
    rung.ring(["b", "c"])
    with rung.listening(read) as listener:
        assert await listener.heard() == ("a", "b", "c")
        rung.ring(["d"])
        assert await listener.heard() == ("d",)
    with rung.listening(rung.rung) as uptodate:
        rung.ring(["e"])
        assert await uptodate.heard() == ("e",)


@pytest.mark.parametrize("since", [0, bell.MOST_RINGS + 100])
async def test_who_read_too_long_ago_or_elsewhere_hears_that_all_may_have_moved(since: int) -> None:
    rung = Bell()
    for _ in range(bell.MOST_RINGS + 10):
        rung.ring(["a"])
    with rung.listening(since) as listener:
        assert await listener.heard() == (bell.EVERYTHING,)


async def test_a_bell_that_is_closed_sends_everybody_away() -> None:
    rung = Bell()
    with rung.listening() as listener:
        rung.ring(["a"])
        rung.close()
        assert await listener.heard() == ("a",)
        assert await listener.heard() == ()
    with rung.listening() as late:
        assert await late.heard() == ()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-length": str(64 << 10)}, 401),
        ({"content-length": str((64 << 10) + 1)}, 413),
        ({"content-length": "-1"}, 413),
        ({"transfer-encoding": "chunked"}, 413),
    ],
)
async def test_long_bodies_are_not_read(
    service: Service, headers: dict[str, str], status: int
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{}"

    sent = await service.client.post("/api/v1/sources/x/nudge", headers=headers, content=body())
    assert sent.status_code == status
