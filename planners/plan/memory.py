"""What planning remembers between passes, so that an unchanged object costs dictionary look-ups.

Only derived values live here: losing all of it costs time, never correctness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gitops import projection
from gitops.model.cluster import LiveObject, Resource
from gitops.model.delivery import LaneId
from gitops.model.ids import Digest
from gitops.model.manifest import ObjectId
from gitops.ports import Digester
from planners.plan.resolution import LastResolution, Resolved
from planners.plan.tally import Tally


@dataclass(frozen=True, slots=True)
class Seen:
    """What a live object came down to at one resource version."""

    uid: str
    resource_version: str
    projection: Digest | None
    terminating: bool


@dataclass(slots=True)
class Lane:
    """One lane's memory. It holds what the last pass used and nothing older."""

    terms: tuple[str, ...] = ()
    """What resolving depends on besides the manifest; other terms empty the memory."""
    resolved: dict[tuple[Digest, bool], Resolved] = field(default_factory=dict)
    defined: dict[Digest, tuple[Resource, ...]] = field(default_factory=dict)
    """Kinds that a CRD manifest defines."""
    seen: dict[ObjectId, Seen] = field(default_factory=dict)
    last: LastResolution | None = None
    tally: Tally = field(default_factory=Tally)

    def look(self, live: LiveObject, digester: Digester) -> Seen:
        """The digest of our fields in ``live``, computed once per resource version."""
        known = self.seen.get(live.id)
        if known and (known.resource_version, known.uid) == (live.resource_version, live.uid):
            return known
        mask = projection.owned(live.body)
        found = projection.digest(live.body, mask, digester)
        seen = Seen(live.uid, live.resource_version, found, live.terminating)
        self.seen[live.id] = seen
        return seen

    def forget_absent(self, owned: Mapping[ObjectId, LiveObject]) -> None:
        """Drop objects that left, once they are a sizeable part of what is kept."""
        if len(self.seen) > 2 * len(owned) + 64:
            self.seen = {id: seen for id, seen in self.seen.items() if id in owned}


class PlanMemory:
    """Resolved manifests by digest, projections by resource version; bounded. One a process."""

    def __init__(self) -> None:
        self._lanes: dict[LaneId, Lane] = {}

    def lane(self, lane: LaneId, terms: tuple[str, ...]) -> Lane:
        """The lane's memory, empty where its terms are others than last time."""
        known = self._lanes.get(lane)
        if known is None or known.terms != terms:
            known = self._lanes[lane] = Lane(terms)
        return known

    def forget(self, lane: LaneId) -> None:
        """The application or target left the fleet."""
        self._lanes.pop(lane, None)
