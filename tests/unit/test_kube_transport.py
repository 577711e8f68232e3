"""A server that throttles, hangs up and lies: what is tried again and what must not be.

The server is real HTTP on loopback; only its manners are bad, which no API server does on demand.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from gitops.errors import AnswerLost, ClusterRefused, ClusterUnavailable, ConfigError
from gitops.kube import transport as module
from gitops.kube.standing import Standing
from gitops.kube.transport import Call, Transport, impersonation, retry_after
from gitops.model.cluster import ClusterState
from gitops.sandbox.pki import issue_all

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
GET = Call("GET", "/api/v1/namespaces")
DRY = Call("PATCH", "/api/v1/x", body=b"{}")
WRITE = Call("PATCH", "/api/v1/x", body=b"{}", writes=True)


class Clock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class Server:
    """Answers with the next of ``script``, the last one for ever."""

    def __init__(self) -> None:
        self.script: list[Handler] = []
        self.asked: list[web.Request] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        await request.read()
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return await answer(request)


class Door:
    """Stands in for :class:`gitops.kube.access.Access`: loopback http, a token that can expire."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self.url = url
        self.tls = tls
        self.proxy = None
        self.server_name = None
        self.token = "first"

    async def authorization(self) -> str | None:
        return f"Bearer {self.token}"

    def renew(self) -> None:
        self.token = "second"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    made.url = f"http://127.0.0.1:{port}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def transport(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Transport]:
    monkeypatch.setattr(module, "backoff", lambda attempt: 0.01)
    made = _open(server.url)
    yield made
    await made.close()


def _open(url: str, tls: ssl.SSLContext | None = None) -> Transport:
    clock = Clock()
    return Transport(Door(url, tls), Standing(clock, "target"), clock)  # type: ignore[arg-type]


