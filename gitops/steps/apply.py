"""Apply: exactly what was approved, and nothing else.

The claim is one transaction that checks the verdict, the seal, that the change is still the newest
of its lane and that the lease is ours. From the claim on a change is never cancelled; a crash
finds it in state *applying* and carries on from the bytes in the vault.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gitops.closures import moved
from gitops.engine.desk import seal_of
from gitops.errors import StaleWrite
from gitops.model.approval import AnswerKind
from gitops.model.delivery import Cause, ChangeRecord, ChangeState, Delivered, Hold, LaneId
from gitops.model.events import ApplyFinished, ChangeClosed, Claimed, Event, HoldLifted, Noted
from gitops.model.ids import Digest
from gitops.model.sealed import Sealed
from gitops.ports import Executed, Transaction
from gitops.records import Unreadable
from gitops.steps.kit import Kit
from gitops.steps.values import Applied, Asked, Sketch
from gitops.summary import counted


async def apply(record: ChangeRecord, asked: Asked, kit: Kit) -> Applied:
    """Whatever the answer was, carried out: most answers leave nothing to do."""
    kit.reached("apply", record)
    kind, drawn = asked.answer.kind, asked.sketch.drawn
    if kind is AnswerKind.NOT_NEEDED:
        return await _needless(record, asked.sketch, kit)
    if kind is AnswerKind.REPORTED:
        return await _report(record, asked.sketch, kit)
    if kind is not AnswerKind.APPROVED or drawn is None:
        blocked = kind is AnswerKind.BLOCKED
        state = ChangeState.BLOCKED if blocked else ChangeState.ASKING
        return Applied(record, state, reason=asked.answer.reason)
    if held := await _held_back(record, asked.sketch, kit):
        return held
    kit.reached("claim", record)
    try:
        await kit.ledger.append(
            Claimed(record.change.id, asked.answer.seal, asked.answer.by or ("nobody",))
        )
    except StaleWrite as stale:
        # A newer commit, another answer or another replica was first; the next round sees it.
        return Applied(record, ChangeState.SUPERSEDED, reason=stale.message)
    kit.reached("claimed", record)
    return await execute(replace(record, seal=asked.answer.seal), drawn.sealed, kit)


async def _held_back(record: ChangeRecord, sketch: Sketch, kit: Kit) -> Applied | None:
    """Approved, and yet not claimed."""
    if overtaken := await _overtaken(record, sketch, kit):
        return Applied(record, ChangeState.SUPERSEDED, reason=overtaken)
    if record.change.cause is not Cause.COMMAND and await kit.present_supplies() != kit.supplies:
        return Applied(record, ChangeState.SUPERSEDED, reason="what it takes from others moved")
    if not kit.supplies.planned:
        return None
    # Approved with values that are to be: they have to be true before anything is applied.
    waits = f"approved; it follows {', '.join(kit.supplies.planned)}"
    return Applied(record, ChangeState.ASKING, reason=waits)


async def _overtaken(record: ChangeRecord, sketch: Sketch, kit: Kit) -> str:
    """Why the claim would be of yesterday's wish, in words; the next round takes the present one.
    The round's own view is as old as its slowest request."""
    if kit.present_policy() != kit.policy:
        return "policy or people changed since it was asked"
    if record.change.rollback is not None:
        facts = await kit.target.facts()
        newest = await kit.renders.of(kit.application, kit.newest(), facts, kit.supplies, gone=True)
        left = newest.closure.inside == record.change.rollback.leaves
        return "" if left else "a newer commit arrived"
    commit = record.change.cause is not Cause.DRIFT
    if commit and moved(sketch.rendered.closure, kit.newest()):
        return "a newer commit arrived"
    return ""


async def recall(record: ChangeRecord, kit: Kit) -> Applied:
    """After a crash: a claimed change, from the vault, from where it stopped."""
    kit.reached("recall", record)
    content = await kit.vault.get(record.seal) if record.seal else None
    if content is None:
        if record.state is ChangeState.VERIFYING:
            return Applied(record, ChangeState.VERIFYING, whole=True)
        why = "the approved bytes are no longer in the vault, so the rest was not applied"
        return await _failed(record, why, kit)
    try:
        sealed = kit.decode(content)
    except Unreadable:
        why = "the approved bytes cannot be read by this version, so the rest was not applied"
        return await _failed(record, why, kit)
    if record.state is ChangeState.VERIFYING:
        return Applied(record, ChangeState.VERIFYING, sealed)
    if sealed.target != await kit.target.identity():
        why = "another target answers here than the one it was approved for"
        return await _failed(record, why, kit)
    await kit.ledger.append(Noted(record.change.id, "carried on after a restart"))
    return await execute(record, sealed, kit)


