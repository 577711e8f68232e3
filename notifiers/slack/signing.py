"""Is this letter from Slack? Asked before anything in it is read.

Called by :mod:`.inbound` alone. Slack's client has a verifier of its own; it compares texts (a
signature that is not ASCII is an exception there) and decodes the body before it knows whose it
is, so the twenty lines are ours: bytes in, bytes compared, no other answer than yes or no.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from gitops.ports.inbound import Forged, Letter

WINDOW = 300
"""Seconds between Slack's signing and our reading, in either direction
(docs.slack.dev/authentication/verifying-requests-from-slack)."""

_STAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")


def verified(letter: Letter, secret: str, now: float) -> str:
    """The signature, good for one use, which the caller has to see to.

    ``now`` in seconds since the epoch. Raises Forged for no signature, a wrong one, several of
    them, one outside the window, or an empty secret.
    """
    stamp = letter.header("x-slack-request-timestamp")
    signature = letter.header("x-slack-signature")
    key = secret.strip().encode()
    if not key or not _STAMP.fullmatch(stamp) or not _SIGNATURE.fullmatch(signature):
        raise Forged("no signature of Slack's")
    if abs(now - int(stamp)) > WINDOW:
        raise Forged("signed too long ago, or in the future")
    signed = b"v0:" + stamp.encode() + b":" + letter.body
    expected = "v0=" + hmac.new(key, signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise Forged("the signature is not Slack's")
    return signature
