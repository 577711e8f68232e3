"""Sessions that end while somebody looks, and a controller that goes away meanwhile."""

from __future__ import annotations

import re
import subprocess
import sys

from playwright.async_api import expect

from tests.browser.conftest import OpenAs
from tests.browser.site import PASSWORD, STORY, Site
from tests.browser.window import sign_in
from tests.e2e.rig import config_map

pytestmark = STORY


async def test_nobody_sees_a_page_before_signing_in_and_comes_back_to_it(open_as: OpenAs) -> None:
    window = await open_as(path="/?q=gone")
    await expect(window.page).to_have_title(re.compile("Sign in"))
    assert "gone-" not in await window.page.content()
    window.expect_complaint("status of 401")
    await sign_in(window, "cyd", "not the password")
    await expect(window.page.get_by_role("alert")).to_contain_text("wrong")
    await sign_in(window, "cyd", PASSWORD)
    await expect(window.page.get_by_role("heading", level=1)).to_be_visible()
    assert window.page.url.endswith("/?q=gone")


async def test_a_session_that_was_ended_shows_nothing_more_and_changes_nothing(
    site: Site, open_as: OpenAs
) -> None:
    site.commit("gone/cm.yaml", config_map("gone", a="1"))
    asked = site.asked("gone")
    window = await open_as()
    await sign_in(window, "cyd")
    await window.go(f"/requests/{asked}")
    approve = window.page.get_by_role("button", name="Approve")
    await expect(approve).to_be_visible()
    window.expect_complaint("status of 401")
    sign_out(site, "cyd")
    await approve.click()
    await expect(window.page).to_have_title(re.compile("Sign in"))
    assert site.states("gone") == ["asking"]
    assert site.settings("gone") is None
    await sign_in(window, "cyd")
    await expect(window.page.get_by_role("button", name="Approve")).to_be_visible()


async def test_a_page_that_is_open_leads_to_the_sign_in_when_its_session_has_ended(
    site: Site, open_as: OpenAs
) -> None:
    window = await open_as()
    await sign_in(window, "cyd")
    await expect(window.page.locator("#live")).to_have_text("live")
    window.expect_complaint("status of 401")
    sign_out(site, "cyd")
    site.commit("gone/cm.yaml", config_map("gone", a="2"))
    await expect(window.page).to_have_title(re.compile("Sign in"))


async def test_signing_out_ends_every_tab(open_as: OpenAs) -> None:
    window = await open_as()
    await sign_in(window, "cyd")
    other = await window.context.new_page()
    await other.goto(f"{window.base}/")
    await window.page.get_by_role("button", name="Sign out").click()
    await expect(window.page).to_have_title(re.compile("Sign in"))
    window.expect_complaint("status of 401")
    await other.reload()
    await expect(other).to_have_title(re.compile("Sign in"))


async def test_a_page_lives_on_when_the_controller_is_started_anew(
    site: Site, open_as: OpenAs
) -> None:
    window = await open_as("bob")
    for words in ("ERR_", "status of 5"):  # while nobody answers
        window.expect_complaint(words)
    await expect(window.page.locator("#live")).to_have_text("live")
    await window.page.evaluate("window.same = true")
    site.stop()
    await expect(window.page.locator("#live")).to_contain_text("reconnecting")
    site.rig.write("away/cm.yaml", config_map("away", a="1"))
    site.rig.commit("while nobody looked")
    site.start()
    await expect(window.page.locator("#live")).to_have_text("live")
    row = window.page.locator("tr", has_text=site.name("away"))
    await expect(row).to_contain_text("asking")
    assert await window.page.evaluate("window.same"), "it is still the page that was opened"


def sign_out(site: Site, person: str) -> None:
    """As an operator does, everywhere at once."""
    command = [sys.executable, "-m", "gitops.cli", "-c", str(site.rig.save())]
    subprocess.run([*command, "user", "sign-out", person], check=True, capture_output=True)
