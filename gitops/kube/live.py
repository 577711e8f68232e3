"""The live view: every object that carries our owner label, in memory, kept by watches.

The engine follows kinds, reads ``owned`` and waits on ``events``; followers (one a kind) and the
writer put objects in. Nothing leaves because of an error or because a list is short of it: see
:mod:`gitops.kube.follower` for what a deletion has to prove.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from gitops.errors import ClusterUnavailable
from gitops.kube.follower import Follower
from gitops.kube.held import HeldObject
from gitops.kube.memory import Memory
from gitops.model.cluster import LiveEvent, LiveObject, Resource
from gitops.model.manifest import ObjectId


class Live:
    """Plays the LiveView role for one cluster."""

    def __init__(self, follower: Callable[[Resource, Memory], Follower]) -> None:
        self._make = follower
        self.memory = Memory()
        self._followers: dict[tuple[str, str], Follower] = {}
        self._closed = False

    async def follow(self, kinds: Sequence[Resource]) -> None:
        """Raises what keeps a kind from being listed: ClusterRefused (403), NotFound (not served
        any more), ClusterUnavailable. The followers go on trying all the same."""
        if self._closed:
            raise ClusterUnavailable("the connection to this cluster was closed")
        waits = [self._follower(kind).listed() for kind in dict.fromkeys(kinds)]
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def owned(self, application: str) -> Mapping[ObjectId, LiveObject]:
        return self.memory.owned(application)

    def events(self) -> AsyncIterator[LiveEvent]:
        return self.memory.subscribe()

    def learn(self, resource: Resource, told: HeldObject) -> None:
        """Our own write's answer, so that a pass right after needs no wait. Only of kinds that are
        followed: nothing else would ever correct it."""
        follower = self._followers.get((resource.group, resource.kind))
        if follower is not None and follower.has_listed:
            self.memory.put(told)

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(f.close() for f in self._followers.values()))
        self.memory.close()

    def _follower(self, kind: Resource) -> Follower:
        """One per kind: an object is the same in every version of its group."""
        key = (kind.group, kind.kind)
        known = self._followers.get(key)
        if known is None:
            known = self._followers[key] = self._make(kind, self.memory)
            known.start()
        return known
