"""Many requests at once, but not too many, and in the order given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

WIDTH = 32
"""Requests under way at a time; the transport has its own, smaller, number of connections."""


async def each(
    items: Sequence[T], work: Callable[[T], Awaitable[R]], width: int = WIDTH
) -> list[R]:
    """The results in the order of ``items``. The first failure ends the rest and is raised."""
    if len(items) == 1:
        return [await work(items[0])]
    results: list[R | None] = [None] * len(items)
    left = iter(enumerate(items))

    async def worker() -> None:
        for index, item in left:
            results[index] = await work(item)

    workers = [asyncio.create_task(worker()) for _ in range(min(width, len(items)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return results  # type: ignore[return-value]
