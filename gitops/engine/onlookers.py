"""Has pages that show an application's objects hear when these move, and no others.

In a large fleet something moves at every moment, and whoever listens to the bell hears of all of
it: so it is rung for the applications somebody looked at lately, at most once a second each. Kept
by the vigil, which sees objects and pods move; told by the page who is looked at.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from gitops.engine.bell import Bell
from gitops.model.ids import ApplicationName
from gitops.ports import Clock

GATHERS = 1.0
"""Seconds of movement that are one ring."""
FORGOTTEN = 43_200.0
"""Seconds after which a page nobody loaded again counts as closed."""
MOST = 200
"""Applications that are looked at; those looked at longest ago are left out."""


def objects(name: str) -> str:
    """The topic of what an application has on its targets: ``objects:shop``."""
    return f"objects:{name}"


class Onlookers:
    def __init__(self, bell: Bell, clock: Clock) -> None:
        self._bell = bell
        self._clock = clock
        self._looked: OrderedDict[ApplicationName, float] = OrderedDict()
        self._gathering: set[ApplicationName] = set()

    def look(self, application: ApplicationName) -> None:
        """Somebody looks at it now."""
        self._looked[application] = self._clock.monotonic()
        self._looked.move_to_end(application)
        while len(self._looked) > MOST:
            self._looked.popitem(last=False)

    def moved(self, application: ApplicationName) -> None:
        """Something of it did. Costs nothing where nobody looks."""
        at = self._looked.get(application)
        if at is None or application in self._gathering:
            return
        if self._clock.monotonic() - at > FORGOTTEN:
            del self._looked[application]
            return
        self._gathering.add(application)
        asyncio.get_running_loop().call_later(GATHERS, self._ring, application)

    def _ring(self, application: ApplicationName) -> None:
        self._gathering.discard(application)
        self._bell.ring([objects(application)])
