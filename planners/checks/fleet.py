"""The checks of a whole fleet as the engine wants them: run them, and who is affected.

Made by ``app.py``. The two other methods serve the checks that look across applications: when one
gives something up, whoever was blocked by it must be looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from gitops.cidr import Found
from gitops.model.delivery import LaneId
from gitops.model.finding import Finding
from gitops.model.fleet import ApplicationSpec
from gitops.model.manifest import Desired
from gitops.ports import CheckJob, KindCatalogue, Scope
from planners.checks.cidr_overlap import CidrOverlap
from planners.checks.run import Checkup


class FleetChecker:
    """Plays :class:`gitops.steps.values.Checker`."""

    def __init__(self, checkup: Checkup) -> None:
        self._checkup = checkup

    async def check(
        self,
        lane: LaneId,
        spec: ApplicationSpec,
        desired: Desired,
        catalogue: KindCatalogue | None,
        *,
        delivered: bool,
    ) -> tuple[Finding, ...]:
        job = CheckJob(lane, spec, desired, desired.files, catalogue, delivered=delivered)
        return await self._checkup.run(job)

    def aside(self) -> FleetChecker:
        """An equal one for previews: what it is shown changes nothing here."""
        return FleetChecker(self._checkup.aside())

    def lint_only(self, spec: ApplicationSpec) -> ApplicationSpec:
        """The same application, without checks that would fetch something for it or tell of other
        applications: for what a stranger wrote."""
        off = {
            each.check.name: {"enabled": False}
            for each in self._checkup.of(spec)
            if each.check.scope is Scope.FLEET or getattr(each.check, "fetches", False)
        }
        return replace(spec, checks=MappingProxyType({**spec.checks, **off}))

    def names(self, spec: ApplicationSpec) -> tuple[str, ...]:
        return self._checkup.names(spec)

    def freed(self) -> frozenset[LaneId]:
        checks: list[Any] = list(self._checkup.fleet_checks())
        frees = [check for check in checks if isinstance(check, _Frees)]
        return frozenset(lane for check in frees for lane in check.freed())

    def planned(
        self, lane: LaneId, spec: ApplicationSpec, claims: Iterable[Found]
    ) -> tuple[Finding, ...]:
        """What is wrong with the ranges a plan will really have
        (:func:`gitops.cidr.claims_in_plan`), beside what the files said when checked."""
        checks = [configured.check for configured in self._checkup.of(spec)]
        known = tuple(claims)
        overlaps = [check for check in checks if isinstance(check, CidrOverlap)]
        return tuple(f for check in overlaps for f in check.planned(lane, spec, known))

    def forget(self, lane: LaneId) -> None:
        self._checkup.forget(lane)


@runtime_checkable
class _Frees(Protocol):
    """A check that blocks one application because of another."""

    def freed(self) -> frozenset[LaneId]: ...
