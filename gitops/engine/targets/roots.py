"""The Terraform roots of the fleet: what is remembered of each, when drift is looked for, and what
one application's outputs mean to another.

Kept by the controller. An output reaches its dependents in one of three ways: as it stands in the
state, as the open plan says it will be (then the dependents are planned with it, but nothing of
them is applied before it is true), or not yet at all (then they wait, and say for what).
"""

from __future__ import annotations

import asyncio
import difflib
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gitops.engine.lanes import Lanes
from gitops.engine.ledger import Ledger, open_change
from gitops.engine.roster import Roster
from gitops.engine.supplies import NONE, Supplies, together
from gitops.engine.targets.workspace import WorkspaceMemory, WorkspaceTarget
from gitops.errors import Awaiting, ConfigError
from gitops.model.delivery import Cause, ChangeRecord, ChangeState, LaneId, LaneRecord
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, Digest
from gitops.model.source import Authorship
from gitops.model.terraform import Need
from gitops.ports import Clock, Digester, Reading
from gitops.ports.terraform import UNKNOWN, OutputValue, Root, RootPlanner, Workspace
from gitops.spelling import spelled, texts

LOOK_EVERY = 30.0
"""Seconds between looks at which root's drift is due."""
_LOOKED_AT = 200
"""Deliveries of a provider in which a value's authors are looked for."""


@dataclass(frozen=True, slots=True)
class _Provider:
    """Everything known of the application a value comes from."""

    spec: ApplicationSpec
    lane: LaneId
    record: LaneRecord
    current: ChangeRecord | None


