"""Signing in with a password: who comes in, and how little a guesser learns."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import structlog
from fastapi import Depends

from gitops.errors import NotAllowed
from gitops.model.ids import PersonName
from gitops.model.serving import SignInSpec
from gitops.web.api import build
from gitops.web.auth.doorman import BURST, path_of_ours
from gitops.web.auth.passwords import FREE, LONGEST_WAIT, OWNER, Passwords
from gitops.web.auth.viewer import Viewer, viewer
from tests.web.test_web_sessions import ADA, BOB, HERE, PUBLIC, Service, service

__all__ = ["service"]

GOOD = "correct horse battery"
LOCAL = SignInSpec(local=True)


async def enable(service: Service) -> Passwords:
    service.set(replace(service.controller.fleet.api, sign_in=LOCAL))
    passwords = Passwords(service.controller.ledger, service.clock)
    await passwords.set(service.controller.fleet, ADA, GOOD)
    return passwords


async def sign_in(
    service: Service, name: str = "ada", password: str = GOOD, base: str = HERE, **more: str
) -> httpx.Response:
    origin = more.pop("origin", base)
    headers = {"origin": origin} if origin else {}
    form = {"name": name, "password": password, **more}
    return await service.client.post(f"{base}/sign-in", data=form, headers=headers)


async def test_the_right_password_begins_a_session_and_leads_on(service: Service) -> None:
    await enable(service)
    answer = await sign_in(service, next="/applications/shop?tab=diff")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/applications/shop?tab=diff"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("gitops=")
    for part in ("HttpOnly", "SameSite=lax", "Path=/"):
        assert part in cookie
    assert "Secure" not in cookie, "loopback is plain http"
    assert (await service.client.get("/api/v1/status")).status_code == 200


async def test_over_tls_the_cookie_is_bound_to_the_host(service: Service) -> None:
    await enable(service)
    cookie = (await sign_in(service, base=PUBLIC)).headers["set-cookie"]
    assert cookie.startswith("__Host-gitops=")
    assert "Secure" in cookie
    assert "Domain" not in cookie


async def test_signing_in_again_renews_the_session_and_signing_out_ends_it(
    service: Service,
) -> None:
    await enable(service)
    await sign_in(service)
    first = service.client.cookies["gitops"]
    await sign_in(service)
    second = service.client.cookies["gitops"]
    assert first != second
    assert [await service.get(each) for each in (first, second)] == [401, 200]
    service.client.cookies.clear()
    sent = {"cookie": f"gitops={second}", "origin": HERE}
    foreign = await service.client.post("/sign-out", headers=sent)
    assert foreign.status_code == 403, "others cannot sign anybody out"
    csrf = await service.csrf(second)
    answer = await service.client.post("/sign-out", headers=sent, data={"csrf": csrf})
    assert answer.status_code == 303
    assert 'gitops=""' in answer.headers["set-cookie"]
    assert await service.get(second) == 401


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong"), ("bob", GOOD), ("eve", GOOD), ("", ""), ("?", GOOD), ("ada", "x" * 9_000)],
)
async def test_whoever_is_wrong_is_told_the_same(
    service: Service, name: str, password: str
) -> None:
    await enable(service)
    answer = await sign_in(service, name, password)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    other = await sign_in(service, "nobody", "at all")
    assert answer.text == other.text


@pytest.mark.slow
async def test_guesses_are_slowed_down_and_a_restart_forgets_none(service: Service) -> None:
    await enable(service)
    fleet = service.controller.fleet

    async def guess(password: str) -> PersonName | None:
        """By a process that has just started: nothing of the last guess is in its memory."""
        return await Passwords(service.controller.ledger, service.clock).check(
            fleet, "ada", password
        )

    for _ in range(FREE):
        assert await guess("wrong") is None
    assert await guess(GOOD) is None, "too early, and nobody is told that it was right"
    service.clock.time += 1.1
    assert await guess("wrong") is None
    service.clock.time += 1.1
    assert await guess(GOOD) is None, "the wait has doubled"
    service.clock.time += LONGEST_WAIT
    assert await guess(GOOD) == ADA
    assert await guess("wrong") is None
    assert await guess(GOOD) == ADA, "whoever signed in begins anew"


@pytest.mark.slow
async def test_one_address_has_so_many_attempts_whoever_it_tries(service: Service) -> None:
    passwords = await enable(service)
    del passwords
    codes = [(await sign_in(service, f"p{n}", "guess")).status_code for n in range(int(BURST) + 3)]
    assert codes[0] == 401
    assert codes[-1] == 429


async def test_what_is_kept_of_a_password_is_a_slow_hash(service: Service) -> None:
    passwords = await enable(service)
    stored = await service.controller.ledger.read(lambda r: r.memo(OWNER, "ada"))
    assert stored is not None
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await passwords.set(service.controller.fleet, BOB, GOOD)
    assert await service.controller.ledger.read(lambda r: r.memo(OWNER, "bob")) != stored
    for person, password in ((ADA, "short"), (ADA, "x" * 257), (PersonName("eve"), GOOD)):
        with pytest.raises(NotAllowed):
            await passwords.set(service.controller.fleet, person, password)
    await passwords.remove(BOB)
    assert [row["person"] for row in await passwords.names()] == ["ada"]


@pytest.mark.parametrize("origin", ["", "https://evil.example", "null"])
async def test_nobody_is_signed_in_by_another_site(service: Service, origin: str) -> None:
    await enable(service)
    answer = await sign_in(service, origin=origin)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_where_passwords_are_not_allowed_none_is_looked_at(service: Service) -> None:
    await enable(service)
    service.set(replace(service.controller.fleet.api, sign_in=SignInSpec()))
    assert (await sign_in(service)).status_code == 404


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil", "javascript:x", "",
     "/a\r\nset-cookie: x", "/\tb", "x", "/" + "a" * 600, "/%0d%0a\\", "/\u202ea"],
)  # fmt: skip
async def test_signing_in_leads_nowhere_else(service: Service, wanted: str) -> None:
    assert path_of_ours(wanted) == "/"
    await enable(service)
    assert (await sign_in(service, next=wanted)).headers["location"] == "/"


async def test_who_asks_for_a_page_is_sent_to_sign_in_and_back(service: Service) -> None:
    browser = {"accept": "text/html,*/*"}
    answer = await service.client.get("/api/v1/status", headers=browser)
    assert answer.status_code == 401
    page = await service.client.get("/sign-in", params={"next": '/x"><script>alert(1)</script>'})
    assert page.status_code == 200
    assert "<script" not in page.text
    await enable(service)
    page = await service.client.get("/sign-in", params={"next": '/x"><script>alert(1)</script>'})
    assert "<script" not in page.text
    assert 'type="password"' in page.text
    assert (await service.client.get("/sign-in.css")).headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        (f"{HERE}/requests/17?diff=split", "/requests/17?diff=split"),
        ("https://evil.example//evil.example", "/"),
        ("http://[", "/"),
        ("", "/"),
    ],
)
async def test_a_form_whose_session_has_ended_leads_to_the_sign_in_and_back_to_its_page(
    service: Service, referer: str, back: str
) -> None:
    app = build(service.controller, trusted=False)

    @app.post("/requests/17")
    async def answer(found: Annotated[Viewer, Depends(viewer)]) -> str:
        return str(found.person)

    sent = {"accept": "text/html", "referer": referer, "origin": HERE}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as client:
        told = await client.post("/requests/17", headers=sent)
    assert told.status_code == 303
    assert parse_qs(urlsplit(told.headers["location"]).query) == {"next": [back]}


async def test_no_password_is_ever_logged_or_shown(service: Service) -> None:
    await enable(service)
    with structlog.testing.capture_logs() as log:
        wrong = await sign_in(service, "ada", "a wrong canary phrase")
        right = await sign_in(service)
    assert "canary" not in json.dumps(log, default=str) + wrong.text
    assert GOOD not in json.dumps(log, default=str) + right.text + str(right.headers)


async def test_who_asks_for_a_page_is_sent_to_the_way_in_and_comes_back(service: Service) -> None:
    app = build(service.controller, trusted=False)

    @app.get("/some/page")
    async def page(found: Annotated[Viewer, Depends(viewer)]) -> str:
        return str(found.person)

    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
        answer = await client.get("/some/page?a=b&c=//evil", headers=browser)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=%2Fsome%2Fpage%3Fa%3Db%26c%3D%2F%2Fevil"
        assert (await client.get("/some/page")).status_code == 401
        assert (await client.post("/some/page", headers=browser)).status_code == 405
        cookie = await service.sessions.begin(ADA, "local")
        headers = {**browser, "cookie": f"gitops={cookie}"}
        assert (await client.get("/some/page", headers=headers)).text == '"ada"'
