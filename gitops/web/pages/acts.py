"""What an operator can do about a change, as it stands. Pure.

Offered by its page; the gate and the orders have the last word on each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitops.model.delivery import (
    Cause,
    ChangeState,
)
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import DeliveryId, short
from gitops.model.serving import Role
from gitops.web.auth.viewer import Viewer
from gitops.web.changes import Found

if TYPE_CHECKING:
    from gitops.engine.lanes import Trouble


@dataclass(frozen=True, slots=True)
class Act:
    """One thing an operator can do about a change."""

    name: str
    label: str
    says: str
    fields: tuple[tuple[str, str], ...] = ()
    reason: bool = False
    danger: bool = False


def acts_of(
    viewer: Viewer, found: Found, spec: ApplicationSpec | None, trouble: Trouble | None
) -> tuple[Act, ...]:
    """What fits its state; the gate and the orders have the last word."""
    if spec is None or not viewer.csrf or not viewer.may(Role.OPERATOR, spec):
        return ()
    acts: list[Act] = []
    state, lane, name = found.record.state, found.lane, spec.name
    newest = _newest(found)
    if trouble is not None and trouble.lock and spec.terraform is not None:
        fields = (("lock", trouble.lock),)
        says = f"If nobody works with lock {trouble.lock} any more, ask whether it may be forced."
        acts.append(Act("unlock", "Ask to force the lock", says, fields))
    stuck = trouble is not None and not trouble.waits
    if newest and (stuck or (state is ChangeState.FAILED and lane.hold is not None)):
        says = "Try it again, under the same approval while that holds."
        acts.append(Act("retry", "Try again", says))
    held = lane.hold is not None or lane.drift_hold is not None
    asks = state in (ChangeState.DENIED, ChangeState.EXPIRED, ChangeState.REPORTED)
    if newest and ((asks and held) or state is ChangeState.BLOCKED):
        acts.append(Act("again", "Ask again", f"Look at {name} again and ask people about it."))
    acts += _ways_back(found, newest=newest)
    return tuple(acts)


def _newest(found: Found) -> bool:
    """Has its lane had no other change since?"""
    lane, change = found.lane, found.change
    if lane.current is not None:
        return lane.current == change.id
    return lane.generation == change.generation + 1


def _ways_back(found: Found, *, newest: bool) -> list[Act]:
    lane, delivery, change = found.lane, found.delivery, found.change
    if delivery is None or change.cause not in (Cause.COMMIT, Cause.ROLLBACK):
        return []
    now = lane.delivered.closure if lane.delivered else None
    if delivery.state is ChangeState.HEALTHY and now != change.after:
        at = short(change.revision.id)
        return [_back(delivery.id, f"Ask to go back to {at}, which this delivery brought.")]
    if newest and found.earlier is not None and (now == change.after or lane.hold is not None):
        before = found.earlier.change.change.revision
        return [
            _back(found.earlier.id, f"Ask to go back to {short(before.id)}, which was healthy.")
        ]
    return []


def _back(delivery: DeliveryId, says: str) -> Act:
    fields = (("delivery", delivery),)
    return Act("rollback", "Roll back", says, fields, reason=True, danger=True)
