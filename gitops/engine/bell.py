"""Says what a write was about, to whoever shows it live.

Rung by the ledger after every durable write, heard by the board and by open pages. Nobody who
listens can slow a write or make memory grow: what is said twice before it is heard is heard once,
and a listener who falls far behind hears that everything may have moved. Decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Collection, Iterator
from typing import Any, Protocol, cast

from gitops.model.delivery import LaneId
from gitops.model.events import (
    ApplicationPaused,
    ApplicationResumed,
    ChangeClosed,
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
MOST_RINGS = 256
"""Remembered for those who begin to listen a moment after they read."""
_LANES_KEPT = 20_000


def application(name: str) -> str:
    """The topic of everything about an application: ``application:shop``."""
    return f"application:{name}"


def change(id: str) -> str:
    return f"change:{id}"


def request(id: str) -> str:
    return f"request:{id}"


def source(name: str) -> str:
    """Its state or its revision moved."""
    return f"source:{name}"


def look(name: str) -> str:
    """A source was looked at, whatever that found: often, so few want to hear of it."""
    return f"look:{name}"


def cluster(name: str) -> str:
    return f"cluster:{name}"


class Ear(Protocol):
    def hear(self, topics: Collection[str]) -> None:
        """Called in the middle of a write: must be quick and never fail."""


class Listener:
    """One who wants to hear; made by :meth:`Bell.listening`."""

    def __init__(self) -> None:
        self._topics: dict[str, None] = {}
        self._filled = asyncio.Event()
        self.over = asyncio.Event()
        """Nothing will ever be heard again: the controller stops."""

    async def heard(self) -> tuple[str, ...]:
        """Every topic since the last call, each once, in order; waits for the first. Empty only
        when it is over."""
        await self._filled.wait()
        if not self.over.is_set():
            self._filled.clear()
        told, self._topics = tuple(self._topics), {}
        return told

    def end(self) -> None:
        self.over.set()
        self._filled.set()

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
        self._ears: list[Ear] = []
        self._closed = False
        self.rung = 0
        """How often it has rung. Whoever takes this before reading and begins to listen after it
        says so, and misses nothing in between."""
        self._rings: deque[Collection[str]] = deque(maxlen=MOST_RINGS)
        self._lanes: OrderedDict[str, str] = OrderedDict()
        """Application of each change heard of lately, by the change's id."""

    @contextlib.contextmanager
    def listening(self, since: int | None = None) -> Iterator[Listener]:
        """``since``: as often it had rung when the listener read; what was said from there on is
        heard at once. None: what is said from now on."""
        listener = Listener()
        self._listeners.add(listener)
        if since is not None:
            self._make_up(listener, since)
        if self._closed:
            listener.end()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def _make_up(self, listener: Listener, since: int) -> None:
        missed = self.rung - since
        if not 0 <= missed <= len(self._rings):  # of another controller, or of long ago
            listener.hear((EVERYTHING,))
            return
        for topics in list(self._rings)[len(self._rings) - missed :]:
            listener.hear(topics)

    @property
    def heeded(self) -> bool:
        """Does anybody listen at this moment?"""
        return bool(self._listeners)

    def attach(self, ear: Ear) -> None:
        """For as long as there is a bell."""
        self._ears.append(ear)

    def ring(self, topics: Collection[str]) -> None:
        """At once, and never fails."""
        if topics:
            self.rung += 1
            self._rings.append(tuple(topics) if len(topics) <= MOST_TOPICS else (EVERYTHING,))
            for ear in (*self._ears, *self._listeners):
                ear.hear(topics)

    def close(self) -> None:
        """Sends everybody away who listens: nothing more will be said."""
        self._closed = True
        for listener in self._listeners:
            listener.end()

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
            if isinstance(event, ChangeClosed) and (record := tx.change(event.change)) is not None:
                # Who was still asked about it leaves the question without an event of its own.
                yield from (request(asked) for asked in filter(None, [record.request]))
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
