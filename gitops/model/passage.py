"""When a change was where on its way from commit to healthy target: what figures are made of."""

from __future__ import annotations

from dataclasses import dataclass

from gitops.model.delivery import Cause, ChangeState, LaneId
from gitops.model.ids import ChangeId


@dataclass(frozen=True, slots=True)
class Passage:
    """One change that ended. Times are seconds since the epoch; None for a place it never was at.
    In order: committed, opened, planned, asked, answered, started, applied, ended."""

    change: ChangeId
    lane: LaneId
    cause: Cause
    state: ChangeState
    """A terminal one."""
    generation: int
    """0 is a lane's first change."""
    committed: tuple[float, ...]
    """Of every commit it brought, as the commits say; claimed, not trusted."""
    opened_at: float
    ended_at: float
    planned_at: float | None = None
    """Rendered, checked and planned for the first time."""
    asked_at: float | None = None
    """People were asked; None where nobody had to be."""
    answered_at: float | None = None
    """The last answer that counted before it was started."""
    started_at: float | None = None
    """Claimed: from here on it was applied."""
    applied_at: float | None = None
    """Every write was done."""

    @property
    def delivered(self) -> bool:
        """It was carried to its target, well or badly."""
        return self.started_at is not None
