"""Drawing the fleet for somebody holds nobody up."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from gitops.web.pages import matrix
from tests.web.change_cases import House, house

__all__ = ["house"]


async def test_the_loop_goes_on_while_a_fleet_is_looked_through(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, begun, go_on = matrix.view, threading.Event(), threading.Event()

    def view(*given: Any) -> Any:
        begun.set()
        assert go_on.wait(60), "the loop stood still until it was done"
        return real(*given)

    monkeypatch.setattr("gitops.web.pages.overview.view", view)
    asked = asyncio.create_task(house.get("/?q=shop"))
    async with asyncio.timeout(60):
        while not begun.is_set():
            await asyncio.sleep(0.01)
    assert (await house.client.get("/healthz")).status_code == 200
    go_on.set()
    assert (await asked).status_code == 200
