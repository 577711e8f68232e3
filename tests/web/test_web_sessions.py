"""Sessions, and what a browser of a signed-in person can be made to do by others: nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from gitops.app import offline
from gitops.controller import Controller
from gitops.model.fleet import ApplicationSpec, Fleet, People, Person
from gitops.model.ids import ApplicationName, PersonName, SourceName
from gitops.model.serving import ApiSpec, Role, RoleRule, SignInSpec
from gitops.web.api import build
from gitops.web.auth.sessions import Sessions
from gitops.web.auth.shield import POLICY
from tests.contract.store_story import Clock, lane

ADA, BOB = PersonName("ada"), PersonName("bob")
PEOPLE = People({name: Person(name) for name in (ADA, BOB)})
HERE = "http://127.0.0.1:8080"
PUBLIC = "https://gitops.example.com"
AGAIN = "/api/v1/applications/shop/retry"


@dataclass
class Service:
    controller: Controller
    clock: Clock
    client: httpx.AsyncClient

    @property
    def sessions(self) -> Sessions:
        return Sessions(
            self.controller.ledger, self.clock, lambda: self.controller.fleet.api.sign_in
        )

    def set(self, api: ApiSpec) -> None:
        self.controller.roster.reload(replace(self.controller.fleet, api=api))

    async def get(self, cookie: str, path: str = "status", base: str = HERE) -> int:
        name = "__Host-gitops" if base.startswith("https") else "gitops"
        headers = {"cookie": f"{name}={cookie}"} if cookie else {}
        answer = await self.client.get(f"{base}/api/v1/{path}", headers=headers)
        return answer.status_code

    async def csrf(self, cookie: str) -> str:
        found = await self.sessions.of(cookie)
        assert found is not None
        return found.csrf


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    name = ApplicationName("shop")
    shop = ApplicationSpec(name, SourceName("config"), "app", clusters=(lane().target,))
    api = ApiSpec(listen="127.0.0.1:8080", url=PUBLIC)
    fleet = Fleet(tmp_path / "f", tmp_path, applications={name: shop}, people=PEOPLE, api=api)
    clock = Clock()
    running = offline(fleet, clock)
    controller = running.controller
    controller.parts.keeper._seconds = 1e10
    await controller.parts.keeper.acquire()
    transport = httpx.ASGITransport(build(controller, trusted=False))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
        yield Service(controller, clock, client)
    await controller.close()
    running.close()


async def test_a_session_lets_its_person_look_until_it_is_ended(service: Service) -> None:
    mine, other = [await service.sessions.begin(ADA, "local") for _ in range(2)]
    theirs = await service.sessions.begin(BOB, "local")
    assert await service.get("") == 401
    assert await service.get("a guess") == 401
    assert [await service.get(each) for each in (mine, other, theirs)] == [200, 200, 200]
    await service.sessions.end(mine)
    assert [await service.get(each) for each in (mine, other)] == [401, 200]
    assert await service.sessions.end_all(ADA) == 1
    assert [await service.get(each) for each in (other, theirs)] == [401, 200]


async def test_signing_in_again_ends_the_session_before(service: Service) -> None:
    before = await service.sessions.begin(ADA, "local")
    after = await service.sessions.begin(ADA, "local", instead_of=before)
    assert before != after
    assert [await service.get(each) for each in (before, after)] == [401, 200]


async def test_a_session_ends_when_unused_and_in_any_case(service: Service) -> None:
    cookie = await service.sessions.begin(ADA, "local")
    idle = SignInSpec().idle.total_seconds()
    for _ in range(20):
        service.clock.time += idle - 1
        assert await service.get(cookie) == 200
    service.clock.time += idle + 1
    assert await service.get(cookie) == 401
    cookie = await service.sessions.begin(ADA, "local")
    end = service.clock.time + SignInSpec().longest.total_seconds()
    while service.clock.time + idle < end:
        service.clock.time += idle - 1
        assert await service.get(cookie) == 200
    service.clock.time = end + 1
    assert await service.get(cookie) == 401
    assert await service.sessions.listed() == []


async def test_a_session_is_over_when_its_person_left_the_fleet(service: Service) -> None:
    cookie = await service.sessions.begin(ADA, "oidc", groups=["sre"])
    people = People({BOB: Person(BOB)})
    service.controller.roster.reload(replace(service.controller.fleet, people=people))
    assert await service.get(cookie) == 401


async def test_what_is_stored_signs_nobody_in(service: Service) -> None:
    cookie = await service.sessions.begin(ADA, "local")
    [row] = await service.controller.ledger.read(lambda r: r.memos("web/session"))
    assert cookie not in row.key + row.value
    assert await service.get(row.key) == 401
    assert json.loads(row.value)["person"] == "ada"


async def test_only_looking_is_possible_where_nothing_can_be_written(service: Service) -> None:
    cookie = await service.sessions.begin(ADA, "local")
    service.clock.time += 3_600
    service.controller.ledger.epoch = None
    assert await service.get(cookie) == 200


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, True),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://127.0.0.1:9090"}, True),
        ({"origin": "https://127.0.0.1:8080"}, True),
        ({"origin": HERE}, False),
        ({"origin": HERE, "x-csrf-token": ""}, False),
        ({"origin": HERE, "x-csrf-token": "a guess"}, False),
        ({"origin": PUBLIC}, True),
        ({"referer": HERE}, True),
    ],
)
async def test_a_request_another_site_could_have_sent_changes_nothing(
    service: Service, headers: dict[str, str], token: bool
) -> None:
    cookie = await service.sessions.begin(ADA, "local")
    sent = {"cookie": f"gitops={cookie}", **headers}
    if token:
        sent["x-csrf-token"] = await service.csrf(cookie)
    answer = await service.client.post(AGAIN, headers=sent)
    assert answer.status_code == 403, answer.text
    assert "retry" not in answer.text, "it came as far as the order"


async def test_a_form_of_our_own_page_comes_through(service: Service) -> None:
    cookie = await service.sessions.begin(ADA, "local")
    csrf = await service.csrf(cookie)
    sent = {"cookie": f"gitops={cookie}", "origin": HERE}
    by_field = await service.client.post(AGAIN, headers=sent, data={"csrf": csrf})
    by_header = await service.client.post(AGAIN, headers={**sent, "x-csrf-token": csrf})
    for answer in (by_field, by_header):
        assert "nothing to retry" in answer.json()["title"]
    twice = await service.client.post(
        AGAIN,
        headers={**sent, "content-type": "application/x-www-form-urlencoded"},
        content=f"csrf={csrf}&csrf=x",
    )
    assert twice.status_code == 400


async def test_the_cookie_of_the_public_address_is_bound_to_it(service: Service) -> None:
    cookie = await service.sessions.begin(ADA, "local")
    assert await service.get(cookie, base=PUBLIC) == 200
    plain = {"cookie": f"gitops={cookie}"}
    answer = await service.client.get(f"{PUBLIC}/api/v1/status", headers=plain)
    assert answer.status_code == 401, "only a cookie bound to the host counts in TLS"


async def test_whoever_calls_us_by_another_name_sees_nothing(service: Service) -> None:
    cookie = await service.sessions.begin(ADA, "local")
    for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1:8080"):
        assert await service.get(cookie, base=f"http://{host}") == 421
        assert (await service.client.get(f"http://{host}/healthz")).status_code == 200


async def test_every_answer_forbids_foreign_script_and_frames(service: Service) -> None:
    for base, path in ((HERE, "/healthz"), (PUBLIC, "/api/v1/status"), (HERE, "/nowhere")):
        headers = (await service.client.get(base + path)).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert ("strict-transport-security" in headers) == (base == PUBLIC)
    assert "unsafe" not in POLICY


async def test_anonymous_readers_read_if_they_are_let_and_nothing_else(service: Service) -> None:
    assert await service.get("") == 401
    spec = replace(service.controller.fleet.api, sign_in=SignInSpec(anonymous=True))
    service.set(spec)
    assert await service.get("") == 200
    assert await service.get("", "tokens") == 401
    for path in (AGAIN, "/api/v1/sources/config/nudge", "/api/v1/tokens"):
        answer = await service.client.post(path, headers={"origin": HERE})
        assert answer.status_code in (401, 422), path
    wrong = {"authorization": "Bearer wrong"}
    answer = await service.client.get("/api/v1/status", headers=wrong)
    assert answer.status_code == 401, "a token that is sent has to be good"


async def test_roles_are_asked_before_the_gate(service: Service) -> None:
    cookie = await service.sessions.begin(ADA, "oidc", groups=["sre"])
    sent = {
        "cookie": f"gitops={cookie}",
        "origin": HERE,
        "x-csrf-token": await service.csrf(cookie),
    }
    api = service.controller.fleet.api

    async def told() -> tuple[int, str]:
        answer = await service.client.post(AGAIN, headers=sent)
        return answer.status_code, answer.json()["title"]

    service.set(replace(api, roles=()))
    assert (await told())[0] == 401
    service.set(replace(api, roles=(RoleRule(Role.VIEWER, sso_groups=("sre",)),)))
    assert await told() == (403, "ada is no operator of shop")
    web = RoleRule(Role.OPERATOR, sso_groups=("sre",), applications=("web",))
    service.set(replace(api, roles=(web,)))
    assert await told() == (403, "ada is no operator of shop")
    service.set(replace(api, roles=(replace(web, applications=("sh*",)),)))
    assert "nothing to retry" in (await told())[1]
