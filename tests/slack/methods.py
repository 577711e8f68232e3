"""Slack's Web API methods, as far as a GitOps controller calls them.

Each takes the workspace and the request's arguments and returns what Slack would; refusals are
raised. Names of errors and shapes of answers are those of docs.slack.dev/reference/methods.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.slack import blockkit
from tests.slack.workspace import Channel, Workspace

Arguments = dict[str, Any]
Answer = dict[str, Any]

_TS = re.compile(r"\d{10}\.\d{6}")
_EVENT_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
LONGEST_TEXT = 40_000
LONGEST_EDIT = 4_000
"""chat.update refuses a longer ``text`` than this, chat.postMessage only a ten times longer one."""
METADATA = 16_000


class Refused(Exception):
    """``ok: false``."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.answer: Answer = {"ok": False, "error": error, **more}


class Limited(Exception):
    """429."""

    def __init__(self, seconds: int) -> None:
        super().__init__("ratelimited")
        self.seconds = seconds


# --- who asks ---------------------------------------------------------------------------------

NEEDS: Mapping[str, tuple[str, ...]] = {
    "chat.postMessage": ("chat:write",),
    "chat.postEphemeral": ("chat:write",),
    "chat.update": ("chat:write",),
    "chat.delete": ("chat:write",),
    "conversations.join": ("channels:join",),
    "conversations.list": ("channels:read",),
    "users.conversations": ("channels:read",),
    "users.info": ("users:read",),
    "users.lookupByEmail": ("users:read.email",),
    "files.getUploadURLExternal": ("files:write",),
    "files.completeUploadExternal": ("files:write",),
}


def admit(slack: Workspace, method: str, token: str) -> None:
    """Raises what Slack answers to a wrong token or a missing scope."""
    if not token:
        raise Refused("not_authed")
    if token not in (slack.bot_token, slack.app_token):
        raise Refused("invalid_auth")
    if (method == "apps.connections.open") != (token == slack.app_token):
        raise Refused("not_allowed_token_type")
    for scope in NEEDS.get(method, ()):
        _need(slack, scope)


def _need(slack: Workspace, scope: str) -> None:
    if scope not in slack.scopes:
        raise Refused("missing_scope", needed=scope, provided=",".join(sorted(slack.scopes)))


def _auth_test(slack: Workspace, _: Arguments) -> Answer:
    return {
        "url": "https://recorded.slack.com/",
        "team": "recorded",
        "user": "gitops",
        "team_id": slack.team,
        "user_id": slack.bot_user,
        "bot_id": slack.bot,
        "is_enterprise_install": False,
    }


def unknown(_slack: Workspace, _given: Arguments) -> Answer:
    """A method nobody here calls."""
    raise Refused("unknown_method")


# --- messages ---------------------------------------------------------------------------------


def _post_message(slack: Workspace, given: Arguments) -> Answer:
    channel = _channel(slack, given, by_name=True)
    _may_write(channel)
    thread = given.get("thread_ts")
    if thread is not None:
        _thread(channel, thread)
    message = _message(slack, given, LONGEST_TEXT)
    now = time.monotonic()
    if slack.spacing and now - slack.last_post[channel.id] < slack.spacing:
        raise Limited(max(1, round(slack.spacing)))
    slack.last_post[channel.id] = now
    message["ts"] = slack.next_ts()
    if thread is not None:
        message["thread_ts"] = thread
    channel.messages.append(message)
    return {"channel": channel.id, "ts": message["ts"], "message": message}


def _update(slack: Workspace, given: Arguments) -> Answer:
    channel = _channel(slack, given)
    if channel.archived:
        raise Refused("is_inactive")
    found = _find(channel, given.get("ts"))
    if found.get("bot_id") != slack.bot:
        raise Refused("cant_update_message")
    fresh = _message(slack, given, LONGEST_EDIT)
    if not given.get("metadata"):
        fresh.pop("metadata", None)  # what it had stays
    found.update(fresh)
    return {"channel": channel.id, "ts": found["ts"], "text": found["text"], "message": found}


