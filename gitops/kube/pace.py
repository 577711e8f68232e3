"""How many requests one cluster gets at once, and when it wants none.

One instance per cluster, used by the transport alone. Concurrency shrinks by half when the API
server throttles and grows back one by one. The call that was told waits its ``Retry-After`` by
itself; when the server turns away one after the other, everybody waits (with one free slot,
95 % of unheld calls are wasted).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gitops.ports import Clock

_IN_A_ROW = 8
"""Refusals without a success between them that make everybody wait. Fewer would let a noisy
neighbour, who gets the slot every other time, bring us down to one request a second."""
LONGEST_HOLD = 30.0
"""Seconds; a server that asks for more is asked again after this."""


class Pace:
    def __init__(self, clock: Clock, width: int = 16) -> None:
        self._clock = clock
        self._width = width
        self._limit = float(width)
        self._running = 0
        self._held_until = 0.0
        self._in_a_row = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Requests allowed at once at present."""
        return max(1, int(self._limit))

    @property
    def held_for(self) -> float:
        """Seconds everybody still has to wait."""
        return max(0.0, self._held_until - self._clock.monotonic())

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        await self._wait_out_hold()
        while self._running >= self.limit:
            await self._wait_for_room()
            await self._wait_out_hold()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._wake()

    def throttled(self, retry_after: float | None) -> None:
        """A 429 came."""
        self._limit = max(1.0, self._limit / 2)
        self._in_a_row += 1
        if self._in_a_row >= _IN_A_ROW:
            self._in_a_row = 0
            pause = min(LONGEST_HOLD, 1.0 if retry_after is None else retry_after)
            self._held_until = max(self._held_until, self._clock.monotonic() + pause)

    def served(self) -> None:
        """An answer that was not a 429 came."""
        self._in_a_row = 0
        if self._limit < self._width:
            self._limit = min(self._width, self._limit + 1 / self._limit)

    async def _wait_for_room(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake()  # it was our turn: pass it on
            raise

    def _wake(self) -> None:
        for _ in range(self.limit - self._running):
            while self._waiting and (turn := self._waiting.popleft()):
                if not turn.done():
                    turn.set_result(None)
                    break

    async def _wait_out_hold(self) -> None:
        while left := self.held_for:  # noqa: ASYNC110
            # Spread over a quarter more, or everybody returns in the same instant.
            await asyncio.sleep(left * (1 + random.random() / 4))  # noqa: S311


def backoff(attempt: int, *, first: float = 0.1, longest: float = 30.0) -> float:
    """Seconds before attempt ``attempt`` (1 is the first repetition): doubling, half jittered."""
    ceiling = min(longest, first * float(1 << min(attempt - 1, 16)))
    return ceiling * (0.5 + random.random() / 2)  # noqa: S311
