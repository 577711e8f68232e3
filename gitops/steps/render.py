"""Render: what the application should be at the change's revision."""

from __future__ import annotations

from dataclasses import replace

from gitops.engine.renders import Rendered
from gitops.model.delivery import Cause, ChangeRecord, LaneRecord, Rollback
from gitops.model.finding import Finding, Severity
from gitops.model.ids import combine
from gitops.model.manifest import Desired
from gitops.model.source import Closure, Revision
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
    revision that was delivered: newer bytes nobody approved never ride on a repair. A rollback is
    rendered at the revision it goes back to, on the terms and with the values of today."""
    kit.reached("render", record)
    if record.change.cause is Cause.COMMAND:
        return Rendered(_NOTHING.closure, kit.snapshot.revision, _NOTHING)
    if record.change.rollback is not None:
        return _told(kit, await earlier(kit, record.change.rollback.revision))
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
    rendered = await earlier(kit, lane.delivered.revision)
    if lane.delivered.closure != await wanted(kit, rendered):
        return replace(rendered, desired=None, findings=(_UNREPEATABLE,))
    return rendered


async def earlier(kit: Kit, revision: Revision) -> Rendered:
    """An older revision on today's terms. Raises SourceProblem when it is no longer to be had."""
    snapshot = await kit.source.snapshot(revision)
    facts = await kit.target.facts()
    return await kit.renders.once(kit.application, snapshot, facts, kit.supplies)


async def in_force(kit: Kit, newest: Rendered, back: Rollback | None) -> Rendered:
    """What the lane goes by: what it was set back to, as long as that holds, else the newest."""
    if back is None or back.leaves != newest.closure.inside:
        return newest
    return await earlier(kit, back.revision)


def _told(kit: Kit, rendered: Rendered) -> Rendered:
    """A rollback goes back in the source and nowhere else."""
    needs = sorted(kit.application.needs.items())
    if not needs:
        return rendered
    what = ", ".join(f"{name} of {need.application}" for name, need in needs)
    note = Finding("rollback", Severity.INFO, f"taken as it is now, not as it was then: {what}")
    return replace(rendered, findings=(*rendered.findings, note))
