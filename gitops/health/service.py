"""Services: only those with a load balancer have to wait for anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.health.status import HEALTHY, items, obj, progressing, spec, status
from gitops.model.health import ObjectHealth

KINDS = (("", "Service"),)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    if spec(body).get("type") != "LoadBalancer":
        return HEALTHY
    if items(obj(status(body), "loadBalancer"), "ingress") or spec(body).get("externalIPs"):
        return HEALTHY
    return progressing("it has no load balancer address yet")
