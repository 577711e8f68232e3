"""What the status page of a large fleet costs: views, bytes, and readers who stay.

Run by ``python -m tests.bench.pages``; asserts nothing, for machines differ: it prints figures. The
store is a real SQLite file with every lane delivered through its events, the pages are asked for
over HTTP from another process. No cluster is needed: nothing is delivered while it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gitops.app import assemble
from gitops.controller import Controller
from gitops.engine.bell import application
from gitops.model import events as e
from gitops.model.delivery import Change, ChangeState, Delivered, Hold, LaneId
from gitops.model.fleet import ApplicationSpec, ClusterSpec, Fleet, People, Person, SourceSpec
from gitops.model.ids import ApplicationName, PersonName, RequestId, SourceName, TargetName, combine
from gitops.model.serving import ApiSpec, SignInSpec
from gitops.ports import Transaction
from gitops.web.serve import _bound, _server
from tests.contract.listening import free_port
from tests.contract.store_story import Story, change_of

TEAMS = ("payments", "search", "mail", "data", "platform")
FILTERS = (
    "/",
    "/?sort=name&page=7",
    "/?q=app-04",
    "/?q=team%3Dsearch",
    "/?state=failed",
    "/?state=asking",
    "/?label=team%3Dmail",
    "/?cluster=east",
    "/?cluster=w*&sort=name",
    "/?q=nothing-like-that",
)
MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applications", type=int, default=5_000)
    parser.add_argument("--targets", type=int, default=3)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--loading", action="store_true", help="readers load the page they watch")
    parser.add_argument("--serve", type=Path, help="play the controller in this folder")
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.serve:
        asyncio.run(_serve(chosen.serve, chosen.port, chosen.applications, chosen.targets))
        return
    with tempfile.TemporaryDirectory(prefix="gitops-bench-") as folder:
        asyncio.run(_measure(Path(folder), chosen))


# --- the controller -------------------------------------------------------------------------------


def fleet_of(folder: Path, port: int, applications: int, targets: int) -> Fleet:
    names = [f"app-{number:04}" for number in range(applications)]
    clusters = [TargetName(name) for name in _targets(targets)]
    source = SourceSpec(SourceName("config"), "git", "https://github.com/example/config.git")
    specs = {
        ApplicationName(name): ApplicationSpec(
            ApplicationName(name),
            source.name,
            f"apps/{name}",
            clusters=tuple(clusters),
            labels={"team": TEAMS[number % len(TEAMS)], "tier": str(number % 3)},
        )
        for number, name in enumerate(names)
    }
    people = People({PersonName(name): Person(PersonName(name)) for name in ("ada", "bob")})
    api = ApiSpec(listen=f"127.0.0.1:{port}", sign_in=SignInSpec(anonymous=True, local=True))
    return Fleet(
        folder / "fleet.yaml",
        folder,
        sources={source.name: source},
        clusters={name: ClusterSpec(name, context="none") for name in clusters},
        applications=specs,
        people=people,
        api=api,
    )


def _targets(number: int) -> list[str]:
    first = ("east", "west", "north")
    return [*first, *(f"edge-{n:03}" for n in range(number))][:number]


async def _serve(folder: Path, port: int, applications: int, targets: int) -> None:
    """Told what to do on standard input, a line each; says what came of it on standard output."""
    running = assemble(fleet_of(folder, port, applications, targets))
    controller = running.controller
    controller.parts.keeper._seconds = 86_400  # a busy machine is no reason to stop here
    await controller.parts.keeper.acquire()
    await fill(controller)
    began = time.perf_counter()
    await controller.board.present()
    filled = time.perf_counter() - began
    board = asyncio.create_task(controller.board.run())
    controller.ready.set()
    server = _server(controller, trusted=False)
    serving = asyncio.create_task(server.serve(sockets=[_bound(controller.fleet.api)]))
    _say(filled=filled, rss=rss())
    asking = await _standard_input()
    while line := (await asking.readline()).decode().split():
        if line[0] == "write":
            _say(**await _writes(controller, float(line[1])))
        elif line[0] == "rss":
            _say(rss=rss())
    began = time.perf_counter()
    controller.ledger.bell.close()
    server.should_exit = True
    await serving
    _say(stopped=time.perf_counter() - began)
    board.cancel()
    await asyncio.gather(board, return_exceptions=True)
    running.close()


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def rss() -> float:
    """Bytes that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB


