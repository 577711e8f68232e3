"""How many running pods a change replaces. Pure.

Said on every card beside the counts of objects: one changed line can restart a hundred pods.
Called for every object that is shown in a plan; it is no part of any seal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.model.cluster import LiveObject
from gitops.model.manifest import ObjectId
from gitops.model.plan import Action
from planners.plan.outlook import Outlook

_COUNTED = {
    ("apps", "Deployment"): "replicas",
    ("apps", "StatefulSet"): "replicas",
    ("apps", "DaemonSet"): "currentNumberScheduled",
}
"""The field of ``status`` that counts the pods there are (Kubernetes API reference, apps/v1)."""


def restarts(seen: Outlook, live: LiveObject | None) -> int:
    """Pods of a workload whose template changes or that is made anew; 0 for everything else, and
    where the workload itself holds its pods back (paused, ``OnDelete``)."""
    if live is None or (live.id.group, live.id.kind) not in _COUNTED:
        return 0
    if seen.action is Action.REPLACE:
        return _running(live.id, live.body)
    template = any(change.keys[:2] == ("spec", "template") for change in seen.raw)
    held = _held(live.body.get("spec"), seen)
    return _running(live.id, live.body) if template and not held else 0


def _held(spec: Any, seen: Outlook) -> bool:
    if not isinstance(spec, Mapping):
        return False
    after = {change.keys: change.after for change in seen.raw}
    strategy = spec.get("updateStrategy")
    kind = strategy.get("type") if isinstance(strategy, Mapping) else None
    paused = after.get(("spec", "paused"), spec.get("paused"))
    return paused is True or after.get(("spec", "updateStrategy", "type"), kind) == "OnDelete"


def _running(id: ObjectId, body: Mapping[str, Any]) -> int:
    status = body.get("status")
    count = status.get(_COUNTED[id.group, id.kind]) if isinstance(status, Mapping) else None
    return count if isinstance(count, int) and count > 0 else 0
