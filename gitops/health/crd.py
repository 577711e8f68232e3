"""CustomResourceDefinitions: usable once their names are accepted and they are established."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import HEALTHY, condition, degraded, is_false, is_true, progressing, says
from gitops.model.health import ObjectHealth

KINDS = (("apiextensions.k8s.io", "CustomResourceDefinition"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    accepted = condition(body, "NamesAccepted")
    if is_false(accepted) and accepted.get("reason") not in ("NotAccepted", None):
        return degraded(says(accepted, "its names are taken"))
    established = condition(body, "Established")
    if is_true(established):
        return HEALTHY
    return progressing(says(established, "the server does not serve it yet"))
