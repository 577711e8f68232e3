"""A page that is open shows what happens, without being loaded again."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.conftest import OpenAs
from tests.browser.site import STORY, Site
from tests.e2e.rig import config_map

pytestmark = STORY


async def test_what_happens_is_shown_without_loading_the_page(site: Site, open_as: OpenAs) -> None:
    window = await open_as("bob")
    await expect(window.page.locator("#live")).to_have_text("live")
    await window.page.evaluate("window.same = true")
    site.commit("moving/cm.yaml", config_map("moving", a="1"))
    site.asked("moving")
    row = window.page.locator("tr", has_text=site.name("moving"))
    await expect(row).to_contain_text("asking")
    site.answer("moving")
    await expect(row).to_contain_text("healthy")
    assert await window.page.evaluate("window.same"), "it is still the page that was opened"
    assert site.settings("moving") == {"a": "1"}
