"""Signing in at a real OpenID provider: the certified one of npm, with its own forms."""

from __future__ import annotations

import json
import re
import select
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from gitops.clock import SystemClock
from gitops.model.fleet import People, Person
from gitops.model.ids import PersonName
from gitops.model.secret import SecretRef
from gitops.model.serving import ApiSpec, OidcSpec, Role, RoleRule, SignInSpec
from gitops.web.api import build
from tests.npm import installed
from tests.web.test_web_sessions import Service, service

__all__ = ["service"]

US = "http://127.0.0.1:8080"
SECRET = "a secret with + and % in it"
ACCOUNTS = {
    "ada": {"name": "Ada <b>Lovelace</b>", "groups": ["crew", "sre"]},
    "eve": {"name": "Eve", "groups": ["visitors"]},
}


@contextmanager
def provider(folder: Path, *, groups_in: str = "id", secret: bool = True) -> Iterator[str]:
    """Its issuer, while it runs."""
    client = {
        "client_id": "gitops",
        "redirect_uris": [f"{US}/sign-in/return"],
        **({"client_secret": SECRET} if secret else {"token_endpoint_auth_method": "none"}),
    }
    given = json.dumps({"client": client, "accounts": ACCOUNTS, "groupsIn": groups_in})
    with subprocess.Popen(
        ["node", str(folder / "provider.mjs"), given],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert select.select([child.stdout], [], [], 30)[0], "it did not start"
        line = child.stdout.readline()
        while line and not line.startswith("http"):
            line = child.stdout.readline()
        yield line.strip()
        child.stdin.close()
        child.wait(20)


@pytest.fixture(scope="module", params=["id", "userinfo"])
def issuer(request: pytest.FixtureRequest) -> Iterator[str]:
    with provider(installed("oidc"), groups_in=request.param) as found:
        yield found


@dataclass
class Browser:
    """Two sites, their cookies, and a person who fills in forms."""

    ours: httpx.AsyncClient
    theirs: httpx.AsyncClient
    visited: list[str] = field(default_factory=list)

    async def follow(self, answer: httpx.Response, until: str = "") -> httpx.Response:
        """Goes where it is sent; stops in front of a page, or of ``until``."""
        while answer.is_redirect:
            url = str(answer.url.join(answer.headers["location"]))
            self.visited.append(url)
            if until and url.startswith(until):
                return answer
            answer = await (self.ours if url.startswith(US) else self.theirs).get(url)
        return answer

    async def sign_in(self, account: str, next_: str = "/x", until: str = "") -> httpx.Response:
        begun = await self.ours.get("/sign-in/begin", params={"next": next_})
        page = await self.follow(begun)
        for form in ({"prompt": "login", "login": account, "password": "x"}, {"prompt": "consent"}):
            action = re.search(r'action="([^"]+)"', page.text)
            assert action, page.text
            answer = await self.theirs.post(str(page.url.join(action[1])), data=form)
            page = await self.follow(answer, until)
            if page.is_redirect:
                break
        return page


@asynccontextmanager
async def browser(service: Service) -> AsyncIterator[Browser]:
    transport = httpx.ASGITransport(build(service.controller, trusted=False))
    async with (
        httpx.AsyncClient(transport=transport, base_url=US) as ours,
        httpx.AsyncClient(trust_env=False) as theirs,
    ):
        yield Browser(ours, theirs)


def enable(
    service: Service,
    issuer: str,
    monkeypatch: pytest.MonkeyPatch,
    *rules: RoleRule,
    scopes: tuple[str, ...] = ("openid", "profile", "groups"),
) -> OidcSpec:
    """Signs in there from now on; people are known by the provider's name for them."""
    monkeypatch.setenv("OIDC", SECRET)
    spec = OidcSpec(issuer, "gitops", SecretRef(env="OIDC"), scopes)
    api = ApiSpec(
        listen="127.0.0.1:8080", url=US, sign_in=SignInSpec(oidc=spec), roles=rules or None
    )
    ada = Person(PersonName("ada"), subjects=(f"{issuer}|ada",))
    bob = Person(PersonName("bob"))
    people = People({each.name: each for each in (ada, bob)})
    service.clock.time = SystemClock().now()
    service.controller.roster.reload(replace(service.controller.fleet, api=api, people=people))
    return spec


async def test_a_person_signs_in_and_comes_back_to_the_page_they_wanted(
    service: Service, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(service, issuer, monkeypatch, RoleRule(Role.OPERATOR, sso_groups=("sre",)))
    async with browser(service) as there:
        await there.sign_in("ada", "/applications/shop?tab=diff")
        assert there.visited[-1] == f"{US}/applications/shop?tab=diff"
        assert (await there.ours.get("/api/v1/status")).status_code == 200
        asked = next(parse_qs(urlsplit(url).query) for url in there.visited if "/auth?" in url)
        assert asked["code_challenge_method"] == ["S256"]
        assert asked["nonce"]
        assert SECRET not in str(there.visited)
    [session] = await service.sessions.listed()
    assert (session.person, session.subject) == ("ada", f"{issuer}|ada")
    assert set(session.groups) == {"crew", "sre"}


async def test_somebody_the_fleet_does_not_know_is_told_the_line_to_add(
    service: Service, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(service, issuer, monkeypatch)
    async with browser(service) as there:
        page = await there.sign_in("eve")
        assert page.status_code == 403
        assert f"sso: &#x27;{issuer}|eve&#x27;" in page.text
        assert (await there.ours.get("/api/v1/status")).status_code == 401
    assert await service.sessions.listed() == []


async def test_a_group_may_look_without_being_anybody(
    service: Service, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(service, issuer, monkeypatch, RoleRule(Role.OPERATOR, sso_groups=("visitors",)))
    async with browser(service) as there:
        await there.sign_in("eve")
        assert (await there.ours.get("/api/v1/status")).status_code == 200
        [session] = await service.sessions.listed()
        headers = {"origin": US, "x-csrf-token": session.csrf}
        answer = await there.ours.post("/api/v1/applications/shop/retry", headers=headers)
        assert answer.status_code == 401, "nobody acts without being a person"


async def test_an_answer_counts_once_and_in_the_browser_that_asked(
    service: Service, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(service, issuer, monkeypatch)
    back = f"{US}/sign-in/return"
    async with browser(service) as mallory, browser(service) as victim:
        await mallory.sign_in("ada", until=back)
        answer = mallory.visited[-1]
        assert answer.startswith(back)
        planted = await victim.ours.get(answer)
        assert planted.status_code == 403, "mallory's answer signs the victim in as nobody"
        for wrong in ("state=x", "iss=https://evil.example", "code=x"):
            key = wrong.partition("=")[0]
            doubled = await victim.ours.get(f"{answer}&{wrong}")
            assert doubled.status_code == 403
            assert key in answer
        used = await mallory.ours.get(answer)
        assert used.status_code == 303
        again = await mallory.ours.get(answer)
        assert again.status_code == 403


async def test_a_wrong_secret_is_a_refusal_and_not_a_crash(
    service: Service, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(service, issuer, monkeypatch)
    monkeypatch.setenv("OIDC", "another")
    async with browser(service) as there:
        page = await there.sign_in("ada")
    assert page.status_code == 403
    assert "refused with 401 invalid_client" in page.text


async def test_a_public_client_signs_in_by_its_verifier_alone(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider(installed("oidc"), secret=False) as issuer:
        spec = enable(service, issuer, monkeypatch)
        api = service.controller.fleet.api
        public = replace(spec, client_secret=None)
        service.set(replace(api, sign_in=SignInSpec(oidc=public)))
        async with browser(service) as there:
            await there.sign_in("ada")
            assert there.visited[-1] == f"{US}/x"


async def test_a_provider_that_is_away_is_told_and_nothing_breaks(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(service, "http://127.0.0.1:9", monkeypatch)
    async with browser(service) as there:
        page = await there.ours.get("/sign-in/begin")
        assert page.status_code == 502
        assert "does not answer" in page.text
