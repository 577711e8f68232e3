"""PersistentVolumeClaims: bound, or waiting; one that lost its volume does not get it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import HEALTHY, condition, degraded, is_true, progressing, says, status
from gitops.model.health import ObjectHealth

KINDS = (("", "PersistentVolumeClaim"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    phase = status(body).get("phase")
    if phase == "Lost":
        return degraded("it lost its volume")
    if phase != "Bound":
        return progressing("it is not bound to a volume yet")
    for type in ("ControllerResizeError", "NodeResizeError"):
        failed = condition(body, type)
        if is_true(failed):
            return degraded(says(failed, "it cannot be resized"))
    if is_true(condition(body, "Resizing")):
        return progressing("its volume is being resized")
    return HEALTHY
