"""Lanes: one round at a time each, latest wins, nobody waits for anybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gitops.clock import SystemClock
from gitops.engine import lanes as engine
from gitops.engine.lanes import SLOW_LOOK, Lanes
from gitops.errors import ClusterUnavailable, RenderError
from gitops.model.delivery import LaneId
from gitops.model.ids import ApplicationName, TargetName

PROD = TargetName("prod")
SHOP, WEB = LaneId(ApplicationName("shop"), PROD), LaneId(ApplicationName("web"), PROD)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FIRST_WAIT", 0.01)


def lanes_of(work: Callable[[LaneId], Awaitable[None]]) -> Lanes:
    return Lanes(work, SystemClock())


async def test_offers_while_a_lane_works_collapse_into_one_more_round() -> None:
    working, rounds, most = 0, 0, 0
    go = asyncio.Event()

    async def work(_lane: LaneId) -> None:
        nonlocal working, rounds, most
        working, rounds = working + 1, rounds + 1
        most = max(most, working)
        await go.wait()
        working -= 1

    lanes = lanes_of(work)
    lanes.offer(SHOP)
    await asyncio.sleep(0)
    for _ in range(5):
        lanes.offer(SHOP)
    assert lanes.busy(SHOP)
    go.set()
    await lanes.quiet()
    assert (rounds, most) == (2, 1)
    assert not lanes.busy(SHOP)


async def test_a_lane_that_hangs_keeps_no_other_waiting() -> None:
    done: list[LaneId] = []

    async def work(lane: LaneId) -> None:
        if lane == SHOP:
            await asyncio.Event().wait()
        done.append(lane)

    lanes = lanes_of(work)
    lanes.offer(SHOP)
    lanes.offer(WEB)
    async with asyncio.timeout(5):
        while WEB not in done:
            await asyncio.sleep(0)
    assert lanes.busy(SHOP)
    await lanes.stop()
    assert done == [WEB]


async def test_what_may_pass_is_tried_again_with_growing_pauses_until_it_works() -> None:
    tries = 0

    async def work(_lane: LaneId) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise ClusterUnavailable("refuses connections", hint="is it up?")

    lanes = lanes_of(work)
    lanes.offer(SHOP)
    await lanes.quiet()
    first = lanes.trouble(SHOP)
    assert first is not None
    assert (first.message, first.hint, first.attempts) == ("refuses connections", "is it up?", 1)
    assert [lane for lane, _ in lanes.waiting()] == [SHOP]
    pauses: list[float] = []
    async with asyncio.timeout(5):
        while trouble := lanes.trouble(SHOP):
            assert trouble.retry_at is not None
            if len(pauses) < trouble.attempts:
                pauses.append(trouble.retry_at - trouble.at)
            await asyncio.sleep(0.001)
    assert tries == 4
    assert pauses == sorted(pauses)
    assert lanes.waiting() == []


async def test_a_server_that_names_a_time_is_not_asked_before() -> None:
    async def work(_lane: LaneId) -> None:
        raise ClusterUnavailable("throttled", retry_after=30.0)

    lanes = lanes_of(work)
    lanes.offer(SHOP)
    await lanes.quiet()
    trouble = lanes.trouble(SHOP)
    assert trouble is not None
    assert trouble.retry_at is not None
    assert trouble.retry_at - trouble.at >= 30
    await lanes.stop()


async def test_what_passes_only_when_somebody_acts_is_looked_at_again_slowly_and_at_any_offer() -> (
    None
):
    broken = True

    async def work(_lane: LaneId) -> None:
        if broken:
            raise RenderError("no such folder", place="app", hint="correct the path")

    lanes = lanes_of(work)
    lanes.offer(SHOP)
    await lanes.quiet()
    trouble = lanes.trouble(SHOP)
    assert trouble is not None
    assert trouble.message == "app: no such folder"
    assert trouble.retry_at == trouble.at + SLOW_LOOK
    broken = False
    lanes.offer(SHOP)
    await lanes.quiet()
    assert lanes.trouble(SHOP) is None


async def test_a_defect_is_trouble_of_its_lane_alone_and_its_words_are_not_shown() -> None:
    async def work(lane: LaneId) -> None:
        if lane == SHOP:
            raise ValueError("hunter2")

    lanes = lanes_of(work)
    lanes.offer(SHOP)
    lanes.offer(WEB)
    await lanes.quiet()
    trouble = lanes.trouble(SHOP)
    assert trouble is not None
    assert "hunter2" not in trouble.message
    assert trouble.retry_at is not None
    assert lanes.trouble(WEB) is None
    await lanes.stop()


async def test_a_later_offer_rings_once_and_an_earlier_one_goes_before() -> None:
    rounds: list[LaneId] = []
    rang = asyncio.Event()

    async def work(lane: LaneId) -> None:
        rounds.append(lane)
        rang.set()

    lanes = lanes_of(work)
    for _ in range(3):
        lanes.offer(SHOP, after=0.01)
    lanes.offer(SHOP, after=60)
    await asyncio.wait_for(rang.wait(), 5)
    await lanes.quiet()
    assert rounds == [SHOP]
    await lanes.stop()


async def test_after_the_stop_nothing_starts_any_more() -> None:
    rounds = 0

    async def work(_lane: LaneId) -> None:
        nonlocal rounds
        rounds += 1

    lanes = lanes_of(work)
    lanes.offer(SHOP, after=0.001)
    await lanes.stop()
    lanes.offer(SHOP)
    await asyncio.sleep(0.01)
    assert rounds == 0
