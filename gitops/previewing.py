"""Draws what a pull request would do: the half of the sentence that changes nothing.

Called by :mod:`gitops.engine.previews`, and by ``gitops preview`` without a controller. The merge
result is rendered, checked and planned for every lane whose closure it moves, with the present
state of everything else around it: other applications' claims, what was applied, what is live, what
roots give to others. All of that is looked at through faces that cannot write
(:mod:`gitops.engine.looking`, a ledger without a lease, checks set aside), no step that records or
asks is among those that run, and no change is ever opened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gitops.closures import moved
from gitops.engine.ledger import Ledger
from gitops.engine.looking import LookedAt
from gitops.engine.renders import Rendered, Renders
from gitops.engine.roster import Roster
from gitops.engine.supplies import NONE, Supplies
from gitops.engine.targets import Sitting, Target
from gitops.engine.targets.cluster import ClusterMemory, ClusterTarget
from gitops.engine.targets.workspace import WorkspaceMemory, WorkspaceTarget
from gitops.errors import Awaiting, GitopsError, Permanent, RenderError, Transient
from gitops.foreign import one_line
from gitops.model.delivery import Cause, Change, LaneId, LaneRecord
from gitops.model.finding import Finding, blocking
from gitops.model.fleet import ApplicationSpec, ClusterSpec, SourceSpec
from gitops.model.ids import ApplicationName, ChangeId, Digest, SourceName, combine
from gitops.model.plan import Plan
from gitops.model.preview import Depth, LanePreview, Preview
from gitops.model.source import Authorship, Revision
from gitops.ports import (
    Clock,
    Cluster,
    Digester,
    Planner,
    Snapshot,
    Source,
    Watchman,
)
from gitops.ports.forges import PullRequest
from gitops.ports.merging import Conflict, Merging
from gitops.ports.terraform import UNKNOWN, OutputValue, RootPlanner, Workspace
from gitops.spelling import spelled
from gitops.steps.values import Checker

PATIENCE = 5.0
"""Seconds in all that a preview lets deliveries go first; then it goes on beside them."""


class LintChecker(Checker, Protocol):
    """The checks, set aside: nothing they are shown is known elsewhere."""

    def lint_only(self, spec: ApplicationSpec) -> ApplicationSpec:
        """The same application, with nothing enabled that fetches or tells of others."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What one preview is drawn with, and nothing else afterwards."""

    renders: Renders
    checker: LintChecker
    planner: Planner
    root_planner: RootPlanner


class Watched(Protocol):
    """A source that is looked at."""

    @property
    def source(self) -> Source: ...

    @property
    def snapshot(self) -> Snapshot | None:
        """Of its newest good revision."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The running system, as far as a preview looks at it."""

    roster: Roster
    watched: Callable[[SourceName], Watched | None]
    renders: Renders
    cluster: Callable[[ClusterSpec], Awaitable[Cluster]]
    supplies: Callable[[ApplicationSpec, LaneId], Awaitable[Supplies]]
    """What an application takes from others now. Raises Awaiting, ConfigError."""
    ledger: Ledger
    watchman: Watchman
    workspace: Workspace
    digester: Digester
    clock: Clock
    bench: Callable[[], Bench]
    quiet: Callable[[], Awaitable[None]]
    """Returns when no delivery is being worked on."""
    follows: bool = False
    """Watches of clusters are nobody else's: any kind may be followed."""


@dataclass(frozen=True, slots=True)
class _Lane:
    """One lane under way."""

    lane: LaneId
    spec: ApplicationSpec
    record: LaneRecord
    snapshot: Snapshot
    """What it is rendered from: the merge result, or for one of another source its present."""
    arrives: bool = False
    departs: bool = False
    follows: bool = False
    """The merge moves nothing of its own, only what it takes from others."""

    def told(self, **what: Any) -> LanePreview:
        note = ""
        if self.record.current is not None and not self.arrives:
            note = "a change of it is open already: what that brings is part of this"
        return LanePreview(self.lane, arrives=self.arrives, departs=self.departs, note=note, **what)


