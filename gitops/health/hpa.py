"""HorizontalPodAutoscalers: able to read their metric and to scale their target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import (
    HEALTHY,
    condition,
    degraded,
    is_false,
    progressing,
    says,
    status,
    suspended,
)
from gitops.model.health import ObjectHealth

KINDS = (("autoscaling", "HorizontalPodAutoscaler"),)

_WRONG = frozenset(
    {"FailedGetScale", "InvalidSelector", "AmbiguousSelector", "InvalidMetricSourceType"}
)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    """A metric that cannot be read yet usually comes; a target that does not exist does not."""
    if not status(body).get("conditions"):
        return progressing("it has not looked at its target yet")
    able, active = condition(body, "AbleToScale"), condition(body, "ScalingActive")
    for found in (able, active):
        if is_false(found) and found.get("reason") in _WRONG:
            return degraded(says(found))
    if is_false(active) and active.get("reason") == "ScalingDisabled":
        return suspended(says(active))
    for found in (able, active):
        if is_false(found):
            return progressing(says(found))
    return HEALTHY
