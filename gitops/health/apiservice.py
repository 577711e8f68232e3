"""APIServices: the aggregated server behind one has to answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import HEALTHY, condition, is_true, progressing, says
from gitops.model.health import ObjectHealth

KINDS = (("apiregistration.k8s.io", "APIService"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    available = condition(body, "Available")
    if is_true(available):
        return HEALTHY
    return progressing(says(available, "its server has not answered yet"))
