"""Webhooks as people see them: what came in, what followed, how each endpoint fares.

Written by :mod:`gitops.engine.inbox`, shown by status page, API and command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gitops.model.ids import SourceName


class HookOutcome(StrEnum):
    ACCEPTED = "accepted"
    """Something followed: a look at a source, a pull request looked at again."""
    IGNORED = "ignored"
    """Signed, and nothing to do: a ping, another branch, a repository nobody watches."""


@dataclass(frozen=True, slots=True)
class HookDelivery:
    """One verified request."""

    id: str
    """Keyed digest of its bytes and of the provider's id; any 4 characters or more find it."""
    webhook: str
    """Name in the fleet file."""
    at: float
    outcome: HookOutcome
    event: str = ""
    """The provider's word for it; foreign text."""
    delivery: str = ""
    """The provider's own id; foreign text."""
    sources: tuple[SourceName, ...] = ()
    """Those it concerned."""
    note: str = ""
    """Why nothing followed, in words; may hold foreign text."""


@dataclass(frozen=True, slots=True)
class HookStatus:
    """How one endpoint fares. Counts begin when the controller starts."""

    webhook: str
    kind: str
    last_at: float | None = None
    """When the last verified request came, also before this start."""
    accepted: int = 0
    ignored: int = 0
    repeated: int = 0
    """Came again and did nothing more."""
    refused: int = 0
    """Not signed as it has to be, or not what the provider documents."""
    limited: int = 0
    """Turned away because too many came at once; polling finds what they were about."""
    problem: str = ""
    """What was wrong with the last one refused, or why the endpoint is closed."""
    problem_at: float | None = None


@dataclass(frozen=True, slots=True)
class HooksStatus:
    """All endpoints, and when each source was last heard of."""

    webhooks: tuple[HookStatus, ...] = ()
    heard: dict[SourceName, float] = field(default_factory=dict)
    """Seconds since the epoch; sources never heard of have no entry."""
    undelivered: int = 0
    """Words about pull requests that nobody here takes."""
