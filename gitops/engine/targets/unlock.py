"""``gitops unlock``: a person wants the lock of a workspace's state taken from its holder. Pure.

The controller takes it down, watch opens a change for it, and the workspace's target draws that
change's plan from the change alone: what the lock is called travels in its occasion.
"""

from __future__ import annotations

from dataclasses import dataclass

from gitops.model.delivery import Change
from gitops.model.ids import Digest, PersonName, combine

_OCCASION = "unlock "


@dataclass(frozen=True, slots=True)
class Unlock:
    """A lock, and who wants it forced."""

    lock: str
    person: PersonName

    @property
    def after(self) -> Digest:
        """``Change.after``, and the digest of all its plan does."""
        return combine("unlock", self.lock)

    @property
    def occasion(self) -> str:
        return f"{_OCCASION}{self.lock}"


def lock_of(change: Change) -> str:
    """The lock a change opened for an :class:`Unlock` is about."""
    return change.occasion.removeprefix(_OCCASION)
