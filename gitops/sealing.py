"""What was approved as bytes and back: what goes into the vault.

Called by planning (to keep what people are asked about) and by apply (to read it again): a set of
objects for a cluster, a saved Terraform plan with its root, a lock to be forced. Deterministic:
equal values give equal bytes in every process. The bytes hold secrets in clear and must never be
logged or stored outside the vault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter

from gitops.model.manifest import ObjectId
from gitops.model.sealed import Sealed, SealedRun, SealedSet, SealedUnlock
from gitops.records import Unreadable, dumps, loads

FORMAT = 4
"""Rises when the bytes change meaning: what has another format is void and asked again."""

_PARTS: Callable[[ObjectId], tuple[str, ...]] = attrgetter("group", "kind", "namespace", "name")


@dataclass(frozen=True, slots=True)
class _Envelope:
    """Holds one of ``set``, ``run`` and ``unlock``."""

    format: int
    set: SealedSet | None
    """Without its inventory."""
    inventory: str
    """One identity a line, parts between tabs: thousands of them go out with every change, and no
    name of Kubernetes holds either character."""
    run: SealedRun | None
    unlock: SealedUnlock | None


def encode(sealed: Sealed) -> bytes:
    """Canonical JSON (ASCII, sorted keys, bytes as base64) with its format number."""
    if isinstance(sealed, SealedRun):
        envelope = _Envelope(FORMAT, None, "", sealed, None)
    elif isinstance(sealed, SealedUnlock):
        envelope = _Envelope(FORMAT, None, "", None, sealed)
    else:
        lines = "\n".join(map("\t".join, map(_PARTS, sealed.inventory)))
        envelope = _Envelope(FORMAT, replace(sealed, inventory=()), lines, None, None)
    return dumps(_Envelope, envelope).encode("ascii")


def decode(content: bytes) -> Sealed:
    """What :func:`encode` was given.

    Raises :class:`gitops.records.Unreadable` for anything else, without quoting the content; the
    seal is void then and the change is asked again.
    """
    envelope = loads(_Envelope, content)
    if envelope.format != FORMAT:
        raise Unreadable(f"sealed bytes of format {envelope.format}; this version reads {FORMAT}")
    held = [each for each in (envelope.set, envelope.run, envelope.unlock) if each is not None]
    if len(held) != 1 or (envelope.inventory and envelope.set is None):
        raise Unreadable("sealed bytes that do not hold exactly one thing")
    if isinstance(held[0], SealedSet):
        return replace(held[0], inventory=tuple(_identities(envelope.inventory)))
    return held[0]


def _identities(text: str) -> Iterator[ObjectId]:
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) != 4:
            raise Unreadable("a sealed set whose inventory is damaged")
        yield ObjectId(*parts)
