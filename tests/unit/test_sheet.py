"""A downloaded table is text for every spreadsheet, whatever strangers wrote into it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops.foreign import readable
from gitops.sheet import line


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "  =1", "\u00a0=1", "＝1", "＋1",
     "－1", "＠a", '=HYPERLINK("http://evil.example","x")', "-2+3+cmd|' /C calc'!A0"],
)  # fmt: skip
def test_no_cell_is_a_formula(text: str) -> None:
    (cell,) = next(csv.reader(io.StringIO(line([text]), newline="")))
    assert cell == f"'{readable(text)}"


@given(st.lists(st.text(st.characters(exclude_categories=())) | st.integers() | st.none()))
def test_every_cell_comes_back_readable_and_in_its_place(cells: list[object]) -> None:
    told = line(cells)
    assert told.endswith("\r\n")
    told.encode()  # also what UTF-8 cannot hold
    rows = list(csv.reader(io.StringIO(told, newline="")))
    wanted = ["" if cell in (None, "") else readable(str(cell)) for cell in cells]
    if not wanted:
        assert rows in ([[]], [])
        return
    assert [cell.removeprefix("'") for cell in rows[0]] == [w.removeprefix("'") for w in wanted]


def test_numbers_stay_numbers() -> None:
    assert line([-5, 1.5, None, ""]) == '"-5","1.5","",""\r\n'
