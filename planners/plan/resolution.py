"""A desired set as it will be sent to one target: the values that resolving makes.

Made by :mod:`planners.plan.resolve`, kept in a lane's memory, read by everything that draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from gitops.model.cluster import Resource
from gitops.model.finding import Finding
from gitops.model.ids import Digest
from gitops.model.manifest import Manifest, ObjectId, Origin

Kind = tuple[str, str, str]
"""Group, kind, version."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A manifest as it will be sent to one target: namespace known, owner label on it."""

    id: ObjectId
    version: str
    body: bytes
    digest: Digest
    """Keyed digest of ``body``."""
    origin: Origin
    versions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """The final set. ``items`` has no two of one identity."""

    items: Mapping[ObjectId, Resolved]
    resources: Mapping[Kind, Resource]
    new_kinds: frozenset[Kind]
    """Defined by a CRD of this set only: the target does not serve them yet."""
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class LastResolution:
    """What came of which manifests: the next set of them differs in a few."""

    manifests: tuple[Manifest, ...]
    kinds: Counter[Kind]
    """How many manifests there are of each."""
    resolution: Resolution
