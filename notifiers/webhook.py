"""Posts notices as JSON to an address of the operator's choice.

A notifier plugin. Signed as the Standard Webhooks specification says (standardwebhooks.com):
headers ``webhook-id`` (the notice's: the same again is the same notice), ``webhook-timestamp``
(seconds) and ``webhook-signature`` (``v1,`` and base64 of HMAC-SHA256 over ``ID.TIMESTAMP.BODY``).
Goes over https, in clear only to this machine; to no address but the one it resolved and judged;
follows no redirect. Whatever the other side answers but a refusal of the content itself may be
mended, so the notice is kept and tried again, not before ``Retry-After``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gitops import announcing
from gitops.announcing import Words
from gitops.egress.addresses import Reach, is_loopback, reach_of, split
from gitops.egress.answers import Answer, retry_after
from gitops.egress.client import Patience, opened
from gitops.errors import (
    ConfigError,
    NotifierRefused,
    NotifierUnavailable,
    SourceProblem,
    SourceUnavailable,
)
from gitops.model.events import Notice
from gitops.model.ids import combine, short
from gitops.model.secret import SecretRef
from gitops.plugins import Services
from gitops.secrets import read_secret
from notifiers.question import card_of, page_of

NAME = "webhook"
VERSION = "1"

SHORTEST_SECRET = 16
"""Characters; whoever guesses it can tell the other side anything."""
_LARGEST_ANSWER = 64 << 10
_REFUSALS = (400, 405, 406, 411, 413, 414, 415, 422)
"""Say something of the content: the same again will not do."""
_FACTS = (
    "application",
    "target",
    "project",
    "labels",
    "environment",
    "cause",
    "source",
    "revision",
    "request",
    "expires_at",
    "seconds",
    "by",
    "reason",
    "moved",
)


@dataclass(frozen=True, slots=True)
class Options:
    """One address that is told of what happens."""

    url: str
    """https://…, or http:// on this machine."""
    secret: SecretRef | None = None
    """Signs what is sent. ``whsec_…`` is base64, as Standard Webhooks writes it."""
    channel: str = ""
    """Goes along as ``channel``; a route may say another."""
    allow_private: bool = False
    """The address may be in a network of one's own."""
    timeout: timedelta = timedelta(seconds=10)
    """How long one answer may take."""

    def __post_init__(self) -> None:
        """Raises ConfigError for an address that is not https, or holds a password."""
        hint = "write https://HOST/PATH; http:// only to this machine"
        try:
            parts = split(self.url)
        except ValueError:
            raise ConfigError("its url is no address", hint=hint) from None
        host = parts.hostname or ""
        if not host or parts.scheme not in ("https", "http") or parts.username or parts.password:
            raise ConfigError("its url is not a plain https address", hint=hint)
        if parts.scheme == "http" and not is_loopback(host):
            raise ConfigError("its url would be spoken to in clear", hint=hint)


class Webhook:
    """Plays ``Notifier`` and ``Gathering``."""

    name = NAME

    def __init__(self, options: Options, services: Services) -> None:
        self._options = options
        self._services = services

    async def send(self, notice: Notice) -> None:
        """Raises NotifierUnavailable, or NotifierRefused for a content the other side refuses."""
        card = await card_of(self._services, notice)
        told = announcing.words(notice, card, self._services.mask, page_of(self._services, notice))
        await self._post(notice.id, self._described(notice, told), notice)

    async def send_together(self, notices: Sequence[Notice]) -> None:
        """One request of kind ``digest``, with all of them under ``notices``."""
        mask, first = self._services.mask, notices[0]
        told = announcing.digest(notices, mask)
        body = {
            "kind": "digest",
            "channel": first.channel or self._options.channel,
            "subject": told.subject,
            "text": told.text,
            "notices": [self._described(n, announcing.words(n, None, mask)) for n in notices],
        }
        await self._post(short(combine("digest", *(n.id for n in notices)), 32), body, first)

    def _described(self, notice: Notice, told: Words) -> dict[str, Any]:
        mask = self._services.mask
        facts = {key: notice.payload[key] for key in _FACTS if key in notice.payload}
        return {
            "id": notice.id,
            "kind": notice.kind,
            "severity": notice.payload.get("severity", "info"),
            "at": datetime.fromtimestamp(notice.created_at, UTC).isoformat(timespec="seconds"),
            "channel": notice.channel or self._options.channel,
            "change": notice.subject,
            **{
                key: mask(value) if isinstance(value, str) else value
                for key, value in facts.items()
            },
            "subject": told.subject,
            "text": told.text,
            "url": told.url,
        }

    async def _post(self, id: str, body: Mapping[str, Any], notice: Notice) -> None:
        place = f"notifier {notice.notifier}"
        content = json.dumps(body, sort_keys=True).encode("ascii")
        seconds = self._options.timeout.total_seconds()
        try:
            headers = self._headers(id, content)
            async with opened(self._permit, patience=Patience(seconds, seconds)) as client:
                answer = await client.ask(
                    self._options.url,
                    method="POST",
                    headers=headers,
                    body=content,
                    limit=_LARGEST_ANSWER,
                )
        except (ConfigError, SourceProblem, SourceUnavailable) as error:
            raise NotifierUnavailable(error.message, hint=error.hint, place=place) from error
        self._judge(answer, place)

    def _judge(self, answer: Answer, place: str) -> None:
        if 200 <= answer.status < 300:
            return
        said = f"it answered {answer.status}"
        if answer.status in _REFUSALS:
            raise NotifierRefused(said, hint="see what its own log says of it", place=place)
        wait = retry_after(answer.headers.get("retry-after", ""), self._services.clock.now())
        raise NotifierUnavailable(said, place=place, retry_after=wait)

    def _headers(self, id: str, content: bytes) -> dict[str, str]:
        at = str(int(self._services.clock.now()))
        headers = {"Content-Type": "application/json", "webhook-id": id, "webhook-timestamp": at}
        if self._options.secret is not None:
            key = key_of(read_secret(self._options.secret))
            headers["webhook-signature"] = signature(key, id, at, content)
        return headers

    def _permit(self, url: str) -> Reach:
        return reach_of(split(url).hostname or "", private=self._options.allow_private)


def key_of(secret: str) -> bytes:
    """Raises ConfigError for a secret that can be guessed, or is no base64 after ``whsec_``."""
    hint = "for example: echo whsec_$(openssl rand -base64 32)"
    if len(secret) < SHORTEST_SECRET:
        raise ConfigError("the webhook's secret is too short", hint=hint)
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ConfigError("the webhook's secret is no base64 after whsec_", hint=hint) from None


def signature(key: bytes, id: str, at: str, content: bytes) -> str:
    """Pure: as Standard Webhooks has it."""
    made = hmac.digest(key, f"{id}.{at}.".encode() + content, hashlib.sha256)
    return f"v1,{base64.b64encode(made).decode('ascii')}"


def build(options: Options, services: Services) -> Webhook:
    """Reads no secret yet: a rotated one is taken without a restart."""
    return Webhook(options, services)
