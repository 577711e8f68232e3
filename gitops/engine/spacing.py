"""Spaces out what may be asked for at any rate: at once when it was quiet, else a little later.

Called by the inbox of webhooks: a burst of a thousand about one source becomes a look now and one
every :data:`SPACING` after, the last of them never lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

SPACING = 1.5
"""Seconds between two looks at one source that were asked for from outside."""


class Spaced(Generic[K]):
    """``ask`` leads to ``fire``, for each key at most once every ``spacing`` seconds."""

    def __init__(self, fire: Callable[[K], None], spacing: float = SPACING) -> None:
        self._fire = fire
        self._spacing = spacing
        self._last: dict[K, float] = {}
        self._later: dict[K, asyncio.TimerHandle] = {}

    def ask(self, key: K) -> None:
        """Needs a running loop. Everything asked until it fires is one."""
        if key in self._later:
            return
        loop = asyncio.get_running_loop()
        since = loop.time() - self._last.get(key, -self._spacing)
        if since >= self._spacing:
            self._now(key)
        else:
            self._later[key] = loop.call_later(self._spacing - since, self._now, key)

    def _now(self, key: K) -> None:
        self._later.pop(key, None)
        self._last[key] = asyncio.get_running_loop().time()
        self._fire(key)

    def close(self) -> None:
        """Forgets what was still to come."""
        for handle in self._later.values():
            handle.cancel()
        self._later.clear()
