"""What a pull request would do, as it is shown before anybody merges it.

Made by :mod:`gitops.previewing`, worded by :mod:`gitops.preview_text`, kept and posted by
:mod:`gitops.engine.previews`. Plans in it are masked like every plan; titles and names are foreign.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gitops.model.delivery import LaneId
from gitops.model.ids import SourceName
from gitops.model.plan import Plan
from gitops.model.source import Revision


class Depth(StrEnum):
    """How far a preview goes."""

    PLAN = "plan"
    """Rendered, checked, and planned against every target."""
    LINT = "lint"
    """Rendered and linted: no cluster, no state, no value of another application, nothing
    fetched for it but charts the operator permits by host and the source pins by digest."""


@dataclass(frozen=True, slots=True)
class LanePreview:
    """One application on one target; of a preview that only lints, one application."""

    lane: LaneId
    plan: Plan | None = None
    """Without changes where it was only linted. None: see ``problem`` and ``waits``."""
    problem: str = ""
    """Why there is no plan, in words."""
    waits: str = ""
    """For what, where a plan takes something that is known after another was applied only."""
    arrives: bool = False
    """The application is new."""
    departs: bool = False
    """Its folder is gone: everything it has is to be deleted."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything that is to be told of one pull request at one head."""

    source: SourceName
    number: int
    head: str
    """Commit id."""
    base: Revision | None
    """What it would be merged into; None: the source was never read."""
    title: str = ""
    author: str = ""
    fork: bool = False
    depth: Depth = Depth.PLAN
    lanes: tuple[LanePreview, ...] = ()
    """Those it moves, in order of name."""
    untouched: int = 0
    """Applications of the source that it does not concern."""
    conflicts: tuple[str, ...] = ()
    """Paths that cannot be merged without a person."""
    problem: str = ""
    """Why there is no preview at all, in words."""
    refused: tuple[str, ...] = ()
    """Folders that cannot become applications, in words."""
    at: float = 0.0
    """When it was drawn, seconds since the epoch."""
    seconds: float = 0.0
