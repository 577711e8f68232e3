"""What this process has seen itself do since it began: counts and durations, nothing else.

Filled by the ledger, the controller's rounds and the loop's own pulse; read by
:mod:`gitops.web.metrics` for ``/metrics`` and by ``/readyz``. Everything here is lost with the
process and nothing is decided by it. It never keeps a text: labels are names of the fleet file and
words of our own. What left the fleet file is forgotten by :meth:`Measures.retain`.
"""

from __future__ import annotations

import contextlib
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from gitops.engine.pulse import Pulse
from gitops.model.delivery import Cause, Change, ChangeRecord, ChangeState, LaneId
from gitops.model.events import ChangeClosed, Claimed, Event
from gitops.ports import Transaction
from gitops.ports.observing import Ended, NoTrail, Trail

STEP_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
"""Seconds: from a cached render to a long rollout."""
WRITE_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds a durable transaction takes."""
LEAD_BOUNDS = (1, 5, 15, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 259_200, 604_800)
"""Seconds from the opening of a change to its end, people's answers included."""
STEPS = ("watch", "render", "check", "plan", "ask", "apply", "verify")
_BEGINS = {
    **{step: step for step in STEPS if step not in ("watch", "apply")},
    # "apply" itself is reached by every round, also by one in which nobody said yes yet.
    "claim": "apply",
    "claimed": "apply",
    "executed": "apply",
    "recall": "apply",
}
"""What a round says it reached, and the step of the sentence that is part of."""


class Histogram:
    """Counts of durations up to each bound; what is longer than the last is in the total only."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        seconds = max(0.0, seconds)
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[float, int]]:
        """(bound, how many took at most that long), ending with infinity."""
        so_far, found = 0, []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            so_far += count
            found.append((bound, so_far))
        return found


@dataclass(slots=True)
class _Under:
    """The step a lane is in."""

    name: str
    change: Change
    since: float


class Measures:
    """One controller's; its ledger has it."""

    def __init__(self, trail: Trail | None = None) -> None:
        self.trail: Trail = trail or NoTrail()
        self.steps = {name: Histogram(STEP_BOUNDS) for name in STEPS}
        self.step_errors: Counter[str] = Counter()
        self.deliveries: Counter[tuple[LaneId, ChangeState]] = Counter()
        """Of lanes: deliveries (what was claimed) that ended, by how."""
        self.changes: Counter[tuple[Cause, ChangeState]] = Counter()
        """Changes that ended, claimed or not, by cause and how."""
        self.durations: dict[Cause, Histogram] = {}
        """From opened to healthy."""
        self.writes = Histogram(WRITE_BOUNDS)
        self.write_failures = 0
        self.wrote_at: float | None = None
        """Monotonic time of the last durable write."""
        self.pulse = Pulse()
        self._under: dict[LaneId, _Under] = {}
        self._begun: dict[LaneId, float] = {}

    # --- steps --------------------------------------------------------------------------------

    def reached(self, name: str, record: object) -> None:
        """A round of a lane begins a step; whatever it was in before is over."""
        step = _BEGINS.get(name)
        if step is None or not isinstance(record, ChangeRecord):
            return
        lane = record.change.lane
        began = self._begun.pop(lane, None)
        if began is not None:
            self._done(record.change, "watch", time.monotonic() - began)
        under = self._under.get(lane)
        if under is not None and (under.name, under.change.id) == (step, record.change.id):
            return
        self._over(lane)
        self._under[lane] = _Under(step, record.change, time.monotonic())

    @contextlib.contextmanager
    def round(self, lane: LaneId) -> Iterator[None]:
        """A lane's round: its last step ends with it, failed if an error ends it. What comes
        before its first step was watching; where there is no first step, nothing was to do."""
        self._begun[lane] = time.monotonic()
        try:
            yield
        except Exception as error:
            self._over(lane, type(error).__name__)
            raise
        finally:
            self._over(lane)
            self._begun.pop(lane, None)

    def _over(self, lane: LaneId, failed: str = "") -> None:
        under = self._under.pop(lane, None)
        if under is not None:
            self._done(under.change, under.name, time.monotonic() - under.since, failed)

    def _done(self, change: Change, step: str, seconds: float, failed: str = "") -> None:
        self.steps[step].add(seconds)
        if failed:
            self.step_errors[step] += 1
        self.trail.step(change, step, seconds, failed)

    # --- the ledger ---------------------------------------------------------------------------

    def wrote(self, seconds: float, ended: Sequence[Ended]) -> None:
        """A durable write took so long and ended these changes."""
        self.writes.add(seconds)
        self.wrote_at = time.monotonic()
        for end in ended:
            self._ended(end)

    def unwritten(self) -> None:
        """A write found the store away."""
        self.write_failures += 1

    def _ended(self, end: Ended) -> None:
        self.changes[end.change.cause, end.state] += 1
        if end.applied:
            self.deliveries[end.change.lane, end.state] += 1
        if end.state is ChangeState.HEALTHY:
            known = self.durations.setdefault(end.change.cause, Histogram(LEAD_BOUNDS))
            known.add(end.at - end.opened_at)
        self.trail.ended(end)

    def retain(self, lanes: Collection[LaneId]) -> None:
        """Forgets what is counted of any other lane."""
        for key in [key for key in self.deliveries if key[0] not in lanes]:
            del self.deliveries[key]


class Hearing:
    """Hands a transaction through and keeps in mind which changes it ends."""

    def __init__(self, tx: Transaction, ended: list[Ended]) -> None:
        self._tx = tx
        self._ended = ended
        self._claimed: set[str] = set()

    @classmethod
    def of(cls, tx: Transaction, ended: list[Ended]) -> Transaction:
        return cast(Transaction, cls(tx, ended))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def append(self, event: Event) -> int:
        place = self._tx.append(event)
        if isinstance(event, Claimed):
            self._claimed.add(event.change)
        if isinstance(event, ChangeClosed):
            record = self._tx.change(event.change)
            if record is not None:
                self._ended.append(
                    Ended(
                        record.change,
                        event.state,
                        record.opened_at,
                        record.updated_at,
                        record.delivery is not None or event.change in self._claimed,
                    )
                )
        return place
