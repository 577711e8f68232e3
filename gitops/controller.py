"""The running system: sources watched, lanes worked, clusters listened to, people answered.

Made by ``app.py`` out of adapters it never names. ``run`` is the whole life of a controller. What
people may ask of it is in :mod:`gitops.orders`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from gitops.engine import bell
from gitops.engine.ballot import leave
from gitops.engine.board import Board
from gitops.engine.desk import Desk
from gitops.engine.inbox import Inbox
from gitops.engine.keeper import LeaseKeeper
from gitops.engine.lanes import Lanes
from gitops.engine.ledger import Ledger, open_change
from gitops.engine.looking import Unlocked
from gitops.engine.measures import Measures
from gitops.engine.pauses import Pauses
from gitops.engine.previews import Previews
from gitops.engine.provenance import Provenance
from gitops.engine.reach import keep_reaching
from gitops.engine.reminders import Reminders
from gitops.engine.renders import Renders
from gitops.engine.roster import Roster
from gitops.engine.sending import Sender
from gitops.engine.supplies import UNKNOWN, Supplies
from gitops.engine.targets import Target
from gitops.engine.targets.clusters import Clusters
from gitops.engine.targets.roots import Roots
from gitops.engine.tasks import Tasks
from gitops.engine.vigil import Vigil
from gitops.engine.watches import SourceWatch
from gitops.errors import Awaiting, ConfigError, StaleWrite, Transient
from gitops.links import preview_page
from gitops.model.approval import Answer, MemberState
from gitops.model.delivery import (
    ChangeRecord,
    ChangeState,
    LaneId,
)
from gitops.model.events import ChangeClosed
from gitops.model.fleet import ApplicationSpec, ClusterSpec, Fleet, SourceSpec
from gitops.model.ids import (
    ApplicationName,
    Digest,
    SourceName,
    combine,
)
from gitops.model.sealed import Sealed
from gitops.pipeline import propose, tend
from gitops.policy import policy_digest
from gitops.ports import (
    Clock,
    Cluster,
    Digester,
    Notifier,
    Planner,
    Reading,
    Snapshot,
    Source,
    Transaction,
    Vault,
    Watchman,
)
from gitops.ports.forges import Forge
from gitops.ports.inbound import Listener, Receiver
from gitops.ports.terraform import RootPlanner, Workspace
from gitops.previewing import Bench, Previewing, Surroundings
from gitops.steps.kit import Kit, Memory, Reached
from gitops.steps.values import Checker
from gitops.steps.watch import stands, watch

_log = structlog.get_logger(__name__)

EXPIRY_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """Every adapter and service a controller is put together from."""

    ledger: Ledger
    keeper: LeaseKeeper
    vault: Vault
    digester: Digester
    encode: Callable[[Sealed], bytes]
    decode: Callable[[bytes], Sealed]
    renders: Renders
    checker: Checker
    planner: Planner
    watchman: Watchman
    root_planner: RootPlanner
    workspace: Workspace
    tools: str
    build_source: Callable[[SourceSpec], Source]
    connect: Callable[[ClusterSpec], Awaitable[Cluster]]
    forge: Callable[[SourceName], Forge | None]
    """Who knows more of a source's commits than git; None where the fleet file names nobody."""
    notifiers: Callable[[], Mapping[str, Notifier]]
    """Those of the fleet file in force, by their name in it."""
    clock: Clock
    mask: Callable[[str], str]
    """Takes every secret value met so far out of a text: for the log and other sinks."""
    taint: Callable[[str], None]
    """Has a value taken out of every text from now on."""
    reached: Reached
    bench: Callable[[], Bench]
    """What one preview of a pull request is drawn with: nothing of it is known elsewhere."""
    receivers: Callable[[], Mapping[str, Receiver]] = dict
    """Who hears the webhooks of the fleet file in force, by their name in it."""


