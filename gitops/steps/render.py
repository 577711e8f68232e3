"""Render: what the application should be at the change's revision."""

from __future__ import annotations

from dataclasses import replace

from gitops.engine.renders import Rendered
from gitops.model.delivery import Cause, ChangeRecord, LaneRecord
from gitops.model.finding import Finding, Severity
from gitops.model.ids import combine
from gitops.model.manifest import Desired
from gitops.model.source import Closure
from gitops.steps.kit import Kit, wanted

_UNREPEATABLE = Finding(
    "render",
    Severity.ERROR,
    "what was delivered cannot be rendered again under the present fleet file",
    "deliver the present state: gitops ask APPLICATION",
)


_NOTHING = Desired((), Closure(()), combine("nothing"), "a command")
"""What a command is about is in no file."""


async def render(record: ChangeRecord, kit: Kit) -> Rendered:
    """A cache hit for a commit change (``watch`` rendered it). A drift change is rendered at the
    revision that was delivered: newer bytes nobody approved never ride on a repair."""
    kit.reached("render", record)
    if record.change.cause is Cause.COMMAND:
        return Rendered(_NOTHING.closure, kit.snapshot.revision, _NOTHING)
    facts = await kit.target.facts()
    snapshot = kit.snapshot
    if record.change.cause is Cause.DRIFT:
        newest = await kit.renders.of(kit.application, snapshot, facts, kit.supplies, gone=True)
        lane = await kit.ledger.read(lambda reading: reading.lane(kit.lane))
        return await as_delivered(kit, lane, newest)
    return await kit.renders.of(kit.application, snapshot, facts, kit.supplies, gone=True)


async def as_delivered(kit: Kit, lane: LaneRecord, newest: Rendered) -> Rendered:
    """What was delivered, rendered again; without a desired set where that cannot be done."""
    if lane.delivered is None or lane.delivered.closure == await wanted(kit, newest):
        return newest
    old = await kit.source.snapshot(lane.delivered.revision)
    facts = await kit.target.facts()
    rendered = await kit.renders.once(kit.application, old, facts, kit.supplies)
    if lane.delivered.closure != await wanted(kit, rendered):
        return replace(rendered, desired=None, findings=(_UNREPEATABLE,))
    return rendered
