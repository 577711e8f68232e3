"""What the live view remembers: objects by application and by kind, and who is told of a change.

Pure bookkeeping without a request. Followers and the writer put in, the engine reads; nothing
leaves but through :meth:`Memory.gone`, which is called after a GET answered 404 and never before.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from weakref import WeakSet

from gitops.kube.held import HeldObject, revision
from gitops.model.cluster import LiveEvent, LiveEventKind, LiveObject, Resource
from gitops.model.manifest import ObjectId

_GRAVES = 2_048


class Subscription(AsyncIterator[LiveEvent]):
    """One reader's events: the latest per object, in the order objects first changed.

    Its memory is bounded by the number of objects, however slow the reader is.
    """

    def __init__(self) -> None:
        self._pending: OrderedDict[ObjectId, LiveEvent] = OrderedDict()
        self._filled = asyncio.Event()
        self._closed = False

    def put(self, event: LiveEvent) -> None:
        self._pending[event.object.id] = event
        self._filled.set()

    def close(self) -> None:
        self._closed = True
        self._filled.set()

    async def __anext__(self) -> LiveEvent:
        while not self._pending:
            if self._closed:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        return self._pending.popitem(last=False)[1]


class Memory:
    """The objects themselves, by application and by kind; tells subscribers what moves."""

    def __init__(self) -> None:
        self._objects: dict[ObjectId, HeldObject] = {}
        self._by_application: dict[str, dict[ObjectId, LiveObject]] = {}
        self._graves: OrderedDict[ObjectId, int] = OrderedDict()
        self._subscribers: WeakSet[Subscription] = WeakSet()

    def owned(self, application: str) -> Mapping[ObjectId, LiveObject]:
        """A read-only view that goes with the time: it is asked for with every event, so it must
        not cost a copy. Whoever waits while going through it takes one."""
        return MappingProxyType(self._by_application.setdefault(application, {}))

    def of_kind(self, resource: Resource) -> tuple[ObjectId, ...]:
        wanted = (resource.group, resource.kind)
        return tuple(id for id in self._objects if (id.group, id.kind) == wanted)

    def put(self, told: HeldObject, *, rewound: bool = False) -> None:
        """Takes what the server says, unless something newer of the same object is known.

        ``rewound`` accepts an older revision: the server's own history went back.
        """
        known = self._objects.get(told.id)
        if not rewound and not self._newer(told, known):
            return
        if known is not None and known.application != told.application:
            self._forget(told.id)
        if told.application:
            # In its place: readers compare these with what they saw, in the order they are in.
            self._objects[told.id] = told
            self._by_application.setdefault(told.application, {})[told.id] = told
        elif known is None:
            return  # never was ours
        self._tell(LiveEvent(LiveEventKind.CHANGED, told))

    def gone(self, id: ObjectId, at: int) -> None:
        """A GET answered 404. ``at`` is the revision of the deletion, as far as known."""
        known = self._objects.get(id)
        if known is None:
            return
        self._forget(id)
        self._graves[id] = max(at, revision(known.resource_version))
        while len(self._graves) > _GRAVES:
            self._graves.popitem(last=False)
        self._tell(LiveEvent(LiveEventKind.DELETED, known))

    def subscribe(self) -> Subscription:
        made = Subscription()
        self._subscribers.add(made)
        return made

    def close(self) -> None:
        for subscriber in list(self._subscribers):
            subscriber.close()

    def _newer(self, told: HeldObject, known: HeldObject | None) -> bool:
        at = revision(told.resource_version)
        if known is None:
            # The answer of an older write must not raise an object that was deleted since.
            return at < 0 or at > self._graves.get(told.id, -1)
        if told.version != known.version:
            return at >= revision(known.resource_version)  # the same object in another version
        if at < 0:
            return told.resource_version != known.resource_version or told.uid != known.uid
        return at > revision(known.resource_version)

    def _forget(self, id: ObjectId) -> None:
        known = self._objects.pop(id, None)
        if known is not None:
            del self._by_application[known.application][id]

    def _tell(self, event: LiveEvent) -> None:
        for subscriber in list(self._subscribers):
            subscriber.put(event)
