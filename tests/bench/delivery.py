"""How long one changed object takes from a pushed commit to the cluster, and what idling costs.

Run by ``make bench``; asserts nothing, for machines differ: it prints a table of medians and, so
that runs can be compared, the ratio to a bare ``git fetch`` of the same commit in the same run. The
controller is a process of its own, as in production; the moment an object is applied is told by the
API server, and its audit log counts the controller's requests.
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
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gitops.sandbox import lifecycle
from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.tools import Toolbox
from gitops.web.client import Address, Api
from gitops.web.serve import somebody_listens
from tests.bench.applied import Witness
from tests.contract.git_servers import HttpGit
from tests.e2e.rig import Rig, config_map, git

ROUNDS = 15
FOLDERS = 50
WAYS = ("http", "path")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[1_000, 5_000])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--way", choices=WAYS, action="append", help="how the repository is served")
    parser.add_argument("--folders", type=int, default=FOLDERS, help="that the files lie in")
    chosen = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="gitops-bench-") as folder:
        sandbox = lifecycle.start("bench", Path(folder) / "sandboxes", Toolbox(), owner=os.getpid())
        try:
            for size in chosen.sizes:
                for way in chosen.way or WAYS:
                    case = Case(size, way, chosen.folders, sandbox, Path(folder) / f"{way}{size}")
                    results.append(case.measure(chosen.rounds))
        finally:
            lifecycle.stop("bench", Path(folder) / "sandboxes")
    print(table(results))


@dataclass
class Result:
    """Seconds, but for what says otherwise."""

    name: str
    first: float = 0.0
    objects: int = 0
    latencies: list[float] = field(default_factory=list)
    fetches: list[float] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    """Of all rounds together, by kind."""
    idle: int = 0
    resident: tuple[float, float] = (0.0, 0.0)
    """MiB now and at the peak."""

    def cells(self) -> dict[str, str]:
        median, fetch = statistics.median(self.latencies), statistics.median(self.fetches)
        rounds = len(self.latencies)
        told = ", ".join(f"{n / rounds:g} {kind}" for kind, n in sorted(self.requests.items()))
        return {
            "repository": self.name,
            "first delivery": f"{self.first:.1f} s ({self.objects / self.first:.0f} objects/s)",
            "one change, median": f"{median * 1000:.0f} ms",
            "worst": f"{max(self.latencies) * 1000:.0f} ms",
            "bare fetch": f"{fetch * 1000:.0f} ms",
            "on top": f"{(median - fetch) * 1000:.0f} ms",
            "ratio": f"{median / fetch:.1f}",
            "requests a change": told,
            "idle pass": str(self.idle),
            "memory, peak": "{:.0f}, {:.0f} MiB".format(*self.resident),
        }


def table(results: Sequence[Result]) -> str:
    rows = [result.cells() for result in results]
    return "\n".join(
        f"{title:<20}" + "".join(f"{row[title]:>30}" for row in rows) for title in rows[0]
    )


@dataclass
class Case:
    """One repository of ``size`` ConfigMaps in plain YAML, one application, automatic approval."""

    size: int
    way: str
    folders: int
    sandbox: SandboxInfo
    home: Path

    def measure(self, rounds: int) -> Result:
        self.home.mkdir()
        namespace = f"bench-{self.way}-{self.size}"
        rig = Rig(self.home, self.sandbox, Toolbox().path("kubectl"), namespace)
        rig.app["approval"] = {"auto": {"always": True}}
        for number in range(self.size):
            path = f"app/d{number % self.folders:02}/c{number:05}.yaml"
            rig.write(path, config_map(f"c{number:05}", v="start"))
        first = rig.commit("everything")
        server = HttpGit(self.home) if self.way == "http" else None
        try:
            if server is not None:
                url = f"http://127.0.0.1:{server.port}/{rig.remote.name}"
                rig.fleet["sources"]["config"] = {"git": url, "interval": "1h"}
            return self._run(rig, rounds, first)
        finally:
            if server is not None:
                server.close()

    def _run(self, rig: Rig, rounds: int, first: str) -> Result:
        result = Result(f"{self.size:,} objects over {self.way}", objects=self.size)
        url = str(rig.fleet["sources"]["config"]["git"])
        bare = self.home / "bare.git"
        git("init", "--quiet", "--bare", str(bare))
        fetch(bare, url)
        began = time.perf_counter()
        process = start(rig)
        try:
            with Api(Address(self.home / "state" / "api.sock")) as api:
                wait_delivered(api, first, seconds=300)
                result.first = time.perf_counter() - began
                witness = Witness(self.sandbox, rig.namespace, "c00000")
                for number in range(rounds):
                    self._round(number, rig, api, witness, result)
                    result.fetches.append(fetch(bare, url))
                result.idle = sum(self._idle(api).values())
            result.resident = memory(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        return result

    def _round(self, number: int, rig: Rig, api: Api, witness: Witness, result: Result) -> None:
        rig.write("app/d00/c00000.yaml", config_map("c00000", v=str(number)))
        commit = rig.commit(f"round {number}")
        before = requests(self.sandbox)
        began = time.perf_counter()
        api.post("sources", "config", "nudge")
        result.latencies.append(witness.seen(str(number)) - began)
        wait_delivered(api, commit)
        result.requests += requests(self.sandbox) - before

    def _idle(self, api: Api) -> Counter[str]:
        """Requests during five nudges that find nothing new."""
        time.sleep(1)
        before = requests(self.sandbox)
        for _ in range(5):
            api.post("sources", "config", "nudge")
        time.sleep(0.5)
        return requests(self.sandbox) - before


def start(rig: Rig) -> subprocess.Popen[bytes]:
    with (rig.folder / "controller.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gitops.cli", "-c", str(rig.save()), "run"],
            stdout=log,
            stderr=log,
        )
    while not somebody_listens(rig.folder / "state" / "api.sock"):
        if process.poll() is not None:
            raise RuntimeError((rig.folder / "controller.log").read_text()[-2_000:])
        time.sleep(0.02)
    return process


def wait_delivered(api: Api, commit: str, seconds: float = 60) -> None:
    """Until that commit is delivered and healthy; asked rarely, so that it does not count."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = api.get("deliveries", limit=1)["deliveries"]
        done = found and found[0]["state"] == "healthy"
        if done and found[0]["change"]["change"]["revision"]["id"] == commit:
            return
        time.sleep(0.1)
    lanes = api.get("status")["lanes"]
    raise TimeoutError(json.dumps(lanes)[:2_000])


def fetch(bare: Path, url: str) -> float:
    """Seconds of a bare fetch of whatever is new."""
    began = time.perf_counter()
    git("-C", str(bare), "fetch", "--quiet", url, "main:main")
    return time.perf_counter() - began


def requests(sandbox: SandboxInfo) -> Counter[str]:
    """The controller's finished requests so far, by kind; watches and their renewals apart."""
    found: Counter[str] = Counter()
    for line in Path(sandbox.audit_log).read_text().splitlines():
        if '"gitops-controller' not in line or '"stage":"ResponseComplete"' not in line:
            continue
        told = json.loads(line)
        if told["verb"] == "watch" or not told["userAgent"].startswith("gitops-controller"):
            continue
        dry = "dryRun=All" in told["requestURI"]
        about = (told.get("objectRef") or {}).get("name", "")
        found[_kind(told["verb"], about, dry=dry)] += 1
    return found


def _kind(verb: str, about: str, *, dry: bool) -> str:
    if dry:
        return "dry-run"
    return "inventory" if about.startswith("inventory-") and verb != "get" else verb


def memory(pid: int) -> tuple[float, float]:
    """MiB."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    now, peak = (int(fields[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
    return round(now, 1), round(peak, 1)


if __name__ == "__main__":
    main()
