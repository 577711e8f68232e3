"""Answers that did not change are not sent again (RFC 9110 8.8.3, 13.1.2).

Wraps the application: the tag of a JSON answer to a GET is the digest of its bytes, so it can never
be wrong, and routes need not think of it. What streams is passed on as it comes.
"""

from __future__ import annotations

import asyncio
import hashlib
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/api/v1/"
LONG = 1 << 20
"""Bytes from which a digest is made off the loop."""
_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e]*")')


class Tagged:
    """An ASGI application in front of another."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] == "GET"
        if not asked or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, Headers(scope=scope).get("if-none-match", ""))
        await self._app(scope, receive, answer.send)


class _Answer:
    """One answer on its way: held back until it is whole, if it is one that gets a tag."""

    def __init__(self, send: Send, known: str) -> None:
        self._send, self._known = send, known
        self._start: Message | None = None
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _tagged(message):
            self._start = message
            return
        if self._start is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._whole(self._start)

    async def _whole(self, start: Message) -> None:
        long = len(self._body) > LONG
        digest = await asyncio.to_thread(_digest, self._body) if long else _digest(self._body)
        tag = f'"{digest[:32]}"'
        headers = MutableHeaders(scope=start)
        headers["etag"] = tag
        headers["cache-control"] = "private, no-cache"
        headers["vary"] = "authorization, cookie"
        body = bytes(self._body)
        if _knows(self._known, tag):
            start["status"], body = 304, b""
            del headers["content-length"], headers["content-type"]
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _digest(body: bytearray) -> str:
    return hashlib.sha256(body).hexdigest()


def _tagged(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return bool(start["status"] == 200) and kind.startswith("application/json")


def _knows(header: str, tag: str) -> bool:
    """``If-None-Match`` compares weakly (RFC 9110 13.1.2)."""
    return header.strip() == "*" or tag in _TAG.findall(header)
