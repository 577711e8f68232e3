"""Marks: which parts of a value are unknown yet, or sensitive.

The tool writes them as a second tree in the value's shape, where ``true`` covers everything
beneath and whatever is missing is not marked. Pure; called by whatever walks a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any


def beneath(marks: Any, step: str | int) -> Any:
    """The marks of one attribute or item."""
    if marks is True:
        return True
    if isinstance(marks, Mapping):
        return marks.get(step, False) if isinstance(step, str) else False
    if isinstance(marks, list) and isinstance(step, int) and 0 <= step < len(marks):
        return marks[step]
    return False


def anywhere(marks: Any) -> bool:
    """Is anything marked at all?"""
    waiting = [marks]
    while waiting:
        mark = waiting.pop()
        if mark is True:
            return True
        if isinstance(mark, Mapping):
            waiting += mark.values()
        elif isinstance(mark, list):
            waiting += mark
    return False


def union(one: Any, other: Any) -> Any:
    """What is marked in either."""
    if True in (one, other):
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {name: union(one.get(name), other.get(name)) for name in (*one, *other)}
    if isinstance(one, list) and isinstance(other, list):
        return [union(*pair) for pair in zip_longest(one, other)]
    return one or other


def names(marks: Any) -> tuple[str, ...]:
    """Attributes that have marks of their own: an unknown one has no value beside it."""
    return tuple(marks) if isinstance(marks, Mapping) else ()


def marked_leaves(value: Any, marks: Any) -> Iterator[Any]:
    """Every string and number of ``value`` that is marked."""
    waiting = [(value, marks)]
    while waiting:
        part, mark = waiting.pop()
        if mark is False or mark is None:
            continue
        if isinstance(part, Mapping):
            waiting += ((part[name], beneath(mark, name)) for name in part)
        elif isinstance(part, list):
            waiting += ((item, beneath(mark, index)) for index, item in enumerate(part))
        elif mark is True and isinstance(part, str | int | float) and not isinstance(part, bool):
            yield part
