"""What every page is framed in takes any text and any number."""

from __future__ import annotations

import pytest

from gitops.web.pages.frame import Frame, safe_link
from tests.web.change_cases import House, house

__all__ = ["house"]


@pytest.mark.parametrize("at", [1e12, 1e17, 1e300, -1e12, float("inf"), float("nan")])
async def test_a_commit_from_no_time_there_is_has_its_page(house: House, at: float) -> None:
    frame = Frame(house.controller)
    assert frame.time(at) == "<span class=quiet>at no time there is</span>"
    assert "1970-01-01" in frame.time(0.0)


@pytest.mark.parametrize("address", ["http://[", "https://[::1", "//[", "/\\x", "javascript:1", ""])
def test_what_is_no_address_is_no_link(address: str) -> None:
    assert safe_link(address) == ""
