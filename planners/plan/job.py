"""What drawing a plan takes and gives. The steps build the one and read the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gitops.masking import Masker
from gitops.model.delivery import AppliedObject, Change
from gitops.model.finding import Finding
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import Digest
from gitops.model.manifest import Desired, ObjectId
from gitops.model.plan import Plan
from gitops.model.sealed import SealedSet
from gitops.ports import Cluster, Digester
from planners.plan.memory import PlanMemory


@dataclass(frozen=True, slots=True)
class DrawJob:
    """One application to be planned against one cluster."""

    change: Change
    application: ApplicationSpec
    desired: Desired
    findings: tuple[Finding, ...]
    """Of the checks; they come first in the plan's own."""
    cluster: Cluster
    applied: Mapping[ObjectId, AppliedObject]
    """What the store recorded for the lane (``Reading.applied``)."""
    digester: Digester
    masker: Masker
    encode: Callable[[SealedSet], bytes]
    """Deterministic: the artifact digest is over its result."""
    delivered: bool = False
    """The lane reached its target before: a missing inventory then was lost, and is said so."""
    state_namespace: str = ""
    """Where the controller keeps its inventories in that cluster: nothing may be delivered there
    (reliability Y10). Empty: no such fence."""
    memory: PlanMemory = field(default_factory=PlanMemory)
    """Give the same one to every draw of a process, else nothing is remembered between passes."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan, the bytes an approval of it would let run, and what was learnt on the way."""

    plan: Plan
    sealed: SealedSet
    artifact: Digest
    """Keyed digest of the encoded sealed set."""
    settled: Mapping[ObjectId, AppliedObject | None]
    """Found already right (to record: the next pass asks nothing), None: no longer there."""
    drifted: tuple[ObjectId, ...] = ()
    """Applied before with the same manifest, but the live object is another now."""
    unrecorded: bool = False
    """The cluster's inventory is missing or differs from ``sealed.inventory``; matters when the
    plan is empty, since applying writes it anyway."""
