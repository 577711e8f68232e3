"""Whether what was delivered stays well: told once when it falls ill, once when it is well again.

Kept by the controller, fed by the events of the live views there are anyway and by the watches on
the pods of delivered workloads (:mod:`gitops.ports.pods`). It remembers only what is not well. What
was told stands in the store, written with the event that tells it, so that a restart tells nothing
twice. While a change is on its way to a lane nothing is told: verifying is what judges then, and a
failure it told of is not told again. It never changes anything in a cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gitops import health
from gitops.engine import bell
from gitops.engine.cases import (
    MOST,
    STEADY,
    WORKLOADS,
    Case,
    Key,
    Patience,
    inert,
    listed,
    read,
    write,
)
from gitops.engine.ledger import Ledger, open_change
from gitops.engine.onlookers import Onlookers
from gitops.errors import StaleWrite, Transient
from gitops.foreign import one_line
from gitops.health.crashes import ailment, cause, gets_better_at
from gitops.model.cluster import LiveEvent, LiveEventKind, LiveObject
from gitops.model.delivery import CLAIMED, ChangeState, DeliveryRecord, LaneId
from gitops.model.events import HealthMoved
from gitops.model.health import Ailment, Health
from gitops.model.ids import TargetName
from gitops.model.manifest import ObjectId
from gitops.ports import Clock, Cluster, Reading, Transaction
from gitops.ports.pods import Attending, Pods

OWNER = "vigil"
LONGEST = 600
"""Characters of one object's reason."""
_AT_ONCE = 50
"""Objects judged before others get a turn."""
_AGAIN = 5.0
"""Seconds after which what could not be told is tried again."""
_LOST = 60.0
"""Seconds an object may take to be seen after a start."""
_SETTLES = 0.2
_AFTER_TROUBLE = 2.0
_AGAIN_WELL = "it is well again, which has to last"


@dataclass(frozen=True, slots=True)
class _News:
    """What there is to tell of one lane."""

    ill: Mapping[ObjectId, Case]
    well: Mapping[ObjectId, Case]
    lost: Sequence[ObjectId]
    """Told to be ill, and not there any more."""
    told: Mapping[ObjectId, tuple[str, float]]
    """(why, since when) of everything that is told to be ill from now on."""

    @classmethod
    def of(
        cls, lane: LaneId, ids: Sequence[ObjectId], cases: Mapping[Key, Case], at: float
    ) -> _News:
        due = {id: cases[lane, id] for id in ids}
        ill = {id: case for id, case in due.items() if case.ill and case.told is None}
        well = {id: case for id, case in due.items() if not case.ill}
        lost = [id for id in due if id not in ill and id not in well]
        told = {
            id: (case.reason, case.told)
            for (of, id), case in cases.items()
            if of == lane and case.told is not None and id not in well and id not in lost
        }
        return cls(ill, well, lost, {**told, **{id: (c.reason, at) for id, c in ill.items()}})


