"""How an object is doing, worst last."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    HEALTHY = "healthy"
    SUSPENDED = "suspended"
    """Paused by its owner: neither progressing nor wrong."""
    PROGRESSING = "progressing"
    MISSING = "missing"
    UNKNOWN = "unknown"
    DEGRADED = "degraded"
    """Will not become healthy by waiting."""

    def is_worse_than(self, other: Health) -> bool:
        order = list(Health)
        return order.index(self) > order.index(other)


@dataclass(frozen=True, slots=True)
class ObjectHealth:
    health: Health
    reason: str = ""
    """In words, from the object's own status: ``2 of 3 replicas are available``. Foreign text may
    be part of it (condition messages): escape before display."""


@dataclass(frozen=True, slots=True)
class Ailment:
    """What is shown of a delivered object that is not well."""

    object: str
    reason: str
    """Masked, on one line."""
    since: float
    """Seconds since the epoch."""
