"""Slack for tests: a server on loopback that speaks to the real slack-sdk and records everything.

``with SlackServer() as slack`` runs it in a thread of its own, so that it serves tests of one event
loop and tests of whole processes alike; hand ``slack.api_url`` to ``AsyncWebClient(base_url=…)``.
It refuses what Slack refuses (:mod:`tests.slack.blockkit`, :mod:`tests.slack.methods`) and goes
wrong on demand: ``slack.fail("chat.postMessage", status=500)``, ``slack.down = True``. What Slack
would send us is made in :mod:`tests.slack.sending`; Socket Mode is spoken through
:meth:`SlackServer.envelope`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from aiohttp import WSMsgType, web

from tests.slack.methods import METHODS, Limited, Refused, admit, unknown
from tests.slack.workspace import Call, Fault, Workspace

T = TypeVar("T")


class SlackServer(Workspace):
    """The workspace, served."""

    def __enter__(self) -> SlackServer:
        self._loop = asyncio.new_event_loop()
        self._sockets: list[web.WebSocketResponse] = []
        self._tickets: set[str] = set()
        self._acks: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.after: dict[str, Callable[[], object]] = {}
        """Called once a method had its effect, before it is answered, in the server's thread."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="slack", daemon=True)
        self._thread.start()
        self.port = self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def api_url(self) -> str:
        return f"{self.url}api/"

    # --- for tests ----------------------------------------------------------------------------

    def until(self, holds: Callable[[], T], seconds: float = 30.0) -> T:
        """Waits, blocking: for tests of processes. Inside an event loop use :meth:`soon`."""
        end = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < end, f"waited {seconds} s; {self.told()}"
            time.sleep(0.02)
        return found

    async def soon(self, holds: Callable[[], T], seconds: float = 30.0) -> T:
        end = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < end, f"waited {seconds} s; {self.told()}"
            await asyncio.sleep(0.01)
        return found

    def told(self) -> str:
        """The calls so far in a line each, for a test that failed."""
        return "\n".join(f"{c.method} {c.status} {c.answer.get('error', '')}" for c in self.calls)

    def response_url(self) -> str:
        """A fresh one: good for five uses."""
        id = self.serial("r")
        self.response_urls[id] = 5
        return f"{self.url}response/{id}"

    # --- Socket Mode --------------------------------------------------------------------------

    joined = 0
    """How often somebody connected. While a client changes over, one that ends is still there: who
    waits for the new one waits for this and then for ``connections``."""

    @property
    def connections(self) -> int:
        return len(self._sockets)

    def envelope(
        self,
        kind: str,
        payload: dict[str, Any],
        *,
        id: str = "",
        retry: int = 0,
        socket: int = -1,
    ) -> concurrent.futures.Future[dict[str, Any]]:
        """Sends an envelope (``interactive``, ``slash_commands``, ``events_api``) over one of the
        connections; the future is its acknowledgement. Await it with ``asyncio.wrap_future``. The
        same ``id`` with ``retry`` is Slack's repetition of one that was not acknowledged."""
        envelope = {
            "type": kind,
            "envelope_id": id or self.serial("envelope-"),
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        if kind == "events_api":
            envelope |= {"retry_attempt": retry, "retry_reason": "timeout" if retry else ""}
        return asyncio.run_coroutine_threadsafe(self._envelope(envelope, socket), self._loop)

    def disconnect(self, reason: str = "refresh_requested", *, close: bool = False) -> None:
        """Tells every connection that it ends (``warning``, ``refresh_requested``,
        ``link_disabled``), or just ends it."""
        self._run(self._disconnect(reason, close=close))

    async def _envelope(self, envelope: dict[str, Any], socket: int) -> dict[str, Any]:
        future: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._acks[envelope["envelope_id"]] = future
        await self._sockets[socket].send_json(envelope)
        return await future

    async def _disconnect(self, reason: str, *, close: bool) -> None:
        for socket in list(self._sockets):
            if close:
                await socket.close()
            else:
                message = {"type": "disconnect", "reason": reason, "debug_info": {"host": "here"}}
                await socket.send_json(message)

    # --- serving ------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> int:
        application = web.Application(client_max_size=64 << 20)
        application.router.add_route("*", "/api/{method}", self._api)
        application.router.add_post("/upload/{id}", self._upload)
        application.router.add_post("/response/{id}", self._response)
        application.router.add_get("/link", self._link)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _stop(self) -> None:
        for socket in list(self._sockets):
            with contextlib.suppress(ConnectionError):
                await socket.close()
        await self._runner.cleanup()

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method, given = request.match_info["method"], await _arguments(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        token = token or str(given.pop("token", ""))
        fault = self._fault(method)
        if fault is not None and fault.seconds:
            await asyncio.sleep(fault.seconds)
        status, answer, headers = self._answer(method, given, token, fault)
        self.calls.append(Call(method, given, answer, status, time.monotonic()))
        if status == 200 and method in self.after:
            self.after.pop(method)()
        if fault is not None and fault.lost:
            assert request.transport is not None
            request.transport.abort()
        if fault is not None and fault.body:
            return web.Response(text=fault.body, content_type="text/html", status=status)
        headers["X-OAuth-Scopes"] = ",".join(sorted(self.scopes))
        return web.json_response(answer, status=status, headers=headers)

    def _fault(self, method: str) -> Fault | None:
        for fault in self.faults:
            if fault.method in ("*", method):
                fault.times -= 1
                if fault.times == 0:
                    self.faults.remove(fault)
                return fault
        return None

    def _answer(
        self, method: str, given: dict[str, Any], token: str, fault: Fault | None
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        if self.down:
            return 503, {"ok": False, "error": "service_unavailable"}, {}
        if fault is not None and (fault.error or fault.status != 200):
            wait = fault.retry_after
            headers = {"Retry-After": str(wait)} if wait is not None else {}
            error = fault.error or ("ratelimited" if fault.status == 429 else "internal_error")
            return fault.status, {"ok": False, "error": error}, headers
        try:
            admit(self, method, token)
            work = METHODS.get(method, unknown)
            return 200, {"ok": True, **self._addresses(method, work(self, given))}, {}
        except Refused as refused:
            return 200, refused.answer, {}
        except Limited as limited:
            answer = {"ok": False, "error": "ratelimited"}
            return 429, answer, {"Retry-After": str(limited.seconds)}

    def _addresses(self, method: str, answer: dict[str, Any]) -> dict[str, Any]:
        if method == "files.getUploadURLExternal":
            return {**answer, "upload_url": f"{self.url}upload/{answer['file_id']}"}
        if method == "apps.connections.open":
            ticket = self.serial("ticket-")
            self._tickets.add(ticket)
            return {"url": f"ws://127.0.0.1:{self.port}/link?ticket={ticket}"}
        return answer

    async def _upload(self, request: web.Request) -> web.Response:
        file = self.files.get(request.match_info["id"])
        content = await request.read()
        if file is None or len(content) != file["length"]:
            return web.Response(status=400, text="bad length")
        file["content"] = content
        return web.Response(text=f"OK - {len(content)}")

    async def _response(self, request: web.Request) -> web.Response:
        id = request.match_info["id"]
        left = self.response_urls.get(id, 0)
        if left < 1:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        self.response_urls[id] = left - 1
        body = json.loads(await request.text())
        self.responses.append({"url": str(request.url), **body})
        return web.json_response({"ok": True})

    async def _link(self, request: web.Request) -> web.WebSocketResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            raise web.HTTPForbidden
        self._tickets.remove(ticket)  # good for one connection
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.append(socket)
        self.joined += 1
        hello = {
            "type": "hello",
            "num_connections": len(self._sockets),
            "connection_info": {"app_id": self.app},
            "debug_info": {"host": "here", "approximate_connection_time": 18_060},
        }
        await socket.send_json(hello)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._acknowledged(json.loads(message.data))
        finally:
            self._sockets.remove(socket)
        return socket

    def _acknowledged(self, message: dict[str, Any]) -> None:
        future = self._acks.pop(message.get("envelope_id", ""), None)
        if future is not None and not future.done():
            future.set_result(message)


async def _arguments(request: web.Request) -> dict[str, Any]:
    given: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        body = await request.json()
        given |= {key: value for key, value in body.items() if value is not None}
    elif request.method == "POST":
        given |= dict(await request.post())
    return given