def _post_ephemeral(slack: Workspace, given: Arguments) -> Answer:
    channel = _channel(slack, given, by_name=True)
    _may_write(channel)
    if given.get("user") not in slack.users:
        raise Refused("user_not_in_channel")
    _message(slack, given, LONGEST_TEXT)
    slack.ephemerals.append({**given, "channel": channel.id})
    return {"message_ts": slack.next_ts()}


def _delete(slack: Workspace, given: Arguments) -> Answer:
    channel = _channel(slack, given)
    found = _find(channel, given.get("ts"))
    channel.messages.remove(found)
    return {"channel": channel.id, "ts": found["ts"]}


def _permalink(slack: Workspace, given: Arguments) -> Answer:
    channel = _channel(slack, given)
    found = _find(channel, given.get("message_ts"))
    path = f"archives/{channel.id}/p{found['ts'].replace('.', '')}"
    return {"channel": channel.id, "permalink": f"https://recorded.slack.com/{path}"}


def _message(slack: Workspace, given: Arguments, longest: int) -> dict[str, Any]:
    text, blocks = given.get("text") or "", given.get("blocks")
    if not text and not blocks and not given.get("attachments"):
        raise Refused("no_text")
    if len(text) > longest:
        raise Refused("msg_too_long")
    message = {
        "type": "message",
        "user": slack.bot_user,
        "bot_id": slack.bot,
        "app_id": slack.app,
        "team": slack.team,
        "text": text,
    }
    if blocks is not None:
        message["blocks"] = _good_blocks(slack, blocks)
    if given.get("metadata") is not None:
        message["metadata"] = _metadata(given["metadata"])
    return message


def _good_blocks(slack: Workspace, blocks: Any) -> list[dict[str, Any]]:
    blocks = json.loads(blocks) if isinstance(blocks, str) else blocks
    wrong = blockkit.problems(blocks)
    if wrong:
        raise Refused(
            "invalid_blocks",
            errors=wrong,
            response_metadata={"messages": [f"[ERROR] {each}" for each in wrong]},
        )
    if blockkit.characters(blocks) > blockkit.BLOCKS_TEXT:
        raise Refused("msg_blocks_too_long")
    return [{"block_id": slack.serial("b"), **block} for block in blocks]


def _metadata(value: Any) -> dict[str, Any]:
    value = json.loads(value) if isinstance(value, str) else value
    if not isinstance(value, dict) or set(value) - {"event_type", "event_payload"}:
        raise Refused("invalid_metadata_format")
    kind, payload = value.get("event_type"), value.get("event_payload")
    if not isinstance(kind, str) or not _EVENT_TYPE.fullmatch(kind):
        raise Refused("invalid_metadata_schema")
    if not isinstance(payload, dict):
        raise Refused("invalid_metadata_schema")
    if any(not isinstance(each, str | int | float | bool) for each in payload.values()):
        raise Refused("invalid_metadata_schema")
    if len(json.dumps(value)) > METADATA:
        raise Refused("metadata_too_large")
    return value


# --- channels ---------------------------------------------------------------------------------


def _channel(slack: Workspace, given: Arguments, *, by_name: bool = False) -> Channel:
    named = str(given.get("channel") or given.get("channel_id") or "")
    if named in slack.channels:
        return slack.channels[named]
    for channel in slack.channels.values():
        if by_name and channel.name == named.removeprefix("#") and not channel.private:
            return channel
    raise Refused("channel_not_found")


def _may_write(channel: Channel) -> None:
    if channel.archived:
        raise Refused("is_archived")
    if not channel.member:
        raise Refused("channel_not_found" if channel.private else "not_in_channel")


def _thread(channel: Channel, ts: Any) -> None:
    if not isinstance(ts, str) or not _TS.fullmatch(ts):
        raise Refused("invalid_thread_ts")
    if not any(message["ts"] == ts for message in channel.messages):
        raise Refused("thread_not_found")


def _find(channel: Channel, ts: Any) -> dict[str, Any]:
    for message in channel.messages:
        if message["ts"] == ts:
            return message
    raise Refused("message_not_found")


