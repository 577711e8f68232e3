"""A person answers in front of a page: what was said yes to is applied, and nothing else is.

Judged by the page, by the store, and by the API server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import yaml
from playwright.async_api import Page, expect

from tests.browser.conftest import OpenAs
from tests.browser.site import STORY, Site
from tests.e2e.rig import ADA, config_map

pytestmark = STORY

SEEN = """(name) => {
    window.seenAt = 0;
    const look = () => {
        const rows = [...document.querySelectorAll("tr")];
        const row = rows.find((one) => one.innerText.includes(name));
        if (!window.seenAt && row?.innerText.includes("healthy")) window.seenAt = Date.now();
    };
    new MutationObserver(look).observe(document.body,
        {subtree: true, childList: true, characterData: true});
}"""
"""Notes when an application's row first says that it is healthy."""


async def test_a_change_approved_on_the_page_is_applied_before_ones_eyes(
    site: Site, open_as: OpenAs
) -> None:
    site.commit("approve/cm.yaml", config_map("approve", sky="blue"), "paint the sky")
    window = await open_as("bob", f"/requests/{site.asked('approve')}")
    page = window.page
    await expect(page.locator("main")).to_contain_text("paint the sky")
    await expect(page.locator("main")).to_contain_text("blue")
    assert site.settings("approve") is None
    await page.get_by_role("button", name="Approve").click()
    await page.wait_for_url("**/changes/**")
    await expect(page.locator("main")).to_contain_text("healthy")
    assert site.settings("approve") == {"sky": "blue"}
    assert site.verdicts("approve") == [("bob", "approve", "")]
    assert site.states("approve") == ["healthy"]


async def test_a_page_that_is_open_tells_of_a_write_within_the_second(
    site: Site, open_as: OpenAs, record_property: Callable[[str, object], None]
) -> None:
    """The figure is printed, not judged: machines that test are busy."""
    site.commit("hurry/cm.yaml", config_map("hurry", a="1"))
    site.asked("hurry")
    window = await open_as("cyd", f"/?q={site.name('hurry')}")
    await expect(window.page.locator("#live")).to_have_text("live")
    await window.page.evaluate(SEEN, site.name("hurry"))
    site.answer("hurry")
    row = window.page.locator("tr", has_text=site.name("hurry"))
    await expect(row).to_contain_text("healthy")
    seen = await window.page.evaluate("window.seenAt")
    [[written]] = site.query(
        "SELECT updated_at FROM change WHERE application = ? AND state = 'healthy'",
        site.name("hurry"),
    )
    took = seen / 1000 - written
    record_property("live_update_seconds", round(took, 3))
    print(f"on the page {took:.3f} s after it was written")


async def test_a_denial_needs_a_reason_and_holds(site: Site, open_as: OpenAs) -> None:
    site.commit("deny/cm.yaml", config_map("deny", sky="grey"))
    window = await open_as("bob", f"/requests/{site.asked('deny')}")
    page = window.page
    window.expect_complaint("status of 403")
    await page.get_by_role("button", name="Deny").click()
    await expect(page.get_by_role("alert")).to_contain_text("reason")
    assert site.verdicts("deny") == []
    await page.get_by_label("Reason").fill("not before the fair")
    await page.get_by_role("button", name="Deny").click()
    site.until_state("deny", "denied")
    assert site.verdicts("deny") == [("bob", "deny", "not before the fair")]
    assert site.settings("deny") is None
    await window.go(f"/applications/{site.name('deny')}")
    await expect(page.locator("main")).to_contain_text("not before the fair")


async def test_nobody_approves_their_own_change(site: Site, open_as: OpenAs) -> None:
    site.commit("own/cm.yaml", config_map("own", a="1"), author=ADA)
    asked = site.asked("own")
    [[root]] = site.query("SELECT root FROM request WHERE id = ?", asked)
    window = await open_as("ada", f"/requests/{asked}")
    await expect(window.page.get_by_role("button", name="Approve")).to_have_count(0)
    await expect(window.page.locator("main")).to_contain_text("author")
    window.expect_complaint("status of 403")
    forged = {"decision": "approve", "root": root, "csrf": await window.csrf()}
    status = await window.post(await answer_path(window.page, asked), forged)
    assert status == 403
    assert site.states("own") == ["asking"]
    assert site.verdicts("own") == []
    assert site.settings("own") is None


async def test_deleting_much_takes_typing_what_is_deleted(site: Site, open_as: OpenAs) -> None:
    many = [yaml.safe_load(config_map(f"many-{n}", a="1")) for n in range(3)]
    site.commit("destroy/all.yaml", yaml.safe_dump_all(many))
    site.answer("destroy")
    site.until_state("destroy", "healthy")
    site.commit("destroy/all.yaml", yaml.safe_dump_all(many[:1]))
    window = await open_as("bob", f"/requests/{site.asked('destroy')}")
    page = window.page
    typed = page.get_by_label("delete 2")
    await expect(typed).to_be_visible()
    window.expect_complaint("status of 4")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("delete 2")
    assert len(site.verdicts("destroy")) == 1, "the first delivery's alone"
    await typed.fill("delete 3")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    assert len(site.verdicts("destroy")) == 1
    assert site.settings("many-2") == {"a": "1"}
    await page.get_by_label("delete 2").fill("delete 2")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("main")).to_contain_text("healthy")
    assert site.settings("many-2") is None
    assert site.settings("many-0") == {"a": "1"}


async def test_of_two_who_answer_at_once_the_second_is_told_who_was_first(
    site: Site, open_as: OpenAs
) -> None:
    site.commit("race/cm.yaml", config_map("race", a="1"))
    asked = site.asked("race")
    windows = [await open_as(person, f"/requests/{asked}") for person in ("bob", "cyd")]
    for window in windows:
        # Nothing tells either page of the other's answer.
        await window.page.evaluate(
            "for (const one of document.querySelectorAll('[data-live]'))"
            " one.removeAttribute('data-live')"
        )
        window.expect_complaint("status of 4")
    await asyncio.gather(
        *(window.page.get_by_role("button", name="Approve").click() for window in windows)
    )
    site.until_state("race", "healthy")
    [(first, _, _)] = site.verdicts("race")
    second = windows[1] if first == "bob" else windows[0]
    await expect(second.page.locator("main")).to_contain_text(first)
    assert site.settings("race") == {"a": "1"}


async def test_what_moved_since_it_was_shown_is_not_approved(site: Site, open_as: OpenAs) -> None:
    site.commit("moved/cm.yaml", config_map("moved", a="1"))
    window = await open_as("bob", f"/requests/{site.asked('moved')}", java_script_enabled=False)
    site.commit("moved/cm.yaml", config_map("moved", a="2"), "another")
    site.running.until(lambda _: site.states("moved") == ["asking", "superseded"])
    window.expect_complaint("status of 409")
    await window.page.get_by_role("button", name="Approve").click()
    await expect(window.page.get_by_role("alert")).to_be_visible()
    assert site.verdicts("moved") == []
    assert site.settings("moved") is None


async def answer_path(page: Page, asked: str) -> str:
    """Where the form of the page sends an answer, if it has one."""
    actions = await page.evaluate(
        "[...document.forms].filter((one) => one.method === 'post').map((one) => one.action)"
    )
    own = [each for each in actions if asked in each]
    return own[0] if own else f"/requests/{asked}"
