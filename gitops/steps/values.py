"""What one step hands to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gitops.engine.renders import Rendered
from gitops.model.approval import Answer
from gitops.model.delivery import ChangeRecord, ChangeState, LaneId
from gitops.model.finding import Finding
from gitops.model.fleet import ApplicationSpec
from gitops.model.manifest import Desired
from gitops.model.plan import Plan, SealParts
from gitops.model.sealed import Sealed
from gitops.ports import Drawn, KindCatalogue


class Checker(Protocol):
    """Every enabled check, over one desired set after another."""

    async def check(
        self,
        lane: LaneId,
        spec: ApplicationSpec,
        desired: Desired,
        catalogue: KindCatalogue | None,
        *,
        delivered: bool,
    ) -> tuple[Finding, ...]:
        """``delivered``: the lane reached its target before."""

    def names(self, spec: ApplicationSpec) -> tuple[str, ...]:
        """Of the checks that have something to say about this application, as it is set up."""

    def freed(self) -> frozenset[LaneId]:
        """Lanes that may have been blocked by what another one has given up since last asked."""

    def forget(self, lane: LaneId) -> None:
        """The lane left the fleet: what it laid claim to is free."""


@dataclass(frozen=True, slots=True)
class Checked:
    rendered: Rendered
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Sketch:
    """A plan with what its seal is made of; ``drawn`` is None when findings forbade drawing."""

    record: ChangeRecord
    rendered: Rendered
    plan: Plan
    parts: SealParts
    drawn: Drawn | None


@dataclass(frozen=True, slots=True)
class Asked:
    sketch: Sketch
    answer: Answer


@dataclass(frozen=True, slots=True)
class Applied:
    """How far a change got. Only VERIFYING has anything left to verify."""

    record: ChangeRecord
    state: ChangeState
    sealed: Sealed | None = None
    reason: str = ""
    whole: bool = False
    """Verify everything the application owns, not only what was written."""
    well: ChangeState = ChangeState.HEALTHY
    """What the change is called if all is well."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change in this round."""

    record: ChangeRecord
    state: ChangeState
    reason: str = ""
