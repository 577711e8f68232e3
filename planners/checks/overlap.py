"""Finds objects that are written twice: in one application, or by two on the same target.

Called by :mod:`planners.checks.run` for every application in turn; the index of who claims what is
kept here, in memory, and told only what differs from the last time, so one changed file among ten
thousand costs a handful of look-ups. Two owners of one object would take it from each other for
ever; the one who came first goes on being delivered, the later one is blocked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gitops.delta import gone_and_come
from gitops.model.delivery import LaneId
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import TargetName
from gitops.model.manifest import Manifest, ObjectId
from gitops.plugins import Services
from gitops.ports import CheckJob, Scope
from planners.checks.definitions import Definition, Kind, defined, is_definition, namespaced

NAME = "overlap"
VERSION = "1"

Key = tuple[TargetName, ObjectId]
Claims = dict[LaneId, list[Manifest]]
"""Who writes an object, first come first; more than one manifest: twice in one application."""


@dataclass(frozen=True, slots=True)
class Options:
    """None: one object has one owner."""


@dataclass(slots=True)
class _Seen:
    """What a lane claimed when it was last looked at."""

    namespace: str = ""
    """The application's default, which the keys below were made with."""
    manifests: tuple[Manifest, ...] = ()
    keys: dict[int, tuple[Manifest, Key]] = field(default_factory=dict)
    """By ``id()`` of the manifest, which is kept alive here: an unchanged object is recognised
    without looking into it, since renderers hand out the same value for the same bytes."""
    unplaced: dict[int, Manifest] = field(default_factory=dict)
    """Of kinds nobody knows yet, by ``id()``."""
    own: Mapping[Kind, Definition] = field(default_factory=dict)


