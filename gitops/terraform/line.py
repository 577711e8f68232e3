"""Who may run the tool now, who waits, and for whom.

A host runs a few tools at a time, and one on any state: the tool would otherwise wait for its own
lock. Used by :mod:`gitops.terraform.workspace`; what it tells goes to ``why`` and the status page.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gitops.model.delivery import LaneId
from gitops.ports.terraform import Place


class Turn:
    """A place in the line. Given by :meth:`Line.turn` once it is one's turn."""

    def __init__(self, line: Line, lane: LaneId, state: str, doing: str) -> None:
        self._line = line
        self.lane = lane
        self.state = state
        self.doing = doing
        self.since = time.time()
        self.admitted = asyncio.Event()
        self.late = False

    def is_late(self) -> None:
        """Keeps the state to itself, but no longer keeps others from the machine."""
        self.late = True
        self._line.admit()


class Line:
    """First come, first served, except that nobody waits for another one's state."""

    def __init__(self, parallel: int) -> None:
        self._parallel = max(1, parallel)
        self._turns: list[Turn] = []

    @asynccontextmanager
    async def turn(self, lane: LaneId, state: str, doing: str) -> AsyncIterator[Turn]:
        """``state`` names what only one may work on; empty: nothing shared."""
        turn = Turn(self, lane, state, doing)
        self._turns.append(turn)
        try:
            self.admit()
            await turn.admitted.wait()
            yield turn
        finally:
            self._turns.remove(turn)
            self.admit()

    def admit(self) -> None:
        """Lets in whoever may go now."""
        free = self._parallel - sum(t.admitted.is_set() and not t.late for t in self._turns)
        taken = {t.state for t in self._turns if t.admitted.is_set()}
        for turn in self._turns:
            if turn.admitted.is_set():
                continue
            if free > 0 and (not turn.state or turn.state not in taken):
                turn.since = time.time()
                turn.admitted.set()
                free -= 1
            taken.add(turn.state)

    def places(self) -> tuple[Place, ...]:
        """Everybody in the line, in its order."""
        return tuple(self._place(turn) for turn in self._turns)

    def _place(self, turn: Turn) -> Place:
        running = turn.admitted.is_set()
        waits = () if running else self._before(turn)
        return Place(turn.lane, turn.doing, turn.since, running, waits, turn.late)

    def _before(self, turn: Turn) -> tuple[LaneId, ...]:
        """Whom it waits for: those on its state, else everybody who runs."""
        earlier = self._turns[: self._turns.index(turn)]
        same = [t.lane for t in earlier if turn.state and t.state == turn.state]
        running = [t.lane for t in self._turns if t.admitted.is_set() and not t.late]
        return tuple(dict.fromkeys(same or running))