def says(code: int, body: bytes = b"{}", **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=code, body=body, headers=named)

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half_an_answer(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"kind":')
    assert request.transport is not None
    request.transport.abort()
    return response


async def silent(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(5)
    return web.Response()


@pytest.mark.parametrize("call", [GET, DRY])
@pytest.mark.parametrize("trouble", [says(503), says(502), says(504), hangs_up, half_an_answer])
async def test_reads_and_dry_runs_are_tried_again(
    server: Server, transport: Transport, call: Call, trouble: Handler
) -> None:
    server.script = [trouble, trouble, says(200)]
    assert (await transport.send(call)).code == 200
    assert len(server.asked) == 3


async def test_nobody_is_asked_more_than_five_times(server: Server, transport: Transport) -> None:
    server.script = [says(503)]
    with pytest.raises(ClusterUnavailable):
        await transport.send(GET)
    assert len(server.asked) == 5


@pytest.mark.parametrize("trouble", [says(502), says(504), hangs_up, half_an_answer])
async def test_a_write_without_an_answer_is_lost_and_not_repeated(
    server: Server, transport: Transport, trouble: Handler
) -> None:
    server.script = [trouble]
    with pytest.raises(AnswerLost):
        await transport.send(WRITE)
    assert len(server.asked) == 1


async def test_a_write_that_is_never_answered_is_lost(server: Server, transport: Transport) -> None:
    server.script = [silent]
    with pytest.raises(AnswerLost, match="in time"):
        await transport.send(Call("PATCH", "/x", body=b"{}", writes=True, seconds=0.2))


async def test_a_throttled_write_is_repeated_as_it_was_turned_away_at_the_door(
    server: Server, transport: Transport
) -> None:
    server.script = [says(429, Retry_After="0"), says(429, Retry_After="0"), says(201)]
    assert (await transport.send(WRITE)).code == 201


async def test_a_throttled_call_waits_as_long_as_it_was_told(
    server: Server, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    server.script = [says(429, Retry_After="7"), says(200)]
    await transport.send(GET)
    monkeypatch.undo()
    assert max(slept) >= 7.0


async def test_nobody_listening_is_no_lost_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "backoff", lambda attempt: 0.0)
    transport = _open("http://127.0.0.1:1")
    try:
        with pytest.raises(ClusterUnavailable, match="refuses connections"):
            await transport.send(WRITE)
        assert transport._standing.status.state is ClusterState.UNREACHABLE
    finally:
        await transport.close()


async def test_a_rejected_token_is_read_again_once(server: Server, transport: Transport) -> None:
    server.script = [says(401), says(200)]
    await transport.send(WRITE)
    assert [r.headers["Authorization"] for r in server.asked] == ["Bearer first", "Bearer second"]
    server.script = [says(401)]
    with pytest.raises(ClusterRefused):
        await transport.send(GET)
    assert len(server.asked) == 4


async def test_redirects_are_not_followed(server: Server, transport: Transport) -> None:
    server.script = [says(302, Location="http://192.0.2.1/")]
    with pytest.raises(ClusterRefused, match="302"):
        await transport.send(GET)
    assert len(server.asked) == 1


async def test_a_page_with_a_success_is_not_believed(server: Server, transport: Transport) -> None:
    server.script = [says(200, b"<html>sign in</html>")]
    with pytest.raises(ClusterUnavailable):
        (await transport.send(GET)).json()


async def test_an_endless_answer_is_cut(
    server: Server, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_ANSWER", 1 << 16)
    server.script = [says(200, b"x" * (1 << 20))]
    with pytest.raises(ClusterUnavailable, match="larger"):
        await transport.send(GET)


async def test_no_more_than_sixteen_requests_run_at_once(
    server: Server, transport: Transport
) -> None:
    running = 0
    most = 0

    async def counted(request: web.Request) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return web.Response(body=b"{}")

    server.script = [counted]
    await asyncio.gather(*(transport.send(GET) for _ in range(64)))
    assert most == 16


async def test_paths_and_queries_arrive_as_they_were_quoted(
    server: Server, transport: Transport
) -> None:
    server.script = [says(200)]
    await transport.send(
        Call("GET", "/apis/x/roles/system%3Anode", (("labelSelector", "a/b=c d"),))
    )
    assert server.asked[0].raw_path == "/apis/x/roles/system%3Anode?labelSelector=a%2Fb%3Dc+d"


async def test_a_watch_yields_lines_however_they_are_cut(
    server: Server, transport: Transport
) -> None:
    line = b'{"x":"' + b"y" * 300_000 + b'"}'

    async def streams(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        whole = line + b"\n" + b"{}\n\n" + line + b"\n"
        for start in range(0, len(whole), 70_001):
            await response.write(whole[start : start + 70_001])
        return response

    server.script = [streams]
    async with transport.stream(GET, silence=5) as lines:
        assert [got async for got in lines] == [line, b"{}", line]


async def test_a_silent_watch_ends(server: Server, transport: Transport) -> None:
    async def quiet(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{}\n")
        await asyncio.sleep(5)
        return response

    server.script = [quiet]
    got = []
    with pytest.raises(ClusterUnavailable):  # noqa: PT012 - the trouble comes while reading
        async with transport.stream(GET, silence=0.2) as lines:
            async for line in lines:
                got.append(line)  # noqa: PERF401
    assert got == [b"{}"]


def test_impersonation_names_the_account_and_leaves_its_groups_to_the_server() -> None:
    assert impersonation("shop/deployer") == (
        ("Impersonate-User", "system:serviceaccount:shop:deployer"),
    )
    assert impersonation("") == ()
    with pytest.raises(ConfigError):
        impersonation("system:masters")


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("7", 0) == 7.0
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 10) == 50.0
    assert retry_after(None, 0) is None
    assert retry_after("soon", 0) is None


async def test_after_close_no_connection_is_open_even_if_the_server_says_no_farewell(
    tmp_path: Path,
) -> None:
    issue_all(tmp_path, service_ip="127.0.0.1")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[ssl.SSLSocket] = []

        def accept() -> None:
            accepted.append(theirs.wrap_socket(listener.accept()[0], server_side=True))

        thread = threading.Thread(target=accept)
        thread.start()
        ours = ssl.create_default_context(cafile=tmp_path / "ca.crt")
        transport = _open(f"https://127.0.0.1:{listener.getsockname()[1]}", ours)
        asked = asyncio.create_task(transport.send(GET))
        await asyncio.to_thread(thread.join)
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await transport.close()
        assert [made for made in transport._sockets if made.fileno() != -1] == []
        accepted[0].close()
