"""Render: what the application should be at the change's revision."""

from __future__ import annotations

from gitops.engine.renders import Rendered
from gitops.model.delivery import Cause, ChangeRecord
from gitops.steps.kit import Kit


async def render(record: ChangeRecord, kit: Kit) -> Rendered:
    """A cache hit for a commit change (``watch`` rendered it). A drift change is rendered at the
    revision that was delivered: newer bytes nobody approved never ride on a repair."""
    kit.reached("render", record)
    facts = await kit.cluster.facts()
    snapshot = kit.snapshot
    if record.change.cause is Cause.DRIFT:
        newest = await kit.renders.of(kit.application, snapshot, facts, gone=True)
        lane = await kit.ledger.read(lambda reading: reading.lane(kit.lane))
        if lane.delivered is None or lane.delivered.closure == newest.closure.digest:
            return newest
        old = await kit.source.snapshot(lane.delivered.revision)
        return await kit.renders.once(kit.application, old, facts)
    return await kit.renders.of(kit.application, snapshot, facts, gone=True)
