"""How far the change is that is being carried out in a lane: for people who watch it.

Kept in memory from the claim until it is healthy, and again after a restart once it is carried on;
nothing is decided by it. Told by the planner, write by write, and by the live view afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gitops import health
from gitops.engine import bell
from gitops.engine.bell import Bell
from gitops.model.cluster import LiveObject
from gitops.model.delivery import ObjectOutcome, Progress
from gitops.model.health import Health
from gitops.model.ids import ChangeId
from gitops.model.manifest import ObjectId

RINGS_EVERY = 0.25
"""Seconds between two rings of one lane: thousands of writes a second are still seen as moving."""
NAMED = 5
"""Objects that are named while they are waited for."""
_FINE = (Health.HEALTHY, Health.SUSPENDED)


@dataclass(slots=True)
class UnderWay:
    """One change, from its first write on."""

    change: ChangeId
    ids: tuple[ObjectId, ...]
    """What has to be healthy in the end."""
    writes: int
    bell: Bell
    done: int = 0
    failed: int = 0
    rang_at: float = 0.0

    def count(self, outcome: ObjectOutcome) -> None:
        self.done += outcome.done
        self.failed += not outcome.done
        self.moved()

    def moved(self) -> None:
        """Tells who looks at it, at most every so often; the change's own end is told anyway."""
        now = time.monotonic()
        if now - self.rang_at >= RINGS_EVERY:
            self.rang_at = now
            self.bell.ring([bell.change(self.change)])

    def progress(self, live: Mapping[ObjectId, LiveObject]) -> Progress:
        waits = list(_unwell(self.ids, live))
        return Progress(
            self.change,
            self.done,
            self.failed,
            self.writes,
            len(self.ids) - len(waits),
            len(self.ids),
            tuple(waits[:NAMED]),
        )


def _unwell(ids: Iterable[ObjectId], live: Mapping[ObjectId, LiveObject]) -> Iterator[str]:
    for id in ids:
        thing = live.get(id)
        found = health.assess(thing.body if thing else None)
        if found.health not in _FINE:
            yield f"{id}: {found.reason or found.health.value}"
