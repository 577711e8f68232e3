"""Whoever looks takes the store from nobody: so many requests of one sender are worked on at once.

Pages and deliveries read through the same few threads of the store. The guard's dependency
(:func:`gitops.web.auth.viewer.viewer`) takes a turn once it knows who asks; it ends with the
answer, or where a stream gives it back. The operator's own socket knows no turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import HTTPException, Request
from starlette.types import ASGIApp, Receive, Scope, Send

AT_ONCE = 2
"""Requests of one sender that are worked on: one fewer than the store has threads to read with."""
WAITING = 100
"""Requests of one sender that wait: some browser tabs that all load anew."""
_HELD = "gitops.turns"


@dataclass(slots=True)
class _Line:
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    there: int = 0


class Turns:
    """One door's."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    async def take(self, request: Request, who: str) -> None:
        """Returns when it is their turn. Raises 429 for who has too many requests waiting."""
        held: list[Callable[[], None]] | None = request.scope.get(_HELD)
        if held is None:
            return
        line = self._lines.setdefault(who, _Line())
        if line.there >= AT_ONCE + WAITING:
            raise HTTPException(429, "too many requests at once", headers={"Retry-After": "1"})
        line.there += 1
        try:
            await line.free.acquire()
        except BaseException:
            self._leave(who)
            raise

        def release() -> None:
            line.free.release()
            self._leave(who)

        held.append(release)

    def _leave(self, who: str) -> None:
        line = self._lines[who]
        line.there -= 1
        if not line.there:
            del self._lines[who]


def give_back(request: Request) -> None:
    """Ends the turn of a request whose answer goes on for as long as its reader likes."""
    _end(request.scope)


class InTurn:
    """An ASGI application in front of another: ends turns with answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_HELD] = []
        try:
            await self._app(scope, receive, send)
        finally:
            _end(scope)


def _end(scope: Scope) -> None:
    held: list[Callable[[], None]] = scope.get(_HELD, [])
    while held:
        held.pop()()
