"""What differs in one resource, attribute by attribute, as people may see it.

Called for every resource that changes. Paths read as in the configuration: ``tags["Name"]``,
``ingress[0].cidr``. Pure; every value given out went through the plan's :class:`Veil`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any

from gitops.diff import same
from gitops.model.plan import ABSENT, FieldChange
from planners.plan.terraform import marks
from planners.plan.terraform.document import Side
from planners.plan.terraform.veil import Veil, part

MOST_FIELDS = 300
"""Fields of one resource that are listed; the rest is counted."""
_LONGEST = 4_000
"""Characters of one value that are shown; the place where the two sides part is among them."""
_LEAD = 200
_LONGEST_PATH = 300
_READABLE = 160
_DEEPEST = 24
_NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_NOTHING = Side(None)


@dataclass(frozen=True, slots=True)
class Difference:
    """One attribute on both sides, not yet fit to be seen. A null is an attribute not set."""

    path: str
    before: Side
    after: Side


@dataclass(frozen=True, slots=True)
class Fields:
    rows: tuple[FieldChange, ...]
    hidden: tuple[str, ...]
    """Paths in which a value is hidden only because it equals a sensitive one elsewhere."""
    more: bool
    """There are more than are listed."""
    veiled: bool
    """A value that is known is hidden because the code, or a provider, says it is sensitive."""


def fields(before: Side, after: Side, veil: Veil, name: str = "") -> Fields:
    """Every attribute that differs; ``name`` is the path of the whole value (an output has one)."""
    found = list(islice(_between(name, before, after, 0), MOST_FIELDS + 1))
    veiled = any(_marked(side) for each in found for side in (each.before, each.after))
    rows, hidden = [], []
    for difference in found[:MOST_FIELDS]:
        rows.append(_row(difference, veil))
        if veil.hid:
            hidden.append(rows[-1].path)
    return Fields(tuple(rows), tuple(hidden), len(found) > MOST_FIELDS, veiled)


def _marked(side: Side) -> bool:
    return side.value is not None and marks.anywhere(side.sensitive)


# --- finding ----------------------------------------------------------------------------------


def _between(path: str, old: Side, new: Side, depth: int) -> Iterator[Difference]:
    if new.unknown is True or True in (old.sensitive, new.sensitive) or depth > _DEEPEST:
        if new.unknown is True or not same(old.value, new.value):
            yield Difference(path, old, new)
    elif path and None in (old.value, new.value) and _reads_well(old) and _reads_well(new):
        yield from _unless_equal(path, old, new)
    elif _maps(old, new):
        for name in _attributes(old, new):
            inner = path_of(path, name)
            yield from _between(inner, part(old, name), part(new, name), depth + 1)
    elif _lists(old, new):
        yield from _items(path, old, new, depth)
    else:
        yield from _unless_equal(path, old, new)


def _unless_equal(path: str, old: Side, new: Side) -> Iterator[Difference]:
    if not same(old.value, new.value) or marks.anywhere(new.unknown):
        yield Difference(path, old, new)


def _maps(old: Side, new: Side) -> bool:
    """Both are maps, or one is and the other is not there."""
    kinds = [side.value for side in (old, new) if side.value is not None]
    return bool(kinds) and all(isinstance(value, Mapping) for value in kinds)


def _lists(old: Side, new: Side) -> bool:
    kinds = [side.value for side in (old, new) if side.value is not None]
    return bool(kinds) and all(isinstance(value, list) for value in kinds)


def _attributes(old: Side, new: Side) -> list[str]:
    names = {str(name) for side in (old, new) for name in side.value or ()}
    return sorted(names.union(marks.names(new.unknown)))


def path_of(path: str, step: Any) -> str:
    """One step further, as the configuration writes it."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    if not path:
        return str(step)
    plain = _NAME.fullmatch(step) and path.endswith("]") and not path.endswith('"]')
    return f"{path}.{step}" if plain else f"{path}[{json.dumps(step, ensure_ascii=False)}]"


