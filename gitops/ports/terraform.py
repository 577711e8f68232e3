"""What checking, planning and applying a Terraform root need somebody to do.

Played by :mod:`gitops.terraform`, the only place that runs the tool. Used by the checks and the
planner, which know nothing of processes, folders or backends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gitops.model.delivery import Change, LaneId
from gitops.model.finding import Finding
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import Digest
from gitops.model.plan import ResourceChange
from gitops.model.sealed import SealedFile, SealedRun, StateFacts
from gitops.ports import Drawn, Executed

_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Root:
    """One root as it lies in its source: everything its configuration reads there."""

    lane: LaneId
    application: ApplicationSpec
    """``application.terraform`` is set."""
    files: tuple[SealedFile, ...]
    """Sorted by path; paths are relative to the source's root, ``application.path`` among them."""
    variables: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    """Outputs of other applications, over the operator's own variables. May be secret."""


@dataclass(frozen=True, slots=True)
class PlanRun:
    """What a plan came to."""

    plan_file: bytes
    """A secret: for the vault alone. Empty for a refresh-only run."""
    shown: Mapping[str, Any]
    """``show -json`` of it, whole; holds secrets in clear: to be masked before anything else."""
    state: StateFacts
    tool: str
    """``terraform 1.11.4``."""
    providers: tuple[tuple[str, str], ...] = ()
    lock_sha256: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AddressOutcome:
    """How one resource fared in an apply, from the tool's own event stream."""

    address: str
    done: bool
    """False: it failed, or it was begun and nobody knows how it ended."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class ApplyRun:
    """How an apply ended."""

    done: bool
    outcomes: tuple[AddressOutcome, ...]
    message: str = ""
    """In words for people, secrets masked, when it is not done."""
    state: StateFacts | None = None
    """Where the state stands now, as far as it could be read."""


@dataclass(frozen=True, slots=True)
class OutputValue:
    value: Any
    sensitive: bool


@dataclass(frozen=True, slots=True)
class Place:
    """One run, or one that waits to become it."""

    lane: LaneId
    doing: str
    """``plan``, ``apply``, …"""
    since: float
    """When it came to this place, seconds since the epoch."""
    running: bool
    waits_for: tuple[LaneId, ...] = ()
    """Empty when it runs."""
    late: bool = False
    """An apply past its deadline: reported, never ended."""

    def __str__(self) -> str:
        if self.running:
            return f"{self.doing} of {self.lane} runs{', past its deadline' if self.late else ''}"
        return f"{self.doing} of {self.lane} waits for {', '.join(map(str, self.waits_for))}"


class Workspace(Protocol):
    """The tool, run on roots. Each call has a folder of its own; nothing of the root, no value and
    no plan lies there after it.

    Errors: ToolMissing (no such binary, or another version than wanted), RenderError (the tool
    refuses the configuration, with its words at file:line), ChildTimeout (init, check or plan past
    its deadline), StateLocked (somebody holds the state), StalePlan (the state moved since).
    """

    async def tool(self, root: Root) -> str:
        """``terraform 1.11.4``."""

    async def fmt(self, root: Root) -> Sequence[tuple[str, str]]:
        """(path, diff) of each file that is not in canonical form. Reads nothing but the files."""

    async def validate(self, root: Root) -> Sequence[Finding]:
        """``init -backend=false -lockfile=readonly``, then ``validate``: no backend, no
        credentials."""

    async def test(self, root: Root, files: Sequence[str]) -> Sequence[Finding]:
        """Runs these test files, which the caller has found to apply nothing."""

    async def plan(
        self, root: Root, *, refresh_only: bool = False, locking: bool = True
    ) -> PlanRun:
        """``init`` with the backend, ``plan`` with the plan's credentials, ``show -json``. Without
        ``locking`` nobody is kept waiting, no workspace is made, and what is read may be in the
        middle of a change: to be shown and never applied."""

    async def show(self, root: Root, plan_file: bytes) -> Mapping[str, Any]:
        """``show -json`` of a kept plan file."""

    async def state(self, root: Root) -> StateFacts:
        """Where the state stands now."""

    async def apply(self, root: Root, plan_file: bytes, run: str) -> ApplyRun:
        """Applies that very file. ``run`` names the try: called again with the same name after a
        crash it starts nothing a second time, but waits for what still runs, or tells how it
        ended."""

    async def begun(self, root: Root, run: str) -> bool:
        """Has :meth:`apply` started something under this name, here or in an earlier process?
        Then the state has every right to have moved, and ``apply`` tells how it went."""

    async def outputs(self, root: Root) -> Mapping[str, OutputValue]:
        """The state's outputs."""

    async def reached(self, root: Root) -> tuple[Mapping[str, OutputValue], StateFacts]:
        """The state's outputs and where it stands, both of one reading."""

    async def unlock(self, root: Root, lock: str) -> None:
        """``force-unlock``: on a person's word, or of a lock proven to be nobody's."""

    def close(self) -> None:
        """Removes what was kept between calls, once nothing is under way."""

    def queue(self) -> Sequence[Place]:
        """Who runs, who waits for whom, which apply is past its deadline."""

    def identity(self, root: Root) -> str:
        """Names the state itself: backend, settings, workspace. Part of every seal."""


# --- planning ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RootJob:
    """What a plan of a root is drawn from."""

    change: Change
    root: Root
    findings: tuple[Finding, ...] = ()
    kept: SealedRun | None = None
    """What an earlier drawing of the same change sealed: used again while the files, the tool and
    the state are the same."""


@dataclass(frozen=True, slots=True)
class RootDrift:
    """Somebody changed what a root made."""

    digest: Digest
    """Keyed, over the differing values: the same drift is one change."""
    changes: tuple[ResourceChange, ...]
    """Masked; ``before`` is the state's value, ``after`` the real one."""


class _Unknown:
    """The value of an output that is known after apply only."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
"""Stands in ``Drawn.outputs`` (name → OutputValue or UNKNOWN) where nothing is known yet."""


class RootPlanner(Protocol):
    """Draws plans of roots and carries them out."""

    async def draw(self, job: RootJob) -> Drawn: ...

    async def execute(self, root: Root, sealed: SealedRun, run: str) -> Executed:
        """Applies exactly the sealed plan file; ``run`` as in :meth:`Workspace.apply`. What moved
        since is an outcome that is not done, in words."""

    async def drift(self, root: Root) -> RootDrift | None:
        """Looks with a refresh-only plan; None while everything is as the state says."""
