"""What digests are made over, and what is hidden, is found whatever shape a value has."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from gitops.spelling import spelled, texts


def test_a_value_is_spelled_the_same_whatever_its_order_and_kind_of_mapping() -> None:
    one = spelled({"b": [1, 2.5, None], "a": MappingProxyType({"y": True, "x": "é"})})
    assert one == spelled({"a": {"x": "é", "y": True}, "b": (1, 2.5, None)})
    assert one == rb'{"a":{"x":"\u00e9","y":true},"b":[1,2.5,null]}'


def test_numbers_of_any_size_and_half_a_character_have_a_spelling() -> None:
    assert spelled([2**200, "\ud800"]) == b"[" + str(2**200).encode() + rb',"\ud800"]'


def test_what_json_cannot_say_has_none() -> None:
    with pytest.raises(TypeError, match="a object has no spelling"):
        spelled({"a": object()})


def test_every_text_and_number_is_found_at_any_depth() -> None:
    value = {"a": ["x", ({"b": "y"},)], "c": 17, "d": 1.5, "e": None, "f": True}
    assert list(texts(value)) == ["x", "y", "17", "1.5"]
