"""Has anything we applied been changed by somebody else?

Compares what the live view holds with what the server made of our last apply, in memory: no
request, and only objects that moved since the last comparison are looked at again. The answer is
a digest of the differing values, so that the same drift is one change.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from gitops.model.cluster import LiveObject
from gitops.model.delivery import AppliedObject
from gitops.model.ids import Digest, combine
from gitops.model.manifest import Desired, ObjectId
from gitops.projection import digest, owned
from gitops.steps.kit import Kit
from gitops.yamlio import canonical


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


async def drift_of(kit: Kit, wanted: Desired | None) -> Digest | None:
    """Digest over the objects that are not as we left them; None when all are.

    Whoever edits a field also becomes its owner, so a second edit of the same field moves nothing
    we own any more. The live values of every field ``wanted`` names are therefore part of it.
    """
    applied = await applied_of(kit)
    if not kit.memory.followed:
        await follow(kit, applied)
        kit.memory.followed = True
    _compare(kit, applied)
    shapes = _shapes(kit, wanted, kit.memory.drifted)
    # An object that is not wanted any more (prune is off, or it is protected) is nobody's to mend.
    drifted = {id: value for id, value in kit.memory.drifted.items() if id in shapes}
    if not drifted:
        return None
    live = kit.cluster.live.owned(kit.lane.application)
    parts = []
    for id in sorted(drifted):
        now = restricted(live[id].body, shapes[id]) if id in live and id in shapes else None
        parts += [str(id), drifted[id], kit.digester.of(canonical(now))]
    return combine("drift", *parts)


def _shapes(
    kit: Kit, wanted: Desired | None, drifted: Collection[ObjectId]
) -> Mapping[ObjectId, Any]:
    """The manifests of these objects, by the identity they have on the cluster."""
    shapes: dict[ObjectId, Any] = {}
    for manifest in wanted.manifests if wanted else ():
        here = replace(manifest.id, namespace=manifest.id.namespace or kit.application.namespace)
        for id in (manifest.id, here):
            if id in drifted:
                shapes[id] = json.loads(manifest.body)
    return shapes


def restricted(live: Any, shape: Any) -> Any:
    """The live value of every field the shape has; lists as a whole."""
    if not isinstance(live, Mapping) or not isinstance(shape, Mapping):
        return live
    return {key: restricted(live[key], shape[key]) for key in shape if key in live}


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
