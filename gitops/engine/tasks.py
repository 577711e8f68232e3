"""Work that goes on for as long as the controller lives.

A defect in one is logged and it is begun again: a source nobody looks at any more would be a stuck
source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

_log = structlog.get_logger(__name__)

RESTART_AFTER = 1.0


class Tasks:
    """Named tasks; a name is started once."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Has ``work`` done, again and again."""
        self._tasks[name] = asyncio.create_task(self._again_and_again(name, work), name=name)

    def end(self, name: str) -> None:
        """Harmless when there is no such task."""
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Ends them all and waits until they have."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _again_and_again(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                _log.exception("task.defect", task=name)
            await asyncio.sleep(RESTART_AFTER)
