"""A person in front of a browser: one context of Chromium, whose every complaint is a failure.

What a page may never do is watched wherever people go: errors in the console, violations of the
content security policy, uncaught exceptions, a dialog nobody asked for, a request to anywhere but
the controller. Leaving the ``async with`` block judges.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Error,
    Page,
    Playwright,
    Request,
)

from tests.browser.site import PASSWORD
from tests.conftest import absent

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--disable-quic",
    "--disable-gpu",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-default-apps",
    "--disable-breakpad",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-pings",
    # Whatever a page or the browser itself might want to reach, it finds this machine alone.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE = 90_000.0
"""Milliseconds anything in a page may take: a bound for what hangs, not for a busy machine."""
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
_TELLS = """addEventListener("securitypolicyviolation", (told) => console.error(
    `policy: ${told.effectiveDirective} ${told.blockedURI} ${told.sample}`));"""


def program() -> str:
    """Chromium's; where there is none, the test is skipped by name."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    return found or absent("no Chromium is on PATH; install it: apt-get install chromium")


async def launch(playwright: Playwright) -> Browser:
    """Without its own sandbox: in a container its kernel features are not to be had, and all it
    ever opens are pages of ours."""
    return await playwright.chromium.launch(
        executable_path=program(), args=list(QUIET), chromium_sandbox=False, timeout=PATIENCE
    )


@dataclass
class Window:
    """``page`` is the first tab; ``context`` may open more, which are watched alike."""

    base: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect_complaint(self, words: str) -> None:
        """One that holds these words is part of the story."""
        self.expected.append(words)

    async def go(self, path: str) -> int:
        """Opens a page of the controller; its status."""
        answer = await self.page.goto(f"{self.base}{path}", wait_until="load")
        assert answer is not None
        return answer.status

    async def post(self, path: str, fields: Mapping[str, str], **headers: str) -> int:
        """A form as a script of the same origin would send it, past every button; its status."""
        sent = await self.page.evaluate(
            """async ([path, fields, headers]) => (await fetch(path, {method: "POST", headers,
                body: new URLSearchParams(fields), redirect: "manual"})).status""",
            [path, dict(fields), {"accept": "text/html", **headers}],
        )
        return int(sent)

    async def csrf(self) -> str:
        """The token of the form on the page that is open."""
        return str(await self.page.locator("input[name=csrf]").first.input_value())

    def unexpected(self) -> list[str]:
        return [
            each for each in self.complaints if not any(words in each for words in self.expected)
        ]

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.on("dialog", self._dialog)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"console: {message.text} at {message.location.get('url', '')}")

    def _error(self, error: Error) -> None:
        self.complaints.append(f"page error: {error}")

    async def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def request(self, request: Request) -> None:
        ours, theirs = urlsplit(self.base), urlsplit(request.url)
        if theirs.scheme in {"http", "https", "ws", "wss", "ftp"} and theirs.netloc != ours.netloc:
            self.complaints.append(f"request to elsewhere: {request.method} {request.url}")


@asynccontextmanager
async def opened(browser: Browser, base: str, **options: Any) -> AsyncIterator[Window]:
    """A window of its own: no cookie of anybody else's. Fails at the end for what was complained
    about; ``options`` are those of a browser context."""
    context = await browser.new_context(
        **{"viewport": DESK, "locale": "en-GB", "timezone_id": "UTC", **options}
    )
    context.set_default_timeout(PATIENCE)
    await context.add_init_script(_TELLS)
    window = Window(base, context, await context.new_page())
    window.watch(window.page)
    context.on("page", window.watch)
    context.on("request", window.request)
    try:
        yield window
    finally:
        await context.close()
    if found := window.unexpected():
        pytest.fail("the pages complained:\n" + "\n".join(found), pytrace=False)


async def sign_in(window: Window, person: str, password: str = PASSWORD) -> None:
    """On the real page, as a person types."""
    if urlsplit(window.page.url).path != "/sign-in":
        await window.go("/sign-in")
    await window.page.get_by_label("Name").fill(person)
    await window.page.get_by_label("Password").fill(password)
    await window.page.get_by_role("button", name="Sign in").click()
