"""DaemonSets: one pod on every node that should have one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import HEALTHY, UNSEEN, number, obj, progressing, spec, status, unseen
from gitops.model.health import ObjectHealth

KINDS = (("apps", "DaemonSet"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    if unseen(body) or "observedGeneration" not in status(body):
        return UNSEEN
    now = status(body)
    wanted = number(now, "desiredNumberScheduled")
    updated, available = number(now, "updatedNumberScheduled"), number(now, "numberAvailable")
    on_delete = obj(spec(body), "updateStrategy").get("type") == "OnDelete"
    if updated < wanted and not on_delete:
        return progressing(f"{updated} of {wanted} nodes have the new pod")
    if available < wanted:
        return progressing(f"{available} of {wanted} nodes have an available pod")
    return HEALTHY
