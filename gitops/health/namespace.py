"""Namespaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import HEALTHY, items, progressing, says, status
from gitops.model.health import ObjectHealth

KINDS = (("", "Namespace"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    phase = status(body).get("phase")
    if phase == "Active":
        return HEALTHY
    if phase == "Terminating":
        left = [c for c in items(status(body), "conditions") if c.get("status") == "True"]
        return progressing("; ".join(says(found) for found in left) or "it is being deleted")
    return progressing("it is not active yet")
