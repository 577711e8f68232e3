"""The hash chain over one subject's events, and its check.

Called by the transaction for every append and by the audit. A chain shows an edit, an insertion,
a removal inside and a reordering; that its end was cut off only a head kept elsewhere can show.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from gitops.model.ids import Digest, combine


class Link(NamedTuple):
    """One event row, undecoded."""

    sequence: int
    subject: str
    kind: str
    at: float
    payload: str
    previous: str
    hash: str


class Links(Protocol):
    def links(self, subject: str) -> Iterable[Link]:
        """A subject's rows, oldest first."""


def link_hash(previous: str, subject: str, kind: str, payload: str, at: float) -> Digest:
    """``repr`` of a float is its shortest exact form, the same wherever Python reads it back."""
    return combine(previous, subject, kind, payload, repr(float(at)))


def verify_chain(reading: Links, subject: str) -> int | None:
    """The sequence of the first row that does not follow from those before it; None when sound."""
    previous = ""
    for link in reading.links(subject):
        expected = link_hash(previous, link.subject, link.kind, link.payload, link.at)
        if (link.previous, link.hash) != (previous, expected):
            return link.sequence
        previous = link.hash
    return None