def _history(slack: Workspace, given: Arguments) -> Answer:
    channel = _readable(slack, given)
    messages = [m for m in channel.messages if m.get("thread_ts", m["ts"]) == m["ts"]]
    return _page(slack, given, [m for m in reversed(messages) if _within(m, given)])


def _replies(slack: Workspace, given: Arguments) -> Answer:
    channel, ts = _readable(slack, given), given.get("ts")
    if not any(message["ts"] == ts for message in channel.messages):
        raise Refused("thread_not_found")
    messages = [m for m in channel.messages if ts in (m["ts"], m.get("thread_ts"))]
    return _page(slack, given, messages)


def _readable(slack: Workspace, given: Arguments) -> Channel:
    channel = _channel(slack, given)
    _need(slack, "groups:history" if channel.private else "channels:history")
    if not channel.member:
        raise Refused("not_in_channel")
    return channel


def _within(message: Mapping[str, Any], given: Arguments) -> bool:
    at = float(message["ts"])
    return at > float(given.get("oldest") or 0) and at < float(given.get("latest") or "inf")


def _page(slack: Workspace, given: Arguments, messages: list[dict[str, Any]]) -> Answer:
    start, limit = int(given.get("cursor") or 0), min(int(given.get("limit") or 100), 999)
    shown = [dict(message) for message in messages[start : start + limit]]
    wanted = str(given.get("include_all_metadata", "")).lower() in ("1", "true")
    if not (wanted and "metadata.message:read" in slack.scopes):
        for message in shown:
            message.pop("metadata", None)
    more = len(messages) > start + limit
    cursor = {"next_cursor": str(start + limit) if more else ""}
    return {"messages": shown, "has_more": more, "response_metadata": cursor}


def _info(slack: Workspace, given: Arguments) -> Answer:
    channel = _channel(slack, given)
    _need(slack, "groups:read" if channel.private else "channels:read")
    if channel.private and not channel.member:
        raise Refused("channel_not_found")
    return {"channel": _shown(channel)}


def _shown(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": not channel.private,
        "is_private": channel.private,
        "is_archived": channel.archived,
        "is_member": channel.member,
    }


def _list(slack: Workspace, given: Arguments) -> Answer:
    found = [_shown(c) for c in slack.channels.values() if c.member or not c.private]
    return _channels_page(given, found)


def _of_user(slack: Workspace, given: Arguments) -> Answer:
    return _channels_page(given, [_shown(c) for c in slack.channels.values() if c.member])


def _channels_page(given: Arguments, found: list[dict[str, Any]]) -> Answer:
    if str(given.get("exclude_archived", "")).lower() in ("1", "true"):
        found = [each for each in found if not each["is_archived"]]
    start, limit = int(given.get("cursor") or 0), int(given.get("limit") or 100)
    more = str(start + limit) if len(found) > start + limit else ""
    shown = found[start : start + limit]
    return {"channels": shown, "response_metadata": {"next_cursor": more}}


def _join(slack: Workspace, given: Arguments) -> Answer:
    channel = _channel(slack, given)
    if channel.private:
        raise Refused("method_not_supported_for_channel_type")
    if channel.archived:
        raise Refused("is_archived")
    channel.member = True
    return {"channel": _shown(channel)}


# --- people -----------------------------------------------------------------------------------


def _user(slack: Workspace, given: Arguments) -> Answer:
    found = slack.users.get(str(given.get("user")))
    if found is None:
        raise Refused("user_not_found")
    if "users:read.email" in slack.scopes:
        return {"user": found}
    profile = {key: value for key, value in found["profile"].items() if key != "email"}
    return {"user": {**found, "profile": profile}}


def _by_email(slack: Workspace, given: Arguments) -> Answer:
    email = str(given.get("email")).casefold()
    for user in slack.users.values():
        if user["profile"].get("email", "").casefold() == email and not user["deleted"]:
            return {"user": user}
    raise Refused("users_not_found")


# --- modals -----------------------------------------------------------------------------------


