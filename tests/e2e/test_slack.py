"""A commit becomes one message in Slack, edited until it is healthy, and the same after a kill.

Slack is the recording server, spoken to by Slack's own client; the cluster is real.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.process import Process, approve, delivered, request, token
from tests.e2e.rig import Rig, config_map
from tests.slack.render import as_text
from tests.slack.server import SlackServer

pytestmark = pytest.mark.e2e


@pytest.fixture
def slack(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    with SlackServer() as server:
        monkeypatch.setenv("SLACK_BOT_TOKEN", server.bot_token)
        given = {
            "bot_token": {"env": "SLACK_BOT_TOKEN"},
            "channel": server.add_channel("deploys"),
            "api": server.api_url,
        }
        rig.fleet["notifiers"] = {"team": {"slack": given}}
        yield server


def cards(slack: SlackServer) -> list[str]:
    return [as_text(message) for message in slack.posted()]


def says(slack: SlackServer, *words: str) -> Any:
    shown = cards(slack)
    return shown and all(word in shown[-1] for word in words)


async def test_a_commit_is_asked_about_approved_and_healthy_in_one_message(
    rig: Rig, slack: SlackServer
) -> None:
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.commit("bring in a")
    async with rig.controller() as system:
        await system.nudge()
        await slack.soon(lambda: says(slack, "approval needed", "1 create in here"))
        (card,) = cards(slack)
        assert "bring in a – Ada" in card
        assert "✅ kube-schema" in card
        assert "May approve: *bob, cyd" in card
        await system.approve("bob")
        await slack.soon(lambda: says(slack, "healthy", "approved by bob"))
        (message,) = slack.posted()
        await slack.soon(lambda: len(slack.thread(message["ts"])) == 3)
        rig.write("app/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {nmae: a}\n")
        rig.commit("break it")
        await system.nudge()
        await slack.soon(lambda: says(slack, "blocked", "nobody was asked"))
    assert [call for call in slack.calls if not call.ok] == []


def test_killed_before_it_knew_of_its_post_it_makes_no_second_one(
    rig: Rig, slack: SlackServer
) -> None:
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.commit()
    process = Process(rig)
    slack.after["chat.postMessage"] = lambda: os.kill(process.child.pid, signal.SIGKILL)
    process.wait_killed()
    assert len(slack.posted()) == 1
    process = Process(rig)
    secret = token(process, "bob")
    process.until(request)
    approve(process, secret)
    process.until(delivered)
    slack.until(lambda: says(slack, "healthy", "approved by bob"))
    process.stop()
    assert len(slack.posted()) == 1
    assert len(slack.calls_of("conversations.history")) == 1
