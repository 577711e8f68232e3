"""Waits until what was applied works, driven by watch events; it never polls.

Called by the verify step.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from gitops import health
from gitops.errors import ClusterUnavailable
from gitops.model.cluster import LiveEvent
from gitops.model.health import Health, ObjectHealth
from gitops.model.manifest import ObjectId
from gitops.ports import Clock, Cluster

PATIENCE = timedelta(seconds=5)
"""How long an object may say DEGRADED before it is believed: controllers flap for a moment."""

FINE = (Health.HEALTHY, Health.SUSPENDED)


@dataclass(slots=True)
class _Wait:
    """What is still waited for, and how everything was when last looked at."""

    application: str
    cluster: Cluster
    clock: Clock
    patience: float
    waiting: set[ObjectId]
    health: dict[ObjectId, ObjectHealth] = field(default_factory=dict)
    degraded: dict[ObjectId, float] = field(default_factory=dict)
    """Since when."""

    def look(self, ids: Iterable[ObjectId]) -> None:
        live = self.cluster.live.owned(self.application)
        for id in ids:
            found = live.get(id)
            self._judge(id, health.assess(found.body if found else None))

    def _judge(self, id: ObjectId, now: ObjectHealth) -> None:
        self.health[id] = now
        if now.health in FINE:
            self.waiting.discard(id)
        else:
            # Healthy once is not healthy for good: what falls ill again is waited for again.
            self.waiting.add(id)
        if now.health is Health.DEGRADED:
            self.degraded.setdefault(id, self.clock.monotonic())
        else:
            self.degraded.pop(id, None)

    @property
    def hopeless_at(self) -> float | None:
        """When the longest degraded object is believed."""
        return min(self.degraded.values()) + self.patience if self.degraded else None


async def until_healthy(
    application: str,
    ids: Iterable[ObjectId],
    cluster: Cluster,
    within: timedelta,
    clock: Clock,
    *,
    patience: timedelta = PATIENCE,
) -> Mapping[ObjectId, ObjectHealth]:
    """The health of each object once all are HEALTHY or SUSPENDED, one is DEGRADED for good, or
    the time is up. At the deadline each unfinished object keeps its last health and its reason
    says what is missing. Never raises for an unhealthy object; ClusterUnavailable when the
    connection was closed meanwhile."""
    wanted = frozenset(ids)
    wait = _Wait(application, cluster, clock, patience.total_seconds(), set(wanted))
    events = cluster.live.events()
    wait.look(wanted)
    deadline = clock.monotonic() + within.total_seconds()
    while wait.waiting:
        now, hopeless = clock.monotonic(), wait.hopeless_at
        if hopeless is not None and now >= hopeless:
            break
        if now >= deadline:
            return {id: _late(found, within) for id, found in wait.health.items()}
        told = await _next(events, min(deadline, hopeless or deadline) - now)
        if told is not None and told.object.id in wanted:
            wait.look((told.object.id,))
    return wait.health


async def _next(events: AsyncIterator[LiveEvent], seconds: float) -> LiveEvent | None:
    """The next event; None when none came in time."""
    try:
        async with asyncio.timeout(seconds):
            return await anext(events)
    except TimeoutError:
        return None
    except StopAsyncIteration:
        raise ClusterUnavailable("the connection to this cluster was closed") from None


def _late(found: ObjectHealth, within: timedelta) -> ObjectHealth:
    if found.health in FINE:
        return found
    return replace(found, reason=f"after {within.total_seconds():g} s: {found.reason}")
