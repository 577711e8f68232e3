"""Everything by the keyboard alone."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.async_api import expect

from tests.browser.conftest import OpenAs
from tests.browser.site import STORY, Site
from tests.e2e.rig import config_map

pytestmark = STORY


async def test_rows_and_pages_are_reached_by_their_keys(site: Site, open_as: OpenAs) -> None:
    window = await open_as("bob")
    page = window.page
    rows = page.locator("[data-row]")
    assert await rows.count() >= 2
    for key, at in (("j", 0), ("j", 1), ("k", 0), ("k", 0)):
        await page.keyboard.press(key)
        await expect(rows.nth(at)).to_be_focused()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    await page.keyboard.press("/")
    await expect(page.locator("#find")).to_be_focused()
    await page.keyboard.type("jk?g p")
    await expect(page.locator("#find")).to_have_value("jk?g p")
    await page.locator("#find").blur()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/applications/**")
    await page.keyboard.press("g")
    await page.keyboard.press("p")
    await page.wait_for_url("**/pending")


async def test_the_first_key_leads_past_the_navigation(open_as: OpenAs) -> None:
    window = await open_as("bob")
    await window.page.keyboard.press("Tab")
    skip = window.page.locator(".skip")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await window.page.keyboard.press("Enter")
    assert urlsplit(window.page.url).fragment == "main"


async def test_a_change_is_approved_by_the_keyboard_alone(site: Site, open_as: OpenAs) -> None:
    site.commit("keys/cm.yaml", config_map("keys", a="1"))
    window = await open_as("bob", f"/requests/{site.asked('keys')}")
    approve = window.page.get_by_role("button", name="Approve")
    for _ in range(80):
        await window.page.keyboard.press("Tab")
        if await approve.evaluate("(one) => one === document.activeElement"):
            break
    await expect(approve).to_be_focused()
    await window.page.keyboard.press("Enter")
    site.until_state("keys", "healthy")
    assert site.verdicts("keys") == [("bob", "approve", "")]
