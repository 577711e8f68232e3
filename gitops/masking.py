"""Keeps secret values out of everything people or disks see.

Masked *by kind* (a Secret's data, a pod's environment variables named like a secret) and *by
value*: every secret value met is remembered and filtered from any text, whatever it travels in.
Called by planning, by applying and by the log set-up. It must never keep a value longer than the
process lives, and never show one, not even a prefix: equality shows through a keyed digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitops.diff import RawFieldChange
from gitops.model.manifest import ObjectId
from gitops.model.plan import FieldChange
from gitops.ports import Digester


class Masker:
    """Remembers secret values and hides them. One lives as long as the process."""

    def __init__(self, digester: Digester, *, env_by_name: bool = True) -> None:
        """``env_by_name`` also hides literal environment variables named like a secret."""

    def learn(self, body: Mapping[str, Any]) -> None:
        """Remember the values of a Secret; other kinds are ignored."""
        raise NotImplementedError

    def taint(self, value: str) -> None:
        """Remember one secret value: itself, its base64 and its JSON form (from 6 characters)."""
        raise NotImplementedError

    def text(self, text: str) -> str:
        """``text`` without any remembered value."""
        raise NotImplementedError

    def value(self, value: Any) -> Any:
        """A copy of a JSON-like value without any remembered value."""
        raise NotImplementedError

    def changes(self, id: ObjectId, raw: Iterable[RawFieldChange]) -> tuple[FieldChange, ...]:
        """Field changes of one object, safe to show, store and send."""
        raise NotImplementedError
