"""ReplicaSets and ReplicationControllers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import (
    HEALTHY,
    UNSEEN,
    condition,
    is_true,
    number,
    progressing,
    says,
    spec,
    status,
    unseen,
)
from gitops.model.health import ObjectHealth

KINDS = (("apps", "ReplicaSet"), ("", "ReplicationController"))


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    if unseen(body) or "observedGeneration" not in status(body):
        return UNSEEN
    failure = condition(body, "ReplicaFailure")
    wanted, available = (
        number(spec(body), "replicas", 1),
        number(status(body), "availableReplicas"),
    )
    if available < wanted:
        text = f"{available} of {wanted} replicas are available"
        return progressing(f"{text}; {says(failure)}" if is_true(failure) else text)
    return HEALTHY
