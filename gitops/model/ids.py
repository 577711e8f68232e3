"""Names and identifiers, and the one way digests over several parts are made.

A digest over *content that may hold secrets* is keyed and comes from
:class:`gitops.vault.Keyring`; what is here only combines identifiers and other digests.
"""

from __future__ import annotations

import hashlib
from typing import NewType

SourceName = NewType("SourceName", str)
ApplicationName = NewType("ApplicationName", str)
TargetName = NewType("TargetName", str)
"""A cluster's or a Terraform workspace's name in the fleet file."""
PersonName = NewType("PersonName", str)
GroupName = NewType("GroupName", str)
ChangeId = NewType("ChangeId", str)
RequestId = NewType("RequestId", str)
DeliveryId = NewType("DeliveryId", str)
Digest = NewType("Digest", str)
"""64 lower-case hex digits (BLAKE2b-256, keyed or not)."""


def combine(*parts: str | int | None) -> Digest:
    """Digest of an ordered list of short strings, without ambiguity between neighbours.

    Every part is prefixed by its length in bytes, so ``combine("ab", "c")`` and
    ``combine("a", "bc")`` differ. ``None`` differs from the empty string.
    """
    state = hashlib.blake2b(digest_size=32)
    for part in parts:
        if part is None:
            state.update(b"-;")
            continue
        raw = str(part).encode("utf-8", "surrogatepass")
        state.update(b"%d:" % len(raw))
        state.update(raw)
    return Digest(state.hexdigest())


def short(digest: str, length: int = 12) -> str:
    """The prefix people read and type; never compared, only looked up."""
    return digest[:length]
