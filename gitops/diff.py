"""What differs between two objects, as a person would name it.

Pure. Called by planning for every object that would change. It never masks: its results hold raw
values and must go through :mod:`gitops.masking` before anybody sees them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RawFieldChange:
    """One field before and after, values unmasked; ABSENT where it is not there."""

    path: str
    """``spec.template.spec.containers[name=web].image``."""
    keys: tuple[str, ...]
    """The path's steps; a list item is one step, ``[name=web]`` or ``[3]``."""
    before: Any
    after: Any


def fields(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[RawFieldChange, ...]:
    """Every difference, in order of path; None stands for an object that is not there."""
    raise NotImplementedError
