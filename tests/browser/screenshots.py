"""``make screenshots``: every page as it looks, light, dark and on a phone, for the documentation.

Plays the showcase on control planes of its own and writes ``examples/screenshots``, or the folder
that is named.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from gitops.sandbox import lifecycle
from gitops.sandbox.tools import Toolbox
from tests.browser.showcase import Showcase
from tests.browser.window import DESK, PHONE, Window, launch, opened, sign_in
from tests.e2e.rig import Rig

FOLDER = Path(__file__).parents[2] / "examples" / "screenshots"
CLUSTERS = ("production", "staging")
SCREENFUL, WHOLE = 900, 1_400
"""Pixels: what is longer is cut, its beginning says what it is."""
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
SHRINK = """async (png) => {
    const image = new Image();
    image.src = "data:image/png;base64," + png;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const drawn = context.getImageData(0, 0, canvas.width, canvas.height);
    const dots = new Uint32Array(drawn.data.buffer);
    const often = new Map();
    for (const dot of dots) often.set(dot, (often.get(dot) || 0) + 1);
    const parts = (dot) => [dot & 255, dot >> 8 & 255, dot >> 16 & 255];
    const vivid = (dot) => Math.max(...parts(dot)) - Math.min(...parts(dot));
    const away = (a, b) => {
        const [x, y] = [parts(a), parts(b)];
        return 2 * (x[0] - y[0]) ** 2 + 4 * (x[1] - y[1]) ** 2 + 3 * (x[2] - y[2]) ** 2;
    };
    const weight = ([dot, count]) => count * (1 + vivid(dot) / 16);
    const kept = [];
    for (const [dot] of [...often].sort((a, b) => weight(b) - weight(a))) {
        if (kept.length < 64 && kept.every((each) => away(each, dot) > 260)) kept.push(dot);
    }
    const number = new Map();
    for (const dot of often.keys()) {
        const nearest = kept.reduce((a, b) => away(dot, b) < away(dot, a) ? b : a);
        number.set(dot, kept.indexOf(nearest));
    }
    let bytes = "";
    for (const dot of dots) bytes += String.fromCharCode(number.get(dot));
    return [canvas.width, canvas.height, kept.flatMap(parts), btoa(bytes)];
}"""
"""The size, the 64 colours that matter most, and for each dot the number of its colour."""


@dataclass(frozen=True, slots=True)
class Shot:
    name: str
    path: str
    person: str = "grace"
    looks: tuple[str, ...] = ("light",)
    tallest: int = SCREENFUL


def shots(site: Showcase) -> Iterator[Shot]:
    """The pages, in every look; then what else stands on them, in one."""
    every = tuple(LOOKS)
    request = f"/requests/{newest(site, 'payments', 'request')}"
    yield Shot("sign-in", "/sign-in", "", every)
    for name, path in (
        ("fleet", "/"),
        ("pending", "/pending"),
        ("deliveries", "/deliveries"),
        ("audit", "/audit"),
        ("sources", "/sources"),
        ("trends", "/stats"),
        ("application", "/applications/storefront"),
        ("value-stream", "/applications/storefront/value-stream"),
        ("change", f"/changes/{newest(site, 'catalog')}"),
    ):
        dense = name == "audit"
        yield Shot(name, path, looks=every, tallest=SCREENFUL if dense else WHOLE)
    yield Shot("request", request, looks=every, tallest=WHOLE)
    yield Shot("request-of-ones-own", request, "ada", tallest=WHOLE)
    deleting = f"/requests/{newest(site, 'mail-queue', 'request')}"
    yield Shot("request-deleting", deleting, tallest=WHOLE)
    yield Shot("request-terraform", f"/requests/{newest(site, 'dns', 'request')}")
    yield Shot("application-failed", "/applications/search")
    yield Shot("application-terraform", "/applications/dns")
    yield Shot("change-failed", f"/changes/{newest(site, 'search')}")
    yield Shot("change-blocked", f"/changes/{newest(site, 'loyalty')}")
    split = f"/changes/{newest(site, 'payments')}?diff=split"
    yield Shot("change-side-by-side", split, tallest=WHOLE)


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


async def take(site: Showcase, to: Path, only: str = "") -> None:
    """Every page in its looks into ``to``."""
    to.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        painter = await browser.new_page()
        for look, options in LOOKS.items():
            for person in ("", "grace", "ada"):
                wanted = [
                    shot
                    for shot in shots(site)
                    if shot.person == person and look in shot.looks and only in shot.name
                ]
                async with opened(browser, site.base, **options) as window:
                    if person and wanted:
                        await sign_in(window, person)
                        await window.page.wait_for_url(f"{site.base}/")
                    for shot in wanted:
                        await window.go(shot.path)
                        taken = await shrunk(painter, await picture(window, shot.tallest))
                        (to / f"{shot.name}-{look}.png").write_bytes(taken)
        await browser.close()


async def picture(window: Window, tallest: int) -> bytes:
    page = window.page
    await page.evaluate(ELSEWHERE)
    height = await page.evaluate("document.documentElement.scrollHeight")
    width = await page.evaluate("innerWidth")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, tallest)}
    return await page.screenshot(full_page=True, clip=clip)  # type: ignore[arg-type]


async def shrunk(painter: Page, png: bytes) -> bytes:
    """The same picture in 64 colours: a page has few, and the many shades between a letter and its
    ground need not all be kept. A PNG with a palette (W3C PNG 11.2)."""
    found = await painter.evaluate(SHRINK, base64.b64encode(png).decode())
    width, height, colours, dots = found[0], found[1], bytes(found[2]), base64.b64decode(found[3])
    rows = b"".join(b"\0" + dots[at : at + width] for at in range(0, len(dots), width))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"PLTE", colours),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def main(arguments: list[str]) -> None:
    to = Path(arguments[0]) if arguments else FOLDER
    scratch = tempfile.TemporaryDirectory(prefix="gitops-shots-")
    with scratch, played(Path(scratch.name)) as site:
        asyncio.run(take(site, to))


if __name__ == "__main__":
    main(sys.argv[1:])
