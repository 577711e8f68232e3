"""Does somebody keep changing what we keep putting back?

Asked by the desk before a drift is mended without a person's yes. Two parties who correct each
other for ever are a quarrel only people can end, so what nobody approves is done a few times an
hour and no more. Counted from the store's deliveries: a restart or another replica knows as much.
"""

from __future__ import annotations

from collections import Counter

from gitops.model.delivery import Cause, Change, DeliveryRecord
from gitops.model.plan import Plan
from gitops.ports import Reading

BY_POLICY = "drift policy heal"
"""Stands for the approver of what the drift policy put back."""
HEALS = 3
WITHIN = 3600.0
"""Seconds. So many times each object is put back in that time before people are asked."""
_LOOKED_AT = 200


def quarrel(reading: Reading, change: Change, plan: Plan, now: float) -> str:
    """Who keeps changing what, in words, once it was put back often enough; empty before.

    Counted by object, not by the drift's digest alone: an autoscaler writes another value each
    time.
    """
    newest = reading.deliveries(lane=change.lane, limit=_LOOKED_AT)
    heals = [delivery for delivery in newest if _healed(delivery, now - WITHIN)]
    if len(heals) < HEALS:
        return ""
    plans = [reading.plan(delivery.change.change.id) for delivery in heals]
    times = Counter(each.address for past in plans if past for each in past.changes)
    often = [each.address for each in plan.changes if times[each.address] >= HEALS]
    if not often:
        return ""
    more = f" and {len(often) - 1} more" if len(often) > 1 else ""
    return (
        f"{often[0]}{more} was put back {times[often[0]]} times within the hour and is changed "
        f"again by {_whom(plan)}: it is put back only if somebody says so"
    )


def _healed(delivery: DeliveryRecord, since: float) -> bool:
    if delivery.change.change.cause is not Cause.DRIFT or delivery.started_at <= since:
        return False
    return all(by == BY_POLICY or by.startswith("policy ") for by in delivery.approved_by)


def _whom(plan: Plan) -> str:
    """The field managers the server names; a deleted object names nobody."""
    names = {field.taken_from for each in plan.changes for field in each.fields}
    return ", ".join(sorted(names - {""})) or "somebody the cluster does not name"
