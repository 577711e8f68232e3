"""Check: everything the checks have to say about the rendering."""

from __future__ import annotations

from gitops.engine.renders import Rendered
from gitops.model.delivery import Cause, ChangeRecord
from gitops.steps.kit import Kit
from gitops.steps.values import Checked


async def check(record: ChangeRecord, rendered: Rendered, kit: Kit) -> Checked:
    """Findings of the rendering itself come first; without a desired set there is no more."""
    kit.reached("check", record)
    if record.change.cause is Cause.COMMAND:
        return Checked(rendered, ())
    if rendered.desired is None:
        return Checked(rendered, rendered.findings)
    lane = await kit.ledger.read(lambda reading: reading.lane(kit.lane))
    found = await kit.checker.check(
        kit.lane,
        kit.application,
        rendered.desired,
        kit.target.catalogue,
        delivered=lane.delivered is not None,
    )
    return Checked(rendered, rendered.findings + found)
