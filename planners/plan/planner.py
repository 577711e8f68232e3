"""Plays :class:`gitops.ports.Planner` and :class:`gitops.ports.Watchman` for clusters.

A thin object over the functions of this package: it keeps what they share between passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from gitops.masking import Masker
from gitops.model.health import ObjectHealth
from gitops.model.ids import TargetName
from gitops.model.manifest import ObjectId
from gitops.model.sealed import SealedSet
from gitops.ports import Clock, Cluster, Digester, DrawJob, Drawn, Executed
from planners.plan.await_health import until_healthy
from planners.plan.execute import OnOutcome, execute
from planners.plan.manifests import draw
from planners.plan.memory import PlanMemory


class ManifestPlanner:
    """One a process: its memory makes an unchanged object cost dictionary look-ups."""

    version = "1"

    def __init__(
        self,
        digester: Digester,
        masker: Masker,
        clock: Clock,
        fence: Callable[[TargetName], str] = lambda _target: "",
    ) -> None:
        """``fence`` names per target the namespace where the controller keeps its own state
        (``ClusterSpec.namespace``): nothing is delivered there."""
        self._digester = digester
        self._masker = masker
        self._clock = clock
        self._fence = fence
        self._memory = PlanMemory()

    async def draw(self, job: DrawJob) -> Drawn:
        fence = self._fence(job.change.lane.target)
        return await draw(job, self._digester, self._masker, self._memory, fence)

    async def execute(
        self,
        sealed: SealedSet,
        cluster: Cluster,
        on_outcome: OnOutcome = lambda outcome: None,
    ) -> Executed:
        return await execute(sealed, cluster, self._digester, self._masker, on_outcome)

    async def until_healthy(
        self, application: str, ids: Sequence[ObjectId], cluster: Cluster, seconds: float
    ) -> Mapping[ObjectId, ObjectHealth]:
        within = timedelta(seconds=seconds)
        return await until_healthy(application, ids, cluster, within, self._clock)
