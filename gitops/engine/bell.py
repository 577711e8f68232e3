"""Says what a write was about, to whoever shows it live.

Rung by the ledger after every durable write, heard by the board and by open pages. Nobody who
listens can slow a write or make memory grow: what is said twice before it is heard is heard once,
and a listener who falls far behind hears that everything may have moved. Decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Collection, Iterator
from typing import Any, cast

from gitops.model.delivery import LaneId
from gitops.model.events import (
    ApplicationPaused,
    ApplicationResumed,
    ChangeOpened,
    Event,
    HoldLifted,
    RollbackLifted,
    SourceLooked,
)
from gitops.model.ids import ChangeId
from gitops.ports import Transaction

EVERYTHING = "*"
"""The topic of whoever lost count."""
MOST_TOPICS = 2_000
"""Of one listener; one who has more to hear hears EVERYTHING."""
_LANES_KEPT = 20_000


def application(name: str) -> str:
    """The topic of everything about an application: ``application:shop``."""
    return f"application:{name}"


def change(id: str) -> str:
    return f"change:{id}"


def request(id: str) -> str:
    return f"request:{id}"


def source(name: str) -> str:
    return f"source:{name}"


class Listener:
    """One who wants to hear; made by :meth:`Bell.listening`."""

    def __init__(self) -> None:
        self._topics: dict[str, None] = {}
        self._filled = asyncio.Event()

    async def heard(self) -> tuple[str, ...]:
        """Every topic since the last call, each once, in order; waits for the first."""
        await self._filled.wait()
        self._filled.clear()
        told, self._topics = tuple(self._topics), {}
        return told

    def hear(self, topics: Collection[str]) -> None:
        if EVERYTHING not in self._topics:
            self._topics.update(dict.fromkeys(topics))
            if len(self._topics) > MOST_TOPICS:
                self._topics = {EVERYTHING: None}
        self._filled.set()


class Bell:
    """One controller's; its ledger has it."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._lanes: OrderedDict[str, str] = OrderedDict()
        """Application of each change heard of lately, by the change's id."""

    @contextlib.contextmanager
    def listening(self) -> Iterator[Listener]:
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def ring(self, topics: Collection[str]) -> None:
        """At once, and never fails."""
        if topics:
            for listener in self._listeners:
                listener.hear(topics)

    def topics(self, tx: Transaction, event: Event) -> Iterator[str]:
        """What an event that was just appended is about."""
        if isinstance(event, ChangeOpened):
            self._remember(event.change.id, event.change.lane)
        match event:
            case ChangeOpened():
                yield application(event.change.lane.application)
                yield change(event.change.id)
            case HoldLifted() | RollbackLifted():
                yield application(event.lane.application)
            case ApplicationPaused() | ApplicationResumed():
                yield application(event.application)
            case SourceLooked():
                yield source(event.status.source)
            case _:
                yield from self._by_id(tx, event)

    def _by_id(self, tx: Transaction, event: Event) -> Iterator[str]:
        about = str(getattr(event, "request", ""))
        if not about and (verdict := getattr(event, "verdict", None)) is not None:
            about = str(verdict.request)
        if about:
            yield request(about)
        if id := str(getattr(event, "change", "")):
            yield change(id)
            if name := self._application(tx, id):
                yield application(name)

    def _application(self, tx: Transaction, id: str) -> str:
        if name := self._lanes.get(id):
            return name
        record = tx.change(ChangeId(id))
        if record is None:
            return ""
        self._remember(id, record.change.lane)
        return record.change.lane.application

    def _remember(self, id: str, lane: LaneId) -> None:
        self._lanes[id] = lane.application
        while len(self._lanes) > _LANES_KEPT:
            self._lanes.popitem(last=False)


class Overheard:
    """Hands a transaction through and notes what it is about."""

    def __init__(self, tx: Transaction, bell: Bell, topics: dict[str, None]) -> None:
        self._tx, self._bell, self._topics = tx, bell, topics

    @classmethod
    def of(cls, tx: Transaction, bell: Bell, topics: dict[str, None]) -> Transaction:
        return cast(Transaction, cls(tx, bell, topics))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def append(self, event: Event) -> int:
        place = self._tx.append(event)
        self._topics.update(dict.fromkeys(self._bell.topics(self._tx, event)))
        return place
