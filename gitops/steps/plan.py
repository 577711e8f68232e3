"""Plan: what would change on the target, and the seal an approval would be given to."""

from __future__ import annotations

from gitops.model.delivery import ChangeRecord
from gitops.model.finding import blocking
from gitops.model.ids import combine
from gitops.model.plan import Plan, SealParts
from gitops.ports import DrawJob, Drawn
from gitops.steps.drift import applied_of
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
        target=(await kit.cluster.facts()).uid,
        policy=kit.policy,
    )
    return Sketch(record, checked.rendered, drawn.plan, parts, drawn)


def _remembered(record: ChangeRecord, checked: Checked, kit: Kit) -> Drawn | None:
    if kit.memory.drawn is None or checked.rendered.desired is None:
        return None
    change, desired, drawn, rules = kit.memory.drawn
    fits = change == record.change.id and desired == checked.rendered.desired.digest
    fits = fits and rules == kit.application
    # The plan's own findings come after those of the checks.
    same = drawn.plan.findings[: len(checked.findings)] == checked.findings
    # Only what carries our label sends events. What is to be created or adopted may have moved
    # without our hearing of it, so it is asked about again.
    heard = kit.cluster.live.owned(kit.lane.application)
    return drawn if fits and same and all(w.id in heard for w in drawn.sealed.writes) else None


async def _draw(record: ChangeRecord, checked: Checked, kit: Kit) -> Drawn:
    desired = checked.rendered.desired
    assert desired is not None
    kit.memory.drawn = None
    drawn = await kit.planner.draw(
        DrawJob(
            record.change,
            kit.application,
            desired,
            checked.findings,
            kit.cluster,
            await applied_of(kit),
        )
    )
    kit.memory.drawn = (record.change.id, desired.digest, drawn, kit.application)
    kit.memory.touched = {write.id: write for write in drawn.sealed.writes}
    return drawn


async def _undrawn(record: ChangeRecord, checked: Checked, kit: Kit) -> Sketch:
    digest = combine("undrawn", *(f"{f.place} {f.message}" for f in blocking(checked.findings)))
    plan = Plan(
        record.change.id,
        kit.lane.application,
        kit.lane.target,
        changes=(),
        digest=digest,
        findings=checked.findings,
    )
    uid = (await kit.cluster.facts()).uid
    parts = SealParts(
        checked.rendered.closure.digest, combine(), digest, kit.tools, uid, kit.policy
    )
    return Sketch(record, checked.rendered, plan, parts, None)
