"""Verify: wait until what was applied is healthy, or say why it is not.

Waits on watch events with a deadline and never polls. A newer commit ends the wait: a rollout that
hangs must not keep back the commit that repairs it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial

from gitops.model.delivery import Cause, ChangeRecord, ChangeState, Hold
from gitops.model.events import ChangeClosed
from gitops.model.health import Health, ObjectHealth
from gitops.model.ids import combine
from gitops.steps.apply import arrived, delivered
from gitops.steps.kit import Kit, wanted
from gitops.steps.render import in_force
from gitops.steps.values import Applied, Outcome

FINE = (Health.HEALTHY, Health.SUSPENDED)


async def verify(applied: Applied, kit: Kit) -> Outcome:
    """Passes on whatever did not get as far as being applied."""
    record = applied.record
    if applied.state is not ChangeState.VERIFYING:
        return Outcome(record, applied.state, applied.reason)
    kit.reached("verify", record)
    health = await _until_healthy(applied, kit)
    if health is None:
        why = "applied; a newer commit took its place before it was healthy"
        return await _close(record, ChangeState.SUPERSEDED, why, applied, kit)
    poor = {id: state for id, state in health.items() if state.health not in FINE}
    if poor:
        return await _close(record, ChangeState.FAILED, _describe(poor), applied, kit)
    why = kit.target.summary(health)
    return await _close(record, applied.well, why, applied, kit)


async def _until_healthy(applied: Applied, kit: Kit) -> Mapping[str, ObjectHealth] | None:
    """None when a newer commit arrived first."""
    seconds = kit.application.verify_timeout.total_seconds()
    written = None if applied.whole else applied.sealed
    waiting = asyncio.ensure_future(kit.target.until_well(written, seconds))
    newer = asyncio.ensure_future(_newer(applied.record, kit))
    try:
        await asyncio.wait({waiting, newer}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        for task in (waiting, newer):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _newer(record: ChangeRecord, kit: Kit) -> None:
    """Returns when the source wants something else of this lane than what was just applied."""
    if record.change.cause is Cause.COMMAND or not kit.supplies.known:
        await asyncio.Event().wait()
    lane = await kit.ledger.read(lambda reading: reading.lane(kit.lane))
    live = record.change.after
    if record.change.cause is Cause.DRIFT:
        live = lane.delivered.closure if lane.delivered else live
    while True:
        facts = await kit.target.facts()
        rendered = await kit.renders.of(
            kit.application, kit.newest(), facts, kit.supplies, gone=True
        )
        back = record.change.rollback or lane.rollback
        if await wanted(kit, await in_force(kit, rendered, back)) != live:
            return
        await kit.memory.newer.wait()
        kit.memory.newer.clear()


def _describe(poor: Mapping[str, ObjectHealth]) -> str:
    words = [f"{id} is {state.health}: {state.reason}" for id, state in poor.items()]
    more = len(words) - 5
    return "; ".join(words[:5]) + (f"; and {more} more" if more > 0 else "")


async def _close(
    record: ChangeRecord, state: ChangeState, why: str, applied: Applied, kit: Kit
) -> Outcome:
    """Whatever the health, the bytes are live: the lane's delivered state moves with them."""
    now = delivered(record, record.seal or combine("unsealed"), kit)
    hold = None
    if state is ChangeState.FAILED and record.change.cause is not Cause.COMMAND:
        hold = Hold(record.plan or combine(), record.change.after, why)
    closed = ChangeClosed(record.change.id, state, why, now, hold)
    await kit.ledger.write(partial(arrived, kit.lane, closed))
    if record.seal is not None:
        await kit.vault.discard(record.seal)
    return Outcome(record, state, why)
