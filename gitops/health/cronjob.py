"""CronJobs: their schedule is healthy whatever their last job did; that job has its own health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import HEALTHY, spec, suspended
from gitops.model.health import ObjectHealth

KINDS = (("batch", "CronJob"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    return suspended("the schedule is suspended") if spec(body).get("suspend") is True else HEALTHY
