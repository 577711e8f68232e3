"""The list of deliveries: newest first, found by what they were."""

from __future__ import annotations

import pytest

from gitops.model.delivery import ChangeState
from gitops.web.pages import deliveries
from tests.web.test_pages_overview import EVIL, Page, page, text_of

__all__ = ["page"]


async def test_what_was_delivered_stands_there_newest_first(page: Page) -> None:
    assert "Nothing was delivered yet" in text_of(await page.get("/deliveries"))
    first = await page.deliver("cart", "east")
    await page.deliver("shop", "west", ChangeState.FAILED, f"it broke {EVIL}")
    html = await page.get("/deliveries")
    assert "<img" not in html.partition("<main")[2]
    text = text_of(html)
    assert text.index("shop on west") < text.index("cart on east")
    assert "it broke <img" in text or "why" in text
    assert "live now" in text
    assert f'href="/changes/{first.change.id}"' in html


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=healthy", ["cart"]),
        ("state=failed", ["shop"]),
        ("application=cart", ["cart"]),
        ("application=cart&target=west", []),
        ("cause=drift", []),
        ("cause=commit", ["cart", "shop"]),
        ("state=nonsense&cause=nonsense", ["cart", "shop"]),
        ("application=none", []),
    ],
)
async def test_deliveries_are_found_by_what_they_were(
    page: Page, query: str, found: list[str]
) -> None:
    await page.deliver("cart", "east")
    await page.deliver("shop", "west", ChangeState.FAILED, "it broke")
    text = text_of(await page.get(f"/deliveries?{query}"))
    assert [name for name in ("cart", "shop") if f"{name} on" in text] == found
    if not found:
        assert "Nothing like that was delivered" in text
    if "nonsense" not in query:
        answer = await page.client.get(f"/api/v1/deliveries?{query}")
        rows = answer.json()["deliveries"]
        names = {row["change"]["change"]["lane"]["application"] for row in rows}
        assert sorted(names) == found


async def test_older_ones_are_a_link_away(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "PAGE", 2)
    for name in ("cart", "mail", "shop"):
        await page.deliver(name, "east")
    html = await page.get("/deliveries?cause=commit")
    assert 'data-topics="application:*"' in html
    [older] = [
        part for part in html.split('"') if part.startswith("/deliveries?") and "before" in part
    ]
    html = await page.get(older.replace("&amp;", "&"))
    assert "cart on east" in text_of(html)
    assert "mail on east" not in text_of(html)
    assert 'data-topics=""' in html, "what is old does not move"
    assert "Newest" in text_of(html)


async def test_a_state_no_delivery_has_is_refused_by_the_api(page: Page) -> None:
    assert (await page.client.get("/api/v1/deliveries?state=nonsense")).status_code == 422
