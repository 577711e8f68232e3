"""Asks the server what a write would do. Dry-runs and reads only.

Called by drawing. Every question names the live object it is about (uid and
resource version), so that an answer is never about another state than the one compared with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gitops.errors import ClusterRefused, ClusterUnavailable, FieldConflict, ObjectMoved
from gitops.masking import Masker
from gitops.model.cluster import LiveObject, Resource, Written
from gitops.model.manifest import ObjectId
from gitops.ports import Cluster, Digester
from planners.plan.conflicts import Conflict

_TRIES = 6
_PAUSE = 0.1
"""Seconds, growing with every attempt: 1.5 in all."""


def conditioned(body: bytes, uid: str, resource_version: str) -> bytes:
    """``body`` with the object it is meant for; unchanged where that object is to be new."""
    if not uid:
        return body
    value = orjson.loads(body)
    value["metadata"]["uid"] = uid
    value["metadata"]["resourceVersion"] = resource_version
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def unborn(body: bytes) -> bytes:
    """``body`` with the condition that there is no such object yet.

    Server-side apply has no word for it, but a resource version that no object can have any more
    (revision 1 is the empty store's) is refused with 409 by an object that is there, under force
    too, and is ignored when there is none (tried on 1.35.4).
    """
    value = orjson.loads(body)
    value["metadata"]["resourceVersion"] = "1"
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a dry-run said, and of which object."""

    live: LiveObject | None
    written: Written
    taken: tuple[Conflict, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """The questions, on behalf of one application's account."""

    cluster: Cluster
    digester: Digester
    masker: Masker
    run_as: str = ""

    async def live(self, resource: Resource, id: ObjectId) -> LiveObject | None:
        """The object itself, in the version it will be compared in."""
        found = await self.cluster.get(resource, id)
        if found is not None and id.kind == "Secret":
            self.masker.learn(found.body, live=True)
        return found

    async def try_apply(
        self, resource: Resource, id: ObjectId, body: bytes, live: LiveObject | None, *, take: bool
    ) -> Answer:
        """A dry-run against ``live``, or against what is there now if that moved.

        ``take``: fields of other managers are taken, and the answer says which. Raises
        FieldConflict without ``take``, else what the writer raises.
        """
        for attempt in range(_TRIES):
            try:
                answer = await self._once(resource, id, body, live, take=take)
            except ObjectMoved:
                # A rollout writes its status in bursts: after the first miss, let one pass.
                await asyncio.sleep(_PAUSE * attempt)
                live = await self.live(resource, id)
                continue
            if answer.live is not None or answer.written.created:
                return answer
            # It is there although nobody told us: not labelled as ours.
            live = await self.live(resource, id)
        raise ClusterUnavailable("it changes faster than it can be looked at", place=str(id))

    async def _once(
        self, resource: Resource, id: ObjectId, body: bytes, live: LiveObject | None, *, take: bool
    ) -> Answer:
        taken: tuple[Conflict, ...] = ()
        try:
            written = await self._dry_run(resource, id, body, live, force=False)
        except FieldConflict as conflict:
            if live is None or not take:
                if live is None:
                    raise ObjectMoved("it exists already", place=str(id)) from conflict
                raise
            taken = conflict.conflicts
            written = await self._dry_run(resource, id, body, live, force=True)
        if id.kind == "Secret":
            self.masker.learn(written.object.body)
            self.masker.learn(live.body if live else {}, live=True)
        return Answer(live, written, taken)

    async def _dry_run(
        self, resource: Resource, id: ObjectId, body: bytes, live: LiveObject | None, *, force: bool
    ) -> Written:
        sent = conditioned(body, live.uid, live.resource_version) if live else body
        return await self.cluster.apply(
            resource, id, sent, dry_run=True, force=force, run_as=self.run_as
        )

    async def try_create(
        self, resource: Resource, id: ObjectId, body: bytes
    ) -> Mapping[str, Any] | None:
        """What creating the object anew would give, though it exists: tried under another name.

        None where the server does not say (the spare name is taken or refused).
        """
        spare = ObjectId(id.group, id.kind, id.namespace, f"{id.name[:54]}-preview")
        value = orjson.loads(body)
        value["metadata"]["name"] = spare.name
        try:
            written = await self.cluster.apply(
                resource, spare, orjson.dumps(value), dry_run=True, run_as=self.run_as
            )
        except (ClusterRefused, FieldConflict, ObjectMoved):
            return None
        if not written.created:
            return None
        result = dict(written.object.body)
        result["metadata"] = {**result["metadata"], "name": id.name}
        return result
