"""What no route is asked, whichever it is."""

from __future__ import annotations

import pytest

from tests.web.change_cases import House, house

__all__ = ["house"]


@pytest.mark.parametrize(
    "path",
    [
        "/deliveries?before=a%00b",
        "/api/v1/deliveries?application=%00",
        "/api/v1/show/abcd%00",
        "/applications/%00",
    ],
)
async def test_a_name_with_a_nul_in_it_reaches_no_database(house: House, path: str) -> None:
    found = await house.get(path)
    assert (found.status_code, found.json()["title"]) == (400, "nothing has a NUL in its name")


async def test_a_percent_sign_before_two_noughts_is_still_a_text(house: House) -> None:
    assert (await house.get("/?q=100%2500")).status_code == 200
