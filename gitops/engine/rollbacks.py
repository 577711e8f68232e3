"""``gitops rollback``: which earlier delivery is meant, and the changes that go back to it.

The controller calls it for a person; rendering what was delivered then is the steps' business
(:mod:`gitops.steps.rollback`). A rollback is a change like any other: asked about, sealed, claimed.
Only its beginning is special, and that is here: it takes the place of whatever waits in its lane,
and never of what is being applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gitops.engine.ledger import open_change
from gitops.engine.pauses import paused
from gitops.errors import NotAllowed, Outdated, Unknown
from gitops.model.delivery import (
    CLAIMED,
    Cause,
    Change,
    ChangeRecord,
    ChangeState,
    DeliveryRecord,
    LaneId,
    LaneRecord,
)
from gitops.model.events import ChangeClosed, ChangeOpened
from gitops.model.ids import ApplicationName, short
from gitops.model.source import Revision
from gitops.ports import Reading, Transaction

LOOKED_AT = 500
"""Deliveries of a lane among which an earlier one is looked for."""
KEPT = 5
"""States of a lane that stay to be gone back to where a source does not keep them by itself."""
_NEAR = 100
"""Deliveries of a lane, repairs among them, among which the live one is looked for."""
_BROUGHT = (Cause.COMMIT, Cause.ROLLBACK)
"""Causes whose deliveries made a lane what it is; a repair or a command leaves it that."""


def earlier_deliveries(reading: Reading, lane: LaneRecord) -> tuple[DeliveryRecord, ...]:
    """Healthy deliveries a lane can go back to, newest first: those before what is delivered now.
    After a rollback, those before the one it went to."""
    found = [
        row
        for row in reading.deliveries(lane=lane.lane, limit=LOOKED_AT)
        if row.state is ChangeState.HEALTHY and row.change.change.cause in _BROUGHT
    ]
    if lane.rollback is not None:
        ids = [row.id for row in found]
        if lane.rollback.delivery in ids:
            found = found[ids.index(lane.rollback.delivery) + 1 :]
    if half_way(lane):
        return tuple(found)
    now = lane.delivered.closure if lane.delivered else None
    return tuple(row for row in found if row.change.change.after != now)


def went_before(reading: Reading, lane: LaneRecord) -> list[Revision]:
    """The revisions a source that forgets has to keep for a lane to go back to."""
    rows = reading.deliveries(lane=lane.lane, limit=_NEAR)
    healthy = [row.change.change for row in rows if row.state is ChangeState.HEALTHY]
    brought = [change.revision for change in healthy if change.cause in _BROUGHT]
    return list(dict.fromkeys(brought))[:KEPT]


def live(reading: Reading, lane: LaneId) -> DeliveryRecord | None:
    """The delivery whose state the lane has now; a commit of which nothing differed made none."""
    record = reading.lane(lane)
    if record.delivered is None:
        return None
    for row in reading.deliveries(lane=lane, limit=_NEAR):
        brought = row.change.change.cause in _BROUGHT and row.finished_at is not None
        arrived = row.state is ChangeState.HEALTHY
        if brought and (arrived or row.change.change.after == record.delivered.closure):
            return row
    return None


def half_way(lane: LaneRecord) -> bool:
    """Is something live that is not what counts as delivered?"""
    return lane.hold is not None and lane.hold.failed


def named(reading: Reading, id: str, application: ApplicationName) -> DeliveryRecord:
    """The delivery a person named. Raises Unknown, NotAllowed in words."""
    found = reading.delivery(id)
    hint = f"gitops deliveries {application}"
    if found is None:
        raise Unknown(f"there is no delivery {id[:40]!r}", hint=hint)
    change, name = found.change.change, short(found.id)
    if change.lane.application != application:
        raise NotAllowed(f"{name} is a delivery of {change.lane}", hint=hint)
    if found.state is not ChangeState.HEALTHY:
        raise NotAllowed(
            f"{name} is {found.state}: only what was healthy is gone back to", hint=hint
        )
    if change.cause not in _BROUGHT:
        raise NotAllowed(
            f"{name} put something back or was a command: it brought no other state", hint=hint
        )
    return found


def chosen(
    lanes: tuple[LaneId, ...], meant: DeliveryRecord | None, target: str
) -> tuple[LaneId, ...]:
    """The lanes a person means: that of the delivery they named, or of the target. Raises Unknown
    when there is none."""
    lane = meant.change.change.lane if meant else None
    found = tuple(
        each for each in lanes if (lane is None or each == lane) and target in ("", each.target)
    )
    if found:
        return found
    known = ", ".join(each.target for each in lanes)
    what = str(lane) if lane else f"target {target[:63]!r}"
    raise Unknown(f"{what} is not where it is delivered to now", hint=f"targets: {known}")


def refusal(reading: Reading, lane: LaneId, now: float) -> str:
    """Why a lane cannot be rolled back at this moment, in words; empty when it can."""
    pause = paused(reading, lane.application, now)
    if pause is not None:
        return f"{lane.application} is {pause.told}"
    current = open_change(reading, reading.lane(lane))
    if current is not None and current.state in CLAIMED:
        return f"{lane} is being applied, and that is never cancelled: roll back once it is through"
    return ""


def begin(
    tx: Transaction, drafts: Iterable[tuple[LaneRecord, Change]], now: float
) -> Sequence[tuple[Change, ChangeRecord | None]]:
    """Opens the changes, each in the place of whatever waits in its lane (given back with it).

    Raises NotAllowed when a lane moved since its draft was made.
    """
    begun = []
    for seen, draft in drafts:
        lane = tx.lane(draft.lane)
        if why := refusal(tx, draft.lane, now):
            raise NotAllowed(why)
        if (lane.delivered, lane.hold, lane.rollback) != (seen.delivered, seen.hold, seen.rollback):
            raise Outdated(f"{draft.lane} moved meanwhile", hint="look again: gitops deliveries")
        current = open_change(tx, lane)
        if current is not None:
            by = draft.rollback.by if draft.rollback else "somebody"
            why = f"{by} asked to roll back to {draft.revision} instead"
            tx.append(ChangeClosed(current.change.id, ChangeState.SUPERSEDED, why))
        change = replace(draft, generation=tx.lane(draft.lane).generation)
        tx.append(ChangeOpened(change))
        begun.append((change, current))
    return begun
