"""Any kind without a rule of its own: judged by the conditions controllers agree on.

The reading follows the Kubernetes API conventions (`Ready`, `Available`, `observedGeneration`) and
kstatus (`Reconciling`, `Stalled`). A kind that reports nothing is healthy by being there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import (
    HEALTHY,
    UNSEEN,
    condition,
    degraded,
    is_false,
    is_true,
    progressing,
    says,
    unseen,
)
from gitops.model.health import ObjectHealth

_POSITIVE = ("Ready", "Available", "Healthy", "Synced")


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    if unseen(body):
        return UNSEEN
    stalled = condition(body, "Stalled")
    if is_true(stalled):
        return degraded(says(stalled, "Stalled"))
    failed = condition(body, "Failed")
    if is_true(failed):
        return degraded(says(failed, "Failed"))
    return _positive(body)


def _positive(body: Mapping[str, Any]) -> ObjectHealth:
    reconciling = condition(body, "Reconciling")
    if is_true(reconciling):
        return progressing(says(reconciling, "Reconciling"))
    for type in _POSITIVE:
        found = condition(body, type)
        if found and not is_true(found):
            word = "not" if is_false(found) else "not known to be"
            return progressing(says(found, f"{word} {type}"))
    return HEALTHY
