"""Where an object stands between its sealed values. Pure.

Called by apply, before a write whose precondition failed or whose answer was lost is tried again:
each object must equal its sealed *before* or its sealed *after*; a third value voids the seal.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

import orjson

from gitops import diff, projection
from gitops.model.cluster import LiveObject
from gitops.model.plan import Action
from gitops.model.sealed import SealedObject
from gitops.ports import Digester


class Standing(StrEnum):
    BEFORE = "before"
    AFTER = "after"
    THIRD = "third"


def standing(
    write: SealedObject, live: LiveObject | None, application: str, digester: Digester
) -> Standing:
    """``live`` as read back; None where it is not there."""
    if live is None:
        return _absent(write)
    if write.action is Action.CREATE:
        ours = live.application == application
        return Standing.AFTER if ours and arrived(write, live, digester) else Standing.THIRD
    if live.uid != write.uid:
        made_anew = write.action is Action.REPLACE and arrived(write, live, digester)
        return Standing.AFTER if made_anew else Standing.THIRD
    return _same_object(write, live, digester)


def _absent(write: SealedObject) -> Standing:
    if write.action is Action.DELETE:
        return Standing.AFTER
    # A replacement may have been stopped between its two halves.
    return Standing.THIRD if write.action is Action.UPDATE else Standing.BEFORE


def _same_object(write: SealedObject, live: LiveObject, digester: Digester) -> Standing:
    now = projection.digest(live.body, projection.mask_from_bytes(write.mask), digester)
    # Where only ownership moves the two values are one: writing again then is harmless.
    if now == write.before:
        return Standing.BEFORE
    in_place = write.action is Action.UPDATE
    return Standing.AFTER if in_place and arrived(write, live, digester) else Standing.THIRD


def arrived(write: SealedObject, live: LiveObject, digester: Digester) -> bool:
    """Does the object hold what the approved write was to make of it?"""
    if write.after is not None:
        mask = projection.mask_from_bytes(write.mask)
        return projection.digest(live.body, mask, digester) == write.after
    return missing(orjson.loads(write.body), live.body) == ""


def missing(sent: Mapping[str, Any], live: Mapping[str, Any]) -> str:
    """The first path of ``sent`` that ``live`` does not hold; empty when it holds all of it.

    For predicted objects: what the server adds is its own business, what it spells otherwise
    (``1000m`` for ``1``, ``data`` for ``stringData``) is the same.
    """
    wanted = diff.comparable(sent)
    plain = wanted.pop("stringData", None)
    if plain:
        wanted["data"] = {**(wanted.get("data") or {}), **_encoded(plain)}
    return _missing((), wanted, live)


def _encoded(plain: Mapping[str, Any]) -> dict[str, str]:
    return {name: base64.b64encode(str(v).encode()).decode() for name, v in plain.items()}


def _missing(keys: tuple[str, ...], sent: Any, live: Any) -> str:
    if sent in (None, {}, []) and live in (None, {}, []):
        return ""
    if isinstance(sent, Mapping) and isinstance(live, Mapping):
        found = (_missing((*keys, k), v, live.get(k)) for k, v in sent.items())
        return next(filter(None, found), "")
    if isinstance(sent, list) and isinstance(live, list):
        return _missing_items(keys, sent, live)
    return "" if diff.same(sent, live) or _same_amount(sent, live) else diff.join(keys)


def _missing_items(keys: tuple[str, ...], sent: list[Any], live: list[Any]) -> str:
    names = diff.merge_keys(keys[-1] if keys else "", sent, live)
    if names is None:
        if len(sent) != len(live):
            return diff.join(keys)
        pairs = [(f"[{n}]", one, live[n]) for n, one in enumerate(sent)]
    else:
        there = {diff.label(item, names): item for item in live}
        labels = [(diff.label(item, names), item) for item in sent]
        pairs = [(label, item, there.get(label)) for label, item in labels]
    found = (_missing((*keys, label), one, other) for label, one, other in pairs)
    return next(filter(None, found), "")


_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}


def _same_amount(one: Any, other: Any) -> bool:
    """Quantities (`resource.Quantity` of the API machinery): ``0.5`` is ``500m``."""
    amounts = (_amount(one), _amount(other))
    return None not in amounts and amounts[0] == amounts[1]


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value)
    number = text.rstrip("numkKMGTPEi")
    factor = _SUFFIXES.get(text[len(number) :])
    try:
        return Decimal(number) * factor if factor is not None else Decimal(text)
    except InvalidOperation:
        return None
