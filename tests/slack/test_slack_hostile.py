"""Whatever comes in over HTTP: an answer below 500, and no effect of what nobody entitled said."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops.ports.inbound import Letter
from gitops.web.hooks import Hooks
from notifiers.slack.hearing import Hearing
from notifiers.slack.inbound import receive
from notifiers.slack.plugin import Slack
from tests.slack import sending
from tests.slack.incoming_rig import REQUEST, Incoming, incoming, text_of
from tests.slack.sending import Signed
from tests.slack.server import SlackServer

_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("x" * 9_000)
_JUNK = st.recursive(
    _LEAVES,
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3)
    ),
    max_leaves=8,
)
_HURTS = st.lists(st.tuples(st.integers(0, 10_000), _JUNK | st.just(...)), min_size=1, max_size=4)


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


def hurt(payload: Any, wounds: list[tuple[int, Any]]) -> Any:
    """The payload with values replaced by others, or gone (``...``)."""
    wounded = copy.deepcopy(payload)
    for place, value in wounds:
        spots = list(_spots(wounded))
        holder, key = spots[place % len(spots)] if spots else ({}, "")
        if value is ... and isinstance(holder, dict):
            holder.pop(key, None)
        elif spots:
            holder[key] = None if value is ... else value
    return wounded


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield value, key
            yield from _spots(each)
    elif isinstance(value, list):
        for key, each in enumerate(value):
            yield value, key
            yield from _spots(each)


@pytest.mark.parametrize("who", ["bob", "eve"])
def test_no_payload_breaks_anything_and_strangers_have_no_effect(
    tmp_path: Path, slack: SlackServer, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems: list[str] = []
    refused = Hearing._refused

    def noticed(self: Hearing, said: Any, error: Any) -> Any:
        problems.extend([error.message] if "broken" in error.message else [])
        return refused(self, said, error)

    monkeypatch.setattr(Hearing, "_refused", noticed)
    with asyncio.Runner() as runner:
        context = incoming(tmp_path, slack)
        rig = runner.run(context.__aenter__())
        runner.run(rig.ask())
        person = slack.add_user(who, f"{who}@example.org")
        bob = slack.add_user("bob2", "bob@example.org")
        runner.run(rig.press("Deny", bob))
        sends = letters(rig, person)

        @settings(max_examples=60, deadline=None)
        @given(st.sampled_from(sorted(sends)), _HURTS)
        def hostile(kind: str, wounds: list[tuple[int, Any]]) -> None:
            payload, sign = sends[kind]
            signed = sign(slack, hurt(payload, wounds))
            reply = runner.run(rig.send(signed))
            assert reply.status in (200, 400, 401)

        hostile()
        runner.run(rig.hearing.drain())
        assert problems == []
        if who == "eve":
            assert not runner.run(rig.verdicts())
            assert not runner.run(rig.controller.ledger.read(lambda r: r.pauses()))
        runner.run(context.__aexit__(None, None, None))


def letters(rig: Incoming, user: str) -> dict[str, tuple[Any, Callable[..., Signed]]]:
    slack = rig.slack
    view = rig.last_view()["id"]
    order = sending.command(slack, f"deny {REQUEST} no", user, rig.channel)
    return {
        "press": (
            sending.press(slack, rig.cards[REQUEST], "Approve", user),
            sending.signed_interaction,
        ),
        "form": (sending.submit(slack, view, user, {"reason": "no"}), sending.signed_interaction),
        "order": (order, _command),
        "mention": (
            sending.mention(slack, "pause shop 2h x", user, rig.channel),
            sending.signed_event,
        ),
    }


def _command(slack: SlackServer, payload: dict[str, Any]) -> Signed:
    return sending.signed_command(slack, {key: str(each) for key, each in payload.items()})


async def test_what_is_not_signed_is_not_read_and_what_is_old_or_repeated_is_refused(
    tmp_path: Path, slack: SlackServer
) -> None:
    async with incoming(tmp_path, slack) as rig:
        await rig.ask()
        bob = slack.add_user("bob", "bob@example.org")
        order = sending.command(slack, f"deny {REQUEST} no", bob, rig.channel)
        good = sending.signed_command(slack, order)
        forged = [
            Signed({**good.headers, "X-Slack-Signature": "v0=" + "0" * 64}, good.body),
            Signed(good.headers, good.body.replace(bob.encode(), b"U00000009")),
            Signed({}, good.body),
            sending.signed_command(slack, order, at=time.time() - 360),
            sending.signed_command(slack, order, at=time.time() + 360),
        ]
        for signed in forged:
            assert (await rig.send(signed)).status == 401
        twice = {name.lower(): (value, value) for name, value in good.headers.items()}
        assert (await receive(Letter(twice, good.body), rig.account, rig.hearing)).status == 401
        assert slack.calls_of("users.info") == []
        assert not await rig.verdicts()
        assert (await rig.send(good)).status == 200
        assert (await rig.send(good)).status == 401
        assert len(await rig.verdicts()) == 1


async def test_a_wrong_signing_secret_is_told_in_the_log_and_a_flood_is_one_line_a_minute(
    tmp_path: Path, slack: SlackServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with incoming(tmp_path, slack) as rig:
        bob = slack.add_user("bob", "bob@example.org")
        slack.signing_secret, kept = "0" * 32, slack.signing_secret
        order = sending.command(slack, "status", bob, rig.channel)
        for _ in range(20):
            assert (await rig.send(sending.signed_command(slack, order))).status == 401
        rig.clock.time += 61
        assert (await rig.send(sending.signed_command(slack, order))).status == 401
        told = [line for line in capsys.readouterr().out.splitlines() if "slack.unsigned" in line]
        assert len(told) == 2
        assert "the signature is not Slack's" in told[0]
        assert "times=20" in told[1]
        assert kept not in "".join(told)


async def test_slack_is_answered_whose_address_this_is_only_under_its_signature(
    tmp_path: Path, slack: SlackServer
) -> None:
    async with incoming(tmp_path, slack) as rig:
        signed = sending.signed_event(slack, sending.url_verification())
        reply = await rig.send(signed)
        assert (reply.status, reply.body) == (200, b"3eZbrw1aBm2rZgRNFdxV2595")
        assert reply.headers["content-type"].startswith("text/plain")
        assert (
            await rig.send(Signed({"Content-Type": "application/json"}, signed.body))
        ).status == 401


async def test_through_the_controllers_own_endpoint_it_is_the_same(
    tmp_path: Path, slack: SlackServer
) -> None:
    async with incoming(tmp_path, slack) as rig:
        await rig.ask()
        bob = slack.add_user("bob", "bob@example.org")
        notifier = Slack(rig.account.options, rig.account.services)
        rig.controller.parts = replace(rig.controller.parts, notifiers=lambda: {"ops": notifier})
        served = httpx.ASGITransport(Hooks(_nothing_else, rig.controller))
        async with httpx.AsyncClient(transport=served, base_url="http://here") as client:

            async def post(signed: Signed) -> httpx.Response:
                return await client.post("/hooks/ops", content=signed.body, headers=signed.headers)

            signed = sending.signed_command(
                slack, sending.command(slack, f"deny {REQUEST} no", bob, rig.channel)
            )
            answered = await post(signed)
            assert answered.status_code == 200
            assert answered.headers["content-type"].startswith("application/json")
            assert "denied as bob" in text_of(answered.json())
            assert (await post(signed)).status_code == 401
            assert (await post(Signed({}, signed.body))).status_code == 401
            challenge = sending.signed_event(slack, sending.url_verification())
            assert (await post(challenge)).text == "3eZbrw1aBm2rZgRNFdxV2595"
        assert len(await rig.verdicts()) == 1


async def _nothing_else(*_: object) -> None:
    raise AssertionError("nothing but the endpoint is asked for")
