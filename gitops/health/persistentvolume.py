"""PersistentVolumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import HEALTHY, degraded, progressing, says, status
from gitops.model.health import ObjectHealth

KINDS = (("", "PersistentVolume"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    phase = status(body).get("phase")
    if phase == "Failed":
        return degraded(says(status(body), "the volume cannot be reclaimed"))
    return progressing("it is not available yet") if phase in (None, "Pending") else HEALTHY
