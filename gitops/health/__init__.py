"""How an object is doing, judged from its own status: one file per kind, pure functions.

Called by the verify step and by the status page. A rule is a module here with ``KINDS`` (pairs of
group and kind) and ``assess(body) -> ObjectHealth``; the registry finds it by scan. What has no
rule of its own is judged by the usual conditions (:mod:`gitops.health.conditions`).
DEGRADED means "will not become healthy by waiting": a rule that cannot know says PROGRESSING.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from gitops.health import conditions
from gitops.health.status import group_of, obj
from gitops.model.health import Health, ObjectHealth

Rule = Callable[[Mapping[str, Any]], ObjectHealth]


@cache
def rules() -> Mapping[tuple[str, str], Rule]:
    """Every rule by (group, kind)."""
    found: dict[tuple[str, str], Rule] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for kind in getattr(module, "KINDS", ()):
            found[kind] = module.assess
    return found


def assess(body: Mapping[str, Any] | None) -> ObjectHealth:
    """The health of a live object; None is an object that is not there."""
    if body is None:
        return ObjectHealth(Health.MISSING, "it is not there")
    if "deletionTimestamp" in obj(body, "metadata") and body.get("kind") != "Namespace":
        return ObjectHealth(Health.PROGRESSING, _leaving(body))
    rule = rules().get((group_of(body), str(body.get("kind", ""))), conditions.assess)
    return rule(body)


def _leaving(body: Mapping[str, Any]) -> str:
    finalizers = obj(body, "metadata").get("finalizers") or ()
    names = ", ".join(str(name) for name in finalizers)
    return f"it is being deleted; waits for finalizer {names}" if names else "it is being deleted"
