"""Pages of somebody else, opened in the browser of a person who is signed in.

They are served from another port of the same host: for cookies that is the same site, so that
SameSite keeps none of them back (argo-cd GHSA-92mw-q256-5vwg). What remains is Origin and token.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.browser.conftest import OpenAs
from tests.browser.site import STORY, Site
from tests.browser.window import Window
from tests.e2e.rig import config_map

pytestmark = STORY


class Elsewhere(ThreadingHTTPServer):
    """Serves one page, whatever is asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.html = ""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Elsewhere

    def do_GET(self) -> None:
        body = self.server.html.encode()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def coveted(site: Site) -> dict[str, dict[str, str]]:
    """Everything that changes something, with the fields its form has, but for the token."""
    site.commit("crossed/cm.yaml", config_map("crossed", a="1"))
    asked, name = site.asked("crossed"), site.name("crossed")
    [[root]] = site.query("SELECT root FROM request WHERE id = ?", asked)
    yes = {"decision": "approve", "root": root, "confirmation": "", "reason": ""}
    return {
        f"/requests/{asked}": yes,
        f"/requests/{asked}/answer": yes,
        f"/api/v1/requests/{asked}/answer": yes,
        f"/applications/{name}/pause": {"for": "2h", "seconds": "7200", "reason": "mine"},
        f"/api/v1/applications/{name}/pause": {"seconds": "7200", "reason": "mine"},
        "/sign-out": {},
    }


async def evil(window: Window, elsewhere: Elsewhere, html: str) -> None:
    """The person goes to somebody else's page, and it does what it does."""
    elsewhere.html = f"<!doctype html><title>x</title>{html}"
    window.expect_complaint(elsewhere.base)
    for words in ("status of 4", "ERR_", "CORS", "Refused", "Content Security Policy", "frame"):
        window.expect_complaint(words)
    await window.page.goto(elsewhere.base)


def unchanged(site: Site) -> None:
    assert site.states("crossed") == ["asking"]
    assert site.verdicts("crossed") == []
    assert site.settings("crossed") is None
    assert site.query("SELECT * FROM pause") == []


async def test_a_form_of_another_origin_changes_nothing(
    site: Site, open_as: OpenAs, elsewhere: Elsewhere, coveted: dict[str, dict[str, str]]
) -> None:
    window = await open_as("bob")
    for path, fields in coveted.items():
        inputs = "".join(
            f'<input name="{name}" value="{escape(value)}">' for name, value in fields.items()
        )
        await evil(
            window,
            elsewhere,
            f'<form method="post" action="{site.base}{path}">{inputs}<button>win</button></form>',
        )
        async with window.page.expect_navigation() as answered:
            await window.page.get_by_role("button").click()
        answer = await answered.value
        assert answer is not None
        assert answer.status in {403, 404, 405, 415, 422}, path
    unchanged(site)
    assert await window.go("/") == 200
    assert "/sign-in" not in window.page.url, "nobody was signed out"


async def test_scripts_and_pictures_of_another_origin_change_and_read_nothing(
    site: Site, open_as: OpenAs, elsewhere: Elsewhere, coveted: dict[str, dict[str, str]]
) -> None:
    window = await open_as("bob")
    await evil(window, elsewhere, "")
    told = await window.page.evaluate(
        """async ([base, coveted]) => {
            const told = [];
            for (const [path, fields] of Object.entries(coveted)) {
                for (const mode of ["no-cors", "cors"]) {
                    for (const type of ["application/x-www-form-urlencoded", "text/plain"]) {
                        const body = type === "text/plain"
                            ? JSON.stringify(fields) : new URLSearchParams(fields).toString();
                        try {
                            const answer = await fetch(base + path, {method: "POST", mode, body,
                                credentials: "include", headers: {"content-type": type}});
                            told.push(await answer.text());
                        } catch { told.push(""); }
                    }
                }
                navigator.sendBeacon(base + path, new URLSearchParams(fields));
                await new Promise((done) => {
                    const picture = new Image();
                    picture.onload = picture.onerror = done;
                    picture.src = base + path + "?" + new URLSearchParams(fields);
                });
            }
            return told;
        }""",
        [site.base, coveted],
    )
    assert set(told) == {""}, "nothing could be read either"
    unchanged(site)


async def test_no_page_is_shown_within_another(
    site: Site, open_as: OpenAs, elsewhere: Elsewhere
) -> None:
    window = await open_as("bob")
    await evil(window, elsewhere, f'<iframe src="{site.base}/"></iframe>')
    texts = [await frame.locator("body").inner_text() for frame in window.page.frames[1:]]
    assert texts
    assert all(site.name("crossed") not in text for text in texts)


async def test_a_name_that_leads_here_is_not_answered(site: Site, open_as: OpenAs) -> None:
    """DNS rebinding: the page's own name, our address. The browser's resolver plays the attacker
    here by the Host header alone."""
    window = await open_as("bob")
    answer = await window.context.request.get(
        f"{site.base}/", headers={"host": "rebound.example"}, max_redirects=0
    )
    assert answer.status == 421
    assert site.name("crossed") not in await answer.text()
