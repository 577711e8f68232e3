"""No request to page or API has a long body, and none is read to find that out; none names what no
database can be asked for.

Wraps the application (:mod:`gitops.web.api`), as plain ASGI: what streams out is passed on as it
comes, and who hangs up is noticed. Webhooks have bounds of their own.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gitops.web.problems import problem

LARGEST_BODY = 64 << 10
"""Bytes of a request body: the longest legitimate one is an answer with a reason."""


class Bounded:
    """An ASGI application in front of another."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        chunked = "transfer-encoding" in headers
        if chunked or not length.isdecimal() or int(length) > LARGEST_BODY:
            refusal = problem(413, f"a request body of at most {LARGEST_BODY} bytes is read")
            await refusal(scope, receive, send)
            return
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            # PostgreSQL takes no text with one, and would be taken for a database that is away.
            await problem(400, "nothing has a NUL in its name")(scope, receive, send)
            return
        await self._app(scope, receive, send)
