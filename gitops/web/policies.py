"""Who may approve what of an application, and what is done about drift; in words. Pure.

Called for its page and the API.
"""

from __future__ import annotations

from gitops.model.fleet import ApplicationSpec, ApprovalPolicy, DriftPolicy
from gitops.model.terraform import TerraformSpec

_DRIFT = {
    DriftPolicy.ASK: "somebody is asked before it is put back",
    DriftPolicy.HEAL: "it is put back without asking, as it was approved before",
    DriftPolicy.REPORT: "it is told, and left alone",
    DriftPolicy.IGNORE: "it is not looked for",
}


def policy(spec: ApplicationSpec) -> tuple[tuple[str, str], ...]:
    """Who may approve, and what is done about drift and what is not wanted any more; in words."""
    rows = [("Approval", _approval(spec.approval)), ("Changed by hand", _DRIFT[spec.drift])]
    if spec.terraform is not None:
        return (*rows, ("Workspace", _workspace(spec.terraform)))
    budget = spec.delete_budget
    prune = (
        f"deleted; more than {budget.objects} objects, or {budget.fraction:.0%} of them, "
        "take a typed confirmation"
    )
    rows.append(("Left the source", prune if spec.prune else "left where it is"))
    if spec.run_as:
        rows.append(("Written as", spec.run_as))
    return tuple(rows)


def _approval(policy: ApprovalPolicy) -> str:
    named = [*(f"group {group}" for group in policy.groups), *policy.people]
    who = ", ".join(named) or "anybody in people"
    words = [f"{policy.quorum} of: {who}"]
    if not policy.author_may_approve:
        words.append("never an author")
    if policy.auto is not None:
        words.append(f"without asking: {_auto(policy)}")
    hours = policy.expires_after.total_seconds() / 3_600
    return f"{'; '.join(words)}; a question ends after {hours:g} h"


def _auto(policy: ApprovalPolicy) -> str:
    auto = policy.auto
    assert auto is not None
    if auto.always:
        return "everything but deletes beyond the budget"
    words = ["what deletes nothing"] if auto.no_deletes else []
    labels = ", ".join(f"{key}={value}" for key, value in sorted(auto.clusters.items()))
    return " ".join([*words, *([f"where {labels}"] if labels else [])]) or "nothing"


def _workspace(terraform: TerraformSpec) -> str:
    every = terraform.drift_every.total_seconds() / 60
    return f"{terraform.workspace}, by {terraform.binary}; looked at every {every:g} min"
