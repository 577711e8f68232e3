"""StatefulSets: pods are replaced one after the other, down to the partition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import HEALTHY, UNSEEN, number, obj, progressing, spec, status, unseen
from gitops.model.health import ObjectHealth

KINDS = (("apps", "StatefulSet"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    if unseen(body) or "observedGeneration" not in status(body):
        return UNSEEN
    wanted, now = number(spec(body), "replicas", 1), status(body)
    ready = number(now, "readyReplicas")
    if ready < wanted:
        return progressing(f"{ready} of {wanted} replicas are ready")
    strategy = obj(spec(body), "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return HEALTHY
    return _updated(now, wanted, number(obj(strategy, "rollingUpdate"), "partition"))


def _updated(now: Mapping[str, Any], wanted: int, partition: int) -> ObjectHealth:
    due, updated = max(wanted - partition, 0), number(now, "updatedReplicas")
    same = now.get("currentRevision") == now.get("updateRevision")
    if updated < due and not same:
        return progressing(f"{updated} of {due} replicas are updated")
    if partition == 0 and not same:
        return progressing("the last replicas are being replaced")
    return HEALTHY
