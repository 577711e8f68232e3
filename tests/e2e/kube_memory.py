"""Follows ConfigMaps in a process of its own and says how many there were and what it cost.

Run by test_kube_live.py: ``kube_memory.py KUBECONFIG APPLICATION`` prints ``objects KiB``.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

from gitops.kube.cluster import connect
from gitops.model.fleet import ClusterSpec
from gitops.model.ids import TargetName
from tests.e2e.kube_support import CONFIG_MAP, RealClock


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4


async def main(kubeconfig: str, application: str) -> None:
    spec = ClusterSpec(TargetName("target"), kubeconfig=Path(kubeconfig))
    cluster = await connect(spec, clock=RealClock(), sandbox_kubeconfig=Path)
    await cluster.facts()
    before = resident()
    await cluster.live.follow([CONFIG_MAP])
    gc.collect()
    print(len(cluster.live.owned(application)), resident() - before)
    await cluster.close()


asyncio.run(main(*sys.argv[1:]))
