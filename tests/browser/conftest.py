"""One Chromium and one controller for all stories; a window for each person who takes part.

Everything of Playwright lives in the session's event loop, and all stories run in one worker (the
group of their marks), so that neither is started twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from gitops.sandbox.layout import SandboxInfo
from tests.browser.hostile import STRINGS
from tests.browser.showcase import Showcase
from tests.browser.site import PEOPLE, STORIES, Site
from tests.browser.window import PATIENCE, Window, launch, opened, program, sign_in
from tests.conftest import Tools
from tests.e2e.process import end_leftovers
from tests.e2e.rig import Rig

OpenAs = Callable[..., Awaitable[Window]]


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    program()
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        yield browser
        await browser.close()


@pytest.fixture(scope="package")
def site(
    tmp_path_factory: pytest.TempPathFactory, sandbox: SandboxInfo, tools: Tools
) -> Iterator[Site]:
    """The controller that stories share, each with an application of its own."""
    program()
    namespace = f"t-pages-{tmp_path_factory.getbasetemp().stat().st_ino}"
    folder = tmp_path_factory.mktemp("pages")
    site = Site(Rig(folder, sandbox, tools.path("kubectl"), namespace))
    for story, more in STORIES.items():
        site.add(story, **more)
    lost = {"git": f"{folder}/{STRINGS[0]}.git", "allow_local": True, "interval": "1h"}
    site.rig.fleet["sources"]["lost"] = lost
    site.rig.commit("begin")
    try:
        site.start()
        for person in PEOPLE:
            site.give_password(person)
        yield site
        site.stop()
    finally:
        end_leftovers()


@pytest.fixture(scope="package")
def signed_in() -> dict[str, Any]:
    """What the browser keeps of each person who has signed in once."""
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def open_as(browser: Browser, site: Site, signed_in: dict[str, Any]) -> AsyncIterator[OpenAs]:
    """``await open_as("bob", path)``: a window of that person's, signed in, there. What its pages
    complained about fails the test when it ends."""
    async with AsyncExitStack() as windows:

        async def open_as(person: str = "", path: str = "/", **options: Any) -> Window:
            if person and person not in signed_in:
                async with opened(browser, site.base) as first:
                    await sign_in(first, person)
                    await first.page.wait_for_url(lambda url: urlsplit(url).path == "/")
                    signed_in[person] = await first.context.storage_state()
            state = signed_in[person] if person else None
            window = await windows.enter_async_context(
                opened(browser, site.base, storage_state=state, **options)
            )
            await window.go(path)
            return window

        yield open_as


@pytest.fixture(scope="package")
def showcase(
    tmp_path_factory: pytest.TempPathFactory, sandbox: SandboxInfo, tools: Tools
) -> Iterator[Showcase]:
    """The last days of the fleet of the pictures, on one cluster."""
    program()
    namespace = f"t-shop-{tmp_path_factory.getbasetemp().stat().st_ino}"
    rig = Rig(tmp_path_factory.mktemp("showcase"), sandbox, tools.path("kubectl"), namespace)
    clusters = {"production": sandbox}
    site = Showcase(rig, clusters=clusters, terraform=tools.path("tofu"), weeks=False)
    try:
        site.play()
        site.give_password("grace")
        yield site
        site.stop()
    finally:
        end_leftovers()
