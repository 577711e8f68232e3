"""A sealed set as bytes and back: what goes into the vault and what its artifact digest covers.

Called by planning (to digest and keep what people are asked about) and by apply (to read it again).
Deterministic: equal sets give equal bytes in every process. The bytes hold Secret values in clear
and must never be logged or stored outside the vault.
"""

from __future__ import annotations

from dataclasses import dataclass

from gitops.model.sealed import SealedSet
from gitops.records import Unreadable, dumps, loads

FORMAT = 1
"""Rises when the bytes change meaning: a set of another format is void and asked again."""


@dataclass(frozen=True, slots=True)
class _Envelope:
    format: int
    set: SealedSet


def encode(sealed: SealedSet) -> bytes:
    """Canonical JSON (ASCII, sorted keys, bytes as base64) with its format number."""
    return dumps(_Envelope, _Envelope(FORMAT, sealed)).encode("ascii")


def decode(content: bytes) -> SealedSet:
    """The set :func:`encode` was given.

    Raises :class:`gitops.records.Unreadable` for anything else, without quoting the content; the
    seal is void then and the change is asked again.
    """
    envelope = loads(_Envelope, content)
    if envelope.format != FORMAT:
        raise Unreadable(f"a sealed set of format {envelope.format}; this version reads {FORMAT}")
    return envelope.set
