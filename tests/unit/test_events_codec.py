"""Whatever happens to a change can be written down and read back the same."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitops.model import events as e
from gitops.model.plan import ABSENT, FieldChange
from gitops.records import Unreadable, dumps, loads
from gitops.store.chain import Link, link_hash, verify_chain
from gitops.store.codec import KINDS, decode, encode, kind_of, subject_of
from gitops.store.projections import PROJECTIONS

EVENTS = get_args(e.Event)

foreign = st.text(st.characters(exclude_categories=()), max_size=12)
"""Surrogates and NULs included: commit messages hold them."""
free = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | foreign
    | st.just(ABSENT),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(foreign | st.just("$"), inner, max_size=3)
    ),
    max_leaves=6,
)
st.register_type_strategy(str, foreign)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(
    FieldChange, st.builds(FieldChange, path=foreign, before=free, after=free)
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVENTS)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_event_comes_back_equal_and_canonical(kind: type[Any], data: st.DataObject) -> None:
    event = data.draw(st.from_type(kind))
    text = encode(event)
    again = decode(kind_of(event), text)
    assert again == event
    assert encode(again) == text
    assert text.isascii()
    assert subject_of(again) == subject_of(event)


@given(value=free)
def test_values_of_no_declared_type_come_back_equal(value: object) -> None:
    again = loads(Any, dumps(Any, value))  # type: ignore[arg-type]
    assert again == value
    assert type(again) is type(value)


def test_every_event_has_one_name_a_projection_and_a_number() -> None:
    assert set(KINDS.values()) == set(EVENTS) == set(PROJECTIONS)
    assert all(name.rpartition(".")[2].isdecimal() for name in KINDS)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"change":"a"}',
        '{"change":"a","text":1}',
        '{"change":"a","text":null}',
        '{"change":"a","text":"b","more":""}',
        '["a","b"]',
        "nonsense",
        '{"change":"a","text":"b"',
        "[" * 100_000,
    ],
)
def test_a_payload_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        decode("noted.1", text)


@pytest.mark.parametrize(
    "wrapper", ['{"$":"nope"}', '{"$":"absent","x":1}', '{"$":"tuple"}', '{"$":1}']
)
def test_an_unknown_wrapper_is_refused(wrapper: str) -> None:
    with pytest.raises(Unreadable, match="wrapper"):
        loads(FieldChange, f'{{"path":"a","before":{wrapper},"after":null}}')


def test_an_event_of_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(Unreadable, match=r"noted\.2"):
        decode("noted.2", "{}")


def test_a_field_with_a_default_may_be_missing_in_what_an_older_version_wrote() -> None:
    text = encode(e.TokenCreated("t1", e.PersonName("ada"), "h", 1.0, "laptop"))
    new = ("note", "role", "applications")
    older = {key: value for key, value in json.loads(text).items() if key not in new}
    event = decode("token-created.1", json.dumps(older))
    assert isinstance(event, e.TokenCreated)
    assert (event.note, event.role, event.applications) == ("", "admin", ())


@pytest.mark.parametrize("value", [object(), {1: "x"}, {"a": b"x"}, float("nan"), {1, 2}])
def test_what_cannot_be_kept_exactly_is_refused_when_writing(value: object) -> None:
    with pytest.raises(Unreadable):
        dumps(FieldChange, FieldChange("a", value, None))


def test_a_value_of_the_wrong_class_is_refused_when_writing() -> None:
    with pytest.raises(Unreadable, match="expected str"):
        dumps(e.Noted, e.Noted("c", 7))  # type: ignore[arg-type]


class Rows:
    """A chain of three in memory."""

    def __init__(self) -> None:
        self.rows: list[Link] = []
        previous = ""
        for n in (4, 7, 9):
            hash = link_hash(previous, "s", "noted.1", f'"{n}"', 1.5 * n)
            self.rows.append(Link(n, "s", "noted.1", 1.5 * n, f'"{n}"', previous, hash))
            previous = hash

    def links(self, subject: str) -> list[Link]:
        return self.rows


def test_a_sound_chain_verifies() -> None:
    assert verify_chain(Rows(), "s") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("payload", '"8"'), ("kind", "noted.2"), ("at", 1.0), ("subject", "t"), ("hash", "0" * 64)],
)
def test_an_edit_of_any_field_is_found_at_its_row(field: str, value: object) -> None:
    rows = Rows()
    rows.rows[1] = rows.rows[1]._replace(**{field: value})
    assert verify_chain(rows, "s") == 7


def test_a_removed_a_swapped_and_an_inserted_row_are_found() -> None:
    removed, swapped, inserted = Rows(), Rows(), Rows()
    del removed.rows[1]
    swapped.rows[0], swapped.rows[1] = swapped.rows[1], swapped.rows[0]
    inserted.rows.insert(1, inserted.rows[0]._replace(sequence=5))
    assert [verify_chain(r, "s") for r in (removed, swapped, inserted)] == [9, 7, 5]


def test_no_event_holds_a_field_the_codec_would_drop() -> None:
    """Derived fields are made again on reading; anything else must be kept."""
    for kind in EVENTS:
        assert all(field.init for field in dataclasses.fields(kind))
