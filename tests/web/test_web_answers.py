"""What every answer of the API has in common: tags, cursors, badges."""

from __future__ import annotations

import re

import pytest

from gitops.model.delivery import LaneId
from gitops.model.events import RequestOpened
from gitops.model.ids import ApplicationName, RequestId, TargetName
from gitops.ports.office import Standing
from gitops.web.badges import draw, worst
from tests.web.test_web_sessions import ADA, HERE, Service, service

__all__ = ["service"]


async def cookie(service: Service) -> dict[str, str]:
    return {"cookie": f"gitops={await service.sessions.begin(ADA, 'local')}"}


async def test_what_did_not_change_is_not_sent_again(service: Service) -> None:
    mine = await cookie(service)
    url = f"{HERE}/api/v1/requests"
    first = await service.client.get(url, headers=mine)
    tag = first.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    assert first.headers["cache-control"] == "private, no-cache"
    assert "cookie" in first.headers["vary"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await service.client.get(url, headers={**mine, "if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    for other in ('"other"', tag.strip('"'), ""):
        again = await service.client.get(url, headers={**mine, "if-none-match": other})
        assert again.status_code == 200
    await service.controller.ledger.append(RequestOpened(RequestId("a" * 16), "o", "t"))
    moved = await service.client.get(url, headers={**mine, "if-none-match": tag})
    assert moved.status_code == 200
    assert moved.headers["etag"] != tag


async def test_a_tag_tells_nothing_to_who_may_not_look(service: Service) -> None:
    mine = await cookie(service)
    url = f"{HERE}/api/v1/requests"
    tag = (await service.client.get(url, headers=mine)).headers["etag"]
    service.client.cookies.clear()
    refused = await service.client.get(url, headers={"if-none-match": tag})
    assert refused.status_code == 401
    assert "etag" not in refused.headers


async def test_requests_come_in_pages_and_none_is_told_twice(service: Service) -> None:
    mine = await cookie(service)
    ids = [RequestId(f"{number:016x}") for number in range(7)]
    for id in ids:
        await service.controller.ledger.append(RequestOpened(id, f"occasion {id}", "t"))
    found: list[str] = []
    before, pages = "", 0
    while pages < 5:
        query: dict[str, str | int] = {"all": "true", "limit": 3, "before": before}
        page = await service.client.get(f"{HERE}/api/v1/requests", params=query, headers=mine)
        found += [row["id"] for row in page.json()["requests"]]
        before, pages = page.json()["next"], pages + 1
        if not before:
            break
    assert found == ids[::-1]
    assert pages == 3


async def test_a_badge_shows_how_an_application_stands(service: Service) -> None:
    mine = await cookie(service)
    badge = f"{HERE}/api/v1/applications/shop/badge.svg"
    assert (await service.client.get(badge)).status_code == 401
    answer = await service.client.get(badge, headers=mine)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "<title>shop: new</title>" in answer.text
    assert "default-src 'none'" in answer.headers.get_list("content-security-policy")
    other = await service.client.get(badge.replace("shop", "nothing"), headers=mine)
    assert other.status_code == 404


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        (["healthy", "failed", "asking"], "failed"),
        (["healthy", "asking"], "asking"),
        (["asking", "degraded", "applying"], "degraded"),
        (["healthy", "applying", "paused"], "applying"),
        (["paused", "healthy"], "paused"),
        (["healthy", "healthy"], "healthy"),
    ],
)
def test_the_worst_state_is_the_one_that_is_shown(states: list[str], shown: str) -> None:
    lane = LaneId(ApplicationName("shop"), TargetName("prod"))
    assert worst([Standing(lane, state, "", None) for state in states])[0] == shown


def test_a_name_in_a_badge_is_text() -> None:
    drawn = draw('<script>"&\n', "</svg>", "#000")
    assert "<script" not in drawn
    assert drawn.count("</svg>") == 1
