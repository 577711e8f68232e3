"""What every page is framed in takes any text and any number."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from gitops.web.auth.roles import LOOKING
from gitops.web.auth.viewer import Viewer, Way
from gitops.web.pages.frame import Frame, safe_link
from gitops.web.pages.live import _who
from tests.unit.change_cases import ADA, House, house

__all__ = ["house"]


@pytest.mark.parametrize("at", [1e12, 1e17, 1e300, -1e12, float("inf"), float("nan")])
async def test_a_commit_from_no_time_there_is_has_its_page(house: House, at: float) -> None:
    frame = Frame(house.controller)
    assert frame.time(at) == "<span class=quiet>at no time there is</span>"
    assert "1970-01-01" in frame.time(0.0)


@pytest.mark.parametrize("address", ["http://[", "https://[::1", "//[", "/\\x", "javascript:1", ""])
def test_what_is_no_address_is_no_link(address: str) -> None:
    assert safe_link(address) == ""


def test_nobody_uses_up_the_streams_of_a_person_whose_name_they_bear() -> None:
    def asked(by: str) -> Request:
        return Request({"type": "http", "client": (by, 1), "headers": []})

    ada = _who(asked("192.0.2.1"), Viewer(ADA, LOOKING, Way.SESSION))
    same = _who(asked("192.0.2.1"), Viewer(None, LOOKING, Way.SESSION, name="ada"))
    nobody = Viewer(None, LOOKING, Way.ANONYMOUS)
    assert len({ada, same, _who(asked("192.0.2.1"), nobody)}) == 3
    # Anybody has as many addresses of one network of IPv6 as they like.
    assert _who(asked("2001:db8::1"), nobody) == _who(asked("2001:db8::ffff"), nobody)
