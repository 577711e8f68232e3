"""Fields that belong to another manager: found in the diff, or left out of what we send. Pure.

The server names them in its own way (``.spec.template.spec.containers[name="web"].image``).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gitops.model.plan import ABSENT, FieldChange

Conflict = tuple[str, str]
"""(manager, path as the server writes it)."""

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_MANY = 20


def readable(path: str) -> str:
    """The server's path as :mod:`gitops.diff` would write it."""
    return _QUOTED.sub(r"\1", path).removeprefix(".")


def mark(changes: Iterable[FieldChange], conflicts: Iterable[Conflict]) -> tuple[FieldChange, ...]:
    """Says of each change from whom it takes the field. A conflict that shows in no change gets
    an entry of its own: nothing is taken silently."""
    found = list(changes)
    for manager, path in conflicts:
        wanted = readable(path)
        hits = [n for n, change in enumerate(found) if _touches(change.path, wanted)]
        for number in hits:
            names = {*filter(None, found[number].taken_from.split(", ")), manager}
            found[number] = replace(found[number], taken_from=", ".join(sorted(names)))
        if not hits:
            found.append(FieldChange(wanted, ABSENT, ABSENT, taken_from=manager))
    return tuple(found)


def _touches(path: str, wanted: str) -> bool:
    return path == wanted or _under(path, wanted) or _under(wanted, path)


def _under(path: str, parent: str) -> bool:
    return path.startswith((f"{parent}.", f"{parent}["))


def leave_out(body: Mapping[str, Any], conflicts: Iterable[Conflict]) -> dict[str, Any] | None:
    """A copy of ``body`` without the fields in conflict; None where one could not be found, which
    must never be taken for "nothing to leave out"."""
    trimmed = copy.deepcopy(dict(body))
    for _, path in conflicts:
        if not _drop(trimmed, path):
            return None
    return trimmed


def _drop(node: Any, path: str) -> bool:
    for _ in range(_MANY * 5):
        step = _next(node, path)
        if step is None:
            return False
        key, rest = step
        if not rest:
            del node[key]
            return True
        node, path = node[key], rest
    return False


def _next(node: Any, path: str) -> tuple[Any, str] | None:
    """The first step of ``path`` that ``node`` has, and what is left. Names may hold dots, so the
    longest name that fits is taken."""
    if isinstance(node, dict) and path.startswith("."):
        fitting = [key for key in node if _starts(path[1:], key)]
        if not fitting:
            return None
        key = max(fitting, key=len)
        return key, path[1 + len(key) :]
    if isinstance(node, list) and path.startswith("["):
        return _item(node, path)
    return None


def _starts(path: str, key: str) -> bool:
    return path == key or (path.startswith(key) and path[len(key)] in ".[")


def _item(items: list[Any], path: str) -> tuple[int, str] | None:
    for index, item in enumerate(items):
        for label in _labels(item, index):
            if path.startswith(label):
                return index, path[len(label) :]
    return None


def _labels(item: Any, index: int) -> Iterable[str]:
    yield f"[{index}]"
    if not isinstance(item, dict):
        return
    for names in (("name",), ("key",), ("type",), ("ip",), ("mountPath",), ("devicePath",)):
        if all(name in item for name in names):
            yield f"[{','.join(f'{name}={_literal(item[name])}' for name in names)}]"
    for port in ("containerPort", "port"):
        if port in item:
            yield f'[{port}={item[port]},protocol="{item.get("protocol", "TCP")}"]'


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