def _items(path: str, old: Side, new: Side, depth: int) -> Iterator[Difference]:
    mine, yours = old.value or [], new.value or []
    plain = not any(isinstance(item, Mapping | list) for item in (*mine, *yours))
    if plain and (len(mine) != len(yours) or not path):
        # An item in the middle would move all that follow: the two lists side by side read better.
        yield from _unless_equal(path, old, new)
        return
    for mine_at, yours_at in _pairs(old, new, plain=plain):
        index = yours_at if yours_at is not None else mine_at
        one = _NOTHING if mine_at is None else part(old, mine_at)
        other = _NOTHING if yours_at is None else part(new, yours_at)
        yield from _between(f"{path}[{index}]", one, other, depth + 1)


def _pairs(old: Side, new: Side, *, plain: bool) -> list[tuple[int | None, int | None]]:
    """Which items belong together. Sets come as lists in an order of their own, so items found on
    both sides are left out first, wherever they are; if only the order moved, that is shown."""
    mine, yours = range(len(old.value or [])), range(len(new.value or []))
    if plain:
        return list(zip(mine, yours, strict=True))
    stays = Counter(_key(new, at) for at in yours) & Counter(_key(old, at) for at in mine)
    left, right = _without(old, mine, stays), _without(new, yours, stays)
    if not left and not right:
        return list(zip(mine, yours, strict=True))
    return list(zip_longest(left, right))


def _without(side: Side, indices: range, stays: Counter[str]) -> list[int]:
    left, known = [], Counter(stays)
    for index in indices:
        key = _key(side, index)
        if known[key] > 0:
            known[key] -= 1
        else:
            left.append(index)
    return left


def _key(side: Side, index: int) -> str:
    item = part(side, index)
    return json.dumps([item.value, marks.anywhere(item.unknown)], sort_keys=True)


def _reads_well(side: Side) -> bool:
    """Short enough for one row. A list of blocks never is."""
    value = side.value
    if not isinstance(value, Mapping | list):
        return True
    inner = value.values() if isinstance(value, Mapping) else value
    if any(isinstance(item, Mapping | list) for item in inner) or len(value) > _READABLE // 4:
        return False
    return sum(len(item) if isinstance(item, str) else 5 for item in inner) <= _READABLE


# --- showing ----------------------------------------------------------------------------------


def _row(difference: Difference, veil: Veil) -> FieldChange:
    old, new = difference.before, difference.after
    if new.value is not None or new.unknown:
        # What is sensitive on one side is so on the other: the value moved, not what it is.
        both = marks.union(old.sensitive, new.sensitive)
        old, new = Side(old.value, False, both), Side(new.value, new.unknown, both)
    before, after = _seen(old, veil), _seen(new, veil)
    if before is not ABSENT and same(before, after):
        before, after = _tagged(old, before, veil), _tagged(new, after, veil)
    before, after = _bounded(before, after)
    return FieldChange(_path(veil.text(difference.path)), before, after)


def _seen(side: Side, veil: Veil) -> Any:
    return ABSENT if side.value is None and not side.unknown else veil.shown(side)


def _tagged(side: Side, shown: Any, veil: Veil) -> Any:
    """Both sides look alike once their secrets are hidden: the tags tell them apart."""
    return shown if side.value is None else veil.marker(side.value)


def _path(path: str) -> str:
    return path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"


def _bounded(before: Any, after: Any) -> tuple[Any, Any]:
    texts = [_long(before), _long(after)]
    if texts == [None, None]:
        return before, after
    one, other = texts[0] or before, texts[1] or after
    start = 0
    if isinstance(one, str) and isinstance(other, str):
        start = max(_shared(one, other) - _LEAD, 0)
    return _cut(one, start), _cut(other, start)


def _long(value: Any) -> str | None:
    """The value as text if that is too long to be shown whole."""
    if isinstance(value, Mapping | list):
        value = json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) and len(value) > _LONGEST else None


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _cut(value: Any, start: int) -> Any:
    if not isinstance(value, str) or (not start and len(value) <= _LONGEST):
        return value
    begin = f"({start} characters)… " if start else ""
    rest = len(value) - start - _LONGEST
    end = f"… (+{rest} characters)" if rest > 0 else ""
    return f"{begin}{value[start : start + _LONGEST]}{end}"
