"""A Terraform workspace.

Nothing tells when somebody changes what a root made, so drift is looked for: every so often, by a
refresh-only plan, never twice within the operator's interval. A saved plan is kept in the vault and
used again while the state it was made on stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gitops.engine.targets import Sitting
from gitops.engine.targets.unlock import lock_of
from gitops.errors import GitopsError, Permanent
from gitops.jsonable import to_json
from gitops.model.delivery import AppliedObject, Cause, LaneId, ObjectOutcome
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec
from gitops.model.health import Health, ObjectHealth
from gitops.model.ids import ChangeId, Digest, combine
from gitops.model.manifest import Desired, ObjectId
from gitops.model.plan import Action, Plan, ResourceChange
from gitops.model.sealed import Sealed, SealedRun, SealedSet, SealedUnlock
from gitops.model.terraform import TerraformSpec
from gitops.ports import Clock, Digester, Drawn, Executed
from gitops.ports.terraform import OutputValue, Root, RootJob, RootPlanner, Workspace
from gitops.roots import root_of
from gitops.spelling import spelled

AFTER_FAILURE = 300.0
"""Seconds after a look at drift that failed until the next."""
_GONE = (
    "its folder is no longer in the source, while its workspace may still hold resources",
    "put it back with the resources taken out, so that destroying them is asked about",
)


@dataclass(slots=True)
class WorkspaceMemory:
    """What is remembered between rounds; losing it costs time, never safety."""

    looked_at: float
    """When drift was looked for, on the monotonic clock."""
    offered_at: float = -math.inf
    """When its lane was last offered for that."""
    recalled: bool = False
    """Whether the store was asked what an earlier process found."""
    drift: Digest | None = None
    unseen: GitopsError | None = None
    """Why the last look found out nothing."""
    outputs: Mapping[str, OutputValue] | None = None
    """Of the state as it was last read; None: not read yet."""
    planned: Mapping[str, Any] = field(default_factory=dict)
    """What the open plan says the outputs will be (:func:`known_outputs`)."""


@dataclass(frozen=True, slots=True)
class WorkspaceTarget:
    """Plays :class:`gitops.engine.targets.Target`."""

    lane: LaneId
    application: ApplicationSpec
    planner: RootPlanner
    workspace: Workspace
    digester: Digester
    clock: Clock
    variables: Mapping[str, Any]
    """Outputs of other applications."""
    memory: WorkspaceMemory

    catalogue = None

    @property
    def labels(self) -> Mapping[str, str]:
        return self.application.labels

    async def identity(self) -> str:
        return self.workspace.identity(Root(self.lane, self.application, ()))

    async def facts(self) -> None:
        return None

    def terms(self) -> Digest:
        """Without what only decides when, how long and who may: that is no other plan."""
        spec = self.application.terraform
        assert spec is not None
        plain = TerraformSpec()
        what = replace(
            spec,
            allow=plain.allow,
            deadlines=plain.deadlines,
            drift_every=plain.drift_every,
            stateful=plain.stateful,
        )
        said = (spelled(to_json(what)), spelled(self.variables))
        return combine("workspace", *map(self.digester.of, said))

    # --- planning and executing ---------------------------------------------------------------

    async def draw(self, sitting: Sitting) -> Drawn:
        if sitting.change.cause is Cause.COMMAND:
            return self._unlocking(sitting)
        if not sitting.desired.files:
            return self._gone(sitting)
        root = root_of(self.lane, self.application, sitting.desired, self.variables)
        kept = sitting.kept if isinstance(sitting.kept, SealedRun) else None
        drawn = await self.planner.draw(RootJob(sitting.change, root, sitting.findings, kept))
        self.memory.planned = drawn.outputs
        return drawn

    def _gone(self, sitting: Sitting) -> Drawn:
        what, hint = _GONE
        finding = Finding("plan", Severity.ERROR, what, hint, self.application.path)
        digest = combine("gone", sitting.desired.digest)
        findings = (*sitting.findings, finding)
        lane = self.lane
        plan = Plan(sitting.change.id, lane.application, lane.target, (), digest, findings=findings)
        return Drawn(plan, SealedSet(lane, "", (), ()), digest, {})

    def _unlocking(self, sitting: Sitting) -> Drawn:
        """Somebody may be writing: nobody but a person ever says yes to this, in so many words."""
        lock, lane, digest = lock_of(sitting.change), self.lane, sitting.change.after
        row = ResourceChange(
            Action.DELETE,
            f"state lock {lock}",
            digest=digest,
            notes=("whoever holds it loses it, and may be writing the state at this moment",),
        )
        why = ("forces a lock: two who write one state damage it",)
        plan = Plan(
            sitting.change.id, lane.application, lane.target, (row,), digest, over_budget=why
        )
        return Drawn(plan, SealedUnlock(lane, lock), digest, {})

    def recognises(self, drawn: Drawn) -> bool:
        """Never: the state may have moved. The kept plan file makes looking again cheap."""
        return False

    async def execute(self, change: ChangeId, sealed: Sealed) -> Executed:
        if isinstance(sealed, SealedUnlock):
            return await self._unlock(sealed)
        assert isinstance(sealed, SealedRun), "a workspace is given a plan file"
        executed = await self.planner.execute(self._sealed_root(sealed), sealed, change)
        self.memory.outputs, self.memory.drift, self.memory.unseen = None, None, None
        self.memory.looked_at = self.clock.monotonic()
        return executed

    async def _unlock(self, sealed: SealedUnlock) -> Executed:
        root = Root(self.lane, self.application, ())
        try:
            await self.workspace.unlock(root, sealed.lock)
        except Permanent as refused:
            return Executed((ObjectOutcome(f"state lock {sealed.lock}", False, str(refused)),), {})
        return Executed((ObjectOutcome(f"state lock {sealed.lock}", True),), {})

    def _sealed_root(self, sealed: SealedRun) -> Root:
        return Root(self.lane, self.application, sealed.files, self.variables)

    async def unbegun(self, change: ChangeId) -> bool:
        return not await self.workspace.begun(Root(self.lane, self.application, ()), change)

    def learn(self, applied: Mapping[ObjectId, AppliedObject | None]) -> None:
        """A workspace has no objects."""

    async def until_well(self, sealed: Sealed | None, seconds: float) -> Mapping[str, ObjectHealth]:
        """The tool waits for what it makes, and fails where that does not come up. What is left
        is whether the state can be read back."""
        if isinstance(sealed, SealedUnlock):
            return {}
        files = sealed.files if isinstance(sealed, SealedRun) else ()
        root = Root(self.lane, self.application, files, self.variables)
        name = f"workspace {self.lane.target}"
        if not files:
            return {name: ObjectHealth(Health.HEALTHY, "nothing differs")}
        try:
            self.memory.outputs, state = await self.workspace.reached(root)
        except Permanent as error:
            # Waiting for what does not pass would keep back the commit that mends it.
            reason = f"it is applied, and its state cannot be read back: {error.message}"
            return {name: ObjectHealth(Health.DEGRADED, reason)}
        return {name: ObjectHealth(Health.HEALTHY, f"the state is at {state}")}

    def summary(self, health: Mapping[str, ObjectHealth]) -> str:
        return "; ".join(each.reason for each in health.values()) or "done"

    # --- drift --------------------------------------------------------------------------------

    def due(self) -> float:
        """Seconds until drift is to be looked for again; not positive: now."""
        return self.memory.looked_at + self._every() - self.clock.monotonic()

    def _every(self) -> float:
        assert self.application.terraform is not None
        return self.application.terraform.drift_every.total_seconds()

    def to_offer(self) -> bool:
        """Is it time to offer the lane? Once in each interval: a lane that waits for people looks
        at its plan then and not at drift."""
        now = self.clock.monotonic()
        pause = self._every() if self.memory.unseen is None else 0.0
        if self.due() > 0 or now - self.memory.offered_at < pause:
            return False
        self.memory.offered_at = now
        return True

    async def drift(self, wanted: Desired | None) -> Digest | None:
        if wanted is not None and wanted.files and self.due() <= 0:
            await self._look(root_of(self.lane, self.application, wanted, self.variables))
        if self.memory.unseen is not None:
            # Said again, and not tried again, until the next look is due.
            raise self.memory.unseen
        return self.memory.drift

    async def _look(self, root: Root) -> None:
        every = self._every()
        self.memory.looked_at = self.clock.monotonic()
        self.memory.unseen = None
        try:
            found = await self.planner.drift(root)
        except GitopsError as error:
            self.memory.looked_at -= max(0.0, every - AFTER_FAILURE)
            self.memory.unseen = error
        else:
            self.memory.drift = found.digest if found else None
            self.memory.outputs = None  # whoever changed it by hand may have changed these
