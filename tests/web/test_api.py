"""The JSON API: who may do what, and how it says no."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gitops.app import offline
from gitops.controller import Controller
from gitops.model.delivery import ChangeRecord
from gitops.model.events import ChangeOpened, ChangePlanned, MemberAsked, RequestOpened
from gitops.model.fleet import ApplicationSpec, Fleet, People, Person
from gitops.model.ids import ApplicationName, PersonName, RequestId, SourceName, combine
from gitops.model.plan import SealParts
from gitops.web.api import build
from gitops.web.bounded import LARGEST_BODY
from tests.contract.store_story import Clock, change_of, lane, plan_of

PEOPLE = People(
    {PersonName(n): Person(PersonName(n), (f"{n}@example.org",)) for n in ("ada", "bob")}
)
REQUEST = RequestId("0123456789abcdef")


@dataclass
class Service:
    """A controller that was never started, behind its API on socket and loopback."""

    controller: Controller
    clock: Clock
    socket: httpx.AsyncClient
    loopback: httpx.AsyncClient

    async def token(self, person: str = "bob", days: float = 1) -> dict[str, str]:
        made = await self.socket.post("/api/v1/tokens", json={"person": person, "days": days})
        assert made.status_code == 200, made.text
        return {"Authorization": f"Bearer {made.json()['token']}"}

    async def ask(self) -> ChangeRecord:
        """An open question about one change by ada."""
        change = change_of(lane())
        plan, seal = plan_of(change), combine("seal")
        parts = SealParts(change.after, seal, plan.digest, "tools", "uid", seal)
        await self.controller.ledger.append(
            ChangeOpened(change),
            ChangePlanned(change.id, plan, seal, parts),
            RequestOpened(REQUEST, change.occasion, "a title"),
            MemberAsked(REQUEST, change.id, seal, plan.digest, 2_000_000.0),
        )
        record = await self.controller.ledger.read(lambda r: r.change(change.id))
        assert record is not None
        return record

    async def body(self, decision: str = "approve", **more: str) -> dict[str, str]:
        found = await self.controller.ledger.read(lambda r: r.request(REQUEST))
        assert found is not None
        return {"root": found.root, "decision": decision, **more}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    name = ApplicationName("shop")
    application = ApplicationSpec(name, SourceName("config"), "app", clusters=(lane().target,))
    fleet = Fleet(
        tmp_path / "gitops.yaml", tmp_path, applications={name: application}, people=PEOPLE
    )
    clock = Clock()
    running = offline(fleet, clock)
    controller = running.controller
    controller.parts.keeper._seconds = 1e9
    await controller.parts.keeper.acquire()

    def client(trusted: bool) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(build(controller, trusted=trusted))
        base = "http://controller" if trusted else "http://127.0.0.1:8080"
        return httpx.AsyncClient(transport=transport, base_url=base)

    async with client(True) as socket, client(False) as loopback:
        yield Service(controller, clock, socket, loopback)
    await controller.close()
    running.close()


def problem(answer: httpx.Response, code: int) -> Any:
    """The body of an error as RFC 9457 has it."""
    assert answer.status_code == code, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == code
    assert body["title"]
    return body


LOOKS = ["status", "requests", "deliveries", "show/ffff", "why/shop"]


@pytest.mark.parametrize("path", LOOKS)
async def test_looking_over_loopback_takes_a_token_and_over_the_socket_none(
    service: Service, path: str
) -> None:
    refused = await service.loopback.get(f"/api/v1/{path}")
    assert "token" in problem(refused, 401)["title"]
    assert refused.headers["www-authenticate"] == "Bearer"
    entitled = await service.loopback.get(f"/api/v1/{path}", headers=await service.token())
    assert entitled.status_code in (200, 404)
    assert (await service.socket.get(f"/api/v1/{path}")).status_code in (200, 404)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer gct_wrong", "Basic Ym9iOmJvYg==", "gct_x", "Bearer \xe9"],
)
async def test_acting_takes_a_person_whose_token_is_good(service: Service, header: str) -> None:
    await service.ask()
    headers = {b"Authorization": header.encode("latin-1")}
    path = f"/api/v1/requests/{REQUEST}/answer"
    for client in (service.socket, service.loopback):
        problem(await client.post(path, json=await service.body(), headers=headers), 401)
        problem(await client.post("/api/v1/applications/shop/again", headers=headers), 401)


async def test_a_token_is_dead_when_expired_revoked_or_its_person_left(service: Service) -> None:
    expired, revoked, left = [await service.token(days=d) for d in (1, 5, 5)]
    rows = (await service.socket.get("/api/v1/tokens")).json()["tokens"]
    assert len(rows) == 3
    assert "gct_" not in str(rows), "the list never holds a token"

    async def works(headers: dict[str, str]) -> bool:
        answer = await service.loopback.get("/api/v1/status", headers=headers)
        assert answer.status_code in (200, 401)
        return answer.status_code == 200

    assert all([await works(each) for each in (expired, revoked, left)])
    service.clock.time += 86_401
    assert not await works(expired)
    assert await works(revoked)
    for row in rows:
        await service.socket.delete(f"/api/v1/tokens/{row['id']}")
    assert not await works(revoked)
    fresh = await service.token()
    assert await works(fresh)
    fleet = service.controller.fleet
    people = People({PersonName("ada"): PEOPLE.persons[PersonName("ada")]})
    service.controller.roster.reload(replace(fleet, people=people))
    assert not await works(fresh)


async def test_tokens_are_made_through_the_socket_alone(service: Service) -> None:
    headers = await service.token()
    for verb, path in (("GET", "tokens"), ("POST", "tokens"), ("DELETE", "tokens/x")):
        answer = await service.loopback.request(
            verb, f"/api/v1/{path}", headers=headers, json={"person": "bob"}
        )
        problem(answer, 403)
    stranger = await service.socket.post("/api/v1/tokens", json={"person": "mallory"})
    assert "people: ada, bob" in problem(stranger, 403)["hint"]


async def test_an_answer_goes_through_the_gate(service: Service) -> None:
    await service.ask()
    ada, bob = await service.token("ada"), await service.token("bob")
    path = f"/api/v1/requests/{REQUEST}/answer"

    stale = {**await service.body(), "root": "0" * 64}
    told = problem(await service.loopback.post(path, json=stale, headers=bob), 409)
    assert "changed since you looked" in told["title"]
    unreasoned = await service.body("deny")
    problem(await service.loopback.post(path, json=unreasoned, headers=bob), 403)
    gone = await service.loopback.post(
        "/api/v1/requests/nothing/answer", json=await service.body(), headers=bob
    )
    problem(gone, 404)
    mine = await service.loopback.post(path, json=await service.body(), headers=ada)
    assert "ada is an author" in problem(mine, 403)["title"]
    good = await service.loopback.post(path, json=await service.body(), headers=bob)
    assert good.status_code == 200, good.text
    assert good.json()["verdict"]["person"] == "bob"
    late = await service.loopback.post(path, json=stale, headers=bob)
    assert "too late: bob approved it" in problem(late, 409)["title"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"decision": "approve"}, "root"),
        ({"root": "x", "decision": "maybe"}, "decision"),
        ({"root": "x", "decision": "approve", "person": "bob"}, "person"),
        ({"root": "x", "decision": "approve", "via": "Slack!"}, "via"),
        ({"root": "x", "decision": "deny", "reason": "x" * 2_001}, "reason"),
        ([], "body"),
    ],
)
async def test_a_body_of_the_wrong_shape_is_refused_by_name(
    service: Service, body: object, says: str
) -> None:
    path = f"/api/v1/requests/{REQUEST}/answer"
    answer = await service.socket.post(path, json=body, headers=await service.token())
    assert says in problem(answer, 422)["title"]


async def test_an_enormous_body_is_not_read(service: Service) -> None:
    headers = await service.token()
    path = f"/api/v1/requests/{REQUEST}/answer"
    long = await service.socket.post(path, content=b"x" * (LARGEST_BODY + 1), headers=headers)
    problem(long, 413)

    async def drops() -> AsyncIterator[bytes]:
        yield b"{}"

    problem(await service.socket.post(path, content=drops(), headers=headers), 413)
    odd = {**headers, "Content-Length": "-1"}
    problem(await service.socket.post(path, content=b"", headers=odd), 413)


async def test_what_is_not_there_is_a_404_and_what_is_not_known_says_what_is(
    service: Service,
) -> None:
    for path in ("show/ffffffff", "why/nothing", "no-such-thing"):
        problem(await service.socket.get(f"/api/v1/{path}"), 404)
    problem(await service.socket.delete("/api/v1/tokens/nothing"), 409)
    bob = await service.token()
    again = await service.socket.post("/api/v1/applications/nothing/again", headers=bob)
    assert "applications: shop" in problem(again, 404)["hint"]
    nudge = await service.socket.post("/api/v1/sources/nothing/nudge")
    assert "sources: none" in problem(nudge, 404)["hint"]


async def test_an_application_is_paused_with_a_reason_and_an_end_and_resumed(
    service: Service,
) -> None:
    await service.ask()
    ada, bob = await service.token("ada"), await service.token("bob")
    path = "/api/v1/applications/shop"
    for body in (
        {"seconds": 60},
        {"seconds": 60, "reason": ""},
        {"seconds": 0, "reason": "x"},
        {"seconds": 30 * 86_400 + 1, "reason": "x"},
        {"seconds": "NaN", "reason": "x"},
    ):
        problem(await service.socket.post(f"{path}/pause", json=body, headers=bob), 422)
    blank = {"seconds": 60, "reason": "  "}
    told = problem(await service.socket.post(f"{path}/pause", json=blank, headers=bob), 403)
    assert "needs a reason" in told["title"]
    problem(await service.socket.post(f"{path}/resume", headers=bob), 403)

    good = {"seconds": 60, "reason": "the freeze"}
    answer = await service.socket.post(f"{path}/pause", json=good, headers=bob)
    assert answer.json()["pause"]["until"] == service.clock.time + 60
    status = (await service.socket.get("/api/v1/status")).json()
    assert [pause["by"] for pause in status["paused"]] == ["bob"]
    assert status["requests"] == [], "the open question was taken back"
    late = await service.body()
    told = problem(
        await service.socket.post(f"/api/v1/requests/{REQUEST}/answer", json=late, headers=bob), 409
    )
    assert "too late: paused by bob" in told["title"]
    for verb in ("again", "retry"):
        refused = await service.socket.post(f"{path}/{verb}", headers=ada)
        assert "shop is paused by bob" in problem(refused, 403)["title"]
    assert (await service.socket.post(f"{path}/resume", headers=ada)).status_code == 200
    assert (await service.socket.get("/api/v1/status")).json()["paused"] == []


async def test_where_nothing_failed_there_is_nothing_to_retry(service: Service) -> None:
    bob = await service.token()
    answer = await service.socket.post("/api/v1/applications/shop/retry", headers=bob)
    told = problem(answer, 403)
    assert "nothing to retry" in told["title"]
    assert "gitops ask shop" in told["hint"]


async def test_a_rollback_that_cannot_be_says_why(service: Service) -> None:
    bob, path = await service.token(), "/api/v1/applications/shop/rollback"
    for body, code, says in (
        ({}, 403, "source of shop@prod has not been read yet"),
        ({"delivery": "ffff"}, 404, "no delivery 'ffff'"),
        ({"target": "moon"}, 404, "target 'moon'"),
        ({"delivery": "../.."}, 422, "delivery"),
    ):
        answer = await service.socket.post(path, json=body, headers=bob)
        assert says in problem(answer, code)["title"]
    stranger = await service.socket.post(path.replace("shop", "web"), json={}, headers=bob)
    problem(stranger, 404)


async def test_deliveries_are_paged_by_a_cursor_and_a_target_needs_its_application(
    service: Service,
) -> None:
    answer = await service.socket.get("/api/v1/deliveries", params={"application": "shop"})
    assert answer.json() == {"deliveries": [], "live": [], "next": ""}
    problem(await service.socket.get("/api/v1/deliveries", params={"target": "prod"}), 400)


async def test_a_page_has_its_limits(service: Service) -> None:
    for limit in ("0", "-5", "1000000000"):
        answer = await service.socket.get("/api/v1/requests", params={"limit": limit})
        assert answer.status_code == 200
    problem(await service.socket.get("/api/v1/requests", params={"limit": "many"}), 422)


async def test_without_the_lease_it_says_it_is_not_ready_and_writes_nothing(
    service: Service,
) -> None:
    assert (await service.loopback.get("/healthz")).status_code == 200
    assert (await service.loopback.get("/readyz")).status_code == 503
    service.controller.ready.set()
    assert (await service.loopback.get("/readyz")).status_code == 200
    service.controller.ledger.epoch = None
    problem(await service.socket.post("/api/v1/tokens", json={"person": "bob"}), 409)