class Vigil:
    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        mask: Callable[[str], str],
        patience: Patience | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._mask = mask
        self.patience = patience or Patience()
        self.onlookers = Onlookers(ledger.bell, clock)
        self.awake = False
        """Until it is loaded it hears nothing and has nothing watched: a look at a plan is no
        vigil."""
        self._clusters: dict[TargetName, Cluster] = {}
        self._dirty: dict[Key, None] = {}
        self._cases: dict[Key, Case] = {}
        self._again: dict[Key, float] = {}
        """Objects that may get better without an event."""
        self._relapses: dict[Key, tuple[int, float]] = {}
        """(how many in a row, when it was last well again)"""
        self._workloads: dict[TargetName, dict[str, Key]] = {}
        """Of each target, by uid."""
        self._uids: dict[Key, str] = {}
        self._spaces: dict[TargetName, set[str]] = {}
        """Namespaces in which pods are followed."""
        self._woken = asyncio.Event()

    # --- what it hears ------------------------------------------------------------------------

    def heard(self, lane: LaneId, cluster: Cluster, event: LiveEvent) -> None:
        """Something of a lane moved. Cheap: it is looked at later, once."""
        id = event.object.id
        if not self.awake or inert(id):
            return
        if self._clusters.get(lane.target) is not cluster:
            self._met(lane.target, cluster)
        gone = event.kind is LiveEventKind.DELETED
        if (id.group, id.kind) in WORKLOADS:
            self._attend(lane, cluster, event.object, gone=gone)
        self._dirty[lane, id] = None
        if gone:
            self._relapses.pop((lane, id), None)
        self._woken.set()

    def _met(self, target: TargetName, cluster: Cluster) -> None:
        self._clusters[target] = cluster
        at = self._clock.monotonic() + _LOST
        for (lane, _), case in self._cases.items():
            if lane.target == target and case.told is not None and case.ill:
                case.due = at

    def _attend(self, lane: LaneId, cluster: Cluster, thing: LiveObject, *, gone: bool) -> None:
        key, uid = (lane, thing.id), "" if gone else thing.uid
        before = self._uids.get(key, "")
        if uid == before:
            return
        workloads = self._workloads.setdefault(lane.target, {})
        workloads.pop(before, None)
        self._uids.pop(key, None)
        if uid:
            workloads[uid], self._uids[key] = key, uid
        self._watch_pods(lane.target)

    def _watch_pods(self, target: TargetName) -> None:
        """Has pods followed where a workload is, and nowhere else."""
        pods = _pods(self._clusters.get(target))
        wanted = {id.namespace for (of, id) in self._uids if of.target == target}
        if pods is not None and wanted != self._spaces.get(target):
            self._spaces[target] = wanted
            pods.attend(wanted)

    async def follow(self, target: TargetName, pods: Pods) -> None:
        """Hears of the pods of one cluster, until that is closed."""
        async for owner in pods.moves():
            key = self._workloads.get(target, {}).get(owner)
            if key is not None:
                self._dirty[key] = None
                self._woken.set()

    def forget(self, lane: LaneId) -> None:
        """It is nobody's any more."""
        for known in (self._dirty, self._cases, self._again, self._relapses):
            for key in [key for key in known if key[0] == lane]:
                del known[key]
        for key in [key for key in self._uids if key[0] == lane]:
            self._workloads.get(lane.target, {}).pop(self._uids.pop(key), None)
        self._watch_pods(lane.target)

    def disconnected(self, target: TargetName) -> None:
        """What is known of a cluster is learned anew."""
        for known in (self._clusters, self._workloads, self._spaces):
            known.pop(target, None)
        for key in [key for key in self._uids if key[0].target == target]:
            del self._uids[key]

    # --- what it knows ------------------------------------------------------------------------

    def ailments(self, lane: LaneId) -> tuple[Ailment, ...]:
        """What was told to be ill and is not well again, by object."""
        return self.ill().get(lane, ())

    def ill(self) -> Mapping[LaneId, tuple[Ailment, ...]]:
        """:meth:`ailments` of every lane that has any."""
        told = ((key, case) for key, case in self._cases.items() if case.told is not None)
        found: dict[LaneId, tuple[Ailment, ...]] = {}
        for (lane, id), case in sorted(told, key=lambda each: each[0]):
            reason = case.reason if case.ill else f"{_AGAIN_WELL}; before: {case.reason}"
            ailment = Ailment(str(id), reason, case.told or 0.0)
            found[lane] = (*found.get(lane, ()), ailment)
        return found

    def blind(self, lane: LaneId) -> str:
        """Why nothing is known of a lane's pods, in words; empty where something is."""
        pods = _pods(self._clusters.get(lane.target))
        spaces = sorted({id.namespace for of, id in self._uids if of == lane})
        return next((why for space in spaces if pods and (why := pods.unseen(space))), "")

    def explain(self, cluster: Cluster, thing: LiveObject, reason: str) -> str:
        """Why an object is not well, what its pods say of it first, for the end is cut where there
        is little room: masked, on one line."""
        pods = _pods(cluster)
        said = cause(pods.of(thing.uid), self._clock.monotonic()) if pods else ""
        return self._shown("; ".join(filter(None, (said, reason))))

    def _shown(self, text: str) -> str:
        return one_line(self._mask(text), LONGEST)

    # --- what it does -------------------------------------------------------------------------

    async def load(self) -> None:
        """Reads what an earlier process told."""
        memos = await self._ledger.read(lambda reading: reading.memos(OWNER, limit=10_000))
        now = self._clock.monotonic()
        for memo in memos:
            for key, reason, told in read(memo.value):
                self._cases[key] = Case(reason, True, now, None, told)
        self.awake = True

    async def run(self) -> None:
        """For ever."""
        while True:
            self._woken.clear()
            try:
                await self.look()
            except (Transient, StaleWrite):
                await asyncio.sleep(_AFTER_TROUBLE)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._until_next())
            await asyncio.sleep(_SETTLES)

    def _until_next(self) -> float | None:
        times = [case.due for case in self._cases.values() if case.due is not None]
        times += self._again.values()
        return max(_SETTLES, min(times) - self._clock.monotonic()) if times else None

    async def look(self) -> None:
        """Judges what moved and tells what is believed by now."""
        now = self._clock.monotonic()
        for key in [key for key, at in self._again.items() if at <= now]:
            del self._again[key]
            self._dirty[key] = None
        for count, key in enumerate(list(self._dirty), 1):
            self._dirty.pop(key, None)
            self._judge(key, now)
            self.onlookers.moved(key[0].application)
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)
        due = [key for key, case in self._cases.items() if case.due is not None and case.due <= now]
        for lane in dict.fromkeys(lane for lane, _ in due):
            await self._tell(lane, [id for of, id in due if of == lane], now)

    # --- judging ------------------------------------------------------------------------------

    def _judge(self, key: Key, now: float) -> None:
        found, case = self._ailing(key, now), self._cases.get(key)
        if found is None:
            self._better(key, case, now)
            return
        reason, grace = found
        if case is None:
            self._cases[key] = Case(reason, True, now, now + grace)
            return
        if not case.ill:
            case.ill, case.since = True, now
        case.reason = reason
        case.due = None if case.told is not None else case.since + grace

    def _better(self, key: Key, case: Case | None, now: float) -> None:
        if case is None or not case.ill:
            return
        if case.told is None:
            del self._cases[key]
            return
        if self._live(key) is not None:
            count, at = self._relapses.get(key, (0, -self.patience.relapse))
            often = count if now - at < self.patience.relapse else 0
            wait = min(self.patience.recovered * 2**often, self.patience.longest)
            case.ill, case.since, case.due = False, now, now + wait
        elif case.due is None:
            case.due = now + _LOST  # gone, or only about to be replaced

    def _live(self, key: Key) -> LiveObject | None:
        lane, id = key
        cluster = self._clusters.get(lane.target)
        return cluster.live.owned(lane.application).get(id) if cluster else None

    def _ailing(self, key: Key, now: float) -> tuple[str, float] | None:
        """(why, how long that has to last to be believed); None when it is well, or not there:
        that something was taken away is drift."""
        thing = self._live(key)
        if thing is None:
            return None
        found = health.assess(thing.body)
        crashing = self._crashing(key, thing, now)
        if crashing:
            return self._shown(crashing), self.patience.crashing
        kind = (thing.id.group, thing.id.kind)
        if found.health is Health.DEGRADED:
            return self._explained(key, thing, found.reason), self.patience.degraded
        short = found.health in (Health.PROGRESSING, Health.UNKNOWN) and kind in STEADY
        if short and not thing.terminating:
            return self._explained(key, thing, found.reason), self.patience.unwell
        return None

    def _crashing(self, key: Key, thing: LiveObject, now: float) -> str:
        pods = _pods(self._clusters.get(key[0].target))
        dependents = pods.of(thing.uid) if pods is not None else ()
        ill = [pod for pod in dependents if ailment(pod, now)]
        over = [at for pod in ill if (at := gets_better_at(pod)) is not None and at > now]
        if over:
            self._again[key] = min(over)
        return cause(ill, now)

    def _explained(self, key: Key, thing: LiveObject, reason: str) -> str:
        return self.explain(self._clusters[key[0].target], thing, reason)

    # --- telling ------------------------------------------------------------------------------

    async def _tell(self, lane: LaneId, ids: Sequence[ObjectId], now: float) -> None:
        """Of one lane, everything whose time has come, in one transaction."""
        if await self._is_under_way(lane):
            for id in ids:
                self._cases[lane, id].due = now + _AGAIN
            return
        news = _News.of(lane, ids, self._cases, self._clock.now())

        def work(tx: Transaction) -> bool:
            last = next(iter(tx.deliveries(lane=lane, limit=1)), None)
            if last is not None:
                self._append(tx, last, news, now)
            tx.memorise(OWNER, str(lane), write(lane, news.told) if news.told and last else None)
            return last is not None

        if await self._ledger.write(work):
            self._noted(lane, news, now)
        else:  # never delivered: it is not ours to judge
            for id in ids:
                self._cases.pop((lane, id), None)

    async def _is_under_way(self, lane: LaneId) -> bool:
        def query(reading: Reading) -> bool:
            record = open_change(reading, reading.lane(lane))
            return record is not None and record.state in CLAIMED

        return await self._ledger.read(query)

    def _noted(self, lane: LaneId, news: _News, now: float) -> None:
        for id, case in news.ill.items():
            case.told, case.due = news.told[id][1], None
        for id in (*news.well, *news.lost):
            self._cases.pop((lane, id), None)
        # Not every one of these is in an event: what was said of a failure is not said again.
        self._ledger.bell.ring((bell.application(lane.application),))
        for id in news.well:
            count, at = self._relapses.get((lane, id), (0, -self.patience.relapse))
            recent = now - at < self.patience.relapse
            self._relapses[lane, id] = (count + 1 if recent else 1, now)
        horizon = now - self.patience.relapse
        self._relapses = {key: each for key, each in self._relapses.items() if each[1] > horizon}

    def _append(self, tx: Transaction, last: DeliveryRecord, news: _News, now: float) -> None:
        change = last.change.change.id
        new = {id: c for id, c in news.ill.items() if not self._was_said(last, id, c, now)}
        if new:
            tx.append(HealthMoved(change, False, listed(new)))
        ended, done = last.finished_at or 0.0, last.state is ChangeState.HEALTHY
        well = news.well if not news.told else {}
        # What a newer delivery mended was told by that one's being healthy.
        if well and not (done and all(ended > (case.told or 0.0) for case in well.values())):
            names = ", ".join(map(str, list(well)[:MOST]))
            tx.append(
                HealthMoved(change, True, f"{names} {'is' if len(well) == 1 else 'are'} well")
            )

    def _was_said(self, last: DeliveryRecord, id: ObjectId, case: Case, now: float) -> bool:
        """Did the failure of the last delivery say so already?"""
        if last.state is not ChangeState.FAILED:
            return False
        began = self._clock.now() - (now - case.since)
        return str(id) in last.reason or began <= (last.finished_at or 0.0)


def _pods(cluster: Cluster | None) -> Pods | None:
    attended: object = cluster
    return attended.pods if isinstance(attended, Attending) else None