class Controller:
    """One process's worth of GitOps."""

    def __init__(self, roster: Roster, desk: Desk, parts: Parts) -> None:
        self.roster = roster
        self.desk = desk
        self.parts = parts
        self.lanes = Lanes(self._work, parts.clock, self._lane_moved)
        self.watches: dict[SourceName, SourceWatch] = {}
        self.ready = asyncio.Event()
        self._memories: dict[LaneId, Memory] = {}
        self._tasks = Tasks()
        self.vigil = Vigil(parts.ledger, parts.clock, parts.mask)
        self.clusters = Clusters(
            parts.connect,
            parts.planner,
            parts.watchman,
            parts.ledger,
            parts.digester,
            self.lanes,
            self._tasks,
            self.vigil,
        )
        self.roots = Roots(
            parts.root_planner,
            parts.workspace,
            roster,
            parts.ledger,
            parts.digester,
            parts.clock,
            self.lanes,
            parts.taint,
        )
        self._sender = Sender(parts.ledger, parts.notifiers, parts.clock)
        self._reminders = Reminders(parts.ledger, lambda: self.fleet, roster.spec, parts.clock)
        self._listeners: dict[str, object] = {}
        self.provenance = Provenance(
            parts.forge,
            self._source_spec,
            parts.ledger,
            parts.clock,
            lambda: self.fleet.people.bots,
        )
        self.pauses = Pauses(parts.ledger, parts.clock, self._offer)
        self.board = Board(roster, parts.ledger, self.pauses, self.vigil, self.lanes)
        self.inbox = Inbox(
            lambda: self.fleet,
            parts.ledger,
            parts.digester,
            parts.clock,
            self._look_soon,
            parts.reached,
        )
        self.previews = Previews(
            lambda: self.fleet,
            parts.forge,
            Previewing(self.surroundings()).draw,
            parts.ledger,
            parts.digester,
            parts.clock,
            parts.mask,
            self._preview_page,
        )
        self.inbox.on_pull = self.previews.heard

    def surroundings(self, *, alone: bool = False) -> Surroundings:
        """What a preview looks at. ``alone``: nothing but previews goes on here."""
        return Surroundings(
            roster=self.roster,
            watched=self.watches.get,
            renders=self.parts.renders,
            cluster=self.clusters.reach,
            supplies=self.roots.supplies,
            ledger=self.ledger,
            watchman=self.parts.watchman,
            workspace=Unlocked(self.parts.workspace),
            digester=self.parts.digester,
            clock=self.parts.clock,
            bench=self.parts.bench,
            quiet=self.lanes.quiet,
            follows=alone,
        )

    @property
    def fleet(self) -> Fleet:
        return self.roster.fleet

    @property
    def ledger(self) -> Ledger:
        return self.parts.ledger

    @property
    def measures(self) -> Measures:
        return self.parts.ledger.measures

    # --- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled, or until the lease is lost (StaleWrite)."""
        await self.parts.keeper.acquire()
        try:
            self.roster.recall(await self.ledger.read(lambda reading: reading.lanes()))
            await self._sweep()
            await self.pauses.load()
            await self.vigil.load()
            self._tasks.start("expiry", self._expire)
            self._tasks.start("pauses", self.pauses.run)
            self._tasks.start("reach", lambda: keep_reaching(self.clusters.connected, self.lanes))
            self._tasks.start("roots", self.roots.keep_looking)
            self._tasks.start("outbox", self._sender.run)
            self._tasks.start("reminders", self._reminders.run)
            self._tasks.start("vigil", self.vigil.run)
            self._tasks.start("pulse", self.measures.pulse.run)
            self._tasks.start("board", self.board.run)
            await self._adjust()
            self._tasks.start("inbox", self.inbox.run)
            self._tasks.start("previews", self.previews.run)
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

    async def _stop(self) -> None:
        self.ready.clear()
        self.ledger.bell.close()
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
            await self.clusters.disconnect(name)
        await self._adjust()
        # Only now: what is discovered is on the roster again once its source was looked through.
        for lane in before - set(self.roster.lanes()):
            self._forget(lane)
        for lane in self.roster.lanes():
            self.roots.moved(lane)
            self.lanes.offer(lane)
        self.ledger.bell.ring((bell.EVERYTHING,))

    async def _adjust(self) -> None:
        """Starts and ends source watches and listeners until they are those of the fleet file."""
        for name in [n for n, w in self.watches.items() if self.fleet.sources.get(n) != w.spec]:
            self._tasks.end(f"source {name}")
            del self.watches[name]
        for name, spec in self.fleet.sources.items():
            if name not in self.watches:
                source = self.parts.build_source(spec)
                watch = SourceWatch(spec, source, self.ledger, self.parts.clock, self._moved)
                self.watches[name] = watch
                self._tasks.start(f"source {name}", watch.run)
            elif (snapshot := self.watches[name].snapshot) is not None:
                await self._moved(snapshot)
        self._listen()

    def _listen(self) -> None:
        """Has every chat that keeps a connection of its own for answers keep it."""
        try:
            given = {
                name: notifier
                for name, notifier in self.parts.notifiers().items()
                if isinstance(notifier, Listener)
            }
        except ConfigError as error:
            _log.error("notifiers.refused", problem=error.message, hint=error.hint)
            return
        for name in [n for n, known in self._listeners.items() if given.get(n) is not known]:
            self._tasks.end(f"listener {name}")
            del self._listeners[name]
        for name, notifier in given.items():
            if name not in self._listeners:
                self._listeners[name] = notifier
                self._tasks.start(f"listener {name}", notifier.listen)

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
                await self.over(record)

    async def over(self, record: ChangeRecord) -> None:
        """A change that ended outside its lane: its bytes go, its lane looks at the present."""
        if record.seal is not None:
            await self.parts.vault.discard(record.seal)
        self.lanes.offer(record.change.lane)

    # --- what moves lanes ---------------------------------------------------------------------

    async def _moved(self, snapshot: Snapshot) -> None:
        """A source has a new revision: offer the lanes whose closure it touches, no others."""
        self.roster.look(snapshot)
        self.ledger.bell.ring((bell.source(snapshot.revision.source),))
        for spec in self.roster.of_source(snapshot.revision.source):
            if not self.parts.renders.concerned(spec.name, snapshot):
                continue
            for target in spec.targets:
                lane = LaneId(spec.name, target)
                self.memory(lane).newer.set()
                self.roots.moved(lane)
                self.lanes.offer(lane)

    def _lane_moved(self, lane: LaneId) -> None:
        """Something of it is different that is in no store."""
        self.ledger.bell.ring((bell.application(lane.application),))

    def _offer(self, application: ApplicationName) -> None:
        spec = self.roster.spec(application)
        for target in spec.targets if spec else ():
            self.lanes.offer(LaneId(application, target))

    def memory(self, lane: LaneId) -> Memory:
        return self._memories.setdefault(lane, Memory())

    async def _work(self, lane: LaneId) -> None:
        # Before anything is awaited: what moves from here on is noticed by the wait for health.
        self.memory(lane).newer.clear()
        moves = self.roots.moves(lane)
        kit = await self.kit(lane)
        if kit is None:
            return
        with self.measures.round(lane):
            outcome = await tend(kit)
        if kit.application.terraform is not None:
            self.roots.settled(lane, moves)
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
            if outcome.state is ChangeState.HEALTHY:
                await self._wake_blocked(lane)

    async def _wake_blocked(self, lane: LaneId) -> None:
        """What a target refused for want of a namespace or kind may be possible now that another
        application brought it there."""
        open_ = await self.ledger.read(lambda reading: reading.changes())
        for record in open_:
            other = record.change.lane
            if record.state is ChangeState.BLOCKED and other.target == lane.target:
                self.lanes.offer(other)

    async def _dismiss(self, lane: LaneId) -> None:
        """A departed application that never arrived, or of which nothing is left."""
        record = await self.ledger.read(lambda reading: reading.lane(lane))
        if record.delivered is None and record.current is None:
            self.roster.dismiss(lane.application)
            self._forget(lane)

    def _forget(self, lane: LaneId) -> None:
        self.parts.checker.forget(lane)
        self.clusters.forget(lane)
        self.roots.forget(lane)
        self._memories.pop(lane, None)

    async def kit(self, lane: LaneId) -> Kit | None:
        """None while there is nothing to work with: the source was never read, or the
        application or its target left the fleet file (its objects stay)."""
        spec = self.roster.spec(lane.application)
        if spec is None or lane.target not in spec.targets:
            return None
        watch = self.watches.get(spec.source)
        snapshot = watch.snapshot if watch else None
        if watch is None or snapshot is None:
            return None
        supplies = await self._supplies(lane, spec)
        target = await self._target(lane, spec, supplies)
        if target is None:
            return None
        parts = self.parts
        return Kit(
            lane=lane,
            application=spec,
            departed=self.roster.departed(spec.name),
            snapshot=snapshot,
            newest=lambda: watch.snapshot or snapshot,
            source=watch.source,
            target=target,
            supplies=supplies,
            present_supplies=lambda: self.roots.supplies(spec, lane),
            policy=policy_digest(spec, self.fleet.people),
            provenance=lambda own: self.provenance.of(
                spec.source, own, lambda seconds: self.lanes.offer(lane, after=seconds)
            ),
            present_policy=lambda: self._policy(lane),
            tools=parts.tools,
            renders=parts.renders,
            checker=parts.checker,
            desk=self.desk,
            ledger=parts.ledger,
            vault=parts.vault,
            digester=parts.digester,
            encode=parts.encode,
            decode=parts.decode,
            clock=parts.clock,
            memory=self.memory(lane),
            reached=self._reached,
        )

    def _reached(self, step: str, record: ChangeRecord) -> None:
        self.measures.reached(step, record)
        self.parts.reached(step, record)

    async def _supplies(self, lane: LaneId, spec: ApplicationSpec) -> Supplies:
        """What goes on whatever the source does (a claimed change, a command) does not wait for
        values either: what was claimed has them already."""
        try:
            return await self.roots.supplies(spec, lane)
        except (Awaiting, ConfigError) as missing:
            if self.memory(lane).unlock is None and not await self._goes_on(lane):
                if isinstance(missing, Awaiting) and missing.outdated:
                    await self._withdraw(lane, missing.message)
                raise
            return UNKNOWN

    async def _withdraw(self, lane: LaneId, why: str) -> None:
        """Nobody should say yes to values that will not be; it is asked again with the new ones."""

        def work(tx: Transaction) -> ChangeRecord | None:
            record = open_change(tx, tx.lane(lane))
            if record is None or stands(record):
                return None
            if record.change.rollback is not None:  # nothing but the change knows of the wish
                leave(tx, record, why)
                return None
            tx.append(ChangeClosed(record.change.id, ChangeState.SUPERSEDED, why))
            return record

        record = await self.ledger.write(work)
        if record is not None and record.seal is not None:
            await self.parts.vault.discard(record.seal)

    async def _goes_on(self, lane: LaneId) -> bool:
        def query(reading: Reading) -> bool:
            record = open_change(reading, reading.lane(lane))
            return record is not None and stands(record)

        return await self.ledger.read(query)

    async def _target(
        self, lane: LaneId, spec: ApplicationSpec, supplies: Supplies
    ) -> Target | None:
        if spec.terraform is not None:
            return await self.roots.target(lane, spec, supplies)
        cluster = self.fleet.clusters.get(lane.target)
        return await self.clusters.target(lane, spec, cluster) if cluster else None

    def _preview_page(self, source: SourceName, number: int) -> str:
        at = self.fleet.api.url
        return preview_page(source, number, at) if at else ""

    def _source_spec(self, name: SourceName) -> SourceSpec | None:
        return self.fleet.sources.get(name)

    def _policy(self, lane: LaneId) -> Digest:
        spec = self.roster.spec(lane.application)
        return policy_digest(spec, self.fleet.people) if spec else combine("gone")

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
        """What a lane wants and what the desk says of it; None when it wants nothing. Whoever
        takes outputs in, comes after those it takes them from."""
        kit = await self.kit(lane)
        record = await watch(kit) if kit else None
        if kit is None or record is None:
            return None
        answer = (await propose(record, kit)).answer
        if kit.application.terraform is not None and not answer.plan.blocked_by:
            self.roots.previewed(lane)
        return answer

    async def close(self) -> None:
        await self._tasks.close()
        await self.provenance.close()
        await self.clusters.close()

    def _look_soon(self, source: SourceName) -> None:
        """For a webhook: nobody waits, and a source that left the file is nobody's."""
        if source in self.watches:
            self.watches[source].nudge()
