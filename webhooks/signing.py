"""Checks who sent a request, over its raw bytes, before anybody looks into them.

Used by every receiver of this package. Secrets are read anew for each request, so that a rotated
one counts at once and one that was taken away closes the endpoint. Whatever a header holds
(non-ASCII, doubled, nothing) ends in :class:`gitops.ports.inbound.Forged`, never in another error:
``compare_digest`` raises for text that is not ASCII, so bytes are compared.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from hashlib import sha256

from gitops.errors import ConfigError
from gitops.model.secret import SecretRef
from gitops.ports import Clock
from gitops.ports.inbound import Absent, Forged, Letter
from gitops.secrets import read_secret

WINDOW = 300.0
"""Seconds a signed time may differ from ours: Standard Webhooks and Slack both say five minutes."""
_STANDARD = "whsec_"
_LONGEST_TIME = 12


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secret in force and, while it is being rotated, the one before."""

    present: SecretRef
    previous: SecretRef | None = None

    def texts(self) -> tuple[str, ...]:
        """The present one first. Raises Absent when it cannot be had; the previous one alone opens
        nothing."""
        try:
            found = [read_secret(self.present)]
        except ConfigError as error:
            raise Absent(error.message) from None
        if self.previous is not None:
            try:
                found.append(read_secret(self.previous))
            except ConfigError:
                return tuple(found)
        return tuple(found)

    def keys(self) -> tuple[bytes, ...]:
        return tuple(text.encode() for text in self.texts())


def equal(one: bytes, other: str) -> bool:
    """In constant time for a given length; ``other`` may hold anything a header can."""
    return hmac.compare_digest(one, other.encode("utf-8", "surrogatepass"))


def mac(key: bytes, content: bytes) -> str:
    return hmac.new(key, content, sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class BodyMac:
    """HMAC-SHA256 of the body in hex; in whichever of ``headers`` it came, it has to hold."""

    secrets: Secrets
    headers: tuple[str, ...]
    prefix: str = ""
    """``sha256=`` where the provider writes it."""

    def __call__(self, letter: Letter) -> None:
        """Raises Absent, Forged."""
        keys = self.secrets.keys()
        wanted = [f"{self.prefix}{mac(key, letter.body)}".encode() for key in keys]
        given = [letter.header(name) for name in self.headers if name in letter.headers]
        holds = [any(equal(one, each) for one in wanted) for each in given]
        if not holds or not all(holds):
            raise Forged

    def sign(self, body: bytes) -> dict[str, tuple[str, ...]]:
        """Raises Absent."""
        signature = f"{self.prefix}{mac(self.secrets.keys()[0], body)}"
        return dict.fromkeys(self.headers, (signature,))


@dataclass(frozen=True, slots=True)
class Standard:
    """Standard Webhooks, as GitLab signs: base64 of the HMAC over ``id.timestamp.body``.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """

    clock: Clock

    @staticmethod
    def is_key(secret: str) -> bool:
        return secret.startswith(_STANDARD)

    def holds(self, secret: str, letter: Letter) -> bool:
        """Does one of the signatures hold, and is its time ours?"""
        time, given = letter.header("webhook-timestamp"), letter.header("webhook-signature")
        if not in_window(time, self.clock.now()):
            return False
        wanted = self.signature(secret, letter.header("webhook-id"), time, letter.body).encode()
        return any(equal(wanted, one) for one in given.split(" ")[:10])

    @staticmethod
    def signature(secret: str, id: str, time: str, body: bytes) -> str:
        """Raises Absent for a key that is none."""
        try:
            key = base64.b64decode(secret.removeprefix(_STANDARD), validate=True)
        except binascii.Error:
            key = b""
        if not key:
            raise Absent("the signing token is not whsec_ and base64")
        content = b".".join((id.encode("utf-8", "surrogatepass"), time.encode(), body))
        return f"v1,{base64.b64encode(hmac.new(key, content, sha256).digest()).decode()}"


def in_window(text: str, now: float, window: float = WINDOW) -> bool:
    """Is it a whole number of seconds since the epoch, and near enough?"""
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_TIME:
        return False
    return abs(now - int(text)) <= window
