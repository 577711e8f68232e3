"""Ask: may this be applied? Never waits: a pending question is a row."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gitops.engine.desk import Question, seal_of
from gitops.model.approval import Answer
from gitops.model.delivery import Cause, ChangeRecord
from gitops.model.events import ChangePlanned
from gitops.model.ids import RequestId, short
from gitops.model.plan import Plan
from gitops.ports import Reading, Remembering, Transaction
from gitops.steps.kit import Kit
from gitops.steps.values import Asked, Sketch

MOVED_SHOWN = 10


async def ask(record: ChangeRecord, sketch: Sketch, kit: Kit) -> Asked:
    """Puts the bytes into the vault first, so that no question is ever open whose answer could
    not be carried out; then records plan and question in one transaction."""
    kit.reached("ask", record)
    question = Question(
        record=record,
        application=kit.application,
        plan=sketch.plan,
        parts=sketch.parts,
        title=title_of(record),
        cluster_labels=kit.target.labels,
        moved=await _moved(record, sketch.plan, kit),
        insisted=record.change.id == kit.memory.insisted,
    )
    drawn = sketch.drawn
    if drawn is not None and not sketch.plan.empty and not sketch.plan.blocked_by:
        if isinstance(kit.source, Remembering):
            await kit.source.remember(record.change.revision)
        await kit.vault.put(
            question.seal, kit.encode(replace(drawn.sealed, target=sketch.parts.target))
        )

    def work(tx: Transaction) -> Answer:
        if drawn is not None and drawn.settled:
            tx.record_applied(kit.lane, drawn.settled)
        return kit.desk.ask(tx, question)

    answer = await kit.ledger.write(work)
    if drawn is not None:
        kit.target.learn(drawn.settled)
    if record.seal is not None and record.seal != seal_of(sketch.parts):
        await kit.vault.discard(record.seal)
    return Asked(sketch, answer)


async def _moved(record: ChangeRecord, plan: Plan, kit: Kit) -> str:
    """What is different from the plan people may have seen, by object."""
    before = await kit.ledger.read(partial(_last_shown, record))
    if before is None or before.digest == plan.digest:
        return ""
    old = {change.address: change.digest for change in before.changes}
    new = {change.address: change.digest for change in plan.changes}
    parts = [
        *(f"{address} joined" for address in new if address not in old),
        *(f"{address} left" for address in old if address not in new),
        *(
            f"{address} changed"
            for address in new
            if old.get(address, new[address]) != new[address]
        ),
    ]
    more = f" and {len(parts) - MOVED_SHOWN} more" if len(parts) > MOVED_SHOWN else ""
    return ", ".join(parts[:MOVED_SHOWN]) + more


def _last_shown(record: ChangeRecord, reading: Reading) -> Plan | None:
    """The plan people were asked about last; while an application is paused it is planned on
    without anybody being shown."""
    present = reading.plan(record.change.id)
    request = reading.request(RequestId(record.request)) if record.request else None
    shown = {m.plan for m in request.members if m.change == record.change.id} if request else set()
    if present is None or not shown or present.digest in shown:
        return present
    told = [event.event for event in reading.events(record.change.id)]
    plans = [event.plan for event in told if isinstance(event, ChangePlanned)]
    return next((plan for plan in reversed(plans) if plan.digest in shown), present)


def title_of(record: ChangeRecord) -> str:
    """What a request is called: the revision and its newest commit, or what happened. Foreign."""
    change = record.change
    if change.rollback is not None:
        why = f": {change.rollback.why}" if change.rollback.why else ""
        return f"rollback of {change.lane.application} to {change.revision}{why}"
    if change.cause is Cause.DRIFT:
        return f"drift of {change.lane}"
    if change.cause is Cause.COMMAND:
        return f"{change.occasion} of {change.lane}"
    where = f"{change.revision.source}@{short(change.revision.id)}"
    commits = change.authorship.commits
    return f"{where}: {commits[0].subject}" if commits else where
