"""Plan: what would change on the target, and the seal an approval would be given to."""

from __future__ import annotations

from dataclasses import replace

from gitops.engine.targets import Sitting
from gitops.model.delivery import Cause, ChangeRecord
from gitops.model.finding import blocking
from gitops.model.ids import combine
from gitops.model.plan import Plan, SealParts
from gitops.model.sealed import Sealed
from gitops.ports import Drawn
from gitops.records import Unreadable
from gitops.steps.kit import Kit
from gitops.steps.values import Checked, Sketch


async def draw_plan(record: ChangeRecord, checked: Checked, kit: Kit) -> Sketch:
    """Draws against the live cluster, unless nothing moved since it was last drawn. A change
    with a blocking finding is not drawn: nobody could approve it."""
    kit.reached("plan", record)
    if checked.rendered.desired is None or blocking(checked.findings):
        return await _undrawn(record, checked, kit)
    drawn = _remembered(record, checked, kit) or await _draw(record, checked, kit)
    parts = SealParts(
        closure=checked.rendered.closure.digest,
        artifact=drawn.artifact,
        plan=drawn.plan.digest,
        tools=f"{checked.rendered.desired.renderer}; {kit.tools}",
        target=await kit.target.identity(),
        policy=kit.policy,
        over_budget=drawn.plan.over_budget,
    )
    plan = replace(drawn.plan, checks=_looked(record, kit))
    return Sketch(record, checked.rendered, plan, parts, drawn)


def _looked(record: ChangeRecord, kit: Kit) -> tuple[str, ...]:
    """A command is no new content: nothing is checked for it."""
    return () if record.change.cause is Cause.COMMAND else kit.checker.names(kit.application)


def _remembered(record: ChangeRecord, checked: Checked, kit: Kit) -> Drawn | None:
    if kit.memory.drawn is None or checked.rendered.desired is None:
        return None
    change, desired, drawn, rules = kit.memory.drawn
    fits = change == record.change.id and desired == checked.rendered.desired.digest
    fits = fits and rules == kit.application
    # The plan's own findings come after those of the checks.
    same = drawn.plan.findings[: len(checked.findings)] == checked.findings
    # What the target refused may have been for want of something it has by now: no watch tells.
    fits = fits and same and not drawn.plan.blocked_by
    return drawn if fits and kit.target.recognises(drawn) else None


async def _draw(record: ChangeRecord, checked: Checked, kit: Kit) -> Drawn:
    desired = checked.rendered.desired
    assert desired is not None
    kit.memory.drawn = None
    kept = await _kept(record, kit)
    drawn = await kit.target.draw(Sitting(record.change, desired, checked.findings, kept))
    kit.memory.drawn = (record.change.id, desired.digest, drawn, kit.application)
    return drawn


async def _kept(record: ChangeRecord, kit: Kit) -> Sealed | None:
    """What people were asked about, after a restart: a saved plan file is not made twice."""
    content = await kit.vault.get(record.seal) if record.seal else None
    try:
        return kit.decode(content) if content else None
    except Unreadable:
        return None


async def _undrawn(record: ChangeRecord, checked: Checked, kit: Kit) -> Sketch:
    digest = combine("undrawn", *(f"{f.place} {f.message}" for f in blocking(checked.findings)))
    plan = Plan(
        record.change.id,
        kit.lane.application,
        kit.lane.target,
        changes=(),
        digest=digest,
        findings=checked.findings,
        checks=_looked(record, kit) if checked.rendered.desired is not None else (),
    )
    target = await kit.target.identity()
    parts = SealParts(
        checked.rendered.closure.digest, combine(), digest, kit.tools, target, kit.policy
    )
    return Sketch(record, checked.rendered, plan, parts, None)
