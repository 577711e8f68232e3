"""What differs between a collection now and the same collection a moment ago, by identity.

Unchanged members are the *same objects* from one pass to the next (renderers and the live view hand
out what they already hold), so thousands of them are compared without looking into any: about ten
nanoseconds each. What is found may be too much (an equal object made anew counts as changed) and
never too little, as long as both collections are kept alive and their members are immutable.

Pure; used by the renderer, the checks and the planner to do again only what a change touches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import compress, count, islice
from operator import is_not
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


def gone_and_come(before: Sequence[T], now: Sequence[T]) -> tuple[list[T], list[T]]:
    """Members of ``before`` that ``now`` has not, and the reverse, each in their order. A member
    that is there n times counts n times."""
    if before is now:
        return [], []
    if len(before) == len(now):
        places = list(compress(count(), map(is_not, before, now)))
        gone, come = [before[n] for n in places], [now[n] for n in places]
    else:
        start = next(compress(count(), map(is_not, before, now)), min(len(before), len(now)))
        room = min(len(before), len(now)) - start
        same = islice(map(is_not, reversed(before), reversed(now)), room)
        end = next(compress(count(), same), room)
        gone, come = list(before[start : len(before) - end]), list(now[start : len(now) - end])
    # What only moved to another place stands in both.
    return _without(gone, come), _without(come, gone)


def _without(these: list[T], those: list[T]) -> list[T]:
    if not these or not those:
        return these
    ids = set(map(id, those))
    kept = [each for each in these if id(each) not in ids]
    common = len(these) - len(kept)
    if common == len(set(map(id, these)) & ids) and len(ids) == len(those):
        return kept
    return _without_counting(these, those)


def _without_counting(these: list[T], those: list[T]) -> list[T]:
    left = Counter(map(id, those))
    kept = []
    for each in these:
        if left[id(each)] > 0:
            left[id(each)] -= 1
        else:
            kept.append(each)
    return kept


def moved(before: Mapping[K, T], now: Mapping[K, T]) -> set[K]:
    """Keys whose value differs, or that only one of the two has."""
    if len(before) == len(now):
        # Dictionaries keep their order when a value is replaced: then nothing is looked up.
        ordered = not any(map(is_not, before, now))
        if ordered:
            return set(compress(now, map(is_not, before.values(), now.values())))
    found = {key for key, value in now.items() if before.get(key) is not value}
    found.update(key for key in before if key not in now)
    return found
