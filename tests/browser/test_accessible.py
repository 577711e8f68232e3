"""Whoever looks, by whatever means: every page as axe-core judges it, light, dark and on a phone.

axe-core is Deque's, pinned in ``tests/node/axe``; what it finds of WCAG 2.2 AA that is serious or
critical fails. It sees a third of what can be wrong, so keys have tests of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.screenshots import shots
from tests.browser.showcase import SHOWCASE, Showcase
from tests.browser.window import DESK, PHONE, Window, opened, sign_in
from tests.npm import installed

pytestmark = [*SHOWCASE, pytest.mark.asyncio(loop_scope="session")]

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
ALL: dict[str, Any] = {"runOnly": LEVELS}
COLOURS: dict[str, Any] = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
SIZES: dict[str, Any] = {
    "runOnly": {"type": "rule", "values": ["target-size", "scrollable-region-focusable"]}
}
"""What another width can change."""
RUN = """async (options) => (await axe.run(document, {...options, resultTypes: ["violations"]}))
    .violations.filter((each) => ["serious", "critical"].includes(each.impact))
    .flatMap((each) => each.nodes.slice(0, 3).map((node) =>
        `${each.id}: ${node.html.slice(0, 200)} – ${node.failureSummary.slice(0, 300)}`))"""
TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.querySelectorAll("body *")]
        .filter((one) => one.getBoundingClientRect().right > width + 1)
        .slice(-3).map((one) => `wider than the phone: ${one.outerHTML.slice(0, 160)}`);
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def window(browser: Browser, showcase: Showcase) -> AsyncIterator[Window]:
    script = (installed("axe") / "node_modules" / "axe-core" / "axe.min.js").read_text()
    async with opened(browser, showcase.base) as window:
        # As the browser's own debugger does: the pages' policy lets no page bring it in.
        await window.context.add_init_script(script)
        yield window


async def test_nothing_serious_is_found_on_any_page(window: Window, showcase: Showcase) -> None:
    await window.go("/sign-in")
    found = {"/sign-in": await judged(window)}
    await sign_in(window, "grace")
    await window.page.wait_for_url(f"{window.base}/")
    for shot in shots(showcase):
        if shot.person:
            assert await window.go(shot.path) == 200, shot.path
            found[shot.path] = await judged(window)
    assert {path: said for path, said in found.items() if said} == {}


async def judged(window: Window) -> list[str]:
    page = window.page
    await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    told = list(await page.evaluate(RUN, ALL))
    await page.emulate_media(color_scheme="dark")
    told += await page.evaluate(RUN, COLOURS)
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    told += await page.evaluate(RUN, SIZES)
    told += await page.evaluate(TOO_WIDE)
    await page.set_viewport_size(DESK)  # type: ignore[arg-type]
    return sorted(set(told))
