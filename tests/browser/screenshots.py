"""``make screenshots``: every page as it looks, light, dark and on a phone, for the documentation.

Plays the showcase on control planes of its own and writes ``docs/screenshots``; with a folder as
argument, PNG files go there instead, to look at.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

from gitops.sandbox import lifecycle
from gitops.sandbox.tools import Toolbox
from tests.browser.showcase import Showcase
from tests.browser.window import DESK, PHONE, Window, launch, opened, sign_in
from tests.e2e.rig import Rig

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
CLUSTERS = ("production", "staging")
TALLEST = {"light": 1_500, "dark": 1_500, "phone": 1_500}
"""Pixels: what is longer is cut, its beginning says what it is."""
QUALITY = 82
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "has_touch": True, "is_mobile": True},
}

ELSEWHERE = """() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        text.data = text.data.replace(/\\S+\\/remote\\.git/, "https://git.example.com/shop/config.git");
    }
}"""
"""The repository lies in a folder for the time of the play; nobody's does."""


@dataclass(frozen=True, slots=True)
class Shot:
    name: str
    path: str
    person: str = "grace"


def shots(site: Showcase) -> Iterator[Shot]:
    yield Shot("sign-in", "/sign-in", "")
    yield Shot("fleet", "/")
    yield Shot("pending", "/pending")
    yield Shot("deliveries", "/deliveries")
    yield Shot("audit", "/audit")
    yield Shot("sources", "/sources")
    yield Shot("trends", "/stats")
    yield Shot("application", "/applications/storefront")
    yield Shot("application-failed", "/applications/search")
    yield Shot("application-terraform", "/applications/dns")
    yield Shot("value-stream", "/applications/storefront/value-stream")
    yield Shot("change-rolled-back", f"/changes/{newest(site, 'catalog')}")
    yield Shot("change-failed", f"/changes/{newest(site, 'search')}")
    yield Shot("change-blocked", f"/changes/{newest(site, 'loyalty')}")
    yield Shot("change-side-by-side", f"/changes/{newest(site, 'payments')}?diff=split")
    yield Shot("request", f"/requests/{newest(site, 'payments', 'request')}")
    yield Shot("request-own", f"/requests/{newest(site, 'payments', 'request')}", "ada")
    yield Shot("request-destructive", f"/requests/{newest(site, 'mail-queue', 'request')}")
    yield Shot("request-terraform", f"/requests/{newest(site, 'dns', 'request')}")


def newest(site: Showcase, application: str, column: str = "id") -> str:
    """Of an application's newest change: its id, or that of its request."""
    for id, request in site.query(
        "SELECT id, request FROM change WHERE application = ? ORDER BY number DESC LIMIT 1",
        application,
    ):
        return str(id if column == "id" else request)
    raise LookupError(application)


@contextlib.contextmanager
def played(folder: Path) -> Iterator[Showcase]:
    toolbox, states = Toolbox(), folder / "sandboxes"
    try:
        clusters = {
            name: lifecycle.start(name, states, toolbox, owner=os.getpid()) for name in CLUSTERS
        }
        rig = Rig(folder, clusters[CLUSTERS[0]], toolbox.path("kubectl"), "shop")
        site = Showcase(rig, clusters=clusters, terraform=toolbox.path("tofu"))
        try:
            site.play()
            for person in ("ada", "grace"):
                site.give_password(person)
            yield site
        finally:
            if site.process is not None:
                site.process.child.terminate()
                site.process.child.wait()
    finally:
        for name in CLUSTERS:
            lifecycle.stop(name, states)


async def take(site: Showcase, to: Path, kind: str, only: str = "") -> None:
    """Every page in every look into ``to``, as ``webp`` or ``png``."""
    to.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        for look, options in LOOKS.items():
            for person in ("", "grace", "ada"):
                async with opened(browser, site.base, **options) as window:
                    if person:
                        await sign_in(window, person)
                        await window.page.wait_for_url(f"{site.base}/")
                    for shot in shots(site):
                        if shot.person == person and only in shot.name:
                            await window.go(shot.path)
                            await picture(window, to / f"{shot.name}-{look}.{kind}", look)
        await browser.close()


async def picture(window: Window, file: Path, look: str) -> None:
    """WebP comes from the browser's own debugger alone (Chrome DevTools Protocol)."""
    await window.page.evaluate(ELSEWHERE)
    height = await window.page.evaluate("document.documentElement.scrollHeight")
    size = await window.page.evaluate("[innerWidth, innerHeight]")
    clip = {"x": 0, "y": 0, "width": size[0], "scale": 1}
    clip["height"] = min(max(int(height), size[1] // 2), TALLEST[look])
    session = await window.context.new_cdp_session(window.page)
    kind = file.suffix.removeprefix(".")
    wanted = {"format": kind, "clip": clip, "captureBeyondViewport": True}
    if kind == "webp":
        wanted["quality"] = QUALITY
    taken = await session.send("Page.captureScreenshot", wanted)
    await session.detach()
    file.write_bytes(base64.b64decode(taken["data"]))


def main(arguments: list[str]) -> None:
    to, kind = (Path(arguments[0]), "png") if arguments else (FOLDER, "webp")
    scratch = tempfile.TemporaryDirectory(prefix="gitops-shots-")
    with scratch, played(Path(scratch.name)) as site:
        asyncio.run(take(site, to, kind))


if __name__ == "__main__":
    main(sys.argv[1:])