async def fill(controller: Controller, *, once: int = 100) -> None:
    """Brings every lane where a fleet's lanes are: nearly all healthy."""
    dice = random.Random(1)
    lanes = list(controller.roster.lanes())
    for start in range(0, len(lanes), once):
        chosen = lanes[start : start + once]

        def work(tx: Transaction, chosen: Sequence[LaneId] = chosen) -> None:
            for lane in chosen:
                _fill(tx, lane, dice)

        await controller.ledger.write(work)
    if lanes:
        await controller.ledger.append(_paused(lanes[2].application, controller))


def _paused(name: ApplicationName, controller: Controller) -> e.ApplicationPaused:
    until = controller.parts.clock.now() + 7_200
    return e.ApplicationPaused(name, PersonName("ada"), "the freeze", until)


def _fill(tx: Transaction, lane: LaneId, dice: random.Random) -> None:
    change = change_of(lane, 0, f"w{dice.randrange(40)}")
    story = _story(change)
    tx.append(story.opened())
    tx.append(story.planned())
    tx.append(e.AutoApproved(change.id, story.seal, "policy: auto"))
    tx.append(story.claimed())
    tx.append(story.finished())
    at = time.time() - dice.random() * 3e6
    there = Delivered(change.after, change.revision, story.seal, at)
    tx.append(e.ChangeClosed(change.id, ChangeState.HEALTHY, "", there))
    fate = dice.random()
    if fate > 0.03:
        return
    change = change_of(lane, 1, f"v{dice.randrange(40)}")
    story = _story(change)
    tx.append(story.opened())
    if fate < 0.005:
        tx.append(e.ChangeBlocked(change.id, "apps/web.yaml:12:3: spec.replicas: must be a number"))
        return
    tx.append(story.planned())
    if fate < 0.015:
        story.request = RequestId(f"r-{change.id[:12]}")
        title = f"{lane.application} to {lane.target}: raise replicas"
        tx.append(e.RequestOpened(story.request, f"{change.occasion} {change.id}", title))
        tx.append(story.asked())
        return
    tx.append(e.AutoApproved(change.id, story.seal, "policy: auto"))
    tx.append(story.claimed())
    if fate < 0.02:
        return
    tx.append(story.finished())
    if fate < 0.025:
        why = "Deployment web: 1 of 3 replicas are ready: container app: CrashLoopBackOff (exit 1)"
        hold = Hold(story.plan.digest, change.after, why, failed=True)
        tx.append(e.ChangeClosed(change.id, ChangeState.FAILED, why, hold=hold))


def _story(change: Change) -> Story:
    return Story(None, e.Epoch("", 0), change)  # type: ignore[arg-type]


async def _writes(controller: Controller, seconds: float) -> dict[str, Any]:
    """Changes come and go on lanes, ten a second; how long each write took."""
    dice, taken = random.Random(2), []
    names = sorted(controller.roster.specs())
    end = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < end:
        number += 1
        lane = LaneId(dice.choice(names), TargetName("east"))
        began = time.perf_counter()
        await controller.ledger.write(lambda tx, lane=lane, n=number: _moves(tx, lane, n))
        taken.append(time.perf_counter() - began)
        controller.ledger.bell.ring((f"{application('bench')}-{time.time():.6f}",))
        await asyncio.sleep(0.1)
    taken.sort()
    return {"writes": number, "median": statistics.median(taken), "worst": taken[-1]}


def _moves(tx: Transaction, lane: LaneId, number: int) -> None:
    record = tx.lane(lane)
    if record.current is None:
        tx.append(e.ChangeOpened(change_of(lane, record.generation, f"n{number}")))
    else:
        tx.append(e.Noted(record.current, combine(str(number))))


# --- who asks -------------------------------------------------------------------------------------


@dataclass
class Child:
    process: asyncio.subprocess.Process
    base: str

    async def told(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())

    async def ask(self, text: str) -> dict[str, Any]:
        self.tell(text)
        return await self.told()


