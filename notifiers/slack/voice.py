"""How one person is told something in private, and a channel something in public.

Used by what hears (:mod:`.hearing`): modals over a trigger, ephemeral messages, lines in a thread.
Nothing said here is counted on: what is true is in the store and on the card, so what Slack does
not take is logged and let go, and False comes back. Every call is bounded, people wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from slack_sdk.webhook.async_client import AsyncWebhookClient

from gitops.egress.addresses import is_loopback
from gitops.errors import GitopsError
from notifiers.slack.account import Account
from notifiers.slack.blocks import Block
from notifiers.slack.payloads import Place, Speaker

_log = structlog.get_logger(__name__)

SECONDS = 2.0
"""For one call while somebody waits."""
LATER = 10.0
"""For one call when nobody does."""
_HOOKS = ("hooks.slack.com", "hooks.slack-gov.com")


class Voice:
    def __init__(self, account: Account) -> None:
        self._account = account

    async def open(self, trigger: str, view: Mapping[str, Any]) -> bool:
        """A modal, for whoever the trigger is of, within three seconds of it."""
        if not trigger:
            return False
        return await self._ask("views_open", SECONDS, trigger_id=trigger, view=view) is not None

    async def redraw(self, view_id: str, view: Mapping[str, Any]) -> bool:
        return await self._ask("views_update", LATER, view_id=view_id, view=view) is not None

    async def whisper(
        self, place: Place, speaker: Speaker, blocks: Sequence[Block], text: str
    ) -> bool:
        """For one person's eyes, where they spoke. Over the response URL if there is one: that
        works in channels the app is no member of, too."""
        if place.response_url and await self._respond(place.response_url, blocks, text):
            return True
        if not place.channel:
            return False
        said = await self._ask(
            "chat_postEphemeral",
            LATER,
            channel=place.channel,
            user=speaker.user,
            thread_ts=place.thread or None,
            blocks=list(blocks),
            text=text,
        )
        return said is not None

    async def tell(self, channel: str, thread: str, blocks: Sequence[Block], text: str) -> bool:
        """In public."""
        said = await self._ask(
            "chat_postMessage",
            LATER,
            channel=channel,
            thread_ts=thread or None,
            blocks=list(blocks),
            text=text,
            unfurl_links=False,
            unfurl_media=False,
        )
        return said is not None

    async def permalink(self, channel: str, ts: str) -> str:
        """Slack's own address of a message; empty when it gives none."""
        said = await self._ask("chat_getPermalink", SECONDS, channel=channel, message_ts=ts)
        found = said.get("permalink") if said else ""
        return found if isinstance(found, str) and found.startswith("https://") else ""

    async def _ask(self, method: str, seconds: float, **given: Any) -> Mapping[str, Any] | None:
        try:
            async with asyncio.timeout(seconds):
                return await self._account.web.ask(method, **given)
        except GitopsError as error:
            _log.warning("slack.unsaid", method=method, problem=error.message, hint=error.hint)
        except TimeoutError:
            _log.warning("slack.unsaid", method=method, problem="Slack takes too long")
        return None

    async def _respond(self, url: str, blocks: Sequence[Block], text: str) -> bool:
        """``response_url``, good for five uses in half an hour
        (docs.slack.dev/interactivity/handling-user-interaction#message_responses)."""
        if not self._is_slacks(url):
            _log.warning("slack.unsaid", method="response_url", problem="not an address of Slack's")
            return False
        hook = AsyncWebhookClient(url, timeout=int(LATER), retry_handlers=[])
        try:
            said = await hook.send(
                text=text, blocks=list(blocks), response_type="ephemeral", replace_original=False
            )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            problem = type(error).__name__
        else:
            if said.status_code == 200:
                return True
            problem = f"HTTP {said.status_code}"
        _log.warning("slack.unsaid", method="response_url", problem=problem)
        return False

    def _is_slacks(self, url: str) -> bool:
        """The URL came in a payload: it leads to Slack, or we do not go there."""
        api = urlsplit(self._account.options.api)
        try:
            there = urlsplit(url)
            host, port = there.hostname, there.port
        except ValueError:
            return False
        if there.username or there.password:
            return False
        if is_loopback(api.hostname or ""):
            return (host, port) == (api.hostname, api.port)
        return there.scheme == "https" and host in _HOOKS and port in (None, 443)
