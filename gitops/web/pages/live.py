"""``/live``: says to open pages what has moved, as server-sent events (WHATWG HTML 9.2).

A message is the topics that moved (:mod:`gitops.engine.bell`), nothing else: the page that shows
one of them loads itself anew, through the same routes and the same rights. So a slow reader costs
its own socket's buffer and a bounded set of topics, whatever happens meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastapi import FastAPI, HTTPException, Request
from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse

from gitops.web.auth.guard import Guard
from gitops.web.pages.desk import Viewing

if TYPE_CHECKING:
    from gitops.engine.bell import Listener
    from gitops.web.pages.desk import Desk

MOST_READERS = 1_000
MOST_EACH = 30
"""Streams one person, or one address of anonymous readers, may hold: some tabs' worth."""
GATHERS = 0.2
"""Seconds during which what moves is gathered into one message."""
BEATS = 15.0
"""Seconds after which a silent stream says that it is there, and looks whether its reader still
may: a session that ended ends its streams."""


def add(app: FastAPI, desk: Desk) -> None:
    readers: Counter[str] = Counter()
    guard: Guard = app.state.guard

    @app.get("/live", include_in_schema=False)
    async def live(request: Request, viewer: Viewing) -> StreamingResponse:
        who = viewer.person or viewer.name or (request.client.host if request.client else "")
        if readers.total() >= MOST_READERS or readers[who] >= MOST_EACH:
            raise HTTPException(503, "too many pages are open", headers={"Retry-After": "30"})
        return StreamingResponse(
            stream(request, who),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def stream(request: Request, who: str) -> AsyncIterator[bytes]:
        readers[who] += 1
        try:
            with desk.controller.ledger.bell.listening() as listener:
                yield format_sse_event(event="hello", data_str="", retry=3_000)
                while True:
                    topics = await _next(listener)
                    if not topics and not await _still(guard, request):
                        return
                    yield _message(topics)
        finally:
            readers.subtract([who])
            if not readers[who]:
                del readers[who]


async def _next(listener: Listener) -> tuple[str, ...]:
    """What moved next; nothing when nothing did for a while."""
    try:
        async with asyncio.timeout(BEATS):
            first = await listener.heard()
    except TimeoutError:
        return ()
    await asyncio.sleep(GATHERS)
    return first


def _message(topics: tuple[str, ...]) -> bytes:
    if not topics:
        return format_sse_event(comment="")
    return format_sse_event(event="moved", data_str="\n".join(topics))


async def _still(guard: Guard, request: Request) -> bool:
    try:
        await guard.viewer(request)
    except HTTPException:
        return False
    return True
