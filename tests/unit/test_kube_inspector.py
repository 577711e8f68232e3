"""A closer look at one object: bounded, asked once, given up on in time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from gitops.errors import ClusterRefused, ClusterUnavailable
from gitops.kube import inspector as module
from gitops.kube.inspector import Inspector, seconds
from gitops.kube.transport import Call, Reply, Transport
from gitops.model.manifest import ObjectId
from gitops.ports.inspecting import MOST_EVENTS
from tests.contract.store_story import Clock

POD = ObjectId("", "Pod", "shop", "web-a")


@dataclass
class Wire:
    """Stands in for the transport."""

    answer: Any = None
    hangs: bool = False
    asked: list[Call] = field(default_factory=list)
    at_once: int = 0
    most: int = 0

    async def send(self, call: Call) -> Reply:
        self.asked.append(call)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(60 if self.hangs else 0.001)
        finally:
            self.at_once -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return Reply(200, json.dumps(self.answer).encode())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wire() -> Wire:
    return Wire({"items": []})


@pytest.fixture
async def inspector(wire: Wire, clock: Clock) -> AsyncIterator[Inspector]:
    made = Inspector(cast(Transport, wire), clock)
    yield made
    await made.close()


async def test_events_of_both_generations_are_told_newest_first(
    inspector: Inspector, wire: Wire
) -> None:
    old = {
        "type": "Warning",
        "reason": "BackOff",
        "message": "back-off",
        "count": 7,
        "source": {"component": "kubelet"},
        "lastTimestamp": "2026-11-21T10:00:00Z",
    }
    new = {
        "type": "Normal",
        "reason": "Scheduled",
        "message": "assigned",
        "reportingComponent": "default-scheduler",
        "eventTime": "2026-11-21T10:00:01.123456Z",
        "series": {"count": 3, "lastObservedTime": "2026-11-21T11:00:00.000000Z"},
    }
    wire.answer = {"items": [old, new, {"count": True, "message": None}, "no event"]}
    found = await inspector.events(POD, "uid-1")
    told = [(e.reason, e.times, e.warning, e.source) for e in found.newest]
    assert told == [
        ("Scheduled", 3, False, "default-scheduler"),
        ("BackOff", 7, True, "kubelet"),
        ("", 1, False, ""),
    ]
    assert found.newest[0].last == seconds("2026-11-21T11:00:00Z")
    assert not found.more
    (asked,) = wire.asked
    assert asked.path == "/api/v1/namespaces/shop/events"
    assert dict(asked.query)["fieldSelector"] == "involvedObject.uid=uid-1"


async def test_of_many_events_the_newest_are_told_and_that_there_are_more(
    inspector: Inspector, wire: Wire
) -> None:
    at = "2026-11-21T10:{:02}:{:02}Z"
    wire.answer = {"items": [{"lastTimestamp": at.format(n // 60, n % 60)} for n in range(300)]}
    found = await inspector.events(ObjectId("", "Node", "", "n1"), "uid")
    assert len(found.newest) == MOST_EVENTS
    assert found.newest[0].last == seconds(at.format(4, 59))
    assert found.more
    assert wire.asked[0].path == "/api/v1/namespaces/default/events"


async def test_who_asks_the_same_within_a_moment_gets_the_same_and_so_do_errors(
    inspector: Inspector, wire: Wire, clock: Clock
) -> None:
    wire.answer = ClusterRefused("no", code=403)
    for _ in range(3):
        with pytest.raises(ClusterRefused):
            await inspector.events(POD, "uid")
    assert len(wire.asked) == 1
    clock.time += 2.1
    wire.answer = {"items": []}
    await asyncio.gather(*(inspector.events(POD, "uid") for _ in range(50)))
    assert len(wire.asked) == 2
    await inspector.events(POD, "another")
    assert len(wire.asked) == 3


async def test_who_goes_away_takes_the_answer_from_nobody(inspector: Inspector) -> None:
    first = asyncio.ensure_future(inspector.events(POD, "uid"))
    second = asyncio.ensure_future(inspector.events(POD, "uid"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).newest == ()


async def test_the_curious_keep_few_requests_busy(inspector: Inspector, wire: Wire) -> None:
    await asyncio.gather(*(inspector.events(POD, f"uid-{n}") for n in range(40)))
    assert wire.most == 4
    assert len(inspector._answers) == 40
    await asyncio.gather(*(inspector.events(POD, f"more-{n}") for n in range(400)))
    assert len(inspector._answers) == 256


async def test_a_cluster_that_does_not_answer_is_given_up_on(
    inspector: Inspector, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DEADLINE", 0.01)
    wire.hangs = True
    with pytest.raises(ClusterUnavailable, match="did not answer"):
        await inspector.log(POD, "web")


@pytest.mark.parametrize("text", [None, "", "soon", 7, "9999-99-99T00:00:00Z", {}, "1"])
def test_what_is_no_time_is_none(text: object) -> None:
    assert seconds(text) is None
