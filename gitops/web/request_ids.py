"""Gives every request a name, so that what the log says of it can be found together.

Around everything :mod:`gitops.web.serve` answers. The name is in every line the request leads to,
the rounds of lanes it sets off included, and in the answer's ``X-Request-Id``. One that a proxy
gave is kept if it can do no harm in a log; nothing is ever decided by it.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

HEADER = "X-Request-Id"
_GIVEN = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class RequestIds:
    """ASGI around an application."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        name = _name(scope)

        async def named(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = name
            await send(message)

        with bound_contextvars(request_id=name):
            await self._application(scope, receive, named)


def _name(scope: Scope) -> str:
    given = [value for key, value in scope["headers"] if key.lower() == HEADER.lower().encode()]
    if len(given) == 1 and _GIVEN.fullmatch(given[0]):
        return str(given[0], "ascii")
    return secrets.token_hex(8)
