"""Tokens that are not ours: each is refused, in the same words."""

from __future__ import annotations

from typing import Any

import pytest

from gitops.model.events import TokenCreated, TokenRevoked
from gitops.model.ids import PersonName
from gitops.model.serving import Role
from gitops.tokens import hash_of, new_token
from tests.web.test_web_sessions import HERE, Service, service

__all__ = ["service"]

GOOD = new_token()
T = GOOD.text

FORGED: dict[str, list[tuple[bytes, bytes]]] = {
    name: [(b"authorization", value if isinstance(value, bytes) else value.encode())]
    for name, value in {
        "empty": "",
        "blank": "   ",
        "a scheme alone": "Bearer",
        "a scheme and a blank": "Bearer ",
        "no scheme": T,
        "another scheme": f"Basic {T}",
        "Basic, as a password": "Basic Ym9iOmdjdF8=",
        "Digest": f'Digest username="bob", response="{T}"',
        "Negotiate": "Negotiate YII=",
        "a comma": f"Bearer,{T}",
        "a colon": f"Bearer:{T}",
        "a tab": f"Bearer\t{T}",
        "a word before it": f"Token Bearer {T}",
        "two in one": f"Bearer {T} {T}",
        "two with a comma": f"Bearer {T}, Bearer {T}",
        "quoted": f'Bearer "{T}"',
        "a parameter": f"Bearer token={T}",
        "one letter less": f"Bearer {T[:-1]}",
        "one letter more": f"Bearer {T}A",
        "one letter changed": f"Bearer {T[:-1]}{'A' if T[-1] != 'A' else 'B'}",
        "the other case": f"Bearer {T.swapcase()}",
        "without its prefix": f"Bearer {T.removeprefix('gct_')}",
        "its prefix alone": "Bearer gct_",
        "its id": f"Bearer {GOOD.id}",
        "its hash": f"Bearer {GOOD.hash}",
        "its hash, hashed": f"Bearer {hash_of(GOOD.hash)}",
        "the person": "Bearer bob",
        "a wildcard": "Bearer %",
        "SQL": "Bearer ' OR 1=1 --",
        "a null": "Bearer null",
        "a JWT without signature": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.",
        "a JWT": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.AAAA",
        "Latin letters": b"Bearer gct_\xe9\xff",
        "no text at all": b"Bearer \x80\x81\xfe",
        "very long": "Bearer " + "a" * 20_000,
        "a path": "Bearer ../../etc/passwd",
        "percent-encoded": f"Bearer {T.replace('gct_', 'gct%5F')}",
    }.items()
} | {
    "two headers": [(b"authorization", f"Bearer {T}".encode())] * 2,
    "a good one after a bad": [
        (b"authorization", b"Bearer x"),
        (b"authorization", f"Bearer {T}".encode()),
    ],
    "in a cookie": [(b"cookie", f"gitops={T}; authorization=Bearer {T}".encode())],
}


async def make(service: Service, **more: Any) -> None:
    event = TokenCreated(GOOD.id, PersonName("bob"), GOOD.hash, service.clock.time + 60, **more)
    await service.controller.ledger.append(event)


async def ask(service: Service, headers: Any = (), path: str = "status") -> tuple[int, str]:
    answer = await service.client.get(f"{HERE}/api/v1/{path}", headers=list(headers))
    return answer.status_code, answer.text


def bearer() -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {T}")]


async def test_a_good_token_is_good(service: Service) -> None:
    await make(service)
    assert (await ask(service, bearer()))[0] == 200


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_gets_the_answer_everybody_gets(service: Service, name: str) -> None:
    assert len(FORGED) == 40
    await make(service)
    nobody = await ask(service)
    assert nobody[0] == 401
    assert await ask(service, FORGED[name]) == nobody


async def test_expired_revoked_and_left_get_the_same_answer(service: Service) -> None:
    nobody = await ask(service)
    await make(service)
    service.clock.time += 61
    assert await ask(service, bearer()) == nobody
    service.clock.time -= 61
    assert (await ask(service, bearer()))[0] == 200
    await service.controller.ledger.append(TokenRevoked(GOOD.id, "ada"))
    assert await ask(service, bearer()) == nobody


async def test_a_token_does_what_it_is_for_and_no_more(service: Service) -> None:
    await make(service, role=Role.OPERATOR, applications=("web-*",))

    async def retry() -> tuple[int, str]:
        path = f"{HERE}/api/v1/applications/shop/retry"
        answer = await service.client.post(path, headers=bearer())
        return answer.status_code, answer.json()["title"]

    assert (await ask(service, bearer()))[0] == 200
    assert await retry() == (403, "bob is no operator of shop")
    assert (await ask(service, bearer(), "tokens"))[0] == 403
    nudge = await service.client.post(f"{HERE}/api/v1/sources/config/nudge", headers=bearer())
    assert nudge.status_code == 403, "a source is about no single application"