async def execute(record: ChangeRecord, sealed: Sealed, kit: Kit) -> Applied:
    """Sends the sealed bytes; records what the server made of them together with the outcome."""
    executed = await kit.target.execute(record.change.id, sealed)
    kit.reached("executed", record)
    if executed.void:
        return await _void(record, executed.void, kit)
    if executed.failed:
        return await _partly(record, executed, kit)
    await _conclude(executed, kit, ApplyFinished(record.change.id, _summary(executed)))
    return Applied(record, ChangeState.VERIFYING, sealed)


async def _void(record: ChangeRecord, why: str, kit: Kit) -> Applied:
    """What was approved no longer fits: the next round plans it anew, and asks."""
    reason = f"nothing was applied: {why}"
    closed = ChangeClosed(record.change.id, ChangeState.SUPERSEDED, reason, unbegun=True)
    await kit.ledger.append(closed)
    kit.memory.drawn = None
    if record.seal is not None:
        await kit.vault.discard(record.seal)
    return Applied(record, ChangeState.SUPERSEDED, reason=reason)


async def _needless(record: ChangeRecord, sketch: Sketch, kit: Kit) -> Applied:
    """Nothing differs. After a failure or on request, health is looked at again all the same."""
    if record.change.id == kit.memory.insisted:
        return Applied(record, ChangeState.VERIFYING, whole=True, well=ChangeState.UNCHANGED)
    now = delivered(record, seal_of(sketch.parts), kit)
    # A drift that no write can mend must not be looked at again and again.
    hold = None
    if record.change.cause is Cause.DRIFT:
        hold = Hold(sketch.plan.digest, record.change.after, "there is nothing to put back")
    closed = ChangeClosed(record.change.id, ChangeState.UNCHANGED, "nothing differs", now, hold)
    await kit.ledger.write(partial(arrived, kit.lane, closed))
    return Applied(record, ChangeState.UNCHANGED, reason="nothing differs")


async def _report(record: ChangeRecord, sketch: Sketch, kit: Kit) -> Applied:
    why = f"drift reported by policy: {sketch.plan.risk}"
    hold = Hold(sketch.plan.digest, record.change.after, why)
    await kit.ledger.append(ChangeClosed(record.change.id, ChangeState.REPORTED, why, hold=hold))
    return Applied(record, ChangeState.REPORTED, reason=why)


async def _partly(record: ChangeRecord, executed: Executed, kit: Kit) -> Applied:
    shown = "; ".join(f"{out.address}: {out.message}" for out in executed.failed[:5])
    more = len(executed.failed) - 5
    done = len(executed.outcomes) - len(executed.failed)
    why = f"{done} of {len(executed.outcomes)} writes were done; {shown}"
    why += f"; and {more} more" if more > 0 else ""
    return await _failed(record, why, kit, executed)


async def _failed(
    record: ChangeRecord, why: str, kit: Kit, executed: Executed | None = None
) -> Applied:
    hold = None
    if record.change.cause is not Cause.COMMAND:
        hold = Hold(record.plan or record.change.after, record.change.after, why, failed=True)
    closed = ChangeClosed(record.change.id, ChangeState.FAILED, why, hold=hold)
    await _conclude(executed or Executed((), {}), kit, closed)
    if record.seal is not None:
        await kit.vault.discard(record.seal)
    return Applied(record, ChangeState.FAILED, reason=why)


async def _conclude(executed: Executed, kit: Kit, event: Event) -> None:
    def work(tx: Transaction) -> None:
        tx.record_applied(kit.lane, executed.applied)
        tx.append(event)

    await kit.ledger.write(work)
    kit.memory.drawn = None
    kit.target.learn(executed.applied)


def _summary(executed: Executed) -> str:
    return f"{counted(len(executed.outcomes), 'write')} done"


def arrived(lane: LaneId, closed: ChangeClosed, tx: Transaction) -> None:
    """Ends a change that left its target as it should be: what had failed half-way is over."""
    hold, record = tx.lane(lane).hold, tx.change(closed.change)
    tx.append(closed)
    if record is not None and record.change.cause is Cause.COMMAND:
        return
    if hold is not None and hold.failed and closed.hold is None:
        tx.append(HoldLifted(lane, "a later change arrived"))


def delivered(record: ChangeRecord, seal: Digest, kit: Kit) -> Delivered | None:
    """The lane's new delivered state; a drift repair and a command leave it where it was."""
    if record.change.cause in (Cause.DRIFT, Cause.COMMAND):
        return None
    return Delivered(record.change.after, record.change.revision, seal, kit.clock.now())
