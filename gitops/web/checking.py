"""Checks the whole record once somebody asks for it: every event of every chain.

One check at a time for one controller, stretch by stretch, so that the store's threads stay free
for everybody else. Used by the audit page; the command line asks the API for stretches itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from gitops.controller import Controller
from gitops.errors import GitopsError
from gitops.model.trail import Asked, Broken, TrailEvent

TOPIC = "audit:check"
"""Rung while it goes on, so that open pages show how far it is."""
STRETCH = 2_000
NAMED = 20
"""Broken places that are named; more are counted."""


@dataclass(frozen=True, slots=True)
class Checked:
    """How far a check is, or how it ended."""

    began: float
    newest: int
    """Sequence of the newest event when it began."""
    checked: int = 0
    last: int = 0
    head: str = ""
    broken: tuple[Broken, ...] = ()
    found: int = 0
    """How many are broken."""
    ended: float | None = None
    trouble: str = ""
    """Why it ended before its end."""

    @property
    def share(self) -> float:
        return min(1.0, self.last / self.newest) if self.newest else 1.0


@dataclass(slots=True)
class Checking:
    """One controller's."""

    controller: Controller
    state: Checked | None = None
    """None before the first one."""
    _task: asyncio.Task[None] | None = field(default=None)

    def begin(self) -> None:
        """Does nothing while one goes on."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._check(), name="audit-check")

    async def done(self) -> None:
        """Waits for the one that goes on."""
        if self._task is not None:
            await self._task

    async def _check(self) -> None:
        clock = self.controller.parts.clock
        state = Checked(clock.now(), 0)
        try:
            newest = await self.controller.ledger.read(
                lambda reading: reading.trail(Asked(), _place, limit=1)
            )
            state = replace(state, newest=next(iter(newest.events), 0))
            done = False
            while not done:
                state, done = await self._stretch(state)
                self._say(state)
        except GitopsError as error:
            state = replace(state, trouble=error.message)
        self._say(replace(state, ended=clock.now()))

    async def _stretch(self, state: Checked) -> tuple[Checked, bool]:
        part = await self.controller.ledger.read(
            lambda reading: reading.verified(state.last, state.head, limit=STRETCH)
        )
        named = (*state.broken, *part.broken)[:NAMED]
        after = replace(
            state,
            checked=state.checked + part.checked,
            last=part.last,
            head=part.head,
            broken=named,
            found=state.found + len(part.broken),
        )
        return after, part.done

    def _say(self, state: Checked) -> None:
        self.state = state
        self.controller.ledger.bell.ring([TOPIC])


def _place(event: TrailEvent) -> int:
    return event.sequence
