"""PodDisruptionBudgets: healthy once their controller has seen them.

That a budget allows no disruption right now is a state of its pods, not an error of the budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import (
    HEALTHY,
    UNSEEN,
    condition,
    degraded,
    is_false,
    says,
    status,
    unseen,
)
from gitops.model.health import ObjectHealth

KINDS = (("policy", "PodDisruptionBudget"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    if unseen(body) or "observedGeneration" not in status(body):
        return UNSEEN
    allowed = condition(body, "DisruptionAllowed")
    if is_false(allowed) and allowed.get("reason") == "SyncFailed":
        return degraded(says(allowed))
    return HEALTHY
