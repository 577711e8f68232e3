"""The clusters of the fleet: connected at first need, listened to from then on.

Kept by the controller. Every event of a live view is held against what the lanes of that cluster
applied or are about to; only a lane it concerns is offered. The vigil hears of all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gitops.engine.lanes import Lanes
from gitops.engine.ledger import Ledger
from gitops.engine.targets.cluster import ClusterMemory, ClusterTarget
from gitops.engine.tasks import Tasks
from gitops.engine.vigil import Vigil
from gitops.model.cluster import LiveEvent
from gitops.model.delivery import LaneId, Progress
from gitops.model.fleet import ApplicationSpec, ClusterSpec
from gitops.model.ids import ApplicationName, TargetName
from gitops.model.manifest import ObjectId
from gitops.ports import Cluster, Digester, Planner, Watchman
from gitops.ports.pods import Attending

DRIFT_SETTLES = 1.0
"""Seconds a drifted lane is left alone, so that one edit in several writes is one drift."""

Connect = Callable[[ClusterSpec], Awaitable[Cluster]]


class Clusters:
    """Offers targets (:class:`ClusterTarget`) and keeps what they remember."""

    def __init__(
        self,
        connect: Connect,
        planner: Planner,
        watchman: Watchman,
        ledger: Ledger,
        digester: Digester,
        lanes: Lanes,
        tasks: Tasks,
        vigil: Vigil,
    ) -> None:
        self._connect = connect
        self._planner = planner
        self._watchman = watchman
        self._ledger = ledger
        self._digester = digester
        self._lanes = lanes
        self._tasks = tasks
        self._vigil = vigil
        self._connected: dict[TargetName, Cluster] = {}
        self._connecting: dict[TargetName, asyncio.Lock] = {}
        self._memories: dict[LaneId, ClusterMemory] = {}

    @property
    def connected(self) -> Mapping[TargetName, Cluster]:
        """Those that were needed so far; the mapping changes with time."""
        return self._connected

    async def target(
        self, lane: LaneId, application: ApplicationSpec, spec: ClusterSpec
    ) -> ClusterTarget:
        """Raises what connecting raises; the lane tries again."""
        return ClusterTarget(
            lane=lane,
            application=application,
            cluster=await self.reach(spec),
            labels=spec.labels,
            planner=self._planner,
            watchman=self._watchman,
            ledger=self._ledger,
            digester=self._digester,
            memory=self._memories.setdefault(lane, ClusterMemory()),
            explain=self._vigil.explain,
        )

    def progress(self, lane: LaneId) -> Progress | None:
        """How far the change is that is being carried out there; None while none is."""
        memory, cluster = self._memories.get(lane), self._connected.get(lane.target)
        if memory is None or memory.under_way is None or cluster is None:
            return None
        return memory.under_way.progress(cluster.live.owned(lane.application))

    def drifted(self, lane: LaneId) -> frozenset[ObjectId] | None:
        """Objects that are not as we left them; None before the lane's first comparison."""
        memory, cluster = self._memories.get(lane), self._connected.get(lane.target)
        if memory is None or cluster is None or not memory.followed:
            return None
        return memory.moved(cluster.live.owned(lane.application), self._digester)

    def forget(self, lane: LaneId) -> None:
        self._memories.pop(lane, None)
        self._vigil.forget(lane)

    async def disconnect(self, name: TargetName) -> None:
        """It left the fleet file, or is reached another way: all about it is learned anew."""
        self._tasks.end(f"cluster {name}")
        self._tasks.end(f"pods {name}")
        self._vigil.disconnected(name)
        cluster = self._connected.pop(name, None)
        if cluster is not None:
            await cluster.close()
        for lane in [lane for lane in self._memories if lane.target == name]:
            del self._memories[lane]

    async def close(self) -> None:
        for cluster in self._connected.values():
            await cluster.close()

    async def reach(self, spec: ClusterSpec) -> Cluster:
        """The one connection there is to it. Raises what connecting raises."""
        async with self._connecting.setdefault(spec.name, asyncio.Lock()):
            if spec.name not in self._connected:
                cluster = await self._connect(spec)
                self._connected[spec.name] = cluster
                self._tasks.start(f"cluster {spec.name}", lambda: self._listen(spec.name, cluster))
                attended: object = cluster
                if isinstance(attended, Attending):
                    pods = attended.pods
                    self._tasks.start(
                        f"pods {spec.name}", lambda: self._vigil.follow(spec.name, pods)
                    )
            return self._connected[spec.name]

    async def _listen(self, target: TargetName, cluster: Cluster) -> None:
        async for event in cluster.live.events():
            for lane, memory in self._concerned(target, event):
                self._vigil.heard(lane, cluster, event)
                if memory.under_way is not None:
                    memory.under_way.moved()
                if memory.notice(event, self._digester):
                    self._lanes.offer(lane, after=DRIFT_SETTLES)

    def _concerned(
        self, target: TargetName, event: LiveEvent
    ) -> list[tuple[LaneId, ClusterMemory]]:
        """The lane whose label the object carries, or carried: a label taken off is drift too."""
        lane = LaneId(ApplicationName(event.object.application), target)
        if lane in self._memories:
            return [(lane, self._memories[lane])]
        return [
            (lane, memory)
            for lane, memory in self._memories.items()
            if lane.target == target and memory.concerned(event.object.id)
        ]