class Overlap:
    """The check, and its index over every application it was asked about."""

    name = NAME
    version = VERSION
    scope = Scope.FLEET

    def __init__(self) -> None:
        self._claims: dict[Key, Claims] = {}
        self._seen: dict[LaneId, _Seen] = {}
        self._double: dict[LaneId, set[Key]] = {}
        """Keys with more than one manifest, by lane: those that findings are made of."""
        self._freed: set[LaneId] = set()
        self._delivered: set[LaneId] = set()
        self._lent: set[LaneId] = set()
        """Whose ``_seen`` belongs to another instance: copied before it is touched."""

    def aside(self, _memo: dict[int, Any]) -> Overlap:
        """The same index, to try something out on: nothing of that is seen here. Costs a copy of
        the outer dictionaries, not of what is in them."""
        other = Overlap()
        other._claims, other._seen = dict(self._claims), dict(self._seen)
        other._double = {lane: set(keys) for lane, keys in self._double.items()}
        other._delivered, other._lent = set(self._delivered), set(self._seen)
        return other

    def concerns(self, application: ApplicationSpec) -> bool:
        return application.terraform is None

    async def run(self, job: CheckJob) -> Sequence[Finding]:
        if job.delivered:
            self._delivered.add(job.lane)
        await self._update(job)
        keys = sorted(self._double.get(job.lane, ()))
        return [self._finding(job.lane, key) for key in keys]

    def forget(self, lane: LaneId) -> None:
        """The application left the fleet or the target: its claims are void."""
        for manifest, key in self._seen.pop(lane, _Seen()).keys.values():
            self._drop(lane, manifest, key)
        self._freed.discard(lane)
        self._delivered.discard(lane)

    def freed(self) -> frozenset[LaneId]:
        """Lanes whose objects another lane has given up since this was last asked: they may have
        been blocked by it and should be looked at again."""
        lanes = frozenset(self._freed)
        self._freed.clear()
        return lanes

    async def _update(self, job: CheckJob) -> None:
        """New claims before old ones are dropped: an object that was only edited stays its
        lane's, and nobody is told that it was given up."""
        lane, default = job.lane, job.application.namespace
        if lane in self._seen and self._seen[lane].namespace != default:
            self.forget(lane)
        seen = self._own(lane, default)
        gone, come = gone_and_come(seen.manifests, job.desired.manifests)
        for manifest in gone:
            seen.unplaced.pop(id(manifest), None)
        seen.unplaced.update({id(manifest): manifest for manifest in come})
        if any(map(is_definition, (*gone, *come))):
            seen.own = defined(job.desired.manifests)
        if seen.unplaced:
            await self._place(job, seen)
        for manifest in gone:
            claimed = seen.keys.pop(id(manifest), None)
            if claimed is not None:
                self._drop(lane, *claimed)
        seen.manifests = job.desired.manifests

    def _own(self, lane: LaneId, default: str) -> _Seen:
        seen = self._seen.setdefault(lane, _Seen(default))
        if lane in self._lent:
            self._lent.discard(lane)
            seen = replace(seen, keys=dict(seen.keys), unplaced=dict(seen.unplaced))
            self._seen[lane] = seen
        return seen

    async def _place(self, job: CheckJob, seen: _Seen) -> None:
        """Claims what can be claimed by now."""
        fresh = list(seen.unplaced.values())
        scopes = await namespaced(job.catalogue, seen.own, {(m.id.group, m.id.kind) for m in fresh})
        for manifest in fresh:
            kind = (manifest.id.group, manifest.id.kind)
            if kind in scopes:
                key = (job.lane.target, _resolved(manifest.id, seen.namespace, scopes[kind]))
                seen.keys[id(manifest)] = manifest, key
                del seen.unplaced[id(manifest)]
                self._claim(job.lane, manifest, key)

    def _claim(self, lane: LaneId, manifest: Manifest, key: Key) -> None:
        claims = dict(self._claims.get(key, {}))  # the one that is there may be lent to others
        claims[lane] = [*claims.get(lane, ()), manifest]
        self._claims[key] = claims
        self._mark(key, claims)

    def _drop(self, lane: LaneId, manifest: Manifest, key: Key) -> None:
        claims = dict(self._claims.get(key, {}))
        mine = [each for each in claims.get(lane, ()) if each is not manifest]
        self._double.get(lane, set()).discard(key)
        if mine:
            claims[lane] = mine
        else:
            claims.pop(lane, None)
            self._freed.update(claims)
        if claims:
            self._claims[key] = claims
        else:
            self._claims.pop(key, None)
        self._mark(key, claims)

    def _mark(self, key: Key, claims: Claims) -> None:
        for lane, manifests in claims.items():
            keys = self._double.setdefault(lane, set())
            if len(claims) > 1 or len(manifests) > 1:
                keys.add(key)
            else:
                keys.discard(key)

    def _finding(self, lane: LaneId, key: Key) -> Finding:
        claims = self._claims[key]
        mine = sorted(claims[lane], key=lambda each: (each.origin.path, each.origin.line))
        if len(mine) > 1:
            return _twice(mine, key[1])
        # Who has delivered owns what it has; a newcomer's claim must not stop it. Among equals the
        # first to claim does.
        first = next((each for each in claims if each in self._delivered), next(iter(claims)))
        other = next(each for each in claims if each != lane) if first == lane else first
        return _contested(mine[0], key[1], lane, other, claims[other][0], mine_first=first == lane)


def _resolved(id: ObjectId, default: str, namespaced: bool) -> ObjectId:
    return replace(id, namespace=(id.namespace or default) if namespaced else "")


def _twice(manifests: Sequence[Manifest], id: ObjectId) -> Finding:
    first, second = manifests[0].origin, manifests[-1].origin
    return Finding(
        NAME,
        Severity.ERROR,
        f"{id} is written twice in this application: {first} and {second}",
        hint="remove one of the two; which of them would win is left to chance",
        path=second.path,
        line=second.line,
        object=id,
    )


def _contested(
    manifest: Manifest,
    id: ObjectId,
    lane: LaneId,
    other: LaneId,
    theirs: Manifest,
    *,
    mine_first: bool,
) -> Finding:
    return Finding(
        NAME,
        Severity.WARNING if mine_first else Severity.ERROR,
        f"{id} is also claimed by application {other.application} ({theirs.origin}) on "
        f"{lane.target}",
        hint=f"remove it here ({manifest.origin}) or there; an object has one owner",
        path=manifest.origin.path,
        line=manifest.origin.line,
        object=id,
    )


def build(options: Options, services: Services) -> Overlap:
    return Overlap()
