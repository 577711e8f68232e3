"""A webhook of anything that can sign a body: a registry, a pipeline, a script with openssl.

Called by :mod:`gitops.web.hooks` through its port. It says nothing but "look", and the fleet file
names the sources, so a body may hold whatever it likes: it is never read. The signature is the
HMAC-SHA256 in hex of the body, or of ``TIME.BODY`` where a header with the time is configured.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from gitops.errors import ConfigError
from gitops.foreign import one_line
from gitops.model.secret import SecretRef
from gitops.plugins import Services
from gitops.ports import Clock
from gitops.ports.inbound import Forged, Heard, Letter, LookAgain
from webhooks.payload import identifier
from webhooks.signing import Secrets, equal, in_window, mac

NAME = "generic"
VERSION = "1"
NEEDS_SOURCES = True
"""Read by the fleet file's check: nothing in a request could say which."""
_PREFIX = "sha256="


@dataclass(frozen=True, slots=True)
class Options:
    """Anything that signs with HMAC-SHA256."""

    secret: SecretRef
    """The key of the HMAC."""
    previous_secret: SecretRef | None = None
    """The one before, still accepted while the key is being changed."""
    header: str = "X-Hub-Signature-256"
    """Header with the signature in hex, with or without sha256= in front."""
    timestamp_header: str = ""
    """Header with the time in seconds since the epoch; then TIME.BODY is what is signed."""
    window: timedelta = timedelta(minutes=5)
    """How far that time may be from the controller's."""
    id_header: str = ""
    """Header with the sender's id of a delivery: then one that comes twice acts once."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a header that cannot be one (RFC 9110, section 5.6.2)."""
        for name in (self.header, self.timestamp_header, self.id_header):
            if not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
                raise ConfigError(
                    f"{one_line(name, 80)!r} is not the name of a header",
                    hint="write letters, digits and dashes, such as X-Signature",
                )
        if not self.header:
            raise ConfigError("the signature needs the name of a header", hint="write header: …")


@dataclass(frozen=True, slots=True)
class Generic:
    """Plays :class:`gitops.ports.inbound.Receiver`."""

    options: Options
    clock: Clock
    name: str = NAME

    def hear(self, letter: Letter) -> Heard:
        self._verify(letter)
        own = self.options.id_header.lower()
        delivery = identifier(letter, (own,)) if own else ""
        return Heard(delivery, (LookAgain(),), "look", repeatable=not delivery)

    def _verify(self, letter: Letter) -> None:
        keys = self._secrets().keys()
        time = self.options.timestamp_header.lower()
        said = letter.header(time) if time else ""
        if time and not in_window(said, self.clock.now(), self.options.window.total_seconds()):
            raise Forged
        given = letter.header(self.options.header.lower()).removeprefix(_PREFIX)
        content = self._content(said, letter.body)
        if not any(equal(mac(key, content).encode(), given) for key in keys):
            raise Forged

    def _content(self, time: str, body: bytes) -> bytes:
        return time.encode() + b"." + body if self.options.timestamp_header else body

    def _secrets(self) -> Secrets:
        return Secrets(self.options.secret, self.options.previous_secret)

    def sample(self, address: str, ref: str) -> Letter:
        body, time = b'{"look": true}', str(int(self.clock.now()))
        signature = mac(self._secrets().keys()[0], self._content(time, body))
        headers: dict[str, tuple[str, ...]] = {
            "content-type": ("application/json",),
            self.options.header.lower(): (_PREFIX + signature,),
        }
        return Letter({**headers, **self._more(time)}, body)

    def _more(self, time: str) -> Mapping[str, tuple[str, ...]]:
        more = {
            self.options.timestamp_header.lower(): (time,),
            self.options.id_header.lower(): (str(uuid.uuid4()),),
        }
        return {name: value for name, value in more.items() if name}


def build(options: Options, services: Services) -> Generic:
    return Generic(options, services.clock)
