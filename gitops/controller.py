"""The running system: sources watched, lanes worked, clusters listened to, people answered.

Made by ``app.py`` out of adapters it never names. ``run`` is the whole life of a controller; the
methods below it are what the API, and through it the command line, may ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from gitops.engine.announcements import Sender
from gitops.engine.desk import Desk
from gitops.engine.keeper import LeaseKeeper
from gitops.engine.lanes import Lanes
from gitops.engine.ledger import Ledger
from gitops.engine.reach import keep_reaching
from gitops.engine.renders import Renders
from gitops.engine.roster import Roster
from gitops.engine.watches import SourceWatch
from gitops.errors import StaleWrite, Transient, Unknown
from gitops.model.approval import Answer, Decision, MemberState, Verdict
from gitops.model.cluster import LiveEvent, LiveEventKind
from gitops.model.delivery import ChangeRecord, LaneId
from gitops.model.events import HoldLifted
from gitops.model.fleet import ClusterSpec, Fleet, SourceSpec
from gitops.model.ids import (
    ApplicationName,
    Digest,
    PersonName,
    RequestId,
    SourceName,
    TargetName,
    combine,
)
from gitops.model.sealed import SealedSet
from gitops.model.source import SourceStatus
from gitops.pipeline import propose, tend
from gitops.policy import policy_digest
from gitops.ports import (
    Clock,
    Cluster,
    Digester,
    Notifier,
    Planner,
    Snapshot,
    Source,
    Transaction,
    Vault,
    Watchman,
)
from gitops.projection import digest, mask_from_bytes, owned
from gitops.steps.kit import Kit, Memory, Reached
from gitops.steps.values import Checker
from gitops.steps.watch import watch

_log = structlog.get_logger(__name__)

DRIFT_SETTLES = 1.0
"""Seconds a drifted lane is left alone, so that one edit in several writes is one drift."""
EXPIRY_EVERY = 5.0
RESTART_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """Every adapter and service a controller is put together from."""

    ledger: Ledger
    keeper: LeaseKeeper
    vault: Vault
    digester: Digester
    encode: Callable[[SealedSet], bytes]
    decode: Callable[[bytes], SealedSet]
    renders: Renders
    checker: Checker
    planner: Planner
    watchman: Watchman
    tools: str
    build_source: Callable[[SourceSpec], Source]
    connect: Callable[[ClusterSpec], Awaitable[Cluster]]
    notifiers: Callable[[], Mapping[str, Notifier]]
    """Those of the fleet file in force, by their name in it."""
    clock: Clock
    mask: Callable[[str], str]
    """Takes every secret value met so far out of a text: for the log and other sinks."""
    reached: Reached


class Controller:
    """One process's worth of GitOps."""

    def __init__(self, roster: Roster, desk: Desk, parts: Parts) -> None:
        self.roster = roster
        self.desk = desk
        self.parts = parts
        self.lanes = Lanes(self._work, parts.clock)
        self.watches: dict[SourceName, SourceWatch] = {}
        self.clusters: dict[TargetName, Cluster] = {}
        self.ready = asyncio.Event()
        self._connecting: dict[TargetName, asyncio.Lock] = {}
        self._memories: dict[LaneId, Memory] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sender = Sender(parts.ledger, parts.notifiers, parts.clock)

    @property
    def fleet(self) -> Fleet:
        return self.roster.fleet

    @property
    def ledger(self) -> Ledger:
        return self.parts.ledger

    # --- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled, or until the lease is lost (StaleWrite)."""
        await self.parts.keeper.acquire()
        try:
            self.roster.recall(await self.ledger.read(lambda reading: reading.lanes()))
            await self._sweep()
            self._start("expiry", self._expire)
            self._start("reach", lambda: keep_reaching(self.clusters, self.lanes))
            self._start("outbox", self._sender.run)
            await self._adjust()
            self.ready.set()
            await self.parts.keeper.keep()
        finally:
            await self._stop()

    async def _sweep(self) -> None:
        """Bytes in the vault whose change has ended: a crash came between its end and theirs."""
        open_ = await self.ledger.read(lambda reading: reading.changes())
        seals = {record.seal for record in open_}
        for seal in await self.parts.vault.held():
            if seal not in seals:
                await self.parts.vault.discard(seal)

    def _start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Has ``work`` done for as long as the controller lives. A defect in it is logged and it
        is begun again: a source nobody looks at any more would be a stuck source."""
        self._tasks[name] = asyncio.ensure_future(self._again_and_again(name, work))

    async def _again_and_again(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                _log.exception("task.defect", task=name)
            await asyncio.sleep(RESTART_AFTER)

    async def _stop(self) -> None:
        self.ready.clear()
        await self.lanes.stop()
        await self.close()
        with contextlib.suppress(Transient, StaleWrite):
            await self.parts.keeper.release()

    async def reload(self, fleet: Fleet) -> None:
        """Takes a new fleet file into force. Open questions are drawn again under it: the policy
        is part of every seal. What left the file is left alone in its cluster."""
        gone = {
            name for name, spec in self.fleet.clusters.items() if fleet.clusters.get(name) != spec
        }
        before = set(self.roster.lanes())
        self.roster.reload(fleet)
        self.roster.recall(await self.ledger.read(lambda reading: reading.lanes()))
        for name in gone:
            await self._disconnect(name)
        await self._adjust()
        # Only now: what is discovered is on the roster again once its source was looked through.
        for lane in before - set(self.roster.lanes()):
            self.parts.checker.forget(lane)
        for lane in self.roster.lanes():
            self.lanes.offer(lane)

    async def _adjust(self) -> None:
        """Starts and ends source watches until they are those of the fleet file."""
        for name in [n for n, w in self.watches.items() if self.fleet.sources.get(n) != w.spec]:
            self._tasks.pop(f"source {name}").cancel()
            del self.watches[name]
        for name, spec in self.fleet.sources.items():
            if name not in self.watches:
                source = self.parts.build_source(spec)
                watch = SourceWatch(spec, source, self.ledger, self.parts.clock, self._moved)
                self.watches[name] = watch
                self._start(f"source {name}", watch.run)
            elif (snapshot := self.watches[name].snapshot) is not None:
                await self._moved(snapshot)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRY_EVERY)
            with contextlib.suppress(Transient):
                await self.expire()

    async def expire(self) -> None:
        """Ends questions past their time; costs a read when there are none."""
        now = self.parts.clock.now()
        requests = await self.ledger.read(
            lambda reading: reading.requests(open_only=True, limit=10_000)
        )
        asking = (m for r in requests for m in r.members if m.state is MemberState.ASKING)
        if any(member.expires_at <= now for member in asking):
            for record in await self.ledger.write(self.desk.expire):
                await self._over(record)

    async def _over(self, record: ChangeRecord) -> None:
        """A change that ended outside its lane: its bytes go, its lane looks at the present."""
        if record.seal is not None:
            await self.parts.vault.discard(record.seal)
        self.lanes.offer(record.change.lane)

    # --- what moves lanes ---------------------------------------------------------------------

    async def _moved(self, snapshot: Snapshot) -> None:
        """A source has a new revision: offer the lanes whose closure it touches, no others."""
        self.roster.look(snapshot)
        for spec in self.roster.of_source(snapshot.revision.source):
            if not self.parts.renders.concerned(spec.name, snapshot):
                continue
            for target in spec.clusters:
                lane = LaneId(spec.name, target)
                self.memory(lane).newer.set()
                self.lanes.offer(lane)

    def memory(self, lane: LaneId) -> Memory:
        return self._memories.setdefault(lane, Memory())

    async def _work(self, lane: LaneId) -> None:
        # Before anything is awaited: what moves from here on is noticed by the wait for health.
        self.memory(lane).newer.clear()
        kit = await self._kit(lane)
        if kit is None:
            return
        outcome = await tend(kit)
        if outcome is None and kit.departed:
            await self._dismiss(lane)
        for other in self.parts.checker.freed():
            self.lanes.offer(other)
        if outcome is not None:
            _log.info(
                "change",
                lane=str(lane),
                state=outcome.state.value,
                cause=outcome.record.change.cause.value,
                revision=str(outcome.record.change.revision),
                reason=outcome.reason,
            )
            if outcome.state.terminal:
                self.lanes.offer(lane)

    async def _dismiss(self, lane: LaneId) -> None:
        """A departed application that never arrived, or of which nothing is left."""
        record = await self.ledger.read(lambda reading: reading.lane(lane))
        if record.delivered is None and record.current is None:
            self.roster.dismiss(lane.application)
            self.parts.checker.forget(lane)
            self._memories.pop(lane, None)

    async def _kit(self, lane: LaneId) -> Kit | None:
        """None while there is nothing to work with: the source was never read, or the
        application or its target left the fleet file (its objects stay)."""
        spec = self.roster.spec(lane.application)
        target = self.fleet.clusters.get(lane.target)
        if spec is None or target is None or lane.target not in spec.clusters:
            return None
        watch = self.watches.get(spec.source)
        snapshot = watch.snapshot if watch else None
        if watch is None or snapshot is None:
            return None
        parts = self.parts
        return Kit(
            lane=lane,
            application=spec,
            departed=self.roster.departed(spec.name),
            snapshot=snapshot,
            newest=lambda: watch.snapshot or snapshot,
            source=watch.source,
            cluster=await self._cluster(target),
            cluster_labels=target.labels,
            policy=policy_digest(spec, self.fleet.people),
            present_policy=lambda: self._policy(lane),
            tools=parts.tools,
            renders=parts.renders,
            checker=parts.checker,
            planner=parts.planner,
            watchman=parts.watchman,
            desk=self.desk,
            ledger=parts.ledger,
            vault=parts.vault,
            digester=parts.digester,
            encode=parts.encode,
            decode=parts.decode,
            clock=parts.clock,
            memory=self.memory(lane),
            reached=parts.reached,
        )

    def _policy(self, lane: LaneId) -> Digest:
        spec = self.roster.spec(lane.application)
        return policy_digest(spec, self.fleet.people) if spec else combine("gone")

    # --- clusters -----------------------------------------------------------------------------

    async def _cluster(self, spec: ClusterSpec) -> Cluster:
        """Connects at first need. Raises what connecting raises; the lane tries again."""
        async with self._connecting.setdefault(spec.name, asyncio.Lock()):
            if spec.name not in self.clusters:
                cluster = await self.parts.connect(spec)
                self.clusters[spec.name] = cluster
                self._start(f"cluster {spec.name}", partial(self._listen, spec.name, cluster))
            return self.clusters[spec.name]

    async def _disconnect(self, name: TargetName) -> None:
        task = self._tasks.pop(f"cluster {name}", None)
        if task is not None:
            task.cancel()
        cluster = self.clusters.pop(name, None)
        if cluster is not None:
            await cluster.close()
        for lane in [lane for lane in self._memories if lane.target == name]:
            del self._memories[lane]

    async def _listen(self, target: TargetName, cluster: Cluster) -> None:
        async for event in cluster.live.events():
            for lane, memory in self._concerned(target, event):
                self._judge(lane, memory, event)

    def _concerned(self, target: TargetName, event: LiveEvent) -> list[tuple[LaneId, Memory]]:
        """The lane whose label the object carries, or carried: a label taken off is drift too."""
        lane = LaneId(ApplicationName(event.object.application), target)
        if lane in self._memories:
            return [(lane, self._memories[lane])]
        id = event.object.id
        return [
            (lane, memory)
            for lane, memory in self._memories.items()
            if lane.target == target and memory.applied and id in memory.applied
        ]

    def _judge(self, lane: LaneId, memory: Memory, event: LiveEvent) -> None:
        """Wakes the lane if the object is not as we left it, or an open plan touches it."""
        id, digester = event.object.id, self.parts.digester
        body = None if event.kind is LiveEventKind.DELETED else event.object.body
        memory.suspects.add(id)
        ours = memory.applied.get(id) if memory.applied is not None else None
        planned = memory.touched.get(id) if memory.drawn is not None else None
        if planned is not None:
            now = digest(body, mask_from_bytes(planned.mask), digester)
            if now == planned.before:
                return
            memory.drawn = None
        elif ours is None or not (
            id in memory.drifted
            or body is None
            or digest(body, owned(body), digester) != ours.projection
        ):
            return
        self.lanes.offer(lane, after=DRIFT_SETTLES)

    # --- looking without a controller running (``gitops plan``) --------------------------------

    async def read_sources(self) -> dict[SourceName, str]:
        """Looks at every source once, offering no lane. Returns what went wrong, in words."""
        await self.parts.keeper.acquire()
        for name, spec in self.fleet.sources.items():
            source = self.parts.build_source(spec)
            self.watches[name] = SourceWatch(
                spec, source, self.ledger, self.parts.clock, self._noted
            )
        await asyncio.gather(*(watch.look() for watch in self.watches.values()))
        return {
            name: watch.status.message or "it has no revision"
            for name, watch in self.watches.items()
            if watch.snapshot is None
        }

    async def _noted(self, snapshot: Snapshot) -> None:
        self.roster.look(snapshot)

    async def preview(self, lane: LaneId) -> Answer | None:
        """What a lane wants and what the desk says of it; None when it wants nothing."""
        kit = await self._kit(lane)
        record = await watch(kit) if kit else None
        if kit is None or record is None:
            return None
        return (await propose(record, kit)).answer

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for cluster in self.clusters.values():
            await cluster.close()

    # --- what people ask for ------------------------------------------------------------------

    async def nudge(self, source: SourceName) -> SourceStatus:
        """Look at a source now. Raises Unknown for a name that is not in the fleet file."""
        watch = self.watches.get(source)
        if watch is None:
            known = ", ".join(sorted(self.watches)) or "none"
            raise Unknown(f"there is no source {source!r}", hint=f"sources: {known}")
        return await watch.nudge_and_wait()

    async def answer(
        self,
        request: RequestId,
        root: Digest,
        person: PersonName,
        decision: Decision,
        *,
        reason: str = "",
        via: str,
        confirmation: str = "",
    ) -> Verdict:
        """One person's answer, through the gate. Raises NotAllowed in words for the person."""

        def work(tx: Transaction) -> tuple[Verdict, tuple[ChangeRecord, ...]]:
            verdict, decided = self.desk.answer(
                tx,
                request=request,
                root=root,
                person=person,
                decision=decision,
                reason=reason,
                via=via,
                confirmation=confirmation,
            )
            return verdict, decided

        verdict, decided = await self.ledger.write(work)
        for record in decided:
            if decision is Decision.DENY:
                await self._over(record)
            else:
                self.lanes.offer(record.change.lane)
        return verdict

    async def again(self, application: ApplicationName, person: PersonName) -> tuple[LaneId, ...]:
        """``ask`` and ``retry``: lifts what holds the application's lanes and offers them. A plan
        people approved before the failure is applied again while its seal holds; any other is
        asked about."""
        spec = self.roster.spec(application)
        if spec is None:
            known = ", ".join(sorted(self.roster.specs())) or "none"
            raise Unknown(f"there is no application {application!r}", hint=f"applications: {known}")
        lanes = tuple(LaneId(application, target) for target in spec.clusters)
        for lane in lanes:
            await self.ledger.write(_lift(lane, person))
            self.memory(lane).demanded = person
            self.lanes.offer(lane)
        return lanes

    def status_of(self) -> Mapping[SourceName, SourceStatus]:
        return {name: watch.status for name, watch in self.watches.items()}


def _lift(lane: LaneId, person: PersonName) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        record = tx.lane(lane)
        if record.hold is not None and not record.hold.failed:
            tx.append(HoldLifted(lane, person))
        if record.drift_hold is not None:
            tx.append(HoldLifted(lane, person, drift=True))

    return work