class Roots:
    """Offers targets (:class:`WorkspaceTarget`) and supplies."""

    def __init__(
        self,
        planner: RootPlanner,
        workspace: Workspace,
        roster: Roster,
        ledger: Ledger,
        digester: Digester,
        clock: Clock,
        lanes: Lanes,
        taint: Callable[[str], None],
    ) -> None:
        self._planner = planner
        self.workspace = workspace
        self._roster = roster
        self._ledger = ledger
        self._digester = digester
        self._clock = clock
        self._lanes = lanes
        self._taint = taint
        self._memories: dict[LaneId, WorkspaceMemory] = {}
        self._moves: dict[LaneId, int] = {}
        """How often something came up that a root has to be looked at for."""
        self._settled: dict[LaneId, int] = {}
        """Which of those its last whole round had seen."""
        self._previewed: set[LaneId] = set()

    async def target(
        self, lane: LaneId, spec: ApplicationSpec, supplies: Supplies
    ) -> WorkspaceTarget:
        memory = self._memory(lane, spec)
        if not memory.recalled:
            memory.drift = await self._ledger.read(partial(_known_drift, lane))
            memory.recalled = True
        return self._target(lane, spec, supplies)

    def _target(self, lane: LaneId, spec: ApplicationSpec, supplies: Supplies) -> WorkspaceTarget:
        return WorkspaceTarget(
            lane=lane,
            application=spec,
            planner=self._planner,
            workspace=self.workspace,
            digester=self._digester,
            clock=self._clock,
            variables=supplies.values,
            memory=self._memory(lane, spec),
        )

    def outputs(self, lane: LaneId) -> Mapping[str, OutputValue] | None:
        """Of the state as it was last read, for people who look; None: not read lately."""
        memory = self._memories.get(lane)
        return memory.outputs if memory else None

    def forget(self, lane: LaneId) -> None:
        self._memories.pop(lane, None)
        self._moves.pop(lane, None)
        self._settled.pop(lane, None)

    def _memory(self, lane: LaneId, spec: ApplicationSpec) -> WorkspaceMemory:
        known = self._memories.get(lane)
        if known is None:
            # As if it had been looked at some time within the last interval: a restart is no
            # reason to plan every root at once.
            assert spec.terraform is not None
            every = spec.terraform.drift_every.total_seconds()
            since = random.uniform(0, every)  # noqa: S311
            known = WorkspaceMemory(self._clock.monotonic() - since)
            self._memories[lane] = known
        return known

    # --- drift --------------------------------------------------------------------------------

    def look_again(self, lane: LaneId, spec: ApplicationSpec) -> None:
        """Drift is looked for at the lane's next round, however long ago it was."""
        memory = self._memory(lane, spec)
        memory.looked_at = memory.offered_at = -math.inf

    async def keep_looking(self) -> None:
        """For ever: offers each root whose time has come."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for lane, spec in self._lanes_of_roots():
                if self._target(lane, spec, NONE).to_offer():
                    self._lanes.offer(lane)

    def _lanes_of_roots(self) -> list[tuple[LaneId, ApplicationSpec]]:
        specs = self._roster.specs().values()
        return [
            (LaneId(spec.name, target), spec)
            for spec in specs
            if spec.terraform is not None
            for target in spec.targets
        ]

    # --- outputs ------------------------------------------------------------------------------

    def moved(self, lane: LaneId) -> None:
        """It is to be looked at, and what others take from it may become another value: they wait
        for its next round. Not called for a commit that is no concern of the lane's, so that
        nobody waits for a round that nothing calls for."""
        self._moves[lane] = self.moves(lane) + 1

    def moves(self, lane: LaneId) -> int:
        """For :meth:`settled`; to be asked before a round looks at anything."""
        return self._moves.get(lane, 0)

    def settled(self, lane: LaneId, moves: int) -> None:
        """A root's round has ended: whoever takes something from it looks."""
        self._settled[lane] = moves
        for spec in self._roster.specs().values():
            if any(need.application == lane.application for need in spec.needs.values()):
                for target in spec.targets:
                    self._lanes.offer(LaneId(spec.name, target))

    def previewed(self, lane: LaneId) -> None:
        """A plan was drawn that nobody is asked about: to whoever takes something from it, it is
        as good as an open one."""
        self._settled[lane] = self.moves(lane)
        self._previewed.add(lane)

    async def supplies(self, spec: ApplicationSpec, lane: LaneId) -> Supplies:
        """What ``spec`` takes from others now. Raises Awaiting while a value is not there,
        ConfigError for an output that does not exist."""
        if not spec.needs:
            return NONE
        ours = await self._ledger.read(lambda reading: reading.lane(lane))
        values: dict[str, Any] = {}
        planned: set[str] = set()
        authors: list[Authorship] = []
        for name, need in sorted(spec.needs.items()):
            provider = await self._provider(name, need)
            value, ahead = await self._value(provider, need)
            values[name] = value
            if ahead:
                planned.add(str(provider.lane))
            if ahead and provider.current is not None:
                authors.append(provider.current.change.authorship)
            authors += await self._ledger.read(partial(_writers, need, provider.lane, ours))
        said = self._digester.of(spelled(values))
        return Supplies(values, tuple(sorted(planned)), said, together(authors))

    def _unsettled(self, provider: LaneId, name: str) -> str:
        trouble = self._lanes.trouble(provider)
        if trouble is not None:
            return f"{name} comes from {provider}, which is in trouble itself: {trouble.message}"
        if provider not in self._moves:
            return f"{name} comes from {provider}, whose source has not been read yet"
        return f"{provider} is being looked at first: {name} comes from it"

    async def _provider(self, name: str, need: Need) -> _Provider:
        spec = self._roster.spec(ApplicationName(need.application))
        if spec is None or spec.terraform is None:
            raise ConfigError(
                f"there is no Terraform application {need.application!r} to take {need.output} from"
            )
        lane = LaneId(spec.name, spec.targets[0])
        # Before the store is read: what is read then is what that round left, or newer.
        if self._settled.get(lane) != self.moves(lane):
            raise Awaiting(self._unsettled(lane, name))

        def query(reading: Reading) -> _Provider:
            record = reading.lane(lane)
            return _Provider(spec, lane, record, open_change(reading, record))

        return await self._ledger.read(query)

    async def _value(self, provider: _Provider, need: Need) -> tuple[Any, bool]:
        """The value, and whether it is only planned."""
        present = await self._present(provider)
        previewed = provider.lane in self._previewed
        current = provider.current
        if previewed or (current is not None and _ahead(current)):
            memory = self._memory(provider.lane, provider.spec)
            coming = memory.planned.get(need.output)
            if coming is UNKNOWN:
                raise Awaiting(
                    f"{need.output} of {provider.lane} is known once its change is applied",
                    outdated=True,
                )
            if isinstance(coming, OutputValue):
                self._note(coming)
                now = present.get(need.output)
                return coming.value, now is None or now.value != coming.value
            if previewed:
                raise _no_output(provider, need, memory.planned)
            if current is not None and current.state is not ChangeState.ASKING:
                # After a restart nobody here knows what its plan said of its outputs.
                raise Awaiting(f"{provider.lane} is being applied first", outdated=True)
        if provider.record.delivered is None:
            raise Awaiting(f"{provider.lane} has not been delivered yet")
        if need.output not in present:
            raise _no_output(provider, need, present)
        self._note(present[need.output])
        return present[need.output].value, False

    async def _present(self, provider: _Provider) -> Mapping[str, OutputValue]:
        if provider.record.delivered is None:
            return {}
        memory = self._memory(provider.lane, provider.spec)
        if memory.outputs is None:
            root = Root(provider.lane, provider.spec, ())
            memory.outputs = await self.workspace.outputs(root)
        return memory.outputs

    def _note(self, output: OutputValue) -> None:
        if output.sensitive:
            for text in texts(output.value):
                self._taint(text)


