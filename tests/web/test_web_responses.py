"""Answers of the API are JSON whatever they hold, and writing them holds nobody up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops.jsonable import to_json
from gitops.web import etags
from gitops.web.responses import _pieces, written
from tests.web.change_cases import BOB, House, house

__all__ = ["house"]

PLAIN = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
VALUES = st.recursive(
    PLAIN.filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_a_value_is_written_as_json_writes_it(value: Any) -> None:
    assert written(value) == json.dumps(value, separators=(",", ":")).encode()


def test_names_that_are_no_unicode_are_escaped() -> None:
    assert written({"a\udcff": ["\udcff"]}) == b'{"a\\udcff":["\\udcff"]}'


@pytest.mark.parametrize("value", [float("nan"), b"x", object()])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        written({"rows": [value]})


def test_a_long_list_is_written_row_by_row() -> None:
    """The interpreter lets nobody else run while it writes one piece."""
    rows = [{"application": f"app-{number}", "targets": [1, 2, 3]} for number in range(2_000)]
    assert max(map(len, _pieces(to_json({"rows": rows}), 2))) < 100


async def test_a_large_answer_has_its_length_and_its_tag(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etags, "LONG", 10)
    found = await house.get("/api/v1/status")
    assert found.headers["content-length"] == str(len(found.content))
    assert found.json()["ready"] is True
    headers = {**await house.as_(BOB), "if-none-match": found.headers["etag"]}
    assert (await house.client.get("/api/v1/status", headers=headers)).status_code == 304
