"""Asks for clusters that went away, so that what waits for them goes on as soon as they are back.

Run by the controller as one task. Without it a lane would sit out the pause its own tries had come
to, minutes after a long outage. Costs no request while every cluster answers, and decides nothing:
it only offers lanes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from gitops.engine.lanes import Lanes
from gitops.errors import GitopsError
from gitops.model.cluster import ClusterState, Resource
from gitops.model.ids import TargetName
from gitops.model.manifest import ObjectId
from gitops.ports import Cluster

EVERY = 5.0
"""Seconds between questions to a cluster that is away, and what one may take."""
_NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
_ALWAYS_THERE = ObjectId("", "Namespace", "", "kube-system")
_AWAY = (ClusterState.CONNECTING, ClusterState.UNREACHABLE)


async def keep_reaching(clusters: Mapping[TargetName, Cluster], lanes: Lanes) -> None:
    """For ever. ``clusters`` is the controller's own mapping and may change meanwhile."""
    while True:
        await asyncio.sleep(EVERY)
        await asyncio.gather(*(_reach(*each, lanes) for each in list(clusters.items())))


async def _reach(name: TargetName, cluster: Cluster, lanes: Lanes) -> None:
    if cluster.status().state in _AWAY:
        with contextlib.suppress(GitopsError, TimeoutError):
            async with asyncio.timeout(EVERY):
                await cluster.facts()  # who it is, where that is not known yet
                await cluster.get(_NAMESPACES, _ALWAYS_THERE)
    status = cluster.status()
    if status.state is not ClusterState.READY:
        return
    for lane, trouble in lanes.waiting():
        if lane.target == name and trouble.at <= status.since:
            lanes.offer(lane)
