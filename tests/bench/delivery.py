"""How long one changed object takes from a pushed commit to the cluster, and what idling costs.

Run by ``make bench``; asserts nothing, for machines differ: it prints medians and, so that they can
be compared, the ratio to a bare ``git fetch`` of the same commit in the same run. The controller is
a process of its own, as in production; the API server's audit log counts its requests.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gitops.sandbox import lifecycle
from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.tools import Toolbox
from gitops.web.client import Address, Api
from gitops.web.serve import somebody_listens
from tests.e2e.rig import Rig, config_map, git

ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[1_000, 5_000])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gitops-bench-") as folder:
        sandbox = lifecycle.start("bench", Path(folder) / "sandboxes", Toolbox(), owner=os.getpid())
        try:
            for size in chosen.sizes:
                print(json.dumps(measure(size, chosen.rounds, sandbox, Path(folder)), indent=2))
        finally:
            lifecycle.stop("bench", Path(folder) / "sandboxes")


def measure(size: int, rounds: int, sandbox: SandboxInfo, folder: Path) -> dict[str, Any]:
    """One repository of ``size`` ConfigMaps in plain YAML, one application, automatic approval."""
    home = folder / f"n{size}"
    home.mkdir()
    rig = Rig(home, sandbox, Toolbox().path("kubectl"), f"bench-{size}")
    rig.app["approval"] = {"auto": {"always": True}}
    for number in range(size):
        rig.write(f"app/d{number % 50:02}/c{number:05}.yaml", config_map(f"c{number:05}", v="0"))
    rig.commit("everything")
    bare = home / "bare.git"
    git("init", "--quiet", "--bare", str(bare))
    git("-C", str(bare), "fetch", "--quiet", str(rig.remote), "main:main")
    process = start(rig)
    try:
        with Api(Address(home / "state" / "api.sock")) as api:
            began = time.perf_counter()
            wait_delivered(api, 1, seconds=300)
            first = time.perf_counter() - began
            latencies, fetches = [], []
            for number in range(rounds):
                rig.write("app/d00/c00000.yaml", config_map("c00000", v=str(number + 1)))
                rig.commit(f"round {number}")
                began = time.perf_counter()
                api.post("sources", "config", "nudge")
                wait_delivered(api, number + 2)
                latencies.append(time.perf_counter() - began)
                fetches.append(bare_fetch(bare, rig.remote))
            idle = requests_while_idle(api, sandbox)
            resident = memory(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    median, fetch = statistics.median(latencies), statistics.median(fetches)
    return {
        "objects": size,
        "first delivery, s": round(first, 2),
        "one change, median ms": round(median * 1000, 1),
        "one change, worst ms": round(max(latencies) * 1000, 1),
        "bare git fetch, median ms": round(fetch * 1000, 1),
        "ratio to the bare fetch": round(median / fetch, 2),
        "requests of a pass without change": idle,
        "resident now and at the peak, MiB": resident,
    }


def start(rig: Rig) -> subprocess.Popen[bytes]:
    with (rig.folder / "controller.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gitops.cli", "-c", str(rig.save()), "run"],
            stdout=log,
            stderr=log,
        )
    while not somebody_listens(rig.folder / "state" / "api.sock"):
        time.sleep(0.02)
    return process


def wait_delivered(api: Api, count: int, seconds: float = 60) -> None:
    """Until that many deliveries are healthy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = api.get("deliveries", limit=1)["deliveries"]
        total = api.get("deliveries", limit=500)["deliveries"] if found else []
        if sum(1 for d in total if d["state"] == "healthy") >= count:
            return
        time.sleep(0.005)
    raise TimeoutError(f"{count} deliveries, {api.get('why', next(iter(apps(api))))}")


def apps(api: Api) -> list[str]:
    return [row["record"]["lane"]["application"] for row in api.get("status")["lanes"]]


def bare_fetch(bare: Path, remote: Path) -> float:
    began = time.perf_counter()
    git("-C", str(bare), "fetch", "--quiet", str(remote), "main:main")
    return time.perf_counter() - began


def requests_while_idle(api: Api, sandbox: SandboxInfo) -> int:
    """Requests of the controller's account during five nudges that find nothing new."""
    time.sleep(1)
    before = len(audit(sandbox))
    for _ in range(5):
        api.post("sources", "config", "nudge")
    time.sleep(0.5)
    return len(audit(sandbox)) - before


def audit(sandbox: SandboxInfo) -> list[str]:
    lines = Path(sandbox.audit_log).read_text().splitlines()
    return [line for line in lines if '"stage":"ResponseComplete"' in line and "gitops-controller" in line]


def memory(pid: int) -> tuple[float, float]:
    """MiB."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    now, peak = (int(fields[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
    return round(now, 1), round(peak, 1)


if __name__ == "__main__":
    main()
