"""Is the cluster still what people were shown?

Called at claim time and after a crash. Reads and dry-runs only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gitops.masking import Masker
from gitops.model.manifest import ObjectId
from gitops.model.plan import Plan
from gitops.model.sealed import SealedSet
from gitops.ports import Cluster, Digester


class Standing(StrEnum):
    """Where an object stands between its sealed values."""

    BEFORE = "before"
    AFTER = "after"
    THIRD = "third"
    """Neither: voids the seal."""


@dataclass(frozen=True, slots=True)
class Replanned:
    """The sealed set with present resource versions, or what moved."""

    sealed: SealedSet
    """The same bytes; only uid and resource version are fresh."""
    moved: tuple[str, ...] = ()
    """In words, masked; empty: the approval still holds."""


async def recheck(
    sealed: SealedSet, cluster: Cluster, digester: Digester, *, quorum: bool = True
) -> Mapping[ObjectId, Standing]:
    """Where each object of the set stands. ``quorum``: read from the server, not from the watch."""
    raise NotImplementedError


async def replan(
    sealed: SealedSet, plan: Plan, cluster: Cluster, *, digester: Digester, masker: Masker
) -> Replanned:
    """Objects that moved since planning are dry-run again from the same bytes: the same digest
    keeps the approval and gives a fresh resource version, another one is said in words. What did
    not move costs no request. Raises Transient errors of the cluster."""
    raise NotImplementedError
