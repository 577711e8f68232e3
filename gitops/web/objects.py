"""What an application has on one target: every object with how it is, against what it should be,
and what the cluster made of it. From memory and one reading of the store, without a request.

Gathered for the application's page and the API. Texts of objects are masked here, and stay foreign.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256

from gitops import health
from gitops.controller import Controller
from gitops.foreign import one_line
from gitops.health.crashes import assessed, last_ending
from gitops.model.cluster import LiveObject
from gitops.model.delivery import CLAIMED, Cause, ChangeRecord, LaneId
from gitops.model.health import Health, ObjectHealth
from gitops.model.ids import ChangeId
from gitops.model.manifest import ObjectId
from gitops.model.plan import Action, Plan, ResourceChange
from gitops.model.pods import Pod, ReplicaSet
from gitops.ports import Cluster, Reading
from gitops.ports.pods import Attending, Pods
from gitops.web.secrecy import Secrecy

LONGEST = 300
"""Characters of one object's reason."""
_JUDGED = 20_000
"""Objects whose health is remembered until they move."""
_ORDER = {each: place for place, each in enumerate(reversed(Health))}
_FINE = (Health.HEALTHY, Health.SUSPENDED)


class Sync(StrEnum):
    """How an object is against what was delivered, and what is about to be done to it."""

    MISSING = "missing"
    DRIFTED = "drifted"
    APPLYING = "being applied"
    PLANNED = "waits"
    """A change to it is planned or asked about."""
    LEFT = "not wanted any more"
    """It carries our label, and nothing wants it: it is not pruned."""
    UNCOMPARED = "not compared yet"
    SAME = "in sync"


_SYNC_ORDER = {each: place for place, each in enumerate(Sync)}


@dataclass(frozen=True, slots=True)
class Node:
    """An object, with what the cluster made of it."""

    key: str
    """16 hexadecimal digits: stands for the object in addresses."""
    id: ObjectId
    uid: str
    health: Health
    reason: str = ""
    """Masked, on one line; foreign."""
    sync: Sync | None = None
    """None for what the cluster made."""
    action: Action | None = None
    """What the open change does to it."""
    made: tuple[Node, ...] = ()
    earlier: int = 0
    """ReplicaSets of earlier versions, without a pod."""
    containers: tuple[str, ...] = ()
    """Of a pod."""
    restarts: int = 0
    ended: str = ""
    """How a container of a pod ended last; masked."""

    @property
    def well(self) -> bool:
        return self.health in _FINE and self.sync in (None, Sync.SAME)

    @property
    def rank(self) -> tuple[int, int, ObjectId]:
        """What needs somebody comes first."""
        sync = _SYNC_ORDER[self.sync] if self.sync else len(_SYNC_ORDER)
        worst = min((_ORDER[each.health] for each in (self, *self.made)), default=0)
        return min(worst, sync), sync, self.id

    def all(self) -> Iterator[Node]:
        yield self
        for child in self.made:
            yield from child.all()


@dataclass(frozen=True, slots=True)
class Tree:
    """Everything on one target."""

    lane: LaneId
    nodes: tuple[Node, ...]
    """What needs somebody first, then by identity."""
    trouble: str = ""
    """Why nothing is known of what is there, in words; masked."""
    blind: tuple[str, ...] = ()
    """Why nothing is known of pods in some namespaces, in words."""

    def find(self, key: str) -> Node | None:
        return next((n for top in self.nodes for n in top.all() if n.key == key), None)


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a lane's objects."""

    wanted: frozenset[ObjectId]
    """What was applied and not taken away again."""
    current: ChangeRecord | None = None
    plan: Plan | None = None


def known(reading: Reading, lane: LaneId) -> Known:
    """In a reading of the caller's."""
    id = reading.lane(lane).current
    current = reading.change(ChangeId(id)) if id else None
    plan = reading.plan(current.change.id) if current else None
    return Known(frozenset(reading.applied(lane)), current, plan)


