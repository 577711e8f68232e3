"""Asked, answered and rolled back in Slack over Socket Mode, onto a real cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.rig import Rig, System, config_map
from tests.slack import sending
from tests.slack.render import as_text
from tests.slack.server import SlackServer

pytestmark = pytest.mark.e2e


@pytest.fixture
def slack(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    with SlackServer() as server:
        monkeypatch.setenv("SLACK_BOT_TOKEN", server.bot_token)
        monkeypatch.setenv("SLACK_APP_TOKEN", server.app_token)
        given = {
            "bot_token": {"env": "SLACK_BOT_TOKEN"},
            "app_token": {"env": "SLACK_APP_TOKEN"},
            "channel": server.add_channel("deploys"),
            "api": server.api_url,
        }
        rig.fleet["notifiers"] = {"team": {"slack": given}}
        yield server


@dataclass
class Person:
    """Somebody in Slack."""

    slack: SlackServer
    id: str

    async def press(self, button: str) -> str:
        """Of the newest card; the modal that opens, as text."""
        payload = sending.press(self.slack, self.slack.posted()[-1]["ts"], button, self.id)
        opened = len(self.slack.views)
        await self._send("interactive", payload)
        await self.slack.soon(lambda: len(self.slack.views) > opened)
        return as_text(list(self.slack.views.values())[-1])

    async def submit(self, **values: str) -> str:
        view = list(self.slack.views)[-1]
        ack = await self._send("interactive", sending.submit(self.slack, view, self.id, values))
        return as_text(ack["view"])

    async def write(self, text: str) -> str:
        channel = next(iter(self.slack.channels))
        command = sending.command(self.slack, text, self.id, channel)
        return as_text(await self._send("slash_commands", command) or {})

    async def _send(self, kind: str, payload: dict[str, Any]) -> Any:
        async with asyncio.timeout(20):
            return (await asyncio.wrap_future(self.slack.envelope(kind, payload))).get("payload")


def cards(slack: SlackServer) -> list[str]:
    return [text for message in slack.posted() if "root" in (text := as_text(message))]


async def asked(system: System, slack: SlackServer, number: int, words: str) -> Any:
    """The request of the ``number``-th card, once it is there and asks."""
    await slack.soon(lambda: len(cards(slack)) == number and words in cards(slack)[-1])
    await slack.soon(lambda: "approval needed" in cards(slack)[-1])
    return await system.request()


async def test_what_slack_says_yes_to_is_applied_and_rolled_back_when_slack_says_so(
    rig: Rig, slack: SlackServer
) -> None:
    ada, bob, cyd = (
        Person(slack, slack.add_user(name, f"{name}@example.com")) for name in ("ada", "bob", "cyd")
    )
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.commit("bring in a")
    async with rig.controller() as system:
        await system.nudge()
        await asked(system, slack, 1, "bring in a")
        await slack.soon(lambda: slack.connections == 1)
        assert "ada is an author of this change" in await ada.press("Approve")
        assert rig.application in await bob.press("Approve")
        assert rig.data("a") is None
        assert "recorded: approved as bob" in await bob.submit()
        await system.quiet()
        assert rig.data("a") == {"v": "1"}
        await slack.soon(lambda: "healthy" in cards(slack)[-1])

        rig.write("app/a.yaml", config_map("a", v="2"))
        rig.commit("raise it")
        await system.nudge()
        request = await asked(system, slack, 2, "raise it")
        await bob.write(f"approve {request.id} {request.root[:12]}")
        await system.quiet()
        assert rig.data("a") == {"v": "2"}

        told = await bob.write(f"rollback {rig.application} it broke the shop")
        assert "bob asks to roll" in told
        await slack.soon(lambda: any("bob asks to roll" in as_text(m) for m in slack.posted()))
        await asked(system, slack, 3, "rollback of")
        request = await system.request()
        refused = await bob.write(f"approve {request.id} {request.root}")
        assert "bob is an author" in refused
        await cyd.write(f"approve {request.id} {request.root}")
        await system.quiet()
        assert rig.data("a") == {"v": "1"}
        history = await ada.write(f"history {rig.application}")
        assert history.count("approved by") == 3
        assert "approved by cyd" in history
    assert [call.method for call in slack.calls if not call.ok] == []
