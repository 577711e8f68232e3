"""What a storm of webhooks costs, and how fast one leads to a delivery.

Run by ``python -m tests.bench.webhooks``; asserts nothing, for machines differ: it prints figures.
The controller is a process of its own and the source real git over smart HTTP, whose requests are
counted. Without ``--deliver`` no cluster is needed; with it the time from a push to the start of
the delivery it leads to is taken as well.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from gitops.sandbox import lifecycle
from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.tools import Toolbox
from tests.contract.git_servers import HttpGit, Repo
from tests.contract.listening import HOOKS, SECRETS, Listening, about
from tests.e2e.rig import Rig, config_map
from tests.web.hook_cases import case

MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--deliver", type=int, default=0, help="rounds of push to delivery")
    chosen = parser.parse_args()
    os.environ.update(SECRETS)
    with tempfile.TemporaryDirectory(prefix="gitops-bench-") as folder:
        storm(Path(folder), chosen.count, chosen.seconds)
        if chosen.deliver:
            deliver(Path(folder), chosen.deliver)


@dataclass
class Storm:
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)


def storm(folder: Path, count: int, seconds: float) -> None:
    """Every request is a push of its own; every tenth time the repository really moved."""
    repo = Repo(folder)
    repo.deliver({"app/cm.yaml": "v: 0\n"})
    server = HttpGit(folder)
    home = folder / "storm"
    home.mkdir()
    controller = Listening(home, server.url(repo))
    try:
        controller.until(controller.revision)
        before, looks, packs = controller.memory(), server.looks, server.packs
        found = asyncio.run(_storm(controller, repo, server.url(repo), count, seconds))
        controller.until(lambda: controller.revision() == repo.head)
        after = controller.memory()
        ordered = sorted(found.latencies)
        print(f"{count} webhooks in {seconds:g} s for one source: {dict(found.statuses)}")
        print(f"  looks at the remote {server.looks - looks}, fetches {server.packs - packs}")
        print(f"  answer: median {_ms(statistics.median(ordered))}, p99 {_ms(_p99(ordered))}")
        print(f"  worst {_ms(ordered[-1])}; memory {before / MIB:.0f} → {after / MIB:.0f} MiB")
    finally:
        controller.stop()
        server.close()


async def _storm(controller: Listening, repo: Repo, url: str, count: int, seconds: float) -> Storm:
    found, push = Storm(), about(case("github-push"), url)
    letters = [about(push, url, after=f"{n:040x}").letter() for n in range(1, count + 1)]
    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session:

        async def send(number: int) -> None:
            await asyncio.sleep(max(0.0, began + number * seconds / count - time.perf_counter()))
            letter = letters[number]
            headers = {name: values[0] for name, values in letter.headers.items()}
            sent = time.perf_counter()
            async with session.post(
                f"{controller.base}/hooks/github", data=letter.body, headers=headers
            ) as answer:
                await answer.read()
                found.statuses[answer.status] += 1
            found.latencies.append(time.perf_counter() - sent)

        async def move() -> None:
            for number in range(10):
                await asyncio.to_thread(repo.deliver, {"app/cm.yaml": f"v: {number + 1}\n"})
                await asyncio.sleep(seconds / 11)

        await asyncio.gather(move(), *(send(number) for number in range(count)))
    return found


def deliver(folder: Path, rounds: int) -> None:
    """From the end of ``git push`` to the start of the delivery, as its record says."""
    sandbox = lifecycle.start("bench", folder / "sandboxes", Toolbox(), owner=os.getpid())
    try:
        _deliver(folder / "deliver", rounds, sandbox)
    finally:
        lifecycle.stop("bench", folder / "sandboxes")


def _deliver(home: Path, rounds: int, sandbox: SandboxInfo) -> None:
    home.mkdir()
    rig = Rig(home, sandbox, Toolbox().path("kubectl"), "bench-webhooks")
    rig.app["approval"] = {"auto": {"always": True}}
    for number in range(1_000):
        rig.write(f"app/d{number % 50:02}/c{number:04}.yaml", config_map(f"c{number:04}", v="0"))
    rig.commit("everything")
    server = HttpGit(home)
    url = f"http://127.0.0.1:{server.port}/{rig.remote.name}"
    fleet = {**rig.fleet, "webhooks": HOOKS}
    fleet["sources"] = {"config": {"git": url, "interval": "1h"}}
    fleet.pop("state_dir")
    controller = Listening(home, url, more=fleet)
    try:
        controller.until(lambda: _delivered(controller, 1), seconds=120)
        taken = [_round(controller, rig, url, number) for number in range(rounds)]
        print(f"push → delivery started via webhook, 1,000 objects, {rounds} rounds:")
        print(f"  median {_ms(statistics.median(taken))}, worst {_ms(max(taken))}")
    finally:
        controller.stop()
        server.close()


def _round(controller: Listening, rig: Rig, url: str, number: int) -> float:
    time.sleep(2)  # a nudge so soon after another would wait its turn
    rig.write("app/d00/c0000.yaml", config_map("c0000", v=str(number + 1)))
    commit = rig.commit(f"round {number}")
    pushed = time.time()
    controller.send(about(case("github-push"), url, after=commit))
    controller.until(lambda: _delivered(controller, number + 2))
    return float(_deliveries(controller)[0]["started_at"]) - pushed


def _deliveries(controller: Listening) -> list[dict[str, object]]:
    with controller.api() as api:
        found: list[dict[str, object]] = api.get("deliveries")["deliveries"]
    return found


def _delivered(controller: Listening, count: int) -> bool:
    found = _deliveries(controller)
    return len(found) >= count and found[0]["state"] == "healthy"


def _p99(ordered: list[float]) -> float:
    return ordered[int(len(ordered) * 0.99) - 1]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    main()
