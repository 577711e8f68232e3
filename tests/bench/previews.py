"""How long a pull request waits for its plan, from the signed webhook to the comment.

Run by itself (``python -m tests.bench.previews 1000``); asserts nothing. The controller is a
process of its own, the repository is served over smart HTTP, the forge is the recording GitHub of
the tests, and every round is a new pull request that changes one object of an application with all
of them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

from gitops.sandbox import lifecycle
from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.tools import Toolbox
from gitops.web.client import Address, Api
from tests.bench.delivery import memory, requests, start, wait_delivered
from tests.contract.git_servers import HttpGit
from tests.e2e.rig import Rig, config_map
from tests.forges.github import GitHubServer
from tests.forges.server import Pull
from tests.web.hook_cases import FOLDER, signature

SECRET = "a secret of the bench, 0123456789"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", type=int, nargs="?", default=1_000)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    os.environ.update(FORGE_TOKEN=GitHubServer().token, HOOK_SECRET=SECRET)
    with tempfile.TemporaryDirectory(prefix="gitops-bench-") as folder:
        sandbox = lifecycle.start("bench", Path(folder) / "sandboxes", Toolbox(), owner=os.getpid())
        try:
            with GitHubServer() as forge:
                measure(chosen.size, chosen.rounds, sandbox, Path(folder) / "home", forge)
        finally:
            lifecycle.stop("bench", Path(folder) / "sandboxes")


def measure(size: int, rounds: int, sandbox: SandboxInfo, home: Path, forge: GitHubServer) -> None:
    home.mkdir()
    rig = Rig(home, sandbox, Toolbox().path("kubectl"), f"bench-previews-{size}")
    rig.app["approval"] = {"auto": {"always": True}}
    for number in range(size):
        rig.write(f"app/d{number % 50:02}/c{number:05}.yaml", config_map(f"c{number:05}", v="0"))
    first = rig.commit("everything")
    server = HttpGit(home)
    hook = fleet(rig, forge, f"http://127.0.0.1:{server.port}/{rig.remote.name}")
    process = start(rig)
    try:
        with Api(Address(home / "state" / "api.sock")) as api:
            wait_delivered(api, first, seconds=300)
            before = requests(sandbox)
            taken = [one(rig, forge, hook, number) for number in range(1, rounds + 1)]
        asked = requests(sandbox) - before
        told = ", ".join(f"{count / rounds:g} {kind}" for kind, count in sorted(asked.items()))
        print(f"{size:,} objects, {rounds} pull requests of one object each")
        print(f"webhook → plan posted, median  {statistics.median(taken) * 1000:.0f} ms")
        print(f"worst                          {max(taken) * 1000:.0f} ms")
        print(f"requests to the API server     {told}")
        print("memory, peak                   {:.0f}, {:.0f} MiB".format(*memory(process.pid)))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        server.close()


def fleet(rig: Rig, forge: GitHubServer, url: str) -> str:
    """Fills in the fleet file; returns the webhook's address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    rig.fleet["sources"]["config"] = {
        "git": url,
        "interval": "1h",
        "forge": {
            "github": {
                "api": forge.api,
                "repository": "acme/config",
                "token": {"env": "FORGE_TOKEN"},
            }
        },
        "pull_requests": {},
    }
    rig.fleet["api"] = {"listen": f"127.0.0.1:{port}"}
    rig.fleet["webhooks"] = {"github": {"secret": {"env": "HOOK_SECRET"}, "sources": ["config"]}}
    return f"http://127.0.0.1:{port}/hooks/github"


def one(rig: Rig, forge: GitHubServer, hook: str, number: int) -> float:
    """Seconds until the plan of a new pull request is there to be read."""
    rig.git("checkout", "--quiet", "--force", "-B", "topic", "main")
    rig.write("app/d00/c00000.yaml", config_map("c00000", v=str(number)))
    head = rig.commit(f"proposal {number}", push=False)
    rig.git("push", "--quiet", "--force", "origin", f"HEAD:refs/pull/{number}/head")
    forge.commits.add(head)
    forge.pulls[number] = Pull(number, head=head)
    began = time.perf_counter()
    deliver(hook, number)
    while not forge.comments.get(number):
        time.sleep(0.001)
    taken = time.perf_counter() - began
    body = forge.comments[number][0].body
    if f'+ "{number}"' not in body:
        raise RuntimeError(body)
    while forge.statuses[-1].state == "pending":
        time.sleep(0.005)
    return taken


def deliver(hook: str, number: int) -> None:
    sample: dict[str, Any] = json.loads((FOLDER / "github-pull_request.json").read_text())
    sample["body"]["number"] = sample["body"]["pull_request"]["number"] = number
    content = json.dumps(sample["body"]).encode()
    headers = {
        **sample["headers"],
        **signature("github", content, SECRET),
        "x-github-delivery": str(uuid.uuid4()),
    }
    httpx.post(hook, content=content, headers=headers, trust_env=False).raise_for_status()


if __name__ == "__main__":
    main()
