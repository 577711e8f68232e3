"""Where a lane delivers to: its application's part of a cluster, or a Terraform workspace.

The steps know one :class:`Target` and not which of the two it is; that is what lets one sentence
run over Kubernetes and Terraform alike. Made by the controller for every round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gitops.model.cluster import ClusterFacts
from gitops.model.delivery import AppliedObject, Change
from gitops.model.finding import Finding
from gitops.model.health import ObjectHealth
from gitops.model.ids import ChangeId, Digest
from gitops.model.manifest import Desired, ObjectId
from gitops.model.sealed import Sealed
from gitops.ports import Drawn, Executed, KindCatalogue


@dataclass(frozen=True, slots=True)
class Sitting:
    """What a plan is drawn from, whatever the target."""

    change: Change
    desired: Desired
    findings: tuple[Finding, ...]
    kept: Sealed | None = None
    """What an earlier drawing of this change sealed, where the vault still has it."""


class Target(Protocol):
    """One lane's target. Its methods raise Transient while it cannot be reached."""

    @property
    def labels(self) -> Mapping[str, str]:
        """What a policy may choose it by."""

    @property
    def catalogue(self) -> KindCatalogue | None:
        """The kinds it knows; None where there is no such thing."""

    async def identity(self) -> str:
        """What an approval is for: the cluster's uid, or the state's backend and workspace."""

    async def facts(self) -> ClusterFacts | None:
        """What a renderer may look at."""

    def terms(self) -> Digest:
        """What decides, besides the files, how things are delivered there."""

    async def draw(self, sitting: Sitting) -> Drawn:
        """What would change."""

    def recognises(self, drawn: Drawn) -> bool:
        """Is it certain that a plan drawn earlier would come out the same now?"""

    async def execute(self, change: ChangeId, sealed: Sealed) -> Executed:
        """Carries out what was claimed; again after a crash, from where it stopped."""

    async def unbegun(self, change: ChangeId) -> bool:
        """Is it certain that nothing was started for a change that is claimed?"""

    def learn(self, applied: Mapping[ObjectId, AppliedObject | None]) -> None:
        """What was just recorded of single objects."""

    async def drift(self, wanted: Desired | None) -> Digest | None:
        """Names the way in which it is no longer as we left it; None while it is."""

    async def until_well(self, sealed: Sealed | None, seconds: float) -> Mapping[str, ObjectHealth]:
        """How everything is that was written, or without ``sealed`` everything there is, once all
        is well, something is lost, or the time is up."""

    def summary(self, health: Mapping[str, ObjectHealth]) -> str:
        """One sentence for the record when all is well."""
