"""Differences read as a person would name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gitops.diff import LAST_APPLIED, fields
from gitops.model.plan import ABSENT

GOLDEN = Path(__file__).parent.parent / "golden" / "diff"


def written(before: Any, after: Any) -> list[str]:
    return [f"{c.path}: {_text(c.before)} -> {_text(c.after)}" for c in fields(before, after)]


def _text(value: Any) -> str:
    if value is ABSENT:
        return "(nothing)"
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000).strip().removesuffix("\n...")
    )


@pytest.mark.parametrize("case", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_difference_reads_as_written(case: Path) -> None:
    told = yaml.safe_load(case.read_text())
    assert written(told["before"], told["after"]) == told["reads"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "key", "ports", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(["spec", "data", "list"]), JSON, max_size=3)


@pytest.mark.slow
@given(OBJECTS)
def test_an_object_does_not_differ_from_itself(body: dict[str, Any]) -> None:
    assert fields(body, body) == ()


@pytest.mark.slow
@given(OBJECTS, OBJECTS)
def test_objects_that_differ_never_look_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    import json

    differ = json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)
    assert bool(fields(one, other)) is differ


@pytest.mark.slow
@given(OBJECTS, OBJECTS)
def test_looking_the_other_way_turns_every_change_round(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    there = {(c.path, repr(c.before), repr(c.after)) for c in fields(one, other)}
    back = {(c.path, repr(c.after), repr(c.before)) for c in fields(other, one)}
    assert there == back


def test_what_the_server_alone_writes_is_no_difference() -> None:
    noise = {
        "managedFields": [{}],
        "resourceVersion": "7",
        "generation": 3,
        "uid": "u",
        "creationTimestamp": "t",
        "annotations": {LAST_APPLIED: "{}"},
    }
    plain = {"metadata": {"name": "a"}, "data": {"k": "v"}}
    full = {"metadata": {"name": "a", **noise}, "data": {"k": "v"}, "status": {"ready": 1}}
    assert fields(plain, full) == ()


def test_true_is_not_one() -> None:
    assert written({"data": {"a": True}}, {"data": {"a": 1}}) == ["data.a: true -> 1"]
