"""The digest of the rules an approval was given under.

Part of every seal: when the operator changes who may approve, how many are
needed, what counts as one person or how far a plan may go, what was approved under the old rules
is asked again. Called where seals are made and where they are checked; must stay pure.
"""

from __future__ import annotations

from gitops.model.fleet import ApplicationSpec, ApprovalPolicy, AutoApprove, DeleteBudget, People
from gitops.model.ids import Digest, combine


def policy_digest(application: ApplicationSpec, people: People) -> Digest:
    """Covers the approval policy, the directory of people, and the rules on what may be touched.

    Not covered: what only decides *when* something is asked (drift policy, verify time-out) and
    what the seal holds by itself (targets, renderer options, the account impersonated).
    """
    return combine(
        "policy",
        _approval(application.approval),
        people.digest,
        application.conflicts,
        str(application.prune),
        _budget(application.delete_budget),
    )


def _approval(policy: ApprovalPolicy) -> Digest:
    return combine(
        "approval",
        policy.name,
        combine(*sorted(policy.people)),
        combine(*sorted(policy.groups)),
        policy.quorum,
        str(policy.author_may_approve),
        str(policy.merger_may_approve),
        policy.minimum_grade,
        str(policy.expires_after.total_seconds()),
        _auto(policy.auto),
        *(("reviews count",) if policy.review_counts else ()),
    )


def _auto(auto: AutoApprove | None) -> Digest | None:
    if auto is None:
        return None
    labels = [part for pair in sorted(auto.clusters.items()) for part in pair]
    return combine("auto", str(auto.always), str(auto.no_deletes), str(auto.takes), *labels)


def _budget(budget: DeleteBudget) -> Digest:
    return combine("budget", budget.objects, repr(budget.fraction), *sorted(budget.kinds))
