"""Who follows changes through their steps, as the engine needs somebody to: for traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gitops.model.delivery import Change, ChangeState


@dataclass(frozen=True, slots=True)
class Ended:
    """One change that reached a terminal state, as it was written."""

    change: Change
    state: ChangeState
    opened_at: float
    at: float
    applied: bool
    """It had been claimed: there is a delivery of it."""


class Trail(Protocol):
    """Told at once, returns at once, raises nothing."""

    def step(self, change: Change, name: str, seconds: float, failed: str) -> None:
        """A step just ended; ``failed`` names the kind of error that ended it, if one did."""

    def ended(self, end: Ended) -> None: ...


class NoTrail:
    """Nobody follows."""

    def step(self, change: Change, name: str, seconds: float, failed: str) -> None: ...

    def ended(self, end: Ended) -> None: ...
