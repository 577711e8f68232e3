"""A sealed set as bytes and back: what goes into the vault and what its artifact digest covers.

Called by planning (to digest and keep what people are asked about) and by apply (to read it again).
Deterministic: equal sets give equal bytes in every process. The bytes hold Secret values in clear
and must never be logged or stored outside the vault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter

from gitops.model.manifest import ObjectId
from gitops.model.sealed import SealedSet
from gitops.records import Unreadable, dumps, loads

FORMAT = 2
"""Rises when the bytes change meaning: a set of another format is void and asked again."""

_PARTS: Callable[[ObjectId], tuple[str, ...]] = attrgetter("group", "kind", "namespace", "name")


@dataclass(frozen=True, slots=True)
class _Envelope:
    format: int
    set: SealedSet
    """Without its inventory."""
    inventory: str
    """One identity a line, parts between tabs: thousands of them go out with every change, and no
    name of Kubernetes holds either character."""


def encode(sealed: SealedSet) -> bytes:
    """Canonical JSON (ASCII, sorted keys, bytes as base64) with its format number."""
    lines = "\n".join(map("\t".join, map(_PARTS, sealed.inventory)))
    bare = replace(sealed, inventory=())
    return dumps(_Envelope, _Envelope(FORMAT, bare, lines)).encode("ascii")


def decode(content: bytes) -> SealedSet:
    """The set :func:`encode` was given.

    Raises :class:`gitops.records.Unreadable` for anything else, without quoting the content; the
    seal is void then and the change is asked again.
    """
    envelope = loads(_Envelope, content)
    if envelope.format != FORMAT:
        raise Unreadable(f"a sealed set of format {envelope.format}; this version reads {FORMAT}")
    return replace(envelope.set, inventory=tuple(_identities(envelope.inventory)))


def _identities(text: str) -> Iterator[ObjectId]:
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) != 4:
            raise Unreadable("a sealed set whose inventory is damaged")
        yield ObjectId(*parts)
