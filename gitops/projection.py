"""Which fields of a live object are ours, and their values.

Server-side apply keeps, per field manager, a *mask* of the fields it owns (``managedFields``, in
the FieldsV1 format). An object's values under our mask are its *projection*: defaults and other
people's fields do not show in it, an edit of a field of ours does. Pure; called by planning for
every live object once per resource version, so it is written for speed. It ignores ``status`` and
the metadata that the server writes.

A mask is the FieldsV1 value itself: nested mappings whose keys are ``f:NAME`` (a field),
``k:{...}`` (a list item by its merge keys), ``v:...`` (a member of a set), ``i:N`` (an item by
position) and ``.`` (the thing itself). An empty mapping is a leaf: the whole value belongs to us.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from gitops import snug
from gitops.diff import SERVER_METADATA
from gitops.model.cluster import FIELD_MANAGER
from gitops.model.ids import Digest
from gitops.ports import Digester

Mask = Mapping[str, Any]
"""FieldsV1; shared with the live object it came from, so never changed in place."""

_ABSENT = object()
_SERVER_METADATA = frozenset(f"f:{name}" for name in SERVER_METADATA)


def owned(body: Mapping[str, Any], manager: str = FIELD_MANAGER) -> Mask:
    """The fields ``manager`` applied, over all API versions it used; subresources don't count."""
    mask: Mask = {}
    for entry in body.get("metadata", {}).get("managedFields") or ():
        if entry.get("manager") != manager or entry.get("operation") != "Apply":
            continue
        if entry.get("subresource"):
            continue
        found = entry.get("fieldsV1") or {}
        mask = merge(mask, found) if mask else found
    return _without_server_fields(mask)


def _without_server_fields(mask: Mask) -> Mask:
    metadata = mask.get("f:metadata") or {}
    if "f:status" not in mask and _SERVER_METADATA.isdisjoint(metadata):
        return mask
    kept = {key: value for key, value in mask.items() if key != "f:status"}
    if metadata:
        kept["f:metadata"] = {k: v for k, v in metadata.items() if k not in _SERVER_METADATA}
    return kept


def merge(one: Mask, other: Mask) -> Mask:
    """The union of two masks. A leaf means the whole value, so it wins over its own parts."""
    if one is other:
        return one
    merged = dict(one)
    for key, value in other.items():
        mine = merged.get(key)
        if mine is None:
            merged[key] = value
        elif key != "." and mine and value:
            merged[key] = merge(mine, value)
        else:
            merged[key] = {}
    return merged


def mask_bytes(mask: Mask) -> bytes:
    """Deterministic JSON of a mask."""
    return snug.dumps(mask, sort=True)


def mask_from_bytes(data: bytes) -> Mask:
    """The inverse of :func:`mask_bytes`; empty bytes are the empty mask."""
    mask: Mask = orjson.loads(data) if data else {}
    return mask


def project(body: Mapping[str, Any] | None, mask: Mask) -> Any:
    """The values of ``body`` under ``mask``, keyed like the mask; what is not there is left out.

    None for an object that is not there at all.
    """
    return None if body is None else _fields(body, mask)


def _fields(value: Any, mask: Mask) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, deeper in mask.items():
        item = _step(value, key)
        if item is _ABSENT:
            continue
        if not deeper or not isinstance(item, dict | list):
            found[key] = item
        else:
            found[key] = _fields(item, deeper)
    return found


def _step(value: Any, key: str) -> Any:
    if key[:2] == "f:":
        return value.get(key[2:], _ABSENT) if isinstance(value, dict) else _ABSENT
    if key == ".":
        return True
    if not isinstance(value, list):
        return _ABSENT
    return _item(value, key)


def _item(items: list[Any], key: str) -> Any:
    kind, wanted = key[:2], _literal(key[2:])
    if kind == "k:":
        pairs = wanted.items()
        for item in items:
            if isinstance(item, dict) and all(item.get(k, _DEFAULTS.get(k)) == v for k, v in pairs):
                return item
        return _ABSENT
    if kind == "v:":
        return True if wanted in items else _ABSENT
    return items[wanted] if isinstance(wanted, int) and wanted < len(items) else _ABSENT


# The one merge key with a default that the server leaves out of some lists' items.
_DEFAULTS = {"protocol": "TCP"}


@lru_cache(maxsize=65_536)
def _literal(text: str) -> Any:
    return orjson.loads(text)


def digest(body: Mapping[str, Any] | None, mask: Mask, digester: Digester) -> Digest | None:
    """Keyed digest of the projection; None for an object that is not there."""
    if body is None:
        return None
    return digester.of(orjson.dumps(_fields(body, mask), option=orjson.OPT_SORT_KEYS))


def leaves(mask: Mask, prefix: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    """Every path of a mask down to its leaves, as mask keys; ``.`` is no leaf of its own."""
    for key, deeper in mask.items():
        if key == ".":
            continue
        if deeper and set(deeper) != {"."}:
            yield from leaves(deeper, (*prefix, key))
        else:
            yield (*prefix, key)


def managers_of(
    body: Mapping[str, Any], path: tuple[str, ...], ours: str = FIELD_MANAGER
) -> tuple[str, ...]:
    """Other managers that own the field at ``path`` (mask keys), or something beneath it."""
    names = {
        str(entry.get("manager", ""))
        for entry in body.get("metadata", {}).get("managedFields") or ()
        if entry.get("manager") != ours and _reaches(entry.get("fieldsV1") or {}, path)
    }
    return tuple(sorted(names))


def _reaches(mask: Mask, path: tuple[str, ...]) -> bool:
    for key in path:
        if key not in mask:
            return False
        mask = mask[key]
        if not mask:
            return True
    return True
