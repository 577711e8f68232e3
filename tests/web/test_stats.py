"""A period's figures through the API and the command line."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from io import StringIO

import pytest
from rich.console import Console

from gitops.cli import stats as command
from gitops.dora import DAY, Report, report
from gitops.jsonable import from_json, to_json
from gitops.model.delivery import Cause, ChangeState
from gitops.model.events import ChangeClosed
from gitops.web.stats_routes import PLOTS
from tests.unit.test_dora import T, passage
from tests.web.test_api import Service, service  # noqa: F401 - a fixture


@pytest.fixture
async def told(service: Service) -> Service:  # noqa: F811
    """One change, denied an hour after it was opened."""
    record = await service.ask()
    service.clock.time += 3_600
    await service.controller.ledger.append(ChangeClosed(record.change.id, ChangeState.DENIED))
    return service


class TestTheApi:
    async def test_tells_what_the_store_knows(self, told: Service) -> None:
        answer = await told.socket.get("/api/v1/stats")
        assert answer.status_code == 200, answer.text
        found = from_json(Report, answer.json())
        assert found.total.deployments == 0
        assert list(found.applications) == ["shop"]
        assert found.until == told.clock.time
        assert found.complete

    async def test_looks_no_further_back_than_asked(self, told: Service) -> None:
        told.clock.time += 2 * DAY
        answer = await told.socket.get("/api/v1/stats", params={"days": 1})
        assert answer.json()["applications"] == {}

    async def test_knows_no_application_nobody_knows(self, told: Service) -> None:
        answer = await told.socket.get("/api/v1/stats", params={"application": "nope"})
        assert answer.status_code == 404
        assert "nope" in answer.json()["title"]

    @pytest.mark.parametrize("days", ["0", "401", "-1", "x", "1e9"])
    async def test_refuses_a_period_it_would_not_look_through(
        self, told: Service, days: str
    ) -> None:
        answer = await told.socket.get("/api/v1/stats", params={"days": days})
        assert answer.status_code == 422

    async def test_wants_a_token_from_strangers(self, told: Service) -> None:
        for path in ("/api/v1/stats", "/api/v1/stats/plots/drift.svg"):
            assert (await told.loopback.get(path)).status_code == 401
        allowed = await told.loopback.get("/api/v1/stats", headers=await told.token())
        assert allowed.status_code == 200

    @pytest.mark.parametrize("plot", PLOTS)
    async def test_draws_plots_that_may_load_nothing(self, told: Service, plot: str) -> None:
        answer = await told.socket.get(f"/api/v1/stats/plots/{plot}.svg")
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.headers["content-security-policy"] == "default-src 'none'"
        assert ET.fromstring(answer.text).get("role") == "img"  # noqa: S314 - our own

    async def test_knows_no_other_plots(self, told: Service) -> None:
        answer = await told.socket.get("/api/v1/stats/plots/secrets.svg")
        assert answer.status_code == 404


def shown(found: Report) -> str:
    out = StringIO()
    command._show(found, 30, "team", Console(file=out, width=200, color_system=None))
    return out.getvalue()


class TestTheCommand:
    def test_shows_every_figure_with_its_unit(self) -> None:
        passages = [
            passage(0),
            passage(7_200, ChangeState.FAILED),
            passage(9_000, cause=Cause.DRIFT),
            passage(10_800),
        ]
        found = report(passages, T, T + 30 * DAY, lambda _: "web")
        found = from_json(Report, to_json(found))
        lines = [" ".join(line.split()) for line in shown(found).splitlines()]
        assert lines[0] == "the last 30 days"
        assert "shop 3 0.067 1.7 min 1 (33%) 1 h" in lines
        assert "web 3 0.067 1.7 min 1 (33%) 1 h" in lines
        assert "from commit to healthy: 1.7 min on average" in lines
        assert "notice 40 s 40% 40 s 40 s waiting" in lines
        assert "shop 1" in lines

    def test_says_what_lasts_and_what_is_missing(self) -> None:
        found = report([passage(0, ChangeState.FAILED)], T, T + DAY, lambda _: "", complete=False)
        text = shown(found)
        assert "1 not yet" in text
        assert "the oldest are missing" in text

    def test_of_nothing_shows_no_made_up_figure(self) -> None:
        text = shown(report([], T, T + DAY, lambda _: ""))
        assert " ".join(text.split()) == (
            "the last 30 days application deployments a day lead time failed restored in "
            "all 0 0 - - -"
        )
