"""A right that a cluster does not give us, as the line that gives it. Pure.

The API server names what it refused in one sentence; whoever reads a page gets the rule to add to
a ClusterRole that carries our label (examples/kubernetes/grants.yaml).
"""

from __future__ import annotations

import re

_REFUSED = re.compile(
    r'cannot (?P<verb>[a-z]+) resource "(?P<resource>[a-z0-9./-]{1,100})" '
    r'in API group "(?P<group>[a-z0-9.-]{0,253})"'
)
_WATCHED = ("pods", "replicasets")


def missing_rule(message: str) -> str:
    """``- {apiGroups: [""], resources: [events], verbs: [list]}``; empty where the message names
    no right."""
    found = _REFUSED.search(message)
    if found is None:
        return ""
    resource, verbs = found["resource"], found["verb"]
    if resource in _WATCHED:
        verbs = "list, watch"
    group = found["group"] or '""'
    return f"- {{apiGroups: [{group}], resources: [{resource}], verbs: [{verbs}]}}"


def advice(message: str) -> str:
    """What to do about a refusal, in words; empty where it is no matter of rights."""
    rule = missing_rule(message)
    said = "the controller's account lacks a right; add this rule to a role of it"
    return f"{said}: {rule}" if rule else ""