_AHEAD = (ChangeState.ASKING, ChangeState.APPLYING, ChangeState.VERIFYING)


def _ahead(current: ChangeRecord) -> bool:
    """Does its plan say what the outputs will be? A command's says nothing of them."""
    return current.state in _AHEAD and current.change.cause is not Cause.COMMAND


def _known_drift(lane: LaneId, reading: Reading) -> Digest | None:
    """The drift that people are asked about, or said to leave alone: an earlier process found it,
    and this one has not looked."""
    record = reading.lane(lane)
    current = open_change(reading, record)
    if current is not None and current.change.cause is Cause.DRIFT:
        return current.change.after
    return record.drift_hold.closure if record.drift_hold else None


def _writers(need: Need, provider: LaneId, ours: LaneRecord, reading: Reading) -> list[Authorship]:
    """Who had a hand in the value, as far as it was not delivered to us yet: the authors of every
    delivery that changed it since our own went out. Before our first: whoever changed it last."""
    since = _went_out(ours, reading)
    found: list[Authorship] = []
    for delivery in reading.deliveries(lane=provider, limit=_LOOKED_AT):
        if since is not None and (delivery.finished_at or math.inf) <= since:
            break
        plan = reading.plan(delivery.change.change.id)
        # A plan that hides something may hide the very name.
        if (
            plan is None
            or plan.hides
            or any(row.address == f"output.{need.output}" for row in plan.changes)
        ):
            found.append(delivery.change.change.authorship)
            if since is None:
                break
    return found


def _went_out(ours: LaneRecord, reading: Reading) -> float | None:
    """When the values our target has were taken: at the claim of what was delivered last."""
    if ours.delivered is None:
        return None
    for delivery in reading.deliveries(lane=ours.lane, limit=_LOOKED_AT):
        if delivery.change.seal == ours.delivered.seal:
            return delivery.started_at
    return ours.delivered.at


def _no_output(provider: _Provider, need: Need, present: Mapping[str, Any]) -> ConfigError:
    near = difflib.get_close_matches(need.output, present, n=1)
    meant = (
        f"did you mean {near[0]}?" if near else f"it has: {', '.join(sorted(present)) or 'none'}"
    )
    return ConfigError(f"{provider.lane} has no output {need.output!r}", hint=meant)
