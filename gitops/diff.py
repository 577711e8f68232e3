"""What differs between two objects, as a person would name it.

Pure. Called by planning for every object that would change. It never masks: its results hold raw
values and must go through :mod:`gitops.masking` before anybody sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitops.model.plan import ABSENT

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SERVER_METADATA = (
    "managedFields",
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "selfLink",
)
"""Metadata of a live object that the server alone writes."""
_READABLE = 160
"""Characters of a value that still read well in one row; longer ones are shown part by part."""

# How the API names the items of its lists (`x-kubernetes-list-map-keys` and `patchMergeKey` of the
# built-in kinds): by the list's own name first, else by the first key that tells all items apart.
_KEYS_OF: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "ports": (("containerPort", "protocol"), ("port", "protocol"), ("name",)),
    "volumeMounts": (("mountPath",),),
    "volumeDevices": (("devicePath",),),
    "hostAliases": (("ip",),),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
    "ownerReferences": (("uid",),),
    "conditions": (("type",),),
}
_COMMON_KEYS = (("name",), ("key",), ("type",), ("host",), ("path",), ("id",))
_DEFAULTS = {"protocol": "TCP"}


@dataclass(frozen=True, slots=True)
class RawFieldChange:
    """One field before and after, values unmasked; ABSENT where it is not there."""

    path: str
    """``spec.template.spec.containers[name=web].image``."""
    keys: tuple[str, ...]
    """The path's steps; a list item is one step, ``[name=web]`` or ``[3]``."""
    before: Any
    after: Any


def fields(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[RawFieldChange, ...]:
    """Every difference, in order of path; None stands for an object that is not there.

    What is new or gone is one entry at its highest node, taken apart where it would be too long
    to read. An object new or gone as a whole leaves out its identity: the address says it.
    """
    if before is None or after is None:
        one, other = _content(before), _content(after)
    else:
        one, other = comparable(before), comparable(after)
    return tuple(_sorted(_between((), one, other)))


def comparable(body: Mapping[str, Any]) -> dict[str, Any]:
    """``body`` without what the server alone writes and without kubectl's copy of the manifest."""
    kept = {key: value for key, value in body.items() if key not in ("status", "metadata")}
    metadata = {k: v for k, v in body.get("metadata", {}).items() if k not in SERVER_METADATA}
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and LAST_APPLIED in annotations:
        rest = {k: v for k, v in annotations.items() if k != LAST_APPLIED}
        metadata.pop("annotations")
        if rest:
            metadata["annotations"] = rest
    return {**kept, "metadata": metadata}


def _content(body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if body is None:
        return {}
    kept = comparable(body)
    kept.pop("apiVersion", None)
    kept.pop("kind", None)
    rest = {k: v for k, v in kept.pop("metadata").items() if k not in ("name", "namespace")}
    return {**kept, "metadata": rest} if rest else kept


def _sorted(changes: Iterator[RawFieldChange]) -> list[RawFieldChange]:
    return sorted(changes, key=lambda change: change.keys)


def _between(keys: tuple[str, ...], one: Any, other: Any) -> Iterator[RawFieldChange]:
    if one is ABSENT or other is ABSENT:
        yield from _whole(keys, one, other)
    elif isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in one.keys() | other.keys():
            yield from _between((*keys, name), one.get(name, ABSENT), other.get(name, ABSENT))
    elif isinstance(one, list) and isinstance(other, list):
        yield from _lists(keys, one, other)
    elif not same(one, other):
        yield _change(keys, one, other)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: ``1`` is not ``true``, though Python says so."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _lists(keys: tuple[str, ...], one: list[Any], other: list[Any]) -> Iterator[RawFieldChange]:
    if same(one, other):
        return
    names = merge_keys(keys[-1] if keys else "", one, other)
    if names is None:
        yield from _by_position(keys, one, other)
        return
    mine = {label(item, names): item for item in one}
    yours = {label(item, names): item for item in other}
    found = False
    for name in dict.fromkeys((*mine, *yours)):
        for change in _between((*keys, name), mine.get(name, ABSENT), yours.get(name, ABSENT)):
            found = True
            yield change
    if not found:
        # Only the order moved, and order can mean something (init containers run in it).
        yield _change((*keys, "[order]"), list(mine), list(yours))


def _by_position(
    keys: tuple[str, ...], one: list[Any], other: list[Any]
) -> Iterator[RawFieldChange]:
    plain = not any(isinstance(item, dict | list) for item in (*one, *other))
    if plain and len(one) != len(other):
        # An item in the middle would move all that follow: the two lists side by side read better.
        yield _change(keys, one, other)
        return
    for index in range(max(len(one), len(other))):
        mine = one[index] if index < len(one) else ABSENT
        yours = other[index] if index < len(other) else ABSENT
        yield from _between((*keys, f"[{index}]"), mine, yours)


def _whole(keys: tuple[str, ...], one: Any, other: Any) -> Iterator[RawFieldChange]:
    value = other if one is ABSENT else one
    if one is other:
        return
    for deeper, part in _readable(keys, value):
        yield _change(deeper, ABSENT, part) if one is ABSENT else _change(deeper, part, ABSENT)


def _readable(keys: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """``value`` in one piece if that reads well, else its parts."""
    if keys and (not isinstance(value, Mapping | list) or not value or _size(value) <= _READABLE):
        yield keys, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _readable((*keys, name), item)
    elif any(isinstance(item, dict | list) for item in value):
        names = merge_keys(keys[-1], value, value)
        for index, item in enumerate(value):
            step = f"[{index}]" if names is None else label(item, names)
            yield from _readable((*keys, step), item)
    else:
        yield keys, value


def _size(value: Any) -> int:
    """Roughly how many characters a value takes; stops counting beyond what reads well."""
    if isinstance(value, str):
        return len(value) + 2
    if isinstance(value, Mapping):
        value = [part for pair in value.items() for part in pair]
    elif not isinstance(value, list):
        return 5
    total = 0
    for item in value:
        total += _size(item) + 1
        if total > _READABLE:
            break
    return total


def merge_keys(name: str, one: Sequence[Any], other: Sequence[Any]) -> tuple[str, ...] | None:
    """The keys that tell the items of a list called ``name`` apart on both sides, if any do."""
    items = (*one, *other)
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    for names in (*_KEYS_OF.get(name, ()), *_COMMON_KEYS):
        if all(_has(item, names) for item in items) and _apart(one, names) and _apart(other, names):
            return names
    return None


def _has(item: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    values = (item.get(name, _DEFAULTS.get(name)) for name in names)
    return all(isinstance(value, str | int) for value in values)


def _apart(items: Sequence[Any], names: tuple[str, ...]) -> bool:
    return len({label(item, names) for item in items}) == len(items)


def label(item: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """``[containerPort=80,protocol=TCP]``: as the API server writes it, without quotes."""
    return f"[{','.join(f'{name}={item.get(name, _DEFAULTS.get(name))}' for name in names)}]"


def _change(keys: tuple[str, ...], before: Any, after: Any) -> RawFieldChange:
    return RawFieldChange(join(keys), keys, before, after)


def join(keys: tuple[str, ...]) -> str:
    """The steps of a path as text: ``spec.containers[name=web].image``."""
    text = ""
    for key in keys:
        text += key if not text or key.startswith("[") else f".{key}"
    return text
