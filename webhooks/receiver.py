"""What the receivers of all forges have in common: verify, find the event, read its words.

A provider's own file says how it signs, which headers name the event and the delivery, and how each
event reads. Nothing here knows a provider.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gitops.foreign import one_line
from gitops.model.secret import SecretRef
from gitops.ports.inbound import Heard, Letter, Malformed, Word
from webhooks.payload import Fields, document, identifier

SAMPLE_COMMIT = "1".rjust(40, "0")
GONE = "0" * 40
NOBODY = "gitops-webhook-test"
_EVENT = re.compile(r"[\w:. -]{1,64}", re.ASCII)

Reads = Callable[[Fields], tuple[Word, ...]]
"""The words of one event; none when this occurrence of it is of no interest."""


@dataclass(frozen=True, slots=True)
class Options:
    """The webhook's secret, as it was entered at the forge."""

    secret: SecretRef
    """The webhook's secret; at GitLab the secret token, or the signing token (whsec_…)."""
    previous_secret: SecretRef | None = None
    """The one before, still accepted while the secret is being changed."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a provider names things. Header names in lower case, the preferred one first."""

    event: tuple[str, ...]
    delivery: tuple[str, ...]
    events: Mapping[str, Reads]
    ping: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ForgeReceiver:
    """Plays :class:`gitops.ports.inbound.Receiver`."""

    name: str
    verify: Callable[[Letter], None]
    sign: Callable[[bytes], Mapping[str, tuple[str, ...]]]
    dialect: Dialect
    push: Callable[[str, str], tuple[str, Mapping[str, Any]]]
    """Event and body of a push to a ref of the repository at an address."""

    def hear(self, letter: Letter) -> Heard:
        self.verify(letter)
        event = next(
            (letter.header(each) for each in self.dialect.event if letter.header(each)), ""
        )
        if _EVENT.fullmatch(event) is None:
            raise Malformed("no header names the event")
        delivery = identifier(letter, self.dialect.delivery)
        fields = document(letter)
        if event in self.dialect.ping:
            return Heard(delivery, event=event, note="ping")
        reads = self.dialect.events.get(event)
        if reads is None:
            return Heard(delivery, event=event, note="not an event of interest")
        words = reads(fields)
        note = "" if words else "nothing to look at follows from it"
        return Heard(delivery, words, one_line(event), note)

    def sample(self, address: str, ref: str) -> Letter:
        event, body = self.push(address, ref)
        content = json.dumps(body).encode()
        headers: dict[str, tuple[str, ...]] = {
            "content-type": ("application/json",),
            self.dialect.event[0]: (event,),
            self.dialect.delivery[0]: (str(uuid.uuid4()),),
        }
        return Letter({**headers, **self.sign(content)}, content)
