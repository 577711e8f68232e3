"""Ask: may this be applied? Never waits: a pending question is a row."""

from __future__ import annotations

from gitops.engine.desk import Question, seal_of
from gitops.model.approval import Answer
from gitops.model.delivery import Cause, ChangeRecord
from gitops.model.ids import short
from gitops.ports import Transaction
from gitops.steps.kit import Kit
from gitops.steps.values import Asked, Sketch


async def ask(record: ChangeRecord, sketch: Sketch, kit: Kit) -> Asked:
    """Puts the bytes into the vault first, so that no question is ever open whose answer could
    not be carried out; then records plan and question in one transaction."""
    kit.reached("ask", record)
    question = Question(
        record=record,
        application=kit.application,
        plan=sketch.plan,
        parts=sketch.parts,
        title=_title(record),
        cluster_labels=kit.cluster_labels,
    )
    drawn = sketch.drawn
    if drawn is not None and not sketch.plan.empty and not sketch.plan.blocked_by:
        await kit.vault.put(question.seal, kit.encode(drawn.sealed))

    def work(tx: Transaction) -> Answer:
        if drawn is not None and drawn.settled:
            tx.record_applied(kit.lane, drawn.settled)
        return kit.desk.ask(tx, question)

    answer = await kit.ledger.write(work)
    _remember_settled(sketch, kit)
    if record.seal is not None and record.seal != seal_of(sketch.parts):
        await kit.vault.discard(record.seal)
    return Asked(sketch, answer)


def _remember_settled(sketch: Sketch, kit: Kit) -> None:
    if sketch.drawn is None or kit.memory.applied is None:
        return
    for id, seen in sketch.drawn.settled.items():
        if seen is None:
            kit.memory.applied.pop(id, None)
        else:
            kit.memory.applied[id] = seen
        kit.memory.suspects.add(id)


def _title(record: ChangeRecord) -> str:
    change = record.change
    if change.cause is Cause.DRIFT:
        return f"drift of {change.lane}"
    where = f"{change.revision.source}@{short(change.revision.id)}"
    commits = change.authorship.commits
    return f"{where}: {commits[0].subject}" if commits else where
