"""Text of strangers stands on the pages as text, whatever it tries to be.

Every string goes in by every way that lets it: values, annotations, names of objects, commit
messages, author names, findings, reasons, messages of pods, events, lines of a log. Then every page
is looked at.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from playwright.async_api import expect

from gitops.foreign import one_line
from tests.browser.conftest import OpenAs
from tests.browser.hostile import STRINGS
from tests.browser.pages import pages
from tests.browser.site import STORY, Site
from tests.browser.window import Window
from tests.e2e.rig import ADA, config_map

pytestmark = STORY

OWNED = "window.owned = (by) => console.error(`owned by ${by}`); window.alert = window.owned;"


assert len(set(STRINGS)) == 60


async def test_nothing_of_a_stranger_is_run_or_obeyed_on_any_page(
    site: Site, open_as: OpenAs
) -> None:
    settle(site)
    window = await open_as("bob")
    await window.context.add_init_script(OWNED)
    told = ""
    for path in pages(site, "hostile", "broken", "refused", "ill"):
        assert await window.go(path) == 200, path
        told += await look(window, path)
    logged = await log_of_the_ill(site, window)
    for seen in (told, logged):
        unseen = [text for text in STRINGS if flat(one_line(text)) not in flat(seen)]
        assert not unseen, "what was said can be read"
        assert "133700903" not in seen, "no template took it for its own"


async def log_of_the_ill(site: Site, window: Window) -> str:
    """What the page of the bad pod shows of a log in which all of it stands."""
    await window.go(f"/applications/{site.name('ill')}")
    link = window.page.locator("a[data-fill]")
    path = f"{await link.get_attribute('href')}&previous=false"
    assert await window.go(path) == 200
    await look(window, path)
    return str(await window.page.locator("pre").first.text_content())


async def look(window: Window, path: str) -> str:
    """Opens whatever opens, moves over everything, and reads it all."""
    page = window.page
    await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    links = await page.evaluate("[...document.links].map((link) => link.href)")
    strange = [link for link in links if not link.startswith((f"{window.base}/", "about:"))]
    assert strange == [], path
    await page.evaluate(
        """for (const one of document.querySelectorAll("main *"))
            for (const kind of ["pointerover", "mouseover", "focus", "toggle"])
                one.dispatchEvent(new Event(kind, {bubbles: true}))"""
    )
    added = await page.evaluate(
        """[...document.querySelectorAll("main :is(script, style, iframe, object, embed, base,"
            + " meta, link, img, video, audio, math, marquee, template, dialog)")].length"""
    )
    assert added == 0, path
    await expect(page.locator("main")).to_be_visible()
    return str(await page.evaluate("document.body.textContent"))


def settle(site: Site) -> None:
    """One application is asked about, one was denied, one fails a check, one has a bad pod."""
    values = {f"k{n:02}": text for n, text in enumerate(STRINGS)}
    things: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "hostile",
                "annotations": {
                    f"example.com/k{60 - n:02}": text for n, text in enumerate(STRINGS)
                },
            },
            "data": values,
        },
        # The names of roles may hold all but what would end a path (k8s.io/apimachinery path.go).
        *(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": text},
                "rules": [],
            }
            for text in STRINGS
            if not re.search(r"[/%\x00-\x1f]", text)
        ),
    ]
    message = f"{STRINGS[0]}\n\n" + "\n".join(text.replace("\x00", "") for text in STRINGS)
    author = (re.sub(r"[<>\x00\n]", "", STRINGS[30] + STRINGS[28]), ADA[1])
    site.commit("hostile/all.yaml", yaml.safe_dump_all(things), message, author)
    site.asked("hostile")
    site.commit("broken/cm.yaml", yaml.safe_dump(unknown_fields()), STRINGS[2])
    site.running.until(lambda _: site.states("broken")[:1] == ["blocked"])
    site.commit("refused/cm.yaml", config_map("refused", a="1"))
    site.answer("refused", "cyd", "deny", "\n".join(reversed(STRINGS))[:2_000])
    make_ill(site)


def make_ill(site: Site) -> None:
    """A pod whose state and events speak, as a program within could make them."""
    site.commit("ill/pod.yaml", yaml.safe_dump(POD))
    site.answer("ill")
    site.until_state("ill", "healthy")
    said = "\n".join(STRINGS).replace("\x00", "")
    waits = {"waiting": {"reason": STRINGS[0], "message": said}}
    ended = {"terminated": {"exitCode": 1, "reason": STRINGS[1], "message": said}}
    container = {"name": "a", "image": "a", "imageID": "", "ready": False, "restartCount": 7}
    status = {
        "containerStatuses": [{**container, "state": waits, "lastState": ended}],
        "conditions": [{"type": "Ready", "status": "False", "reason": "x", "message": said}],
    }
    site.rig.kubectl(
        *("-n", site.rig.namespace, "patch", "pod/ill", "--subresource=status", "--type=merge"),
        *("--patch", json.dumps({"status": status})),
    )
    uid = (site.rig.live("pod", "ill") or {})["metadata"]["uid"]
    about = {"apiVersion": "v1", "kind": "Pod", "name": "ill", "uid": uid}
    about["namespace"] = site.rig.namespace
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "ill.1", "namespace": site.rig.namespace},
        "involvedObject": about,
        "reason": STRINGS[2],
        "message": said[:1_024],
        "type": "Warning",
    }
    site.rig.kubectl("create", "-f", "-", stdin=json.dumps(event))
    with (site.rig.sandbox.folder / "pods" / "present.log").open("a", newline="") as log:
        log.writelines(f"2026-01-01T00:00:10Z stdout F {text}\n" for text in STRINGS)


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "ill"},
    "spec": {"containers": [{"name": "a", "image": "registry.example.com/a:1"}]},
}


def unknown_fields() -> dict[str, Any]:
    """A Deployment whose fields no schema knows: each makes a finding that names it."""
    labels = {"app": "broken"}
    container = {"name": "a", "image": STRINGS[3], **dict.fromkeys(STRINGS[:12], 1)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "broken"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def flat(text: str) -> str:
    return re.sub(r"\s+", "", text)
