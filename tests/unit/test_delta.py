"""What moved is found, whatever the moves: nothing that changed is ever missed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gitops.delta import gone_and_come, moved

THINGS = tuple(object() for _ in range(9))
LISTS = st.lists(st.sampled_from(THINGS), max_size=12)
MAPS = st.dictionaries(st.integers(0, 8), st.sampled_from(THINGS), max_size=9)


@given(LISTS, LISTS)
def test_what_went_and_what_came_lead_from_one_list_to_the_other(
    before: list[object], now: list[object]
) -> None:
    gone, come = gone_and_come(before, now)
    assert Counter(before) - Counter(gone) + Counter(come) == Counter(now)
    assert not Counter(gone) & Counter(come)


@given(MAPS, MAPS)
def test_every_key_whose_value_is_another_object_has_moved(
    before: dict[int, object], now: dict[int, object]
) -> None:
    keys = before.keys() | now.keys()
    assert moved(before, now) == {k for k in keys if before.get(k) is not now.get(k)}


def test_values_are_told_apart_by_identity_in_any_order_of_the_keys() -> None:
    one, equal = [1], [1]
    assert moved({"a": one, "b": one}, {"b": one, "a": equal}) == {"a"}
    assert gone_and_come([one], [equal]) == ([one], [equal])
