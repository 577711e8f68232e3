"""Without JavaScript: every page reads, and a change is approved."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.conftest import OpenAs
from tests.browser.pages import PLACES, pages
from tests.browser.site import STORY, Site
from tests.e2e.rig import config_map

pytestmark = STORY


async def test_a_change_is_read_and_approved_without_javascript(
    site: Site, open_as: OpenAs
) -> None:
    site.commit("plain/cm.yaml", config_map("plain", sky="blue"), "paint it by hand")
    window = await open_as("bob", java_script_enabled=False)
    page = window.page
    await page.get_by_role("link", name="Pending").click()
    site.asked("plain")
    await page.reload()
    await page.get_by_role("link", name=site.name("plain")).first.click()
    await expect(page.locator("main")).to_contain_text("paint it by hand")
    await page.get_by_role("button", name="Approve").click()
    await page.wait_for_url("**/changes/**")
    site.until_state("plain", "healthy")
    await page.reload()
    await expect(page.locator("main")).to_contain_text("healthy")
    assert site.settings("plain") == {"sky": "blue"}
    for path in pages(site, "plain"):
        assert await window.go(path) == 200, path
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await window.go("/")
    links = page.get_by_role("navigation", name="Pages").get_by_role("link")
    assert [await each.get_attribute("href") for each in await links.all()] == list(PLACES)
