"""``/live``: says to open pages what has moved, as server-sent events (WHATWG HTML 9.2).

A message is the topics that moved (:mod:`gitops.engine.bell`), nothing else: the page that shows
one of them loads itself anew, through the same routes and the same rights. So a slow reader costs
its own socket's buffer and a bounded set of topics, whatever happens meanwhile; one who does not
read at all is hung up on. Nobody who listens can delay a write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

from gitops import __version__
from gitops.engine import bell
from gitops.engine.bell import EVERYTHING, Bell, Listener
from gitops.web.auth.guard import Guard
from gitops.web.auth.viewer import sender_of
from gitops.web.connections import HANG_UP, MOST
from gitops.web.pages.desk import Viewing
from gitops.web.turns import give_back

if TYPE_CHECKING:
    from gitops.controller import Controller
    from gitops.model.cluster import ClusterStatus
    from gitops.model.ids import TargetName
    from gitops.web.pages.desk import Desk

MOST_READERS = MOST - 100
"""Streams at once: there are connections left for everybody else."""
MOST_EACH = 30
"""Streams one person, or one address of anonymous readers, may hold: some tabs' worth."""
MOST_TOLD = 200
"""Topics in one message; more of them are told as everything."""
GATHERS = 0.2
"""Seconds after a message during which what moves is gathered into the next."""
SPREAD = 0.003
"""Seconds the same grows by with each reader: a message makes its reader load a page, and all of
them together must leave time for everything else. Two hundred still hear within a second."""
BEATS = 15.0
"""Seconds after which a silent stream says that it is there, and after which it looks whether its
reader still may: a session that ended ends its streams."""
SLOWEST = 20.0
"""Seconds a message may take to be taken."""
PARTS = 0.5
"""Seconds streams have for their last words when the controller stops."""
LOOKS = 1.0
"""Seconds between two looks at what rings no bell by itself."""


def add(app: FastAPI, desk: Desk) -> None:
    readers: Counter[str] = Counter()
    guard: Guard = app.state.guard
    lookout = Lookout(desk.controller)

    @app.get("/live", include_in_schema=False)
    async def live(
        request: Request,
        viewer: Viewing,
        heard: Annotated[int | None, Query(ge=0, le=1 << 62)] = None,
    ) -> Response:
        who = sender_of(request, viewer)
        if readers.total() >= MOST_READERS or readers[who] >= MOST_EACH:
            raise HTTPException(503, "too many pages are open", headers={"Retry-After": "30"})

        async def still() -> bool:
            try:
                await guard.viewer(request)
            except HTTPException:
                return False
            return True

        @contextlib.asynccontextmanager
        async def counted() -> AsyncIterator[None]:
            readers[who] += 1
            try:
                with lookout.keeping():
                    yield
            finally:
                readers.subtract([who])
                if not readers[who]:
                    del readers[who]

        def gathers() -> float:
            return max(GATHERS, SPREAD * readers.total())

        give_back(request)
        return Stream(desk.controller.ledger.bell, still, counted, gathers, heard)

    app.state.readers = readers


class Stream(Response):
    """One reader's."""

    media_type = "text/event-stream"

    def __init__(
        self,
        bell: Bell,
        still: Callable[[], Awaitable[bool]],
        counted: Callable[[], contextlib.AbstractAsyncContextManager[None]],
        gathers: Callable[[], float],
        heard: int | None = None,
    ) -> None:
        """``still``: may they look? ``counted``: entered while they read. ``gathers``: seconds
        between two messages. ``heard``: as often the bell had rung when their page was asked
        for."""
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._bell, self._still, self._counted = bell, still, counted
        self._gathers, self._heard = gathers, heard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._counted():
            with self._bell.listening(self._heard) as listener:
                await self._attend(scope, receive, send, listener)

    async def _attend(self, scope: Scope, receive: Receive, send: Send, listener: Listener) -> None:
        """Until they go, may not look any more, do not read, or the controller stops."""
        telling = asyncio.ensure_future(self._tell(send, listener))
        gone = asyncio.ensure_future(_gone(receive))
        over = asyncio.ensure_future(listener.over.wait())
        try:
            await asyncio.wait({telling, gone, over}, return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                await asyncio.wait({telling, gone}, timeout=PARTS)
            if not gone.done() and not (telling.done() and telling.result()):
                scope.get("state", {}).get(HANG_UP, _nothing)()
                await asyncio.wait({gone}, timeout=PARTS)
        finally:
            for task in (telling, gone, over):
                task.cancel()
            await asyncio.gather(telling, gone, over, return_exceptions=True)

    async def _tell(self, send: Send, listener: Listener) -> bool:
        """Everything they are to hear, up to the end of the answer. False when they do not read."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(start)
            await _say(send, format_sse_event(event="hello", data_str=__version__, retry=3_000))
            async for message in self._messages(listener):
                await _say(send, message)
            await _say(send, b"", more=False)
        except TimeoutError:
            return False
        return True

    async def _messages(self, listener: Listener) -> AsyncIterator[bytes]:
        now = asyncio.get_running_loop().time
        looked = now()
        while True:
            topics = await _next(listener)
            if listener.over.is_set():
                return
            if now() - looked >= BEATS:
                if not await self._still():
                    return
                looked = now()
            yield _message(topics)
            await asyncio.sleep(self._gathers())


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _nothing() -> None: ...


async def _say(send: Send, body: bytes, *, more: bool = True) -> None:
    """Raises TimeoutError for who does not take it."""
    async with asyncio.timeout(SLOWEST):
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def _next(listener: Listener) -> tuple[str, ...]:
    """What moved next; nothing when nothing did for a while."""
    try:
        async with asyncio.timeout(BEATS):
            return await listener.heard()
    except TimeoutError:
        return ()


def _message(topics: tuple[str, ...]) -> bytes:
    if not topics:
        return format_sse_event(comment="")
    told = topics if len(topics) <= MOST_TOLD else (EVERYTHING,)
    return format_sse_event(event="moved", data_str="\n".join(told))


class Lookout:
    """Rings the bell for what has none of its own, while there are readers: how each cluster
    stands is known to its adapter alone."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._readers = 0
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        self._readers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="lookout")
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._task.cancel()
                self._task = None

    async def _run(self) -> None:
        seen = self._seen()
        while True:
            await asyncio.sleep(LOOKS)
            now = self._seen()
            moved = [name for name in seen.keys() | now.keys() if seen.get(name) != now.get(name)]
            self._controller.ledger.bell.ring([bell.cluster(name) for name in moved])
            seen = now

    def _seen(self) -> dict[TargetName, ClusterStatus]:
        connected = self._controller.clusters.connected
        return {name: cluster.status() for name, cluster in connected.items()}
