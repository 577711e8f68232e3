"""Trends and the value stream as pages: the same figures as everywhere, for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gitops import dora
from gitops.dora import DAY, Stage
from gitops.model.delivery import Cause, ChangeState
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, SourceName, TargetName
from gitops.model.passage import Passage
from gitops.web.pages import stats, value_stream
from tests.contract.store_story import ADA
from tests.unit.test_dora import passage
from tests.web.test_web_sessions import HERE, Service, service

__all__ = ["service"]
FAILED = ChangeState.FAILED
NOW = 1_000 * DAY + 20 * DAY


class Reader:
    """Somebody signed in; the store has these passages."""

    def __init__(self, service: Service, cookie: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.service, self._cookie, self._patch = service, cookie, monkeypatch

    def given(self, *passages: Passage) -> None:
        async def passed(_: Any, since: float, application: str = "") -> Sequence[Passage]:
            fits = (p for p in passages if p.ended_at >= since)
            return [p for p in fits if application in ("", p.lane.application)]

        self._patch.setattr(stats, "passed", passed)
        self._patch.setattr(value_stream, "passed", passed)

    async def get(self, path: str, **query: Any) -> httpx.Response:
        headers = {"cookie": f"gitops={self._cookie}", "accept": "text/html"}
        return await self.service.client.get(f"{HERE}{path}", params=query, headers=headers)

    async def page(self, path: str, **query: Any) -> str:
        answer = await self.get(path, **query)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < 100 << 10
        assert not re.search(r"<[^>]* (style|on\w+)=", answer.text), "the policy forbids them"
        return answer.text


@pytest.fixture
async def reader(service: Service, monkeypatch: pytest.MonkeyPatch) -> Reader:
    controller = service.controller
    specs = {
        name: ApplicationSpec(
            name,
            SourceName("config"),
            "app",
            clusters=(TargetName("prod"), TargetName("test")),
            labels={"team": team},
        )
        for name, team in ((ApplicationName("shop"), "web"), (ApplicationName("cart"), "payments"))
    }
    controller.roster.reload(replace(controller.fleet, applications=specs))
    service.clock.time = NOW
    cookie = await service.sessions.begin(ADA, "local")
    return Reader(service, cookie, monkeypatch)


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


class TestTrends:
    async def test_show_the_four_figures_and_how_they_moved(self, reader: Reader) -> None:
        earlier = [passage(-40 * DAY + n, state=FAILED) for n in range(2)]
        reader.given(*earlier, passage(0), passage(7_200, FAILED), passage(10_800))
        page = text_of(await reader.page("/stats"))
        assert "Deployments a week 0.5 3 in all, well or badly ✓ better than 0, the 30 days" in page
        assert (
            "Lead time 1.7 min from commit to healthy, median; nine in ten within 1.7 min" in page
        )
        assert "Failures 33% 1 of 3 failed or were rolled back ✓ better than 100%" in page
        assert "Restored in 1 h from a failure to the next healthy delivery, median" in page
        for word in ("By application", "By team", "How this is counted", "As a table"):
            assert word in page

    async def test_inline_plots_that_need_no_style_and_name_themselves(
        self, reader: Reader
    ) -> None:
        reader.given(passage(0), passage(100, cause=Cause.DRIFT, name='"><script>x</script>'))
        page = await reader.page("/stats")
        assert page.count('role="img" aria-labelledby=') == 4
        ids = re.findall(r'\bid="([^"]+)"', page)
        assert len(ids) == len(set(ids))
        assert "<script>x" not in page

    async def test_are_sorted_found_and_paged_by_their_address(
        self, reader: Reader, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reader.given(passage(0), passage(50), passage(100, FAILED, name="cart"))

        def names(page: str) -> list[str]:
            table = page.split("By application")[1].split("</table>", maxsplit=1)[0]
            return re.findall(r'<th scope="row"><a data-row href="/applications/(\w+)"', table)

        assert names(await reader.page("/stats")) == ["cart", "shop"]
        assert names(await reader.page("/stats", sort="deployments")) == ["shop", "cart"]
        assert names(await reader.page("/stats", sort="deployments", order="asc")) == [
            "cart",
            "shop",
        ]
        assert names(await reader.page("/stats", sort="failures")) == ["cart", "shop"]
        assert names(await reader.page("/stats", sort="lead")) == ["shop", "cart"]
        assert names(await reader.page("/stats", sort="lead", order="asc")) == ["shop", "cart"]
        assert names(await reader.page("/stats", sort="team")) == ["cart", "shop"]
        assert names(await reader.page("/stats", sort="nonsense")) == ["cart", "shop"]
        assert names(await reader.page("/stats", q="WEB")) == ["shop"]
        assert "fits" in await reader.page("/stats", q="nobody")
        monkeypatch.setattr(stats, "ROWS", 1)
        first = await reader.page("/stats", sort="deployments")
        assert names(first) == ["shop"]
        assert "sort=deployments&amp;page=2#applications" in first
        assert names(await reader.page("/stats", sort="deployments", page=2)) == ["cart"]
        assert 'aria-sort="descending"' in first

    async def test_of_nothing_show_dashes_and_what_to_do(self, reader: Reader) -> None:
        reader.given()
        page = text_of(await reader.page("/stats", days=7))
        assert "Nothing was delivered in the last 7 days. Look at 400 days" in page
        assert "By application" not in page
        reader.given(passage(0, cause=Cause.DRIFT))
        page = text_of(await reader.page("/stats"))
        assert "Failures – 0 of 0" in page
        assert "carries the label" not in page
        page = text_of(await reader.page("/stats", by="owner"))
        assert "No application carries the label owner" in page

    async def test_keep_to_the_period_the_api_has(self, reader: Reader) -> None:
        reader.given()
        for days in ("0", "401", "x"):
            assert (await reader.get("/stats", days=days)).status_code == 422
        assert (await reader.get("/stats", order="up")).status_code == 422

    async def test_make_nothing_up_about_a_period_that_is_not_whole(
        self, reader: Reader, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reader.given(passage(-40 * DAY), passage(0))
        assert "the 30 days before" in text_of(await reader.page("/stats"))
        monkeypatch.setattr(stats, "MOST", 2)
        assert "the 30 days before" not in text_of(await reader.page("/stats"))


class TestTheValueStream:
    PATH = "/applications/shop/value-stream"

    async def test_draws_every_stage_and_says_where_most_is_lost(self, reader: Reader) -> None:
        slow = passage(9_000, committed=(9_000 - 4_000,))
        reader.given(passage(0), slow, passage(50, name="cart"))
        page = await reader.page(self.PATH)
        told = text_of(page)
        assert (
            "From commit to healthy: 34 min on average over 2 deliveries, 99% of it waiting."
            in told
        )
        assert "Most of it, 97% or 33 min, goes into waiting for the commit to be seen." in told
        stages = re.findall(r'<h2>([^<]+)</h2>\s*<p class="long">', page)
        assert stages == [value_stream.TITLES[stage] for stage in Stage]
        assert "97% of the whole, the most" in told
        assert "under 1% of the whole" in told
        widths = [float(w) for w in re.findall(r'width="([\d.]+)" height="6"', page)]
        assert sum(widths) == pytest.approx(100, abs=0.1)
        assert page.index(f'href="/changes/{slow.change}"') < page.index('href="/changes/shop0"')

    async def test_is_of_one_target_when_asked(self, reader: Reader) -> None:
        reader.given(passage(0), passage(0, target="test"))
        assert "over 2 deliveries" in text_of(await reader.page(self.PATH))
        assert "over 1 delivery" in text_of(await reader.page(self.PATH, target="test"))

    async def test_says_when_there_is_nothing_to_draw_and_where_to_look(
        self, reader: Reader
    ) -> None:
        reader.given(passage(0, FAILED), passage(10, cause=Cause.DRIFT))
        page = await reader.page(self.PATH, target="test", days=7)
        assert "No commit of shop on test was delivered in the last 7 days" in text_of(page)
        assert f"{self.PATH}?days=400&amp;target=test" in page
        assert f'href="{self.PATH}?days=7"' in page

    async def test_of_an_application_nobody_knows_is_not_there(self, service: Service) -> None:
        cookie = await service.sessions.begin(ADA, "local")
        headers = {"cookie": f"gitops={cookie}", "accept": "text/html"}
        path = f"{HERE}/applications/%3Cb%3E/value-stream"
        answer = await service.client.get(path, headers=headers)
        assert answer.status_code == 404
        assert "<b>" not in answer.text


def test_the_slowest_are_those_that_became_healthy_and_say_what_took_long() -> None:
    slow = passage(500, committed=(-3_000,))
    found = dora.slowest(
        [
            passage(0),
            slow,
            passage(900, FAILED, committed=(-9_000,)),
            passage(5, cause=Cause.DRIFT),
        ],
        most=5,
    )
    assert [way.change for way in found] == [slow.change, "shop0"]
    assert found[0].longest is Stage.NOTICE
    assert found[0].total == 3_500
    assert found[0].waited == 3_500 - 10 - 10 - 10
    assert dora.slowest([passage(0), slow], most=1) == found[:1]