@lru_cache(maxsize=_JUDGED)
def key_of(id: ObjectId) -> str:
    said = "\0".join((id.group, id.kind, id.namespace, id.name))
    return sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Trees:
    """One for each door; remembers only what costs time to judge anew."""

    def __init__(self, controller: Controller, secrecy: Secrecy) -> None:
        self._controller = controller
        self._secrecy = secrecy
        self._judged: dict[str, tuple[str, ObjectHealth]] = {}

    def of(self, lane: LaneId, store: Known) -> Tree:
        """Of a lane that goes to a cluster."""
        cluster = self._controller.clusters.connected.get(lane.target)
        if cluster is None:
            return Tree(lane, (), "the cluster has not been connected to yet")
        live = dict(cluster.live.owned(lane.application))
        self._secrecy.learn(live.values())
        drifted = self._controller.clusters.drifted(lane)
        rows = _rows(store.plan) if store.plan else {}
        ids = {*store.wanted, *live, *(id for id, row in rows.items() if _appears(row))}
        nodes = [
            self._node(cluster, id, live.get(id), _sync(id, live, drifted, store, rows), rows)
            for id in ids
        ]
        spaces = sorted({id.namespace for id in live})
        blind = self._blind(cluster, spaces)
        trouble = "" if live or not store.wanted else self._nothing_seen(cluster, drifted)
        return Tree(lane, tuple(sorted(nodes, key=lambda node: node.rank)), trouble, blind)

    def _node(
        self,
        cluster: Cluster,
        id: ObjectId,
        thing: LiveObject | None,
        sync: Sync,
        rows: Mapping[ObjectId, ResourceChange],
    ) -> Node:
        row = rows.get(id)
        action = row.action if row else None
        if thing is None:
            missing = Health.UNKNOWN if sync is Sync.UNCOMPARED else Health.MISSING
            return Node(key_of(id), id, "", missing, sync=sync, action=action)
        found = self._judge(thing)
        pods = pods_of(cluster)
        made, earlier = self._made(pods, thing.uid) if pods else ((), 0)
        worst = _worst(made)
        if found.health in _FINE and worst is not None and worst.health is Health.DEGRADED:
            # A roll-out that is enough for its owner, with a pod that crashes.
            found = ObjectHealth(found.health, f"{worst.id.kind} {worst.id.name}: {worst.reason}")
        reason = self._said(found.reason)
        own = _containers(thing) if (id.group, id.kind) == ("", "Pod") else ()
        return Node(
            key_of(id), id, thing.uid, found.health, reason, sync, action, made, earlier, own
        )

    def _judge(self, thing: LiveObject) -> ObjectHealth:
        before = self._judged.get(thing.uid)
        if before is not None and before[0] == thing.resource_version:
            return before[1]
        if len(self._judged) >= _JUDGED:
            self._judged.clear()
        found = health.assess(thing.body)
        self._judged[thing.uid] = (thing.resource_version, found)
        return found

    # --- what the cluster made ----------------------------------------------------------------

    def _made(self, pods: Pods, uid: str) -> tuple[tuple[Node, ...], int]:
        sets = pods.sets(uid)
        if not sets:
            return tuple(sorted((self.pod(p) for p in pods.of(uid)), key=lambda n: n.rank)), 0
        nodes = [self._set(each, pods.of(each.uid)) for each in sets]
        shown = [node for place, node in enumerate(nodes) if node.made or not place]
        return tuple(shown), len(nodes) - len(shown)

    def _set(self, made: ReplicaSet, pods: Sequence[Pod]) -> Node:
        nodes = tuple(sorted((self.pod(pod) for pod in pods), key=lambda node: node.rank))
        worst = _worst(nodes)
        well = sum(1 for node in nodes if node.health in _FINE)
        count = f"{well} of {len(nodes)} pods are well" if nodes else "it has no pods"
        state = worst.health if worst is not None else Health.HEALTHY
        return Node(key_of(made.id), made.id, made.uid, state, count, made=nodes)

    def pod(self, pod: Pod) -> Node:
        """From what is remembered of it."""
        found = assessed(pod, self._controller.parts.clock.monotonic())
        return Node(
            key_of(pod.id),
            pod.id,
            pod.uid,
            found.health,
            self._said(found.reason),
            containers=pod.names,
            restarts=pod.restarts,
            ended=self._said(last_ending(pod)),
        )

    # --- what is not known --------------------------------------------------------------------

    def _blind(self, cluster: Cluster, spaces: Iterable[str]) -> tuple[str, ...]:
        pods = pods_of(cluster)
        said = (pods.unseen(space) for space in spaces) if pods else ()
        return tuple(dict.fromkeys(self._said(each) for each in said if each))

    def _nothing_seen(self, cluster: Cluster, drifted: frozenset[ObjectId] | None) -> str:
        status = cluster.status()
        if drifted is None:
            return self._said(status.message) or "its objects have not been looked at yet"
        return self._said(status.message)

    def _said(self, text: str) -> str:
        return one_line(self._secrecy.mask(text), LONGEST) if text else ""


def pods_of(cluster: Cluster) -> Pods | None:
    attended: object = cluster
    return attended.pods if isinstance(attended, Attending) else None


def _rows(plan: Plan) -> dict[ObjectId, ResourceChange]:
    return {row.object: row for row in plan.changes if row.object is not None}


def _appears(row: ResourceChange) -> bool:
    return row.action is not Action.DELETE


def _sync(
    id: ObjectId,
    live: Mapping[ObjectId, LiveObject],
    drifted: frozenset[ObjectId] | None,
    store: Known,
    rows: Mapping[ObjectId, ResourceChange],
) -> Sync:
    current = store.current
    if current is not None and id in rows:
        if current.state in CLAIMED:
            return Sync.APPLYING
        if current.change.cause is not Cause.DRIFT:
            return Sync.PLANNED
        return Sync.DRIFTED if id in live else Sync.MISSING
    if id not in store.wanted or drifted is None:
        return Sync.UNCOMPARED if id in store.wanted else Sync.LEFT
    off = Sync.DRIFTED if id in live else Sync.MISSING
    return off if id in drifted or id not in live else Sync.SAME


def _worst(nodes: Sequence[Node]) -> Node | None:
    return min(nodes, key=lambda node: _ORDER[node.health], default=None)


def _containers(thing: LiveObject) -> tuple[str, ...]:
    """Of a pod that is delivered as such."""
    spec = thing.body.get("spec")
    found = spec.get("containers") if isinstance(spec, Mapping) else None
    rows = found if isinstance(found, list) else []
    return tuple(str(each.get("name", "")) for each in rows if isinstance(each, Mapping))
