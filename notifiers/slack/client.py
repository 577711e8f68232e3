"""Slack's Web API, asked through Slack's own client, its failures in our words.

Used by everything in this package that talks to Slack. Two kinds of failure exist here. What the
operator or Slack mends (an outage, a rate limit, a missing scope, an archived channel) is
Transient: the notice stays in the outbox and is tried again. What Slack will never take (a message
out of bounds) is :class:`Unfit`. No token and no answer of Slack's is ever in a message of ours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from gitops.egress.addresses import is_loopback
from gitops.errors import AnswerLost, Apart, ConfigError, Permanent, Transient
from gitops.foreign import one_line

TIMEOUT = 15
"""Seconds for one request."""
MENDABLE = 60.0
"""Seconds until something people have to mend is tried again."""
_HOSTS = ("slack.com", "slack-gov.com")

# What the operator can mend, and how (docs.slack.dev/reference/methods).
_MENDED_BY = {
    "not_authed": "the bot token is empty; set bot_token",
    "invalid_auth": "Slack does not know the token; reinstall the app and set bot_token again",
    "account_inactive": "the app was removed from the workspace; install it again",
    "token_revoked": "the token was revoked; reinstall the app and set bot_token again",
    "token_expired": "the token expired; reinstall the app and set bot_token again",
    "not_allowed_token_type": "bot_token has to be a bot token (xoxb-…)",
    "missing_scope": "add the scope to the app and reinstall it; see examples/slack",
    "no_permission": "the app may not do this; see examples/slack",
    "org_login_required": "the workspace is being moved; try again later",
    "channel_not_found": "check the channel's id; invite the app to it if it is private",
    "not_in_channel": "invite the app to the channel: /invite @gitops",
    "is_archived": "the channel is archived; name another one, or unarchive it",
    "is_inactive": "the channel is archived or frozen",
    "restricted_action": "the workspace does not let apps post there; ask its administrator",
    "ekm_access_denied": "the workspace's administrator suspended posting",
    "access_denied": "the workspace's administrator does not let the app in",
}
_OF_A_CHANNEL = {
    "channel_not_found",
    "not_in_channel",
    "is_archived",
    "is_inactive",
    "restricted_action",
}
_PASSING = {
    "fatal_error",
    "internal_error",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
}


class Refusal(Transient):
    """Slack answered ``ok: false`` with something that passes or can be mended. ``code`` is
    Slack's word for it."""

    def __init__(self, message: str, *, code: str, hint: str, retry_after: float) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.code = code


class Shut(Refusal, Apart):
    """One channel takes nothing; others may."""


class Unfit(Permanent):
    """Slack will not take this, however often it is sent. ``code`` is Slack's word for it."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


def address(api: str) -> str:
    """The base URL with its slash. Raises ConfigError for one that is not Slack's."""
    parts = urlsplit(api)
    host = (parts.hostname or "").casefold()
    slack = any(host == known or host.endswith(f".{known}") for known in _HOSTS)
    fine = (parts.scheme == "https" and slack) or (
        parts.scheme in ("http", "https") and is_loopback(host)
    )
    if not fine or parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            f"{one_line(api, 80)} is not Slack's Web API",
            hint="leave api: out; it is https://slack.com/api/",
        )
    return api if api.endswith("/") else f"{api}/"


class Web:
    """The Web API of one workspace."""

    def __init__(self, api: str, token: Callable[[], str]) -> None:
        """``token`` is asked before every request, so that a new one counts at once."""
        self._token = token
        self.sdk = AsyncWebClient(
            base_url=address(api),
            timeout=TIMEOUT,
            retry_handlers=[],  # a post is never repeated blindly; the outbox tries again
            logger=logging.getLogger("gitops.slack"),
        )
        """Slack's client; its token is set by :meth:`ask`."""
        if is_loopback(urlsplit(api).hostname or ""):
            self.sdk.proxy = None

    async def ask(self, method: str, **given: Any) -> Mapping[str, Any]:
        """One request by the client's method of that name (``chat_postMessage``), arguments that
        are None left out.

        Raises Refusal, Unfit, and AnswerLost where the request may have had its effect although
        no answer says so.
        """
        self.sdk.token = self._present_token()
        asked = {key: value for key, value in given.items() if value is not None}
        try:
            answer = await getattr(self.sdk, method)(**asked)
        except SlackApiError as error:
            raise _judged(method, error) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise AnswerLost(f"Slack does not answer ({type(error).__name__})") from None
        except (SlackClientError, AttributeError, TypeError, ValueError) as error:
            raise AnswerLost(f"Slack's answer makes no sense ({type(error).__name__})") from None
        data = answer.data
        if not isinstance(data, Mapping):
            raise AnswerLost("Slack's answer makes no sense")
        return data

    def _present_token(self) -> str:
        """A token that is not where it should be is the operator's to mend, and waited for."""
        try:
            return self._token().strip()
        except ConfigError as error:
            raise Refusal(
                error.message, code="no_token", hint=error.hint, retry_after=MENDABLE
            ) from None


def _judged(method: str, error: SlackApiError) -> Exception:
    response: Any = error.response
    status = getattr(response, "status_code", getattr(response, "status", 200))
    if status == 429:
        wait = _seconds(getattr(response, "headers", {}))
        return Refusal("Slack's rate limit is reached", code="429", hint="", retry_after=wait)
    data = getattr(response, "data", None)
    code = data.get("error") if isinstance(data, Mapping) else None
    if status != 200 or not isinstance(code, str) or code in _PASSING:
        return AnswerLost(f"Slack fails at {method.replace('_', '.', 1)} (HTTP {status})")
    code = one_line(code, 60)
    mended = _MENDED_BY.get(code)
    if mended is None:
        return Unfit(f"Slack refuses {method.replace('_', '.', 1)}: {code}", code=code)
    scope = one_line(str(data.get("needed", "")), 60) if isinstance(data, Mapping) else ""
    message = f"Slack refuses {method.replace('_', '.', 1)}: {code} {scope}".strip()
    kind = Shut if code in _OF_A_CHANNEL else Refusal
    return kind(message, code=code, hint=mended, retry_after=MENDABLE)


def _seconds(headers: Any) -> float:
    """``Retry-After`` of a 429, in seconds (docs.slack.dev/apis/web-api/rate-limits)."""
    for name, value in dict(headers or {}).items():
        if str(name).lower() == "retry-after":
            text = value[0] if isinstance(value, list | tuple) and value else value
            try:
                return min(max(float(text), 1.0), 3_600.0)
            except (TypeError, ValueError):
                break
    return 1.0
