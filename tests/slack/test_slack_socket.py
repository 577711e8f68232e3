"""Socket Mode: the same answers over a connection of our own, whatever becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from notifiers.slack import socket_mode
from notifiers.slack.hearing import Hearing
from tests.slack import sending
from tests.slack.incoming_rig import REQUEST, Incoming, incoming, text_of
from tests.slack.server import SlackServer


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of waiting as tenths."""
    monkeypatch.setattr(socket_mode, "PING", 0.2)
    monkeypatch.setattr(socket_mode, "GONE", 1.0)
    monkeypatch.setattr(socket_mode, "CONNECT", 2.0)
    monkeypatch.setattr(socket_mode, "FIRST_PAUSE", 0.05)


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
async def rig(tmp_path: Path, slack: SlackServer) -> AsyncIterator[Incoming]:
    async with incoming(tmp_path, slack) as rig:
        yield rig


@pytest.fixture
def bob(slack: SlackServer) -> str:
    return slack.add_user("bob", "bob@example.org")


@contextlib.asynccontextmanager
async def listening(rig: Incoming, hearing: Hearing | None = None) -> AsyncIterator[None]:
    before = rig.slack.connections
    task = asyncio.create_task(socket_mode.listen(rig.account, hearing or rig.hearing))
    try:
        await rig.slack.soon(lambda: rig.slack.connections == before + 1)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ack(slack: SlackServer, kind: str, payload: dict[str, Any], **how: Any) -> Any:
    async with asyncio.timeout(20):
        return (await asyncio.wrap_future(slack.envelope(kind, payload, **how))).get("payload")


async def test_buttons_forms_commands_and_mentions_are_heard(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    await rig.ask()
    async with listening(rig):
        shown = await ack(
            slack, "slash_commands", sending.command(slack, "status", bob, rig.channel)
        )
        assert "shop@prod" in text_of(shown)
        mention = sending.mention(slack, "pending", bob, rig.channel)
        assert await ack(slack, "events_api", mention) is None
        assert "request" in text_of(slack.ephemerals[-1])
        press = sending.press(slack, rig.cards[REQUEST], "Approve", bob)
        assert await ack(slack, "interactive", press) is None
        assert not await rig.verdicts()
        form = sending.submit(slack, rig.last_view()["id"], bob)
        told = await ack(slack, "interactive", form)
        assert told["response_action"] == "update"
        assert "recorded: approved as bob" in text_of(told)
        assert len(await rig.verdicts()) == 1, "the acknowledgement came after the commit"


async def test_an_envelope_that_comes_again_to_another_replica_acts_once(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    other = Hearing(rig.account, _nowhere)
    async with listening(rig), listening(rig, other):
        event = sending.mention(slack, "pause shop 2h once", bob, rig.channel)
        order = sending.command(slack, "pause blog 2h once", bob, rig.channel)
        for retry in range(4):
            where = {"id": "envelope-e", "retry": retry, "socket": retry % 2}
            await ack(slack, "events_api", event, **where)
            await ack(slack, "slash_commands", order, id="envelope-c", socket=retry % 2)
        await rig.hearing.drain()
        await other.drain()
    lines = [text for each in slack.posted() if "paused" in (text := text_of(each))]
    assert len(lines) == 2


async def _nowhere(_: object) -> None:
    return None


async def test_it_goes_on_after_every_way_to_lose_a_connection(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    async with listening(rig):
        for close, reason in ((False, "refresh_requested"), (False, "warning"), (True, "")):
            again = slack.joined + 1
            slack.disconnect(reason, close=close)
            await slack.soon(partial(_connected, slack, again))
            assert "you are bob" in await helped(rig, bob)
        slack.down = True
        tried, again = _opened(slack) + 2, slack.joined + 1
        slack.disconnect(close=True)
        await slack.soon(lambda: _opened(slack) >= tried)
        slack.down = False
        await slack.soon(partial(_connected, slack, again))
        assert "you are bob" in await helped(rig, bob)


async def helped(rig: Incoming, user: str) -> str:
    command = sending.command(rig.slack, "help", user, rig.channel)
    return text_of(await ack(rig.slack, "slash_commands", command))


def _connected(slack: SlackServer, joined: int) -> bool:
    """For the ``joined``-th time, or a later one."""
    return slack.joined >= joined and slack.connections == 1


def _opened(slack: SlackServer) -> int:
    return len(slack.calls_of("apps.connections.open"))


@pytest.mark.parametrize("nth", [1, 2])
async def test_a_connection_that_slack_hands_out_and_never_takes_is_given_up(
    rig: Incoming, slack: SlackServer, bob: str, nth: int
) -> None:
    """Slack's client would try the same dead address for ever, be it its first or a later one."""
    real = slack._addresses

    def dead(method: str, answer: dict[str, Any]) -> dict[str, Any]:
        if method == "apps.connections.open" and _opened(slack) == nth - 1:
            return {"url": f"ws://127.0.0.1:{slack.port}/link?ticket=dead"}
        return real(method, answer)

    slack._addresses = dead  # type: ignore[method-assign]
    async with listening(rig):
        if nth == 2:
            slack.disconnect(close=True)
            await slack.soon(partial(_connected, slack, 2))
        assert "you are bob" in await helped(rig, bob)


async def test_a_token_slack_refuses_is_told_once_and_tried_again(
    rig: Incoming, slack: SlackServer, capsys: pytest.CaptureFixture[str]
) -> None:
    slack.fail("apps.connections.open", error="invalid_auth", times=3)
    async with listening(rig):
        pass
    told = capsys.readouterr().out
    assert told.count("Slack refuses Socket Mode: invalid_auth") == 1
    assert "xapp" not in told
