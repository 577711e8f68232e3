"""Claims in planned values: what a root will really have, whatever its language says.

Called with ``show -json`` of a plan. Only ranges and addresses of resources leave here: a value
that is marked sensitive is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gitops.cidr.claims import MAX_CLAIMS, Found
from gitops.cidr.names import is_part, mentions
from gitops.cidr.values import handed_out

_DEEPEST = 50
"""Modules in modules, and values in values."""


def claims_in_plan(shown: Mapping[str, Any]) -> tuple[Found, ...]:
    """Ranges of every managed resource as planned, changed or not. ``what`` is the address and the
    attribute (``module.net.aws_vpc.main.cidr_block``); there is no file."""
    found: dict[Found, None] = {}
    for resource in _resources(shown):
        for each in _of(resource):
            found[each] = None
            if len(found) >= MAX_CLAIMS:
                return tuple(found)
    return tuple(found)


def _resources(shown: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    planned = _mapping(_mapping(shown.get("planned_values")).get("root_module"))
    waiting = [(planned, 0)]
    while waiting:
        module, depth = waiting.pop()
        for resource in _list(module.get("resources")):
            yield {**_mapping(resource), "sensitive": _mapping(resource).get("sensitive_values")}
        if depth < _DEEPEST:
            waiting += [(_mapping(m), depth + 1) for m in _list(module.get("child_modules"))]
    for change in _list(shown.get("resource_changes")):
        after = _mapping(_mapping(change).get("change"))
        sensitive = after.get("after_sensitive")
        yield {**_mapping(change), "values": after.get("after"), "sensitive": sensitive}


def _of(resource: Mapping[str, Any]) -> Iterator[Found]:
    kind, address = str(resource.get("type", "")), str(resource.get("address", ""))
    if resource.get("mode", "managed") != "managed" or mentions((kind,)):
        return
    shown = _shown(resource.get("values"), resource.get("sensitive"))
    for name, value in _mapping(shown).items():
        for where, range, _ in handed_out(str(name), value):
            yield Found(range, f"{address}.{where}", part=is_part((kind,)))


def _shown(value: Any, hidden: Any, depth: int = 0) -> Any:
    """The value without what is sensitive in it: ``hidden`` has its shape, true at such places."""
    if hidden is True or depth > _DEEPEST:
        return None
    if isinstance(value, Mapping) and isinstance(hidden, Mapping):
        return {key: _shown(inner, hidden.get(key), depth + 1) for key, inner in value.items()}
    if isinstance(value, list) and isinstance(hidden, list):
        marks = [*hidden, *([None] * (len(value) - len(hidden)))]
        return [_shown(inner, mark, depth + 1) for inner, mark in zip(value, marks, strict=False)]
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
