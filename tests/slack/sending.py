"""What Slack sends to an app: presses of buttons, modals handed in, commands, mentions; signed.

Payloads are in the shapes Slack documents (docs.slack.dev/reference/interaction-payloads, …/events)
for HTTP and for Socket Mode alike. A button can only be pressed if the message has it, as in life.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.slack.server import SlackServer
from tests.slack.workspace import Workspace

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Signed:
    """A request as Slack sends it."""

    headers: dict[str, str]
    body: bytes


def sign(
    slack: Workspace,
    body: bytes,
    content_type: str = FORM,
    *,
    at: float | None = None,
    retry: int = 0,
) -> Signed:
    """``v0=`` HMAC-SHA256 over ``v0:timestamp:body`` with the signing secret
    (docs.slack.dev/authentication/verifying-requests-from-slack)."""
    stamp = str(int(time.time() if at is None else at))
    mac = hmac.new(slack.signing_secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256)
    headers = {
        "Content-Type": content_type,
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={mac.hexdigest()}",
        "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
    }
    if retry:
        headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"}
    return Signed(headers, body)


def signed_interaction(slack: Workspace, payload: Mapping[str, Any], **how: Any) -> Signed:
    """A press or a modal handed in: JSON in the form field ``payload``."""
    return sign(slack, urllib.parse.urlencode({"payload": json.dumps(payload)}).encode(), **how)


def signed_command(slack: Workspace, payload: Mapping[str, str], **how: Any) -> Signed:
    return sign(slack, urllib.parse.urlencode(payload).encode(), **how)


def signed_event(slack: Workspace, payload: Mapping[str, Any], **how: Any) -> Signed:
    return sign(slack, json.dumps(payload).encode(), "application/json", **how)


# --- payloads ---------------------------------------------------------------------------------


def _who(slack: Workspace, user: str, team: str = "") -> dict[str, Any]:
    known = slack.users.get(user, {})
    name = known.get("name", "somebody")
    return {"id": user, "username": name, "name": name, "team_id": team or slack.team}


def buttons(message: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Buttons of a message by their text, each with the ``block_id`` it is in."""
    found = {}
    for block in message.get("blocks") or ():
        each = [*block.get("elements", ()), block.get("accessory") or {}]
        for element in each if block["type"] in ("actions", "section") else ():
            if element.get("type") == "button":
                found[element["text"]["text"]] = {**element, "block_id": block["block_id"]}
    return found


def press(slack: SlackServer, ts: str, text: str, user: str, *, team: str = "") -> dict[str, Any]:
    """``block_actions``: a person presses a button of a message."""
    message = slack.message(ts)
    channel = next(c for c in slack.channels.values() if message in c.messages)
    button = buttons(message)[text]
    return {
        "type": "block_actions",
        "user": _who(slack, user, team),
        "api_app_id": slack.app,
        "token": "deprecated",
        "container": {
            "type": "message",
            "message_ts": ts,
            "channel_id": channel.id,
            "is_ephemeral": False,
        },
        "trigger_id": slack.trigger(),
        "team": {"id": team or slack.team, "domain": "recorded"},
        "enterprise": None,
        "is_enterprise_install": False,
        "channel": {"id": channel.id, "name": channel.name},
        "message": message,
        "state": {"values": {}},
        "response_url": slack.response_url(),
        "actions": [
            {
                "action_id": button.get("action_id", ""),
                "block_id": button["block_id"],
                "text": button["text"],
                "value": button.get("value", ""),
                "type": "button",
                "action_ts": slack.next_ts(),
            }
        ],
    }


def submit(
    slack: Workspace,
    view: str,
    user: str,
    values: Mapping[str, str] | None = None,
    *,
    team: str = "",
) -> dict[str, Any]:
    """``view_submission``: a person hands a modal in. ``values`` by action id of the inputs."""
    known = slack.views[view]
    state: dict[str, dict[str, Any]] = {}
    for block in known["blocks"]:
        if block["type"] == "input":
            element = block["element"]
            typed = (values or {}).get(element.get("action_id", ""))
            value = {"type": element["type"], "value": typed}
            state.setdefault(block.get("block_id", ""), {})[element.get("action_id", "")] = value
    return {
        "type": "view_submission",
        "team": {"id": team or slack.team, "domain": "recorded"},
        "user": _who(slack, user, team),
        "api_app_id": slack.app,
        "token": "deprecated",
        "trigger_id": slack.trigger(),
        "view": {**known, "state": {"values": state}},
        "response_urls": [],
        "is_enterprise_install": False,
        "enterprise": None,
    }


def command(
    slack: SlackServer, text: str, user: str, channel: str, *, name: str = "/gitops", team: str = ""
) -> dict[str, str]:
    return {
        "token": "deprecated",
        "team_id": team or slack.team,
        "team_domain": "recorded",
        "channel_id": channel,
        "channel_name": slack.channels[channel].name,
        "user_id": user,
        "user_name": slack.users.get(user, {}).get("name", "somebody"),
        "command": name,
        "text": text,
        "api_app_id": slack.app,
        "is_enterprise_install": "false",
        "response_url": slack.response_url(),
        "trigger_id": slack.trigger(),
    }


def mention(
    slack: Workspace, text: str, user: str, channel: str, *, team: str = "", thread: str = ""
) -> dict[str, Any]:
    """``app_mention`` in the Events API's wrapper. ``text`` without the mention itself."""
    ts = slack.next_ts()
    event = {
        "type": "app_mention",
        "user": user,
        "team": team or slack.team,
        "text": f"<@{slack.bot_user}> {text}",
        "ts": ts,
        "channel": channel,
        "event_ts": ts,
    }
    if thread:
        event["thread_ts"] = thread
    return {
        "token": "deprecated",
        "team_id": team or slack.team,
        "api_app_id": slack.app,
        "event": event,
        "type": "event_callback",
        "event_id": slack.serial("Ev"),
        "event_time": int(time.time()),
        "authorizations": [{"team_id": slack.team, "user_id": slack.bot_user, "is_bot": True}],
    }


def url_verification() -> dict[str, str]:
    return {
        "token": "deprecated",
        "challenge": "3eZbrw1aBm2rZgRNFdxV2595",
        "type": "url_verification",
    }
