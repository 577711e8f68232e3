"""Slack over HTTP: presses, forms, commands and events at ``/hooks/NAME``.

Plays ``Inbound`` for the notifier; :mod:`gitops.web.hooks` reads the request and writes the
reply. Nothing of a request is read before its signature held, and each signature acts once.
"""

from __future__ import annotations

import orjson

from gitops.ports.inbound import Forged, Letter, Malformed, Reply
from notifiers.slack.account import Account
from notifiers.slack.hearing import Ack, Hearing
from notifiers.slack.payloads import Challenge, of_letter
from notifiers.slack.signing import verified

_JSON = {"content-type": "application/json; charset=utf-8"}
_PLAIN = {"content-type": "text/plain; charset=utf-8"}
_UNSIGNED = Reply(401, b"no valid signature\n", _PLAIN)


async def receive(letter: Letter, account: Account, hearing: Hearing) -> Reply:
    """What it answers for is committed when it returns. Raises ConfigError when the signing
    secret cannot be read."""
    reference = account.options.signing_secret
    if reference is None:
        return Reply(404, b"not found\n", _PLAIN)
    try:
        now = account.services.clock.now()
        signature = verified(letter, account.secret(reference), now)
        said = of_letter(letter)
    except Forged as forged:
        hearing.unsigned(str(forged))
        return _UNSIGNED
    except Malformed:
        return Reply(400, b"not understood\n", _PLAIN)
    if isinstance(said, Challenge):
        return Reply(200, said.text.encode(), _PLAIN)
    return _reply(await hearing.hear(said, signature))


def _reply(ack: Ack) -> Reply:
    if ack.seen:
        return _UNSIGNED
    if ack.payload is None:
        return Reply(200)
    return Reply(200, orjson.dumps(ack.payload), _JSON)
