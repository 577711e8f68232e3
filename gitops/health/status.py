"""Reading a live object's status without trusting its shape. Used by every health rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.model.health import Health, ObjectHealth

EMPTY: Mapping[str, Any] = {}
HEALTHY = ObjectHealth(Health.HEALTHY)


def obj(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping at ``name``; empty where there is none."""
    value = body.get(name)
    return value if isinstance(value, Mapping) else EMPTY


def spec(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return obj(body, "spec")


def status(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return obj(body, "status")


def group_of(body: Mapping[str, Any]) -> str:
    """The group of ``apiVersion``; empty for the core group."""
    group, slash, _ = str(body.get("apiVersion", "")).rpartition("/")
    return group if slash else ""


def number(holder: Mapping[str, Any], name: str, default: int = 0) -> int:
    value = holder.get(name, default)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def items(holder: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], ...]:
    """The mappings in the list at ``name``."""
    value = holder.get(name)
    if not isinstance(value, list):
        return ()
    return tuple(item for item in value if isinstance(item, Mapping))


def condition(body: Mapping[str, Any], type: str) -> Mapping[str, Any]:
    """The condition of that type; empty where there is none."""
    for found in items(status(body), "conditions"):
        if found.get("type") == type:
            return found
    return EMPTY


def is_true(found: Mapping[str, Any]) -> bool:
    return found.get("status") == "True"


def is_false(found: Mapping[str, Any]) -> bool:
    return found.get("status") == "False"


def says(found: Mapping[str, Any], otherwise: str = "") -> str:
    """A condition's reason and message in one line."""
    reason, message = str(found.get("reason") or ""), str(found.get("message") or "")
    return ": ".join(part for part in (reason, message) if part) or otherwise


def unseen(body: Mapping[str, Any]) -> bool:
    """The controller has not looked at the present generation yet: its status is an old one."""
    observed = status(body).get("observedGeneration")
    generation = obj(body, "metadata").get("generation")
    return isinstance(observed, int) and isinstance(generation, int) and observed < generation


def progressing(reason: str) -> ObjectHealth:
    return ObjectHealth(Health.PROGRESSING, reason)


def degraded(reason: str) -> ObjectHealth:
    return ObjectHealth(Health.DEGRADED, reason)


def suspended(reason: str) -> ObjectHealth:
    return ObjectHealth(Health.SUSPENDED, reason)


UNSEEN = progressing("its controller has not seen the new version yet")
