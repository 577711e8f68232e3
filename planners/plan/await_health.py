"""Waits until what was applied works, driven by watch events; it never polls.

Called by the verify step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from gitops.model.health import ObjectHealth
from gitops.model.manifest import ObjectId
from gitops.ports import Clock, Cluster

PATIENCE = timedelta(seconds=5)
"""How long an object may say DEGRADED before it is believed: controllers flap for a moment."""


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
    says what is missing. Never raises for an unhealthy object."""
    raise NotImplementedError


def unhealthy(health: Mapping[ObjectId, ObjectHealth]) -> tuple[str, ...]:
    """One line per object that is neither healthy nor suspended; empty: all is well."""
    raise NotImplementedError