class Previewing:
    """Offered to :class:`gitops.engine.previews.Previews` as ``draw``."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    async def draw(self, spec: SourceSpec, pull: PullRequest, depth: Depth) -> Preview:
        """Raises SourceProblem, SourceUnavailable, and Transient while the source was not read
        yet; whatever concerns one lane alone is told with it."""
        watched = self._around.watched(spec.name)
        base = watched.snapshot if watched else None
        if watched is None or base is None:
            raise Transient(f"source {spec.name} has not been read yet")
        source = watched.source
        if not isinstance(source, Merging):
            raise Permanent(f"source {spec.name} cannot merge", hint="pull requests are git's")
        draft = Preview(
            spec.name,
            pull.number,
            pull.head,
            base.revision,
            one_line(pull.title, 200),
            pull.author,
            pull.fork,
            depth,
        )
        found = await source.merged(base.revision, pull.head)
        if isinstance(found, Conflict):
            problem = "" if found.paths else found.reason or "it cannot be merged"
            return replace(draft, conflicts=found.paths, problem=problem)
        try:
            after = await source.snapshot(found)
            return await _Drawing(self._around, depth).preview(draft, base, after)
        finally:
            with contextlib.suppress(GitopsError):
                await source.forget(found)


class _Drawing:
    """One preview."""

    def __init__(self, around: Surroundings, depth: Depth) -> None:
        self._around = around
        self._depth = depth
        self._bench = around.bench()
        self._ledger = around.ledger.looking()
        self._patient_until = around.clock.monotonic() + PATIENCE
        self._outputs: dict[ApplicationName, Mapping[str, Any] | None] = {}
        """Of roots this preview moves: what their plans say; None where there is no plan."""

    async def preview(self, draft: Preview, base: Snapshot, after: Snapshot) -> Preview:
        roster, refused_ones = self._roster(base, after)
        every = roster.of_source(draft.source)
        concerned = [spec for spec in every if await self._concerned(spec, roster, base, after)]
        lanes = [lane for spec in concerned for lane in await self._lanes(spec, roster, after)]
        if self._depth is Depth.LINT:
            drawn = [await self._lint(lane) for lane in _one_each(lanes)]
        else:
            drawn = await self._plan([*lanes, *await self._followers(lanes, roster, after)])
        moved_too = {each.lane.application for each in drawn}
        untouched = sum(spec.name not in moved_too for spec in every)
        return replace(
            draft,
            lanes=tuple(sorted(drawn, key=lambda each: each.lane)),
            untouched=untouched,
            refused=refused_ones,
        )

    # --- what is concerned --------------------------------------------------------------------

    def _roster(self, base: Snapshot, after: Snapshot) -> tuple[Roster, tuple[str, ...]]:
        """The applications after the merge, those that leave with it among them; and why a folder
        that comes with it cannot become one."""
        roster = self._around.roster.beside()
        roster.look(base)
        before = {problem.message for problem in roster.problems}
        roster.look(after)
        fresh = [p for p in roster.problems if p.message not in before]
        folders = [f"{p.place.rpartition(':')[2]}: {p.message}" for p in fresh]
        return roster, tuple(one_line(text, 300) for text in folders)

    async def _concerned(
        self, spec: ApplicationSpec, roster: Roster, base: Snapshot, after: Snapshot
    ) -> bool:
        if roster.departed(spec.name):
            return not self._around.roster.departed(spec.name)
        known = self._around.roster.spec(spec.name)
        if known is None or self._around.roster.departed(spec.name) or known != spec:
            return True
        if self._around.renders.known(spec.name):
            return self._around.renders.concerned(spec.name, after)
        try:
            return bool(moved((await self._at(spec, base)).closure, after))
        except GitopsError:  # its cluster is away: what is wrong is told with its plan
            return True

    async def _at(self, spec: ApplicationSpec, base: Snapshot) -> Rendered:
        """What it is before the merge, where nobody knows yet: after a start, or in a command."""
        facts = None
        if spec.terraform is None and self._depth is Depth.PLAN:
            cluster = self._around.roster.fleet.clusters.get(spec.targets[0])
            facts = await (await self._around.cluster(cluster)).facts() if cluster else None
        supplies = NONE
        if spec.needs:
            supplies = await self._around.supplies(spec, LaneId(spec.name, spec.targets[0]))
        return await self._bench.renders.of(spec, base, facts, supplies, gone=True)

    async def _followers(
        self, lanes: Sequence[_Lane], roster: Roster, after: Snapshot
    ) -> list[_Lane]:
        """Lanes, of whatever source, that take values from roots among these, or from one that
        does: after the merge they are looked at as well."""
        names = {lane.spec.name for lane in lanes}
        roots = {lane.spec.name for lane in lanes if lane.spec.terraform is not None}
        specs = {**self._around.roster.specs(), **roster.specs()}
        found: list[_Lane] = []
        while fresh := [
            spec
            for name, spec in specs.items()
            if name not in names and _takes_any(spec, dict.fromkeys(roots))
        ]:
            for spec in fresh:
                names.add(spec.name)
                roots |= {spec.name} if spec.terraform is not None else set()
                own = spec.source == after.revision.source
                watched = self._around.watched(spec.source)
                snapshot = after if own else (watched.snapshot if watched else None)
                if snapshot is not None:
                    theirs = await self._lanes(spec, roster, snapshot)
                    found += [replace(each, follows=True) for each in theirs]
        return found

    async def _lanes(
        self, spec: ApplicationSpec, roster: Roster, snapshot: Snapshot
    ) -> list[_Lane]:
        lanes = [LaneId(spec.name, target) for target in spec.targets]
        records = await self._ledger.read(lambda reading: [reading.lane(each) for each in lanes])
        departs = roster.departed(spec.name)
        arrives = not departs and self._around.roster.spec(spec.name) is None
        return [
            _Lane(lane, spec, record, snapshot, arrives, departs)
            for lane, record in zip(lanes, records, strict=True)
            if record.delivered is not None or not departs
        ]

    # --- linting ------------------------------------------------------------------------------

    async def _lint(self, lane: _Lane) -> LanePreview:
        """What a stranger proposes is told nothing of clusters, values or other applications: a
        chart can say whatever it is given in an error message."""
        if lane.departs:
            return lane.told(plan=_linted(lane.spec, (), ()))
        if lane.spec.needs:
            names = ", ".join(sorted(need.application for need in lane.spec.needs.values()))
            return lane.told(waits=f"it takes values of {names}, which are not shown to a fork")
        spec = self._bench.checker.lint_only(lane.spec)
        try:
            rendered = await self._bench.renders.of(spec, lane.snapshot, None, NONE)
            found = rendered.findings
            if rendered.desired is not None:
                found += await self._bench.checker.check(
                    lane.lane, spec, rendered.desired, None, delivered=True
                )
        except GitopsError as error:
            return lane.told(problem=str(error))
        return lane.told(plan=_linted(spec, found, self._bench.checker.names(spec)))

    # --- planning -----------------------------------------------------------------------------

    async def _plan(self, lanes: Sequence[_Lane]) -> list[LanePreview]:
        """Everybody lays claim to what they want before anybody is told that it is taken: an
        object may move from one application to another."""
        ordered = _in_order(lanes)
        self._outputs = {each.spec.name: None for each in ordered if each.spec.terraform}
        for lane in ordered:
            if not _takes_any(lane.spec, self._outputs):
                with contextlib.suppress(GitopsError):
                    await self._checked(lane)
        told = [await self._told(lane) for lane in ordered]
        return [each for each in told if each is not None]

    async def _told(self, lane: _Lane) -> LanePreview | None:
        """None for one that only follows, where what it takes stays as it is."""
        left = self._patient_until - self._around.clock.monotonic()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._around.quiet(), max(left, 0.0))
        try:
            if lane.follows and await self._stays(lane):
                return None
            return lane.told(plan=await self._planned(lane))
        except Awaiting as error:
            return lane.told(waits=error.message)
        except GitopsError as error:
            return lane.told(problem=str(error))

    async def _stays(self, lane: _Lane) -> bool:
        present = await self._around.supplies(lane.spec, lane.lane)
        stays = (await self._supplies(lane)).digest == present.digest
        if stays:  # and so does what others take from it
            self._outputs.pop(lane.spec.name, None)
        return stays

    async def _checked(self, lane: _Lane) -> tuple[Target, Rendered, tuple[Finding, ...]]:
        supplies = await self._supplies(lane)
        target = await self._target(lane, supplies)
        delivered = lane.record.delivered is not None
        gone = delivered or lane.departs
        rendered = await self._bench.renders.of(
            lane.spec, lane.snapshot, await target.facts(), supplies, gone=gone
        )
        findings = rendered.findings
        if rendered.desired is not None:
            findings += await self._bench.checker.check(
                lane.lane, lane.spec, rendered.desired, target.catalogue, delivered=delivered
            )
        return target, rendered, findings

    async def _planned(self, lane: _Lane) -> Plan:
        target, rendered, findings = await self._checked(lane)
        names = self._bench.checker.names(lane.spec) if rendered.desired is not None else ()
        if rendered.desired is None or blocking(findings):
            return replace(_linted(lane.spec, findings, names), target=lane.lane.target)
        change = _change(lane, rendered.revision, rendered.closure.digest)
        drawn = await target.draw(Sitting(change, rendered.desired, findings))
        if lane.spec.terraform is not None and not drawn.plan.blocked_by:
            self._outputs[lane.spec.name] = drawn.outputs
        return replace(drawn.plan, checks=names)

    async def _target(self, lane: _Lane, supplies: Supplies) -> Target:
        around = self._around
        if lane.spec.terraform is not None:
            return WorkspaceTarget(
                lane=lane.lane,
                application=lane.spec,
                planner=self._bench.root_planner,
                workspace=around.workspace,
                digester=around.digester,
                clock=around.clock,
                variables=supplies.values,
                memory=WorkspaceMemory(around.clock.monotonic()),
            )
        cluster = around.roster.fleet.clusters.get(lane.lane.target)
        if cluster is None:
            raise RenderError(f"there is no cluster {lane.lane.target!r}")
        live = await around.cluster(cluster)
        rows = dict(await self._ledger.read(lambda reading: reading.applied(lane.lane)))
        owns = await live.inventory.read(lane.spec.name) or frozenset()
        kinds = None if around.follows else {(id.group, id.kind) for id in (*rows, *owns)}
        return ClusterTarget(
            lane=lane.lane,
            application=lane.spec,
            cluster=LookedAt(live, kinds),
            labels=cluster.labels,
            planner=self._bench.planner,
            watchman=around.watchman,
            ledger=self._ledger,
            digester=around.digester,
            memory=ClusterMemory(applied=rows),
        )

    # --- values of others ---------------------------------------------------------------------

    async def _supplies(self, lane: _Lane) -> Supplies:
        """What the lane takes from others: of roots that are part of this preview as their plans
        say, of all others as they are. Raises Awaiting, ConfigError."""
        needs = lane.spec.needs
        ours = {n: need for n, need in needs.items() if need.application in self._outputs}
        others = {name: need for name, need in needs.items() if name not in ours}
        given = NONE
        if others:
            given = await self._around.supplies(replace(lane.spec, needs=others), lane.lane)
        if not ours:
            return given
        values = dict(given.values)
        for name, need in ours.items():
            values[name] = self._value(ApplicationName(need.application), need.output)
        return Supplies(values, digest=self._around.digester.of(spelled(values)))

    def _value(self, root: ApplicationName, output: str) -> Any:
        outputs = self._outputs[root]
        if outputs is None:
            raise Awaiting(f"{output} comes from {root}, of which there is no plan")
        value = outputs.get(output)
        if value is UNKNOWN:
            raise Awaiting(f"{output} of {root} is known once its change is applied")
        if not isinstance(value, OutputValue):
            raise RenderError(f"{root} has no output {output!r}")
        return value.value


def _linted(spec: ApplicationSpec, findings: Iterable[Finding], names: tuple[str, ...]) -> Plan:
    """A plan without changes: what the checks have to say."""
    found = tuple(findings)
    digest = combine("linted", *(f"{each.place} {each.message}" for each in found))
    change, target = ChangeId(""), spec.targets[0]
    return Plan(change, spec.name, target, (), digest, findings=found, checks=names)


def _change(lane: _Lane, revision: Revision, after: Digest) -> Change:
    """As the merge would open it; no digest of a plan depends on it."""
    occasion = f"preview {revision}"
    return Change(
        lane.lane,
        lane.record.generation,
        after,
        Cause.COMMIT,
        revision,
        Authorship(),
        occasion,
    )


def _one_each(lanes: Sequence[_Lane]) -> list[_Lane]:
    """Of each application one lane: without a target they are all the same."""
    found: dict[ApplicationName, _Lane] = {}
    for lane in lanes:
        found.setdefault(lane.spec.name, lane)
    return list(found.values())


def _takes_any(spec: ApplicationSpec, roots: Mapping[ApplicationName, Any]) -> bool:
    return any(need.application in roots for need in spec.needs.values())


def _in_order(lanes: Sequence[_Lane]) -> list[_Lane]:
    """Whoever takes values in, after those it takes them from; circles in any order."""
    waiting, ordered = list(lanes), []
    while waiting:
        names = {lane.spec.name for lane in waiting}
        free = [lane for lane in waiting if not _takes_any(lane.spec, dict.fromkeys(names))]
        ordered += free or waiting
        waiting = [lane for lane in waiting if free and lane not in free]
    return ordered
