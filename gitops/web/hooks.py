"""Takes requests at ``/hooks/NAME``: webhooks of forges, and the buttons of chats.

Wraps the application that listens on an address; the operator's socket has no such endpoints. Reads
a body bounded in size and time, hands it to whoever answers for the name, and says as little as
possible: one constant text a status, nothing of what came in, and never a 5xx, which would only
teach a stranger what breaks us. Verifying is the receiver's, acting is the inbox's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gitops.controller import Controller
from gitops.engine.inbox import Busy
from gitops.errors import GitopsError, raised_at
from gitops.foreign import one_line
from gitops.ports.inbound import Absent, Forged, Inbound, Letter, Malformed, Receiver, Reply
from gitops.web.buckets import Buckets, sender

_log = structlog.get_logger(__name__)

Takes = Callable[[Letter], Awaitable[Reply]]

PREFIX = "/hooks/"
LARGEST_BODY = 1 << 20
"""Bytes of one body. GitHub sends up to 25 MB: a push that large is found by polling."""
MOST_HELD = 16 << 20
"""Bytes of all bodies being read at once, beyond the first :data:`SPARED` of each."""
SPARED = 32 << 10
"""Bytes there is room for however much strangers hold: most of what forges send is smaller. How
many bodies there are at once is bounded by :data:`gitops.web.connections.MOST`."""
SECONDS = 10.0
"""For a body to come in."""
RATE, BURST = 100.0, 1_000.0
"""Requests a second of one sender, and verified ones of one name."""
_LONG = 64 << 10
"""Bytes above which a body is looked at off the loop."""
_UNSIGNED = 401
_SAYS = {
    200: b"ok\n",
    400: b"not understood\n",
    401: b"no valid signature\n",
    404: b"not found\n",
    405: b"POST only\n",
    408: b"too slow\n",
    413: b"too large\n",
    415: b"not compressed, please\n",
    429: b"too many at once\n",
}
_PLAIN = {"content-type": "text/plain; charset=utf-8"}


class Hooks:
    """An ASGI application in front of another."""

    def __init__(
        self, app: ASGIApp, controller: Controller, *, rate: float = RATE, burst: float = BURST
    ) -> None:
        self._app = app
        self._controller = controller
        self._senders = Buckets(rate, burst)
        self._names = Buckets(rate, burst)
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            reply = await self._answer(request, scope["path"].removeprefix(PREFIX))
        except ClientDisconnect:
            return
        except Exception as error:
            # A defect of ours or of a plugin. What it says may hold what a stranger sent.
            _log.error("hooks.defect", error=type(error).__name__, at=_where(error))
            reply = _says(400)
        await Response(reply.body, reply.status, dict(reply.headers))(scope, receive, send)

    async def _answer(self, request: Request, name: str) -> Reply:
        peer = request.client.host if request.client else ""
        if wait := self._senders.take(sender(peer)):
            return _come_again(wait)
        takes = self._taker(name)
        if takes is None:
            return _says(404)
        if request.method != "POST":
            return _says(405, {"allow": "POST"})
        if request.headers.get("content-encoding", "identity") != "identity":
            return self._refuse(name, 415, "compressed")
        body = await self._body(request)
        if isinstance(body, int):
            return self._refuse(name, body, _SAYS[body].decode().strip())
        return await takes(Letter(_headers(request), body))

    def _taker(self, name: str) -> Takes | None:
        """Who answers for a name, by the fleet file in force."""
        parts = self._controller.parts
        receiver = parts.receivers().get(name)
        if receiver is not None:
            return self._webhook(name, receiver)
        notifier = parts.notifiers().get(name)
        if callable(getattr(notifier, "receive", None)):
            return self._chat(name, cast(Inbound, notifier))
        return None

    def _chat(self, name: str, notifier: Inbound) -> Takes:
        async def take(letter: Letter) -> Reply:
            if wait := self._names.take(name):
                return _come_again(wait)
            reply = await notifier.receive(letter)
            if reply.status == _UNSIGNED:
                # Strangers must not use up what is the chat's.
                self._names.give_back(name)
            return reply

        return take

    def _webhook(self, name: str, receiver: Receiver) -> Takes:
        inbox = self._controller.inbox

        async def take(letter: Letter) -> Reply:
            try:
                long = len(letter.body) > _LONG
                hear = receiver.hear
                heard = await asyncio.to_thread(hear, letter) if long else hear(letter)
            except Absent as missing:
                inbox.tallies.closed(name, str(missing))
                return _says(404)
            except Forged:
                return self._refuse(name, 401, "no valid signature")
            except Malformed as wrong:
                return self._refuse(name, 400, one_line(str(wrong), 200))
            # After the signature: strangers must not use up what is the forge's.
            if wait := self._names.take(name):
                inbox.tallies.limited(name)
                return _come_again(wait)
            try:
                await inbox.take(name, heard, letter.body)
            except Busy as busy:
                return _come_again(busy.retry_after or 1)
            return _says(200)

        return take

    def _refuse(self, name: str, status: int, why: str) -> Reply:
        known = name in self._controller.parts.receivers()
        tallies = self._controller.inbox.tallies
        if known and status == 429:
            tallies.limited(name)
        elif known:
            tallies.refused(name, why)
        return _come_again(1) if status == 429 else _says(status)

    async def _body(self, request: Request) -> bytes | int:
        """The body, or the status that turns it away. What is not read is never waited for: the
        connection is closed behind the answer."""
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > LARGEST_BODY:
            return 413
        content, counted = bytearray(), 0
        try:
            async with asyncio.timeout(SECONDS):
                async for part in request.stream():
                    if len(content) + len(part) > LARGEST_BODY:
                        return 413
                    more = max(len(content) + len(part) - SPARED, 0) - counted
                    if self._held + more > MOST_HELD:
                        return 429
                    self._held += more
                    counted += more
                    content += part
        except TimeoutError:
            return 408
        finally:
            self._held -= counted
        return bytes(content)


def _headers(request: Request) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in request.headers.items():
        found[name] = (*found.get(name, ()), value)
    return found


def _says(status: int, headers: Mapping[str, str] | None = None) -> Reply:
    close = {} if status == 200 else {"connection": "close"}
    return Reply(status, _SAYS[status], {**_PLAIN, **close, **(headers or {})})


def _come_again(seconds: float) -> Reply:
    return _says(429, {"retry-after": str(max(1, math.ceil(seconds)))})


def _where(error: Exception) -> str:
    return error.message if isinstance(error, GitopsError) else raised_at(error)
