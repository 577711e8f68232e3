"""Has anything we applied been changed by somebody else?

Compares what the live view holds with what the server made of our last apply, in memory: no
request, and only objects that moved since the last comparison are looked at again. The answer is
a digest of the differing values, so that the same drift is one change.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitops.model.cluster import LiveObject
from gitops.model.delivery import AppliedObject
from gitops.model.ids import Digest, combine
from gitops.model.manifest import ObjectId
from gitops.projection import digest, owned
from gitops.steps.kit import Kit


async def applied_of(kit: Kit) -> dict[ObjectId, AppliedObject]:
    """The lane's mirror of what was applied, read from the store once."""
    if kit.memory.applied is None:
        rows = await kit.ledger.read(lambda reading: reading.applied(kit.lane))
        kit.memory.applied = dict(rows)
        kit.memory.suspects.update(rows)
    return kit.memory.applied


async def follow(kit: Kit, ids: Iterable[ObjectId]) -> None:
    """Have the live view watch every kind among these that the target knows."""
    kinds = {(id.group, id.kind) for id in ids}
    found = [await kit.cluster.resource(group, kind) for group, kind in sorted(kinds)]
    await kit.cluster.live.follow([resource for resource in found if resource is not None])


async def drift_of(kit: Kit) -> Digest | None:
    """Digest over the objects that are not as we left them; None when all are."""
    applied = await applied_of(kit)
    if not kit.memory.followed:
        await follow(kit, applied)
        kit.memory.followed = True
    _compare(kit, applied)
    drifted = kit.memory.drifted
    if not drifted:
        return None
    parts = [part for id in sorted(drifted) for part in (str(id), drifted[id])]
    return combine("drift", *parts)


def _compare(kit: Kit, applied: dict[ObjectId, AppliedObject]) -> None:
    live = kit.cluster.live.owned(kit.lane.application)
    for id in kit.memory.suspects:
        ours, present = applied.get(id), live.get(id)
        if ours is None:
            kit.memory.drifted.pop(id, None)
            continue
        now = _value(present, kit) if present else "gone"
        if now == ours.projection:
            kit.memory.drifted.pop(id, None)
        else:
            kit.memory.drifted[id] = now
    kit.memory.suspects.clear()


def _value(present: LiveObject, kit: Kit) -> str:
    return digest(present.body, owned(present.body), kit.digester) or ""
