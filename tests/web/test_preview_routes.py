"""Previews in the API and on the command line."""

from __future__ import annotations

import asyncio

import pytest
import typer

from gitops.cli.preview import _code, _Words
from gitops.jsonable import from_json
from gitops.model.ids import SourceName
from gitops.model.preview import Preview
from gitops.web import preview_routes
from tests.unit.test_preview_text import BLOCKED, FULL, STATES, lane, plan, preview
from tests.web.test_api import Service, problem, service  # noqa: F401 - a fixture

CONFIG = SourceName("config")


async def test_what_was_drawn_is_listed_short_and_told_in_full(service: Service) -> None:  # noqa: F811
    shown = STATES["full"]
    service.controller.previews._keep((CONFIG, 7), shown)
    (row,) = (await service.socket.get("/api/v1/previews")).json()["previews"]
    assert row["number"] == 7
    assert all(each["plan"] is None for each in row["lanes"])
    told = (await service.socket.get("/api/v1/previews/config/7")).json()
    assert from_json(Preview, told["preview"]) == shown
    assert told["under_way"] is False
    missing = await service.socket.get("/api/v1/previews/config/8")
    assert "--post" in problem(missing, 404)["hint"]
    assert (await service.loopback.get("/api/v1/previews")).status_code == 401
    assert (await service.loopback.post("/api/v1/previews/config/7")).status_code == 401


async def test_a_source_without_previews_says_so(service: Service) -> None:  # noqa: F811
    refused = await service.socket.post("/api/v1/previews/config/7")
    assert "no previews" in problem(refused, 404)["title"]


async def test_an_answer_does_not_wait_for_a_slow_preview(
    service: Service,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(_source: SourceName, _number: int) -> Preview | None:
        await asyncio.sleep(60)
        return None

    monkeypatch.setattr(preview_routes, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(service.controller.previews, "again", slow)
    answer = (await service.socket.post("/api/v1/previews/config/7")).json()
    assert answer == {"preview": None, "under_way": True}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["list"], ("list", "", "")),
        (["show", "7"], ("show", "", "7")),
        (["show", "config", "7"], ("show", "config", "7")),
        (["config", "7"], ("", "config", "7")),
    ],
)
def test_its_words_are_understood(words: list[str], expected: tuple[str, str, str]) -> None:
    said = _Words(words)
    assert (said.verb, said.source, said.number) == expected


@pytest.mark.parametrize(
    "words", [["config"], ["7"], ["config", "x"], ["list", "7"], ["show"], ["a", "b", "7"]]
)
def test_other_words_are_refused(words: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        _Words(words)


def test_the_exit_code_says_whether_there_are_changes_or_troubles() -> None:
    assert _code(preview(lane(FULL))) == 2
    assert _code(preview(lane(plan()))) == _code(STATES["nothing"]) == 0
    assert _code(preview(lane(BLOCKED))) == _code(STATES["conflict"]) == 1
    assert _code(STATES["troubles"]) == _code(STATES["failed"]) == 1
