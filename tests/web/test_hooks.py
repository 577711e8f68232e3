"""``/hooks/NAME``: constant answers, bounded bodies, and nobody gets more than their share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gitops.app import offline
from gitops.controller import Controller
from gitops.model.fleet import Fleet, SourceSpec, WebhookSpec
from gitops.model.ids import SourceName
from gitops.model.secret import SecretRef
from gitops.ports.inbound import Letter, Reply
from gitops.web.api import build
from gitops.web.buckets import Buckets, sender
from gitops.web.hooks import LARGEST_BODY, MOST_HELD, Hooks
from tests.contract.store_story import Clock
from tests.web.hook_cases import SECRET, Case, case, signature

FILES, SHOP = SourceName("files"), SourceName("shop")


@dataclass
class Chat:
    """A notifier that takes buttons."""

    letters: list[Letter] = field(default_factory=list)

    async def receive(self, letter: Letter) -> Reply:
        if letter.body == b"unsigned":
            return Reply(401)
        self.letters.append(letter)
        return Reply(200, b'{"ok":true}', {"content-type": "application/json"})


class Broken:
    """A plugin with a defect."""

    name = "broken"

    def hear(self, letter: Letter) -> Any:
        raise KeyError(letter.body.decode())


@dataclass
class Service:
    controller: Controller
    client: httpx.AsyncClient
    chat: Chat
    secret: Path

    async def send(self, found: Case, name: str = "github", **more: str) -> httpx.Response:
        letter = found.letter()
        headers = {key: values[0] for key, values in letter.headers.items()} | more
        return await self.client.post(f"/hooks/{name}", content=letter.body, headers=headers)

    def status(self) -> Any:
        return self.controller.inbox.tallies.status().webhooks[0]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    hook = WebhookSpec("github", "github", {"secret": SecretRef(file=secret)})
    fleet = Fleet(
        tmp_path / "gitops.yaml",
        tmp_path,
        sources={
            FILES: SourceSpec(FILES, "web", "https://files.example.com/config.tar.gz"),
            SHOP: SourceSpec(SHOP, "git", "https://github.com/acme/shop"),
        },
        webhooks=(hook,),
    )
    running = offline(fleet, Clock())
    controller, chat = running.controller, Chat()
    parts = controller.parts
    receivers = parts.receivers

    def more() -> Any:
        return {**receivers(), "broken": Broken()}

    controller.parts = replace(parts, notifiers=lambda: {"chat": chat}, receivers=more)  # type: ignore[dict-item]
    parts.keeper._seconds = 1e9
    await parts.keeper.acquire()
    inbox = asyncio.create_task(controller.inbox.run())
    while not controller.inbox.open:
        await asyncio.sleep(0)
    transport = httpx.ASGITransport(Hooks(build(controller, trusted=False), controller))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield Service(controller, client, chat, secret)
    inbox.cancel()
    await asyncio.gather(inbox, return_exceptions=True)
    await controller.close()
    running.close()


async def test_what_is_signed_is_answered_alike_whatever_follows(service: Service) -> None:
    for found in (case("github-push"), case("github-push"), case("github-ping")):
        answer = await service.send(found)
        assert (answer.status_code, answer.text) == (200, "ok\n")
    assert (service.status().accepted, service.status().repeated) == (1, 1)


async def test_the_rest_of_the_api_is_behind_it_as_before(service: Service) -> None:
    assert (await service.client.get("/healthz")).status_code == 200
    assert (await service.client.get("/api/v1/status")).status_code == 401


async def test_a_name_that_is_none_is_not_found_whatever_is_sent(service: Service) -> None:
    for name in ("", "nobody", "github/", "github/x", "GITHUB", "%00", "%2e%2e/github"):
        answer = await service.send(case("github-push"), name)
        assert (answer.status_code, answer.text) == (404, "not found\n")


async def test_no_secret_no_endpoint_and_the_status_says_why(service: Service) -> None:
    service.secret.unlink()
    answer = await service.send(case("github-push"))
    assert (answer.status_code, answer.text) == (404, "not found\n")
    assert "cannot be read" in service.status().problem


async def test_only_post_is_taken(service: Service) -> None:
    for method in ("GET", "PUT", "HEAD", "OPTIONS", "DELETE"):
        answer = await service.client.request(method, "/hooks/github")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_w1_w2_who_did_not_sign_is_told_nothing_and_is_counted(service: Service) -> None:
    for value in (b"", b"sha256=0", "sha256=ü".encode(), b"\xff"):
        headers = [(b"x-hub-signature-256", value), (b"x-github-event", b"push")]
        answer = await service.client.post("/hooks/github", content=b"{", headers=headers)
        assert (answer.status_code, answer.text) == (401, "no valid signature\n")
    letter = case("github-push").letter()
    [good] = letter.headers["x-hub-signature-256"]
    twice = [("x-hub-signature-256", good)] * 2
    answer = await service.client.post("/hooks/github", content=letter.body, headers=twice)
    assert answer.status_code == 401
    assert service.status().refused == 5
    assert await service.controller.inbox.deliveries() == []


async def test_w5_what_is_signed_and_no_request_of_the_forge_is_400(service: Service) -> None:
    answer = await service.send(Case("github", case("github-push").headers, [1, 2]))
    assert (answer.status_code, answer.text) == (400, "not understood\n")
    assert service.status().problem == "the body is not an object"


async def test_w3_nothing_compressed_is_unpacked(service: Service) -> None:
    for encoding in ("gzip", "deflate", "br", "gzip, identity"):
        answer = await service.send(case("github-push"), **{"content-encoding": encoding})
        assert answer.status_code == 415


async def test_w3_a_body_over_the_limit_is_not_read(service: Service) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 64 << 10
            yield b"x" * (64 << 10)

    answer = await service.client.post("/hooks/github", content=endless())
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert read <= LARGEST_BODY + (128 << 10)
    told = await service.client.post(
        "/hooks/github", content=b"", headers={"content-length": str(LARGEST_BODY + 1)}
    )
    assert told.status_code == 413


async def test_a_body_of_the_largest_size_is_taken(service: Service) -> None:
    body = b'{"zen": "' + b"x" * (LARGEST_BODY - 11) + b'"}'
    assert len(body) == LARGEST_BODY
    headers = case("github-ping").headers | signature("github", body)
    answer = await service.client.post("/hooks/github", content=body, headers=headers)
    assert answer.status_code == 200


async def test_a_defect_is_never_a_5xx_and_shows_nothing_of_the_request(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await service.client.post("/hooks/broken", content=b"hunter2")
    assert (answer.status_code, answer.text) == (400, "not understood\n")
    assert "hunter2" not in capsys.readouterr().out


async def test_a_chat_takes_its_buttons_at_its_own_name(service: Service) -> None:
    answer = await service.client.post("/hooks/chat", content=b"payload=1", headers={"x-A": "b"})
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    [letter] = service.chat.letters
    assert (letter.body, letter.header("x-a")) == (b"payload=1", "b")


async def test_whoever_asks_too_often_is_told_when_to_come_again(service: Service) -> None:
    hooks = Hooks(build(service.controller, trusted=False), service.controller, rate=0.1, burst=3)
    transport = httpx.ASGITransport(hooks, client=("192.0.2.1", 1))
    other = httpx.ASGITransport(hooks, client=("192.0.2.2", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        answers = [await client.post("/hooks/nobody") for _ in range(4)]
        assert [each.status_code for each in answers] == [404, 404, 404, 429]
        assert answers[-1].text == "too many at once\n"
        assert int(answers[-1].headers["retry-after"]) in range(1, 11)
        assert (await client.get("/healthz")).status_code == 200
    async with httpx.AsyncClient(transport=other, base_url="http://127.0.0.1:8080") as client:
        assert (await client.post("/hooks/nobody")).status_code == 404


async def test_strangers_do_not_use_up_what_is_the_forges(service: Service) -> None:
    hooks = Hooks(build(service.controller, trusted=False), service.controller, rate=0.1, burst=3)
    statuses = []
    for number, signed in enumerate((False,) * 6 + (True,) * 4):
        transport = httpx.ASGITransport(hooks, client=(f"192.0.2.{number}", 1))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8080"
        ) as client:
            sent = replace(service, client=client)
            bad = {} if signed else {"x-hub-signature-256": "sha256=0"}
            statuses.append((await sent.send(case("github-push"), **bad)).status_code)
    assert statuses == [401] * 6 + [200] * 3 + [429]


async def test_strangers_who_hold_all_the_room_for_bodies_keep_no_push_out(
    service: Service,
) -> None:
    begun, over = asyncio.Semaphore(0), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * (LARGEST_BODY - 1)
        begun.release()
        await over.wait()

    held = [service.client.post("/hooks/github", content=slowly()) for _ in range(20)]
    tasks = [asyncio.create_task(each) for each in held]
    for _ in range(MOST_HELD // LARGEST_BODY):
        await begun.acquire()
    large = await service.client.post("/hooks/github", content=b"x" * (LARGEST_BODY - 1))
    assert large.status_code == 429
    assert (await service.send(case("github-push"))).status_code == 200
    over.set()
    assert {each.status_code for each in await asyncio.gather(*tasks)} == {401, 429}
    large = await service.client.post("/hooks/github", content=b"x" * (LARGEST_BODY - 1))
    assert large.status_code == 401


async def test_strangers_do_not_use_up_what_is_the_chats(service: Service) -> None:
    hooks = Hooks(build(service.controller, trusted=False), service.controller, rate=0.1, burst=3)
    statuses = []
    for number, body in enumerate((b"unsigned",) * 6 + (b"signed",) * 4):
        transport = httpx.ASGITransport(hooks, client=(f"192.0.2.{number}", 1))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8080"
        ) as client:
            statuses.append((await client.post("/hooks/chat", content=body)).status_code)
    assert statuses == [401] * 6 + [200] * 3 + [429]


async def test_a_controller_that_cannot_keep_a_delivery_asks_for_it_again(service: Service) -> None:
    service.controller.parts.ledger.epoch = None
    answer = await service.send(case("github-push"))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
    assert service.status().limited == 1


async def test_deliveries_and_samples_are_behind_the_guard(service: Service) -> None:
    await service.send(case("github-push"))
    for path in ("webhooks", "webhooks/deliveries"):
        assert (await service.client.get(f"/api/v1/{path}")).status_code == 401
    for path in ("webhooks/deliveries/ffff/replay", "webhooks/github/sample"):
        refused = await service.client.post(f"/api/v1/{path}", json={})
        assert refused.status_code in (401, 403)
    transport = httpx.ASGITransport(build(service.controller, trusted=True))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as socket:
        found = (await socket.get("/api/v1/webhooks/deliveries")).json()["deliveries"]
        assert [each["sources"] for each in found] == [["shop"]]
        path = f"/api/v1/webhooks/deliveries/{found[0]['id'][:10]}/replay"
        assert (await socket.post(path)).json()["delivery"]["sources"] == ["shop"]
        sample = (await socket.post("/api/v1/webhooks/github/sample", json={})).json()
        assert (sample["source"], sample["ref"]) == ("shop", "refs/heads/main")
        unknown = await socket.post("/api/v1/webhooks/nope/sample", json={})
        assert unknown.status_code == 404
        assert (await socket.post("/hooks/github")).status_code == 404
    letter = {"content": sample["body"], "headers": sample["headers"]}
    assert (await service.client.post(sample["path"], **letter)).status_code == 200


# --- buckets ----------------------------------------------------------------------------------


def test_a_bucket_refills_with_time_and_never_overflows() -> None:
    time = 0.0
    buckets = Buckets(rate=2, burst=3, now=lambda: time)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b") == 0
    time = 0.5
    assert [buckets.take("a"), buckets.take("a")] == [0, 0.5]
    time = 1_000.0
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_buckets_are_bounded_however_many_senders_there_are() -> None:
    buckets = Buckets(rate=1, burst=1, most=10)
    for number in range(1_000):
        buckets.take(str(number))
    assert len(buckets._left) == 10


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("", ""),
        ("unknown", ""),
    ],
)
def test_a_network_of_addresses_is_one_sender(host: str, name: str) -> None:
    assert sender(host) == name
