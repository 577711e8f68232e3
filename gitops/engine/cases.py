"""What the vigil knows of objects that are not well, and how it is remembered. Pure.

Used by :mod:`gitops.engine.vigil` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gitops.model.delivery import LaneId
from gitops.model.ids import ApplicationName, TargetName
from gitops.model.manifest import ObjectId

MOST = 5
"""Objects named in one notice."""
WORKLOADS = frozenset(
    {
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("apps", "ReplicaSet"),
        ("batch", "Job"),
        ("argoproj.io", "Rollout"),
    }
)
"""Kinds that make pods: their namespaces are watched."""
STEADY = frozenset({("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet")})
"""Kinds that were well once they were delivered: short of replicas for long they are ill."""
INERT = frozenset(
    {
        *(("", kind) for kind in ("ConfigMap", "Secret", "ServiceAccount", "Namespace", "Service")),
        *(("", kind) for kind in ("ResourceQuota", "LimitRange", "Endpoints")),
    }
)
INERT_GROUPS = frozenset(
    {"rbac.authorization.k8s.io", "admissionregistration.k8s.io", "scheduling.k8s.io"}
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long something has to last to be believed. Seconds."""

    crashing: float = 5.0
    """Containers that do not keep running."""
    degraded: float = 15.0
    """An object that says it will not become well by itself."""
    unwell: float = 300.0
    """A workload that is short of replicas."""
    recovered: float = 30.0
    """Well again; twice as long for each relapse, so that what goes up and down is told of less
    and less."""
    relapse: float = 3_600.0
    """Who falls ill again sooner than this had a relapse."""
    longest: float = 1_800.0


@dataclass(slots=True)
class Case:
    """One object that is not well, or was told to be so."""

    reason: str
    ill: bool
    since: float
    """Of its being ill, or well; monotonic."""
    due: float | None
    """When that is believed; None when everything is told."""
    told: float | None = None
    """When it was told to be ill, in seconds since the epoch."""


Key = tuple[LaneId, ObjectId]
"""An object of an application on a target."""


def inert(id: ObjectId) -> bool:
    """Is it of a kind that is well by being there?"""
    return (id.group, id.kind) in INERT or id.group in INERT_GROUPS


def listed(cases: Mapping[ObjectId, Case]) -> str:
    words = [f"{id}: {case.reason}" for id, case in list(cases.items())[:MOST]]
    more = len(cases) - MOST
    return "; ".join(words) + (f"; and {more} more" if more > 0 else "")


# --- as it is remembered ----------------------------------------------------------------------


def write(lane: LaneId, told: Mapping[ObjectId, tuple[str, float]]) -> str:
    rows = [
        [id.group, id.kind, id.namespace, id.name, reason, at]
        for id, (reason, at) in sorted(told.items())
    ]
    return json.dumps({"application": lane.application, "target": lane.target, "told": rows})


def read(text: str) -> Iterator[tuple[Key, str, float]]:
    """Nothing for what another version wrote: at worst it is told once more."""
    try:
        kept = json.loads(text)
        lane = LaneId(ApplicationName(kept["application"]), TargetName(kept["target"]))
        rows = [((lane, ObjectId(*row[:4])), str(row[4]), float(row[5])) for row in kept["told"]]
    except (ValueError, KeyError, TypeError, IndexError):
        return
    yield from rows
