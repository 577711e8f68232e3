"""Connections on a real socket whose other side does not read what it asked for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn
from uvicorn.server import ServerState

from gitops.web import connections
from gitops.web.connections import PatientProtocol

SHORT = 0.5
"""Seconds of patience here."""
ANSWER = b"x" * (64 << 10)
ASKED = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LARGE = 600
"""Answers in one: more than any socket holds."""
Opens = Callable[[], Awaitable[socket.socket]]


async def app(scope: object, receive: object, send: Callable[..., Awaitable[None]]) -> None:
    """Answers at once, by the length of the query so many times."""
    del receive
    assert isinstance(scope, dict)
    times = LARGE if scope["query_string"] else 1
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ANSWER * times})


@pytest.fixture
async def state(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[ServerState, Opens]]:
    """What the server has open, and how one opens a connection that takes little at a time."""
    monkeypatch.setattr(connections, "PATIENCE", SHORT)
    config = uvicorn.Config(app, http=PatientProtocol, log_config=None, lifespan="off")
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()

    def one() -> PatientProtocol:
        return PatientProtocol(config=config, server_state=state, app_state={})

    server = await loop.create_server(one, "127.0.0.1", 0)
    with contextlib.ExitStack() as stack:

        async def opens() -> socket.socket:
            wire = stack.enter_context(socket.socket())
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            wire.setblocking(False)
            await loop.sock_connect(wire, server.sockets[0].getsockname())
            return wire

        yield state, opens
    server.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)


async def ask(wire: socket.socket, text: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(wire, text)


async def take(wire: socket.socket) -> bytes:
    async with asyncio.timeout(60):
        return await asyncio.get_running_loop().sock_recv(wire, 1 << 20)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(ASKED.replace(b"/ ", b"/?large "), id="a large one"),
        pytest.param(ASKED.replace(b"/ ", b"/?large ") + b"GET / HTTP/1.1\r\n", id="half of more"),
        pytest.param(
            ASKED.replace(b"/ HTTP/1.1\r\n", b"/?large HTTP/1.1\r\nconnection: close\r\n"),
            id="the last one",
        ),
    ],
)
async def test_whoever_does_not_read_what_they_asked_for_is_hung_up_on(
    state: tuple[ServerState, Opens], asked: bytes
) -> None:
    there, opens = state
    wire = await opens()
    sending = asyncio.ensure_future(ask(wire, asked))
    await until(lambda: bool(there.connections))
    await until(lambda: not there.connections)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_whoever_does_not_read_makes_room_for_somebody_else(
    state: tuple[ServerState, Opens], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, opens = state
    monkeypatch.setattr(connections, "PATIENCE", 600.0)
    monkeypatch.setattr(connections, "MOST", 3)
    for _ in range(3):
        await ask(await opens(), ASKED.replace(b"/ ", b"/?large "))
    paused = [each for each in there.connections if isinstance(each, PatientProtocol)]
    await until(lambda: all(each.flow.write_paused for each in paused))
    wire = await opens()
    await ask(wire, ASKED)
    assert (await take(wire)).startswith(b"HTTP/1.1 200")


async def test_whoever_asks_before_they_were_answered_is_answered_once(
    state: tuple[ServerState, Opens],
) -> None:
    _, opens = state
    wire = await opens()
    await ask(wire, ASKED * 5)
    found = b""
    with contextlib.suppress(ConnectionError):
        while part := await take(wire):
            found += part
    assert found.count(b"HTTP/1.1 200") == 1
    assert found.count(b"x") <= len(ANSWER)


async def test_whoever_reads_slowly_gets_all_of_it(state: tuple[ServerState, Opens]) -> None:
    _, opens = state
    wire = await opens()
    await ask(wire, ASKED.replace(b"/ HTTP/1.1\r\n", b"/?large HTTP/1.1\r\nconnection: close\r\n"))
    found, began = 0, asyncio.get_running_loop().time()
    while part := await take(wire):
        found += len(part)
        if asyncio.get_running_loop().time() - began < 6 * SHORT:
            await asyncio.sleep(SHORT / 50)
    assert found > LARGE * len(ANSWER)