def _open(slack: Workspace, given: Arguments) -> Answer:
    trigger = str(given.get("trigger_id"))
    handed_out = slack.triggers.pop(trigger, None)
    if handed_out is None:
        raise Refused(
            "exchanged_trigger_id" if trigger.startswith("trigger.") else "invalid_trigger"
        )
    if time.monotonic() - handed_out > slack.trigger_seconds:
        raise Refused("expired_trigger_id")
    return _keep_view(slack, slack.serial("V"), given)


def _update_view(slack: Workspace, given: Arguments) -> Answer:
    id = str(given.get("view_id"))
    if id not in slack.views:
        raise Refused("not_found")
    if given.get("hash") not in (None, slack.views[id]["hash"]):
        raise Refused("hash_conflict")
    return _keep_view(slack, id, given)


def _keep_view(slack: Workspace, id: str, given: Arguments) -> Answer:
    view = given.get("view")
    view = json.loads(view) if isinstance(view, str) else view
    wrong = blockkit.view_problems(view)
    if wrong or not isinstance(view, dict):
        raise Refused("invalid_arguments", response_metadata={"messages": wrong})
    kept = {
        **view,
        "id": id,
        "team_id": slack.team,
        "app_id": slack.app,
        "bot_id": slack.bot,
        "hash": slack.serial("hash."),
        "root_view_id": id,
        "private_metadata": view.get("private_metadata", ""),
        "callback_id": view.get("callback_id", ""),
        "state": {"values": {}},
    }
    slack.views[id] = kept
    return {"view": kept}


# --- files ------------------------------------------------------------------------------------


def _upload_url(slack: Workspace, given: Arguments) -> Answer:
    if not given.get("filename"):
        raise Refused("invalid_arguments")
    if int(given.get("length") or 0) < 1:
        raise Refused("invalid_arguments")
    id = slack.serial("F")
    slack.files[id] = {
        "id": id,
        "filename": given["filename"],
        "length": int(given["length"]),
        "snippet_type": given.get("snippet_type", ""),
        "content": None,
    }
    return {"file_id": id}  # the server adds upload_url


def _complete(slack: Workspace, given: Arguments) -> Answer:
    wanted = given.get("files")
    wanted = json.loads(wanted) if isinstance(wanted, str) else wanted
    channel = _channel(slack, given) if given.get("channel_id") else None
    if channel is not None:
        _may_write(channel)
    if given.get("thread_ts") and channel is not None:
        _thread(channel, given["thread_ts"])
    done = []
    for each in wanted or ():
        file = slack.files.get(each.get("id"))
        if file is None or file["content"] is None:
            raise Refused("file_not_found")
        file["title"] = each.get("title", file["filename"])
        if channel is not None:
            _share(slack, channel, file, given)
        done.append({"id": file["id"], "title": file["title"]})
    if not done:
        raise Refused("invalid_arguments")
    return {"files": done}


def _share(slack: Workspace, channel: Channel, file: dict[str, Any], given: Arguments) -> None:
    message = {
        "type": "message",
        "user": slack.bot_user,
        "bot_id": slack.bot,
        "text": given.get("initial_comment", ""),
        "files": [{"id": file["id"], "title": file["title"], "name": file["filename"]}],
        "ts": slack.next_ts(),
    }
    if given.get("thread_ts"):
        message["thread_ts"] = given["thread_ts"]
    file.update(channel=channel.id, thread_ts=given.get("thread_ts", ""))
    channel.messages.append(message)


METHODS: Mapping[str, Callable[[Workspace, Arguments], Answer]] = {
    "auth.test": _auth_test,
    "apps.connections.open": lambda _slack, _given: {},  # the server adds url
    "chat.delete": _delete,
    "chat.getPermalink": _permalink,
    "chat.postEphemeral": _post_ephemeral,
    "chat.postMessage": _post_message,
    "chat.update": _update,
    "conversations.history": _history,
    "conversations.info": _info,
    "conversations.join": _join,
    "conversations.list": _list,
    "conversations.replies": _replies,
    "files.completeUploadExternal": _complete,
    "files.getUploadURLExternal": _upload_url,
    "users.conversations": _of_user,
    "users.info": _user,
    "users.lookupByEmail": _by_email,
    "views.open": _open,
    "views.update": _update_view,
}
