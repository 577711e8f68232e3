"""Sources, clusters and webhooks on their page, and what an operator can do there."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gitops.engine.inbox import owner
from gitops.engine.watches import SourceWatch
from gitops.errors import SourceProblem
from gitops.model.fleet import ClusterSpec, SourceSpec, WebhookSpec
from gitops.model.ids import PersonName, SourceName, TargetName
from gitops.model.serving import ApiSpec, Role, RoleRule, SignInSpec
from gitops.model.source import Revision, SourceState
from gitops.ports import Look
from gitops.web.auth.sessions import Sessions
from gitops.web.fleet_routes import bare
from gitops.web.pages import sources
from tests.web.test_pages_overview import ADA, BOB, EVIL, HERE, Page, page, text_of

__all__ = ["page"]


class Remote:
    """A source that says what it is told to say."""

    def __init__(self) -> None:
        self.looks = 0
        self.problem: Exception | None = None
        self.slow = asyncio.Event()
        self.slow.set()

    async def look(self, last: Revision | None) -> Look:
        self.looks += 1
        await self.slow.wait()
        if self.problem:
            raise self.problem
        return Look(Revision(SourceName("config"), "ab" * 20, "main"))

    async def snapshot(self, revision: Revision) -> Any:
        class Snapshot:
            pass

        found = Snapshot()
        found.revision = revision  # type: ignore[attr-defined]
        return found


async def watch(page: Page, spec: SourceSpec | None = None) -> tuple[SourceWatch, Remote]:
    async def moved(_: object) -> None: ...

    remote, spec = Remote(), spec or page.controller.fleet.sources[SourceName("config")]
    found = SourceWatch(spec, remote, page.controller.ledger, page.clock, moved)  # type: ignore[arg-type]
    page.controller.watches[spec.name] = found
    return found, remote


async def act(page: Page, person: PersonName | None, path: str, **more: str) -> httpx.Response:
    """As a form of the page would be sent."""
    headers, form = {"accept": "text/html", "origin": HERE}, dict(more)
    if person:
        api = page.controller.fleet.api
        found = Sessions(page.controller.ledger, page.clock, lambda: api.sign_in)
        cookie = await found.begin(person, "local")
        session = await found.of(cookie)
        assert session is not None
        headers["cookie"] = f"gitops={cookie}"
        form.setdefault("csrf", session.csrf)
    return await page.client.post(path, headers=headers, data=form)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:hunter2@git.example/c.git?token=s#x", "https://git.example/c.git"),
        ("ssh://git@[2001:db8::1]:2222/c.git", "ssh://[2001:db8::1]:2222/c.git"),
        ("git@git.example:c.git", "git@git.example:c.git"),
        ("/srv/config", "/srv/config"),
        ("https://host:port/x", "https://…"),
    ],
)
def test_no_address_shows_credentials(url: str, shown: str) -> None:
    assert bare(url) == shown


async def test_a_source_says_how_its_last_look_went_and_what_to_do(page: Page) -> None:
    found, remote = await watch(page)
    await found.look()
    html = await page.get("/sources")
    assert "hunter2" not in html
    assert "t=s" not in html
    text = text_of(html)
    assert "✓ ready" in text
    assert "abababababab" in text
    assert "3 applications" in text
    assert "every 30 s; since the start 1 × ready" in text
    remote.problem = SourceProblem(f"no branch {EVIL}", state=SourceState.GONE, hint="change ref")
    await found.look()
    html = await page.get("/sources")
    assert "<img" not in html.partition("<main")[2]
    text = text_of(html)
    assert "✗ gone" in text
    assert "no branch <img" in text
    assert "change ref" in text
    assert sources.ADVICE[SourceState.GONE] in text
    assert "abababababab" in text, "the last good revision stays"


async def test_an_operator_has_a_source_looked_at(page: Page) -> None:
    found, remote = await watch(page)
    running = asyncio.create_task(found.run())
    await asyncio.sleep(0.01)
    before = remote.looks
    answer = await act(page, BOB, "/sources/config/nudge")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sources?done=looked")
    assert remote.looks > before
    assert "looked at just now" in text_of(await page.get("/sources?done=looked", BOB))
    running.cancel()


async def test_a_look_that_takes_long_is_not_waited_for(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LONGEST_LOOK", 0.01)
    found, remote = await watch(page)
    remote.slow.clear()
    running = asyncio.create_task(found.run())
    answer = await act(page, BOB, "/sources/config/nudge")
    assert answer.headers["location"] == "/sources?done=looking"
    running.cancel()


async def test_nobody_else_acts_here(page: Page) -> None:
    await watch(page)
    roles = (RoleRule(Role.APPROVER, people=(ADA,)), RoleRule(Role.OPERATOR, people=(BOB,)))
    api = ApiSpec(listen="127.0.0.1:8080", sign_in=SignInSpec(local=True), roles=roles)
    page.controller.roster.reload(replace(page.controller.fleet, api=api))
    assert "Look now" not in await page.get("/sources", ADA)
    assert "Look now" in await page.get("/sources", BOB)
    assert (await act(page, ADA, "/sources/config/nudge")).status_code == 403
    assert (await act(page, BOB, "/sources/config/nudge", csrf="a guess")).status_code == 403
    assert (await act(page, None, "/sources/config/nudge")).status_code in (303, 401)
    assert (await act(page, BOB, "/sources/other/nudge")).status_code == 404


async def test_what_a_webhook_said_is_done_again(page: Page) -> None:
    hook = WebhookSpec("forge", "generic")
    page.controller.roster.reload(replace(page.controller.fleet, webhooks=(hook,)))
    delivery = {
        "id": "c0ffee" * 8,
        "webhook": "forge",
        "at": page.clock.time,
        "outcome": "accepted",
        "event": f"push {EVIL}",
        "delivery": "1",
        "sources": ["config"],
        "note": "",
    }
    kept = json.dumps({"delivery": delivery, "words": []})
    await page.controller.ledger.write(
        lambda tx: tx.memorise(owner("forge"), str(delivery["id"]), kept)
    )
    html = await page.get("/sources", BOB)
    text = text_of(html)
    assert "/hooks/forge" in text
    assert "push <img" in text
    assert "<img" not in html.partition("<main")[2]
    assert "Again" in text
    answer = await act(page, BOB, f"/sources/heard/{str(delivery['id'])[:16]}/replay")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sources?done=ignored")
    assert (await act(page, BOB, "/sources/heard/ffff/replay")).status_code == 404


async def test_words_after_an_act_are_ours(page: Page) -> None:
    assert "evil" not in text_of(await page.get("/sources?done=evil"))


async def test_many_sources_and_clusters_stay_a_page(page: Page) -> None:
    many = {
        name: SourceSpec(name, "git", f"https://git.example/{'x' * 90}/{name}")
        for name in (SourceName(f"source-{n:03}") for n in range(400))
    }
    clusters = {
        name: ClusterSpec(name, context="c" * 90, labels={f"k{i}": "v" * 60 for i in range(9)})
        for name in (TargetName(f"cluster-{n:03}") for n in range(400))
    }
    fleet = replace(page.controller.fleet, sources=many, clusters=clusters, applications={})
    page.controller.roster.reload(fleet)
    found, remote = await watch(page, many[SourceName("source-399")])
    remote.problem = SourceProblem("gone", state=SourceState.GONE)
    await found.look()
    text = text_of(await page.get("/sources"))
    assert text.index("source-399") < text.index("source-000"), "who needs somebody comes first"
    assert "340 sources more" in text
    assert "source-217" in text_of(await page.get("/sources?q=217"))
    answer = await page.client.get("/api/v1/sources")
    assert len(answer.json()["sources"]) == 400
    answer = await page.client.get("/api/v1/clusters")
    assert answer.json()["clusters"][0]["status"] is None
