"""Finds again what was posted although nobody said so: by our own metadata, never by its text.

Called by :mod:`.post` only where an earlier try has no known outcome. Anybody may write a text like
ours; metadata with our event counts only in messages of our own bot. What cannot be searched (a
missing scope) counts as not there: a second message is better than none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from notifiers.slack.client import Refusal, Unfit, Web

_log = structlog.get_logger(__name__)

PAGE = 200
PAGES = 5
SLACK = 120.0
"""Seconds by which clocks may differ."""
LATEST = 300.0
"""Seconds after which a post that was begun has arrived, or never does."""
_AWAY = ("429", "no_token", "not_authed", "invalid_auth", "account_inactive", "token_revoked")


@dataclass(frozen=True, slots=True)
class Found:
    """Where it is."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Nowhere:
    """Everything was looked through."""


class Search:
    def __init__(self, web: Web, event: str) -> None:
        self._web = web
        self._event = event
        self._bot = ""
        self._channels: dict[str, str] = {}

    async def message(self, channel: str, key: str, since: float) -> Found | Nowhere | None:
        """Our message of that key, posted after ``since`` (seconds); None when nobody can look."""
        try:
            id = await self.channel_id(channel)
            # What is newest comes first: without an end, talk that went on would hide it.
            times = {"oldest": max(0.0, since - SLACK), "latest": since + LATEST + SLACK}
            span = {name: f"{at:.6f}" for name, at in times.items()}
            for message in await self._pages(
                "conversations_history", channel=id, include_all_metadata=True, **span
            ):
                if self._key(message) == key and await self._is_ours(message):
                    return Found(id, str(message["ts"]))
        except (Unfit, Refusal) as error:
            self._blind(error)
            return None
        return Nowhere()

    async def reply(self, channel: str, ts: str, key: str) -> bool:
        """Is our line of that key in the thread?"""
        for message in await self._thread(channel, ts):
            if self._key(message) == key and await self._is_ours(message):
                return True
        return False

    async def file(self, channel: str, ts: str, name: str) -> bool:
        """Is our file of that name in the thread? Files carry no metadata."""
        for message in await self._thread(channel, ts):
            files = message.get("files")
            named = [each.get("name") for each in files or () if isinstance(each, Mapping)]
            if name in named and await self._is_ours(message):
                return True
        return False

    async def _thread(self, channel: str, ts: str) -> Sequence[Mapping[str, Any]]:
        try:
            return await self._pages(
                "conversations_replies", channel=channel, ts=ts, include_all_metadata=True
            )
        except (Unfit, Refusal) as error:
            self._blind(error)
        return ()

    async def _pages(self, method: str, **given: Any) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        cursor = ""
        for _ in range(PAGES):
            answer = await self._web.ask(method, limit=PAGE, cursor=cursor or None, **given)
            found += [each for each in _listed(answer, "messages") if "ts" in each]
            cursor = _cursor(answer)
            if not cursor:
                break
        return found

    async def channel_id(self, channel: str) -> str:
        """Slack posts to ``#name`` and reads by id only. Raises Unfit for a channel the app is not
        in."""
        if not channel.startswith("#"):
            return channel
        if channel not in self._channels:
            cursor = ""
            for _ in range(PAGES * 4):
                answer = await self._web.ask(
                    "users_conversations", limit=PAGE, cursor=cursor or None, exclude_archived=True
                )
                for each in _listed(answer, "channels"):
                    self._channels[f"#{each.get('name')}"] = str(each.get("id"))
                cursor = _cursor(answer)
                if not cursor or channel in self._channels:
                    break
        if channel not in self._channels:
            raise Unfit(f"there is no channel {channel} the app is in", code="channel_not_found")
        return self._channels[channel]

    async def _is_ours(self, message: Mapping[str, Any]) -> bool:
        if not self._bot:
            answer = await self._web.ask("auth_test")
            self._bot = str(answer.get("bot_id") or answer.get("user_id") or "?")
        return self._bot in (message.get("bot_id"), message.get("user"))

    def _key(self, message: Mapping[str, Any]) -> str:
        metadata = message.get("metadata")
        if not isinstance(metadata, Mapping) or metadata.get("event_type") != self._event:
            return ""
        payload = metadata.get("event_payload")
        return str(payload.get("key", "")) if isinstance(payload, Mapping) else ""

    def _blind(self, error: Refusal | Unfit) -> None:
        """A scope or the channel is missing. That Slack is away altogether is raised: then there is
        nothing to post either."""
        if error.code in _AWAY:
            raise error
        _log.warning("slack.cannot-search", problem=error.message, hint=error.hint)


def _listed(answer: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = answer.get(name)
    return [each for each in found or () if isinstance(each, Mapping)]


def _cursor(answer: Mapping[str, Any]) -> str:
    metadata = answer.get("response_metadata")
    found = metadata.get("next_cursor") if isinstance(metadata, Mapping) else ""
    return found if isinstance(found, str) else ""
