"""Socket Mode: Slack speaks over a connection that we open, so no port of ours is open.

``listen`` is run for as long as the controller lives. Slack's own client keeps a connection alive
and moves to a new one when Slack asks; it can also stay with an address that is long dead, so here
it is watched and thrown away when it has been without a connection for a while. What is heard goes
where HTTP's goes; what Slack repeats over the next connection, or to another replica, acts once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from gitops.errors import ConfigError
from notifiers.slack.account import Account
from notifiers.slack.client import TIMEOUT, address
from notifiers.slack.hearing import Hearing
from notifiers.slack.payloads import of_envelope

_log = structlog.get_logger(__name__)

PING = 5.0
"""Seconds between signs of life."""
CONNECT = 20.0
GONE = 20.0
"""Seconds without a connection after which a client is thrown away."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


async def listen(account: Account, hearing: Hearing) -> None:
    """For ever; where the fleet file names no app-level token there is nothing to hear."""
    if account.options.app_token is None:
        await asyncio.Event().wait()
    pause, why = FIRST_PAUSE, ""
    while True:
        problem = await _connection(account, hearing)
        if problem:
            if problem != why:
                _log.error("slack.deaf", problem=problem, hint="gitops slack check tells more")
            pause, why = min(pause * 2, LONGEST_PAUSE), problem
        else:
            pause, why = FIRST_PAUSE, ""
        await asyncio.sleep(pause)


async def _connection(account: Account, hearing: Hearing) -> str:
    """One client from its first connection to its last. Returns why there was none; empty after
    one that worked."""
    try:
        client = _client(account)
    except ConfigError as error:
        return error.message
    try:
        client.socket_mode_request_listeners.append(_Ear(hearing))
        async with asyncio.timeout(CONNECT):
            client.wss_uri = await client.issue_new_wss_url()
            await client.connect()  # type: ignore[no-untyped-call]
        _log.info("slack.listening")
        await _until_gone(client)
        _log.warning("slack.connection-lost")
    except SlackApiError as error:
        # Its text has the whole answer in it; the word alone is enough.
        return f"Slack refuses Socket Mode: {_word(error)}"
    except Exception as error:
        return f"Slack does not answer ({type(error).__name__})"
    finally:
        with contextlib.suppress(Exception):
            await client.close()  # type: ignore[no-untyped-call]
    return ""


def _client(account: Account) -> SocketModeClient:
    assert account.options.app_token is not None
    quiet = logging.getLogger("gitops.slack.socket")
    quiet.setLevel(logging.CRITICAL)  # it would write addresses with tickets in them
    token = account.secret(account.options.app_token).strip()
    web = AsyncWebClient(
        base_url=address(account.options.api), timeout=TIMEOUT, retry_handlers=[], logger=quiet
    )
    web.proxy = account.web.sdk.proxy
    client = SocketModeClient(token, logger=quiet, web_client=web, ping_interval=PING)
    client.proxy = web.proxy
    return client


async def _until_gone(client: SocketModeClient) -> None:
    """Returns when it has had no connection for a while."""
    loop = asyncio.get_running_loop()
    seen = loop.time()
    while loop.time() - seen < GONE:
        await asyncio.sleep(PING / 5)
        if await client.is_connected():
            seen = loop.time()


class _Ear:
    """Hears one envelope and acknowledges it."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing

    async def __call__(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        ack = await self._hearing.hear(of_envelope(request.type, request.payload))
        payload = dict(ack.payload) if ack.payload and request.accepts_response_payload else None
        response = SocketModeResponse(request.envelope_id, payload)
        try:
            await client.send_socket_mode_response(response)
        except Exception as error:
            # The connection went meanwhile: Slack repeats what was not acknowledged.
            _log.warning("slack.not-acknowledged", problem=type(error).__name__)


def _word(error: SlackApiError) -> str:
    data = getattr(error.response, "data", None)
    word = data.get("error") if isinstance(data, dict) else None
    return word if isinstance(word, str) and word.isidentifier() else "without a reason"