async def _measure(folder: Path, chosen: argparse.Namespace) -> None:
    port = free_port()
    arguments = ("--serve", str(folder), "--port", str(port))
    sizes = ("--applications", str(chosen.applications), "--targets", str(chosen.targets))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.pages", *arguments, *sizes),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    child = Child(process, f"http://127.0.0.1:{port}")
    started = await child.told()
    print(f"{chosen.applications} applications × {chosen.targets} targets")
    print(f"  board filled in {_ms(started['filled'])}, memory {started['rss']:.0f} MiB")
    try:
        await _views(child, chosen.requests)
        await _readers(child, chosen.readers, chosen.seconds, loading=chosen.loading)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _views(child: Child, requests: int) -> None:
    dice, taken, sizes = random.Random(3), [], []
    async with aiohttp.ClientSession() as session:
        for number in range(requests):
            path = (
                FILTERS[number % len(FILTERS)]
                if number % 2
                else f"/?q=app-{dice.randrange(5_000):04}"
            )
            began = time.perf_counter()
            async with session.get(child.base + path) as answer:
                sizes.append(len(await answer.read()))
                assert answer.status == 200, answer.status
            taken.append(time.perf_counter() - began)
    taken.sort()
    print(f"overview, {requests} views one after the other:")
    print(f"  p50 {_ms(statistics.median(taken))}, p95 {_ms(taken[int(len(taken) * 0.95)])}")
    print(f"  worst {_ms(taken[-1])}; {max(sizes) / 1024:.0f} KiB at most, no compression")


async def _readers(child: Child, number: int, seconds: float, *, loading: bool) -> None:
    late: list[float] = []
    loads: list[float] = []
    heard = [0] * number

    async def read(index: int, session: aiohttp.ClientSession) -> None:
        # One address may hold so many: each comes from another behind a proxy on this machine.
        behind = {"x-forwarded-for": f"10.0.{index // 250}.{index % 250 + 1}"}
        async with session.get(f"{child.base}/live", headers=behind) as answer:
            assert answer.status == 200, answer.status
            async for line in answer.content:
                at = time.time()
                for topic in line.decode().removeprefix("data: ").split():
                    if "bench-" in topic:
                        heard[index] += 1
                        late.append(at - float(topic.rpartition("-")[2]))
                if loading and line == b"event: moved\n":
                    async with session.get(f"{child.base}/", headers=behind) as page:
                        await page.read()
                    loads.append(time.time() - at)

    before = (await child.ask("rss"))["rss"]
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        deaf = await asyncio.open_connection(*_address(child.base), limit=1)
        deaf[1].write(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        tasks = [asyncio.create_task(read(index, session)) for index in range(number - 1)]
        await asyncio.sleep(2)
        open_ = (await child.ask("rss"))["rss"]
        quiet = await child.ask(f"write {seconds / 2}")
        middle = (await child.ask("rss"))["rss"]
        loud = await child.ask(f"write {seconds / 2}")
        after = (await child.ask("rss"))["rss"]
        await asyncio.sleep(1)
        ended = [task for task in tasks if task.done()]
        assert child.process.stdin is not None
        child.process.stdin.close()
        stopped = (await child.told())["stopped"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        deaf[1].close()
    late.sort()
    told = quiet["writes"] + loud["writes"]
    print(f"{number} live readers, one of which never reads, {told} changes written:")
    print(f"  each heard {min(heard[:-1])} to {max(heard)} of them; {len(ended)} ended early")
    print(f"  heard after {_ms(statistics.median(late))} (median), {_ms(late[-1])} at worst")
    print(f"  a write took {_ms(loud['median'])} (median), {_ms(loud['worst'])} at worst")
    print(f"  stopped, with all of them there, in {_ms(stopped)}")
    if loads:
        print(
            f"  they loaded {len(loads)} pages meanwhile, each in {_ms(statistics.median(loads))}"
        )
    rising = f"{before:.0f} → {open_:.0f} → {middle:.0f} → {after:.0f} MiB"
    print(f"  memory before, with readers, half way, at the end: {rising}")


def _address(base: str) -> tuple[str, int]:
    host, _, port = base.removeprefix("http://").partition(":")
    return host, int(port)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    os.environ.setdefault("GITOPS_LOG", "warning")
    main()
