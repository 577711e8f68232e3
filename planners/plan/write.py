"""Carries out one approved write.

Called by apply. Every write names the uid and resource version it was planned against. A lost
answer or a moved object is read back and compared with the sealed values: at *before* it is written
with a fresh resource version, at *after* it is done, a third value is SealBroken. It never repeats
what is not known to be undone and never takes a field the plan did not name.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import orjson

from gitops import projection
from gitops.errors import (
    AnswerLost,
    ClusterUnavailable,
    FieldConflict,
    NotFound,
    ObjectMoved,
    SealBroken,
)
from gitops.masking import Masker
from gitops.model.cluster import LiveEvent, LiveObject, Resource
from gitops.model.delivery import AppliedObject
from gitops.model.ids import Digest
from gitops.model.manifest import ObjectId
from gitops.model.plan import Action
from gitops.model.sealed import SealedObject
from gitops.ports import Cluster, Digester
from planners.plan.conflicts import readable
from planners.plan.probe import conditioned, unborn
from planners.plan.standing import Standing, arrived, missing, standing

T = TypeVar("T")

_MOVES = 5
"""Times an object may move under a write before it is given up."""
_TRIES = 6
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 10.0
_GONE_WITHIN = 60.0
_LOOK_EVERY = 5.0
"""Seconds without an event after which a deletion is asked about: an object that never carried
our label sends none."""


@dataclass(slots=True)
class Pen:
    """Writes for one application's account."""

    cluster: Cluster
    digester: Digester
    masker: Masker
    application: str
    run_as: str
    owned: Mapping[ObjectId, LiveObject]
    """As the watch told when it began."""
    unsure: set[ObjectId] = field(default_factory=set)
    """Objects of which an answer was lost: a late first write may still arrive."""

    async def carry_out(self, write: SealedObject) -> AppliedObject | None:
        """What the server made of it; None for a delete. Raises Permanent errors (SealBroken:
        neither before nor after), and ClusterUnavailable after its retries."""
        resource = await self._resource(write)
        if resource is None:
            if write.action is Action.DELETE:
                return None
            raise NotFound("the server does not serve its kind", code=404, place=str(write.id))
        known = self.owned.get(write.id)
        if write.action is Action.DELETE:
            # A deletion cannot be taken back: what is there now has to be what was shown.
            known = await self._read(resource, write.id)
        if write.action is not Action.UPDATE and known is not None:
            # A delete or create carries no resource version: what the watch knows is compared.
            where = self._standing(write, known)
            if where is Standing.AFTER:
                return self._record(write, known)
            if where is Standing.THIRD:
                raise self._third(write, known)
        return await self._until_done(write, resource)

    async def _until_done(self, write: SealedObject, resource: Resource) -> AppliedObject | None:
        target = write
        for _ in range(_MOVES):
            try:
                return await self._send(target, resource)
            except (ObjectMoved, AnswerLost) as unsure:
                if isinstance(unsure, AnswerLost):
                    self.unsure.add(write.id)
                live = await self._read(resource, write.id)
            where = self._standing(write, live)
            if where is Standing.AFTER:
                return self._record(write, live)
            if where is Standing.THIRD:
                raise self._third(write, live)
            target = _aimed(target, live)
            await self._same_takes(target, resource)
        raise SealBroken("it changes faster than it can be written", place=str(write.id))

    def _standing(self, write: SealedObject, live: LiveObject | None) -> Standing:
        return standing(write, live, self.application, self.digester)

    async def _send(self, write: SealedObject, resource: Resource) -> AppliedObject | None:
        if write.action is Action.DELETE:
            await self._delete(write, resource)
            return None
        if write.action is Action.REPLACE:
            await self._clear(write, resource)
            write = replace(write, uid="", resource_version="")
        return await self._apply(write, resource)

    async def _same_takes(self, write: SealedObject, resource: Resource) -> None:
        """Force was approved for certain fields of certain managers. The object moved since, so
        others may have come: asked once more without force."""
        if not write.force:
            return
        body = conditioned(write.body, write.uid, write.resource_version)
        try:
            await self.cluster.apply(resource, write.id, body, dry_run=True, run_as=self.run_as)
        except ObjectMoved:
            return  # the write itself will be refused, and looked at again
        except FieldConflict as conflict:
            if set(conflict.conflicts) <= set(write.takes):
                return
            raise self._not_taken(write, conflict) from conflict

    def _not_taken(self, write: SealedObject, conflict: FieldConflict) -> SealBroken:
        owners = (f"{readable(path)} belongs to {who}" for who, path in conflict.conflicts)
        return SealBroken(f"not taken: {', '.join(owners)}", place=str(write.id))

    async def _apply(self, write: SealedObject, resource: Resource) -> AppliedObject | None:
        aimed = conditioned(write.body, write.uid, write.resource_version)
        body = aimed if write.uid else unborn(write.body)

        async def once() -> AppliedObject | None:
            written = await self.cluster.apply(
                resource, write.id, body, dry_run=False, force=write.force, run_as=self.run_as
            )
            self._check(write, written.object, created=written.created)
            return self._record(write, written.object)

        try:
            return await _patiently(once, also=NotFound if write.predicted else None)
        except FieldConflict as conflict:
            raise self._not_taken(write, conflict) from conflict

    def _check(self, write: SealedObject, live: LiveObject, *, created: bool) -> None:
        if live.terminating:
            raise SealBroken("it is being deleted: what was written goes with it")
        if not created and not write.uid and write.id not in self.unsure:
            raise SealBroken("it appeared meanwhile: it was to be created and was there already")
        if not arrived(write, live, self.digester):
            raise self._third(write, live, "the server made something else of it")

    def _third(
        self,
        write: SealedObject,
        live: LiveObject | None,
        what: str = "it is neither what was shown nor what was approved",
    ) -> SealBroken:
        place = ""
        if live is not None and write.body and write.after is None:
            place = missing(orjson.loads(write.body), live.body)
        what = "it is gone" if live is None else what
        return SealBroken(f"{what}{f' ({place})' if place else ''}", hint="plan it again")

    def _record(self, write: SealedObject, live: LiveObject | None) -> AppliedObject | None:
        if live is None or write.action is Action.DELETE:
            return None
        body = live.body
        now = projection.digest(body, projection.owned(body), self.digester)
        return AppliedObject(write.desired, now or Digest(""), live.uid)

    async def _delete(self, write: SealedObject, resource: Resource) -> None:
        async def once() -> None:
            await self.cluster.delete(resource, write.id, uid=write.uid, run_as=self.run_as)

        try:
            await _patiently(once)
        except NotFound:
            return

    async def _clear(self, write: SealedObject, resource: Resource) -> None:
        """The first half of a replacement: the old object goes, and is seen to be gone."""
        live = await self._read(resource, write.id)
        if live is None:
            return
        if live.uid != write.uid:
            raise ObjectMoved("it was made anew meanwhile", place=str(write.id))
        if self._standing(write, live) is Standing.THIRD:
            raise self._third(write, live)
        events = self.cluster.live.events()
        await self._delete(write, resource)
        try:
            async with asyncio.timeout(_GONE_WITHIN):
                while await self._read(resource, write.id) is not None:
                    await _told_of(events, write.id)
        except TimeoutError as late:
            finalizers = live.body["metadata"].get("finalizers") or ["its own deletion"]
            waits = ", ".join(str(name) for name in finalizers)
            raise SealBroken(f"the old object is not gone yet: waits for {waits}") from late

    async def _read(self, resource: Resource, id: ObjectId) -> LiveObject | None:
        async def once() -> LiveObject | None:
            return await self.cluster.get(resource, id)

        return await _patiently(once)

    async def _resource(self, write: SealedObject) -> Resource | None:
        """How the kind is reached; a kind defined a moment ago takes discovery a little."""
        pause = _FIRST_PAUSE / 2
        for _ in range(_TRIES):
            found = await self.cluster.resource(write.id.group, write.id.kind, write.version)
            if found is not None or not write.predicted:
                return found
            await asyncio.sleep(pause)
            pause *= 2
        return None


def _aimed(write: SealedObject, live: LiveObject | None) -> SealedObject:
    """The same write, at the object as it is now."""
    if live is None:
        return write
    return replace(write, uid=live.uid, resource_version=live.resource_version)


async def _told_of(events: AsyncIterator[LiveEvent], id: ObjectId) -> None:
    """Returns at the next event about ``id``, or after a while without one."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LOOK_EVERY):
            async for event in events:
                if event.object.id == id:
                    return


async def _patiently(once: Callable[[], Awaitable[T]], also: type[Exception] | None = None) -> T:
    """Again after what may pass, as the server asks, with growing pauses."""
    passing = (ClusterUnavailable, also) if also else (ClusterUnavailable,)
    pause = _FIRST_PAUSE
    for _ in range(_TRIES - 1):
        try:
            return await once()
        except passing as error:
            wish = getattr(error, "retry_after", None)
            await asyncio.sleep(min(wish or pause, _LONGEST_PAUSE))
            pause = min(pause * 2, _LONGEST_PAUSE)
    return await once()
