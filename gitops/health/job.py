"""Jobs: healthy once complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import (
    HEALTHY,
    condition,
    degraded,
    is_true,
    number,
    progressing,
    says,
    spec,
    status,
    suspended,
)
from gitops.model.health import ObjectHealth

KINDS = (("batch", "Job"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    for type in ("Failed", "FailureTarget"):
        failed = condition(body, type)
        if is_true(failed):
            return degraded(says(failed, "the job failed"))
    if is_true(condition(body, "Complete")):
        return HEALTHY
    if is_true(condition(body, "Suspended")) or spec(body).get("suspend") is True:
        return suspended("the job is suspended")
    wanted, done = number(spec(body), "completions", 1), number(status(body), "succeeded")
    return progressing(f"{done} of {wanted} completions")
