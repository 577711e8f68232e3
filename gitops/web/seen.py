"""One look at everything there is to count, so that a scrape agrees with itself.

Called by :mod:`gitops.web.metrics`. It reads what the controller and its store know anyway and asks
no source and no cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gitops.controller import Controller
from gitops.model.approval import Request
from gitops.model.cluster import ClusterState
from gitops.model.delivery import Cause, ChangeRecord, ChangeState, LaneId, LaneRecord, Pause
from gitops.model.health import Ailment
from gitops.model.hooks import HooksStatus
from gitops.ports import Counting, Reading
from gitops.standing import Kept, standing

MOST_NOTICES = 1_000


@dataclass(frozen=True, slots=True)
class LaneState:
    lane: LaneId
    state: str
    """One of :data:`gitops.standing.WORST_FIRST`."""
    drifted: bool
    held: bool
    rolled_back: bool
    asking_since: float | None
    delivered_at: float | None


@dataclass(frozen=True, slots=True)
class SourceSeen:
    name: str
    state: str
    polls: Mapping[str, int]
    answered_at: float | None


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    name: str
    ready: bool
    requests: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at everything, so that a scrape agrees with itself."""

    lanes: Sequence[LaneState]
    applications: int
    paused: frozenset[str]
    working: int
    waiting: int
    requests: Sequence[Request]
    notices: int
    sources: Sequence[SourceSeen]
    clusters: Sequence[ClusterSeen]
    hooks: HooksStatus
    lease: bool
    ready: bool


async def look(controller: Controller) -> Seen:
    """Raises StoreUnavailable: a scrape that fails is honest, one with old figures is not."""
    lanes = controller.roster.lanes()
    controller.measures.retain(set(lanes))
    now = controller.parts.clock.now()

    pauses, ill = controller.pauses.present(), controller.vigil.ill()

    def query(reading: Reading) -> tuple[list[LaneState], Sequence[Request], int]:
        known = {record.lane: record for record in reading.lanes()}
        current = {record.change.lane: record for record in reading.changes()}
        states = [
            lane_state(
                known.get(lane) or LaneRecord(lane),
                current.get(lane),
                pauses.get(lane.application),
                next(iter(ill.get(lane, ())), None),
            )
            for lane in lanes
        ]
        # What quiet hours hold back until morning is not stuck.
        due = reading.outbox(MOST_NOTICES, due=now)
        return states, reading.requests(limit=10_000), len(due)

    states, requests, notices = await controller.ledger.read(query)
    names = controller.roster.specs()
    return Seen(
        lanes=states,
        applications=len(names),
        paused=frozenset(str(name) for name in names if name in pauses),
        working=sum(controller.lanes.busy(lane) for lane in lanes),
        waiting=len(controller.lanes.waiting()),
        requests=requests,
        notices=notices,
        sources=_sources(controller),
        clusters=_clusters(controller),
        hooks=controller.inbox.tallies.status(),
        lease=controller.ledger.epoch is not None,
        ready=controller.ready.is_set(),
    )


def _sources(controller: Controller) -> list[SourceSeen]:
    return [
        SourceSeen(str(name), watch.status.state.value, dict(watch.polls), watch.answered_at)
        for name, watch in controller.watches.items()
    ]


def _clusters(controller: Controller) -> list[ClusterSeen]:
    return [
        ClusterSeen(
            str(name),
            cluster.status().state is ClusterState.READY,
            dict(cluster.requests()) if isinstance(cluster, Counting) else {},
        )
        for name, cluster in controller.clusters.connected.items()
    ]


def lane_state(
    record: LaneRecord, current: ChangeRecord | None, pause: Pause | None, ill: Ailment | None
) -> LaneState:
    """Where a lane stands, with what is counted besides whatever its one word is."""
    drifting = current is not None and current.change.cause is Cause.DRIFT
    asking = current is not None and current.state is ChangeState.ASKING
    stands = standing(record.lane, Kept.of(record, current), labels={}, pause=pause, ill=ill)
    return LaneState(
        record.lane,
        stands.state,
        drifting or record.drift_hold is not None,
        record.hold is not None or record.drift_hold is not None,
        record.rollback is not None,
        current.updated_at if current is not None and asking else None,
        record.delivered.at if record.delivered else None,
    )
