"""When deleting needs a typed confirmation of its own (promise 6). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from gitops.model.fleet import DeleteBudget
from gitops.model.plan import Action, ResourceChange

_NAMED = 5


def over_budget(
    changes: Iterable[ResourceChange], budget: DeleteBudget, owned: int, what: str = "objects"
) -> tuple[str, ...]:
    """Reasons, in words; empty when the deletes and replacements are within the budget.

    ``owned`` is how many objects the application has before; ``what`` is what they are called.
    """
    lost = [change for change in changes if change.action.destroys]
    if not lost:
        return ()
    reasons = []
    if len(lost) > budget.objects:
        reasons.append(f"{len(lost)} {what} would be deleted, more than {budget.objects}")
    share = Fraction(budget.fraction).limit_denominator(1000)
    if Fraction(len(lost), max(owned, 1)) > share:
        reasons.append(f"{len(lost)} of {owned} {what} would be deleted, more than {share}")
    return (*reasons, *_precious(lost, budget))


def _precious(lost: Sequence[ResourceChange], budget: DeleteBudget) -> list[str]:
    named = [
        f"{'replaces' if change.action is Action.REPLACE else 'deletes'} {change.address}"
        for change in lost
        if change.object is not None and change.object.kind in budget.kinds
    ]
    if len(named) <= _NAMED:
        return named
    return [*named[:_NAMED], f"and {len(named) - _NAMED} more of such kinds"]


def lock_out(body: Mapping[str, Any]) -> str:
    """Why an admission webhook could lock everybody out of the cluster; empty
    when it cannot: one that must answer, for every kind, in every namespace."""
    for hook in body.get("webhooks") or ():
        if not isinstance(hook, Mapping) or hook.get("failurePolicy", "Fail") != "Fail":
            continue
        fenced = hook.get("namespaceSelector") or hook.get("objectSelector")
        if not fenced and any(_everything(rule) for rule in hook.get("rules") or ()):
            return f"webhook {hook.get('name')} can stop every write to the cluster when it is away"
    return ""


def _everything(rule: Any) -> bool:
    if not isinstance(rule, Mapping):
        return False
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    return "*" in groups and bool({"*", "*/*"} & set(map(str, resources)))
