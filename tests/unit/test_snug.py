"""What is kept takes no more room than it says."""

from __future__ import annotations

import tracemalloc

import orjson
import pytest

from gitops import snug


def test_it_is_the_same_json() -> None:
    value = {"b": [1, None, "ü"], "a": {"d": 1.5, "c": True}}
    assert snug.dumps(value) == orjson.dumps(value)
    assert snug.dumps(value, sort=True) == orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(orjson.JSONEncodeError):
        snug.dumps({"a": object()})


def test_a_thousand_kept_take_the_room_of_their_bytes() -> None:
    tracemalloc.start()
    try:
        kept = [snug.dumps({"a": "x" * 200}) for _ in range(1_000)]
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 2 * sum(len(each) for each in kept)
