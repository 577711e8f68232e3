"""Deployments: rolled out when every replica is new and available."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import (
    HEALTHY,
    UNSEEN,
    condition,
    degraded,
    is_true,
    number,
    progressing,
    says,
    spec,
    status,
    suspended,
    unseen,
)
from gitops.model.health import ObjectHealth

KINDS = (("apps", "Deployment"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    """A rollout past its ``progressDeadlineSeconds`` does not recover by itself."""
    if spec(body).get("paused") is True:
        return suspended("the rollout is paused")
    if unseen(body) or "observedGeneration" not in status(body):
        return UNSEEN
    rollout = condition(body, "Progressing")
    if rollout.get("reason") == "ProgressDeadlineExceeded":
        return degraded(_with_failure(body, says(rollout)))
    return _replicas(body)


def _replicas(body: Mapping[str, Any]) -> ObjectHealth:
    wanted, now = number(spec(body), "replicas", 1), status(body)
    updated, total = number(now, "updatedReplicas"), number(now, "replicas")
    available = number(now, "availableReplicas")
    if updated < wanted:
        return progressing(_with_failure(body, f"{updated} of {wanted} replicas are updated"))
    if total > updated:
        return progressing(f"{total - updated} old replicas are still there")
    if available < wanted:
        return progressing(_with_failure(body, f"{available} of {wanted} replicas are available"))
    return HEALTHY


def _with_failure(body: Mapping[str, Any], text: str) -> str:
    """Quota and admission failures of its pods are reported on the deployment itself."""
    failure = condition(body, "ReplicaFailure")
    return f"{text}; {says(failure)}" if is_true(failure) else text
