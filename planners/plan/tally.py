"""How everything an application has stands, kept from one drawing to the next.

Called by drawing. Each object is judged by its manifest, by what was last applied, by the live
object and by the inventory; it is judged again only when one of these is another than last time,
so that one changed object among thousands costs a few comparisons. Starting from an empty tally
gives the same answer: losing it costs time, never correctness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from gitops.delta import gone_and_come, moved
from gitops.model.cluster import LiveObject
from gitops.model.delivery import AppliedObject
from gitops.model.manifest import ObjectId
from planners.plan.resolution import Resolved

IN_ORDER = attrgetter("group", "kind", "namespace", "name")

Settled = Callable[[Resolved, AppliedObject, LiveObject], bool]
"""Is the object as it was left, and was it left as it should be?"""

Items = Mapping[ObjectId, Resolved]
Applied = Mapping[ObjectId, AppliedObject]
Owned = Mapping[ObjectId, LiveObject]


@dataclass(slots=True)
class Tally:
    """One lane's. The three sets are what a drawing has to look at; all else is right."""

    unsettled: set[ObjectId] = field(default_factory=set)
    """Wanted, and not known to be right."""
    strays: set[ObjectId] = field(default_factory=set)
    """In the cluster under our label or in the inventory, and not wanted."""
    orphans: set[ObjectId] = field(default_factory=set)
    """Recorded as applied, and not wanted."""
    order: tuple[ObjectId, ...] = ()
    """Everything wanted, in order of identity."""
    versions: tuple[tuple[str, str], ...] = ()
    """What goes out together: the versions all wanted objects name."""
    _items: Items = field(default_factory=dict)
    _applied: Applied = field(default_factory=dict)
    _lives: tuple[LiveObject, ...] = ()
    _inventory: frozenset[ObjectId] = frozenset()
    _kinds: set[tuple[str, str]] = field(default_factory=set)

    def kinds(
        self, inventory: frozenset[ObjectId] | None, applied: Applied
    ) -> frozenset[tuple[str, str]]:
        """Group and kind of everything recorded here or there, now or when last drawn."""
        new = moved(self._applied, applied)
        if inventory is not None and inventory is not self._inventory:
            new |= inventory
        self._kinds.update({(id.group, id.kind) for id in new})
        return frozenset(self._kinds)

    def update(
        self,
        items: Items,
        applied: Applied,
        owned: Owned,
        inventory: frozenset[ObjectId],
        settled: Settled,
    ) -> None:
        """Judges what moved. ``items`` must not be changed afterwards; the others may be."""
        lives = tuple(owned.values())
        gone, come = gone_and_come(self._lives, lives)
        touched = moved(self._applied, applied) | {live.id for live in (*gone, *come)}
        others = moved(self._items, items)
        touched |= others
        if inventory is not self._inventory:
            touched |= inventory ^ self._inventory
        for id in touched:
            item, record, live = items.get(id), applied.get(id), owned.get(id)
            right = item and record and live and settled(item, record, live)
            _put(self.unsettled, id, item is not None and not right)
            _put(self.strays, id, item is None and (live is not None or id in inventory))
            _put(self.orphans, id, item is None and record is not None)
        self._list(items, others)
        # Last of all: what an error left half judged is judged again.
        self._items, self._applied = items, dict(applied)
        self._lives, self._inventory = lives, inventory

    def _list(self, items: Items, others: Iterable[ObjectId]) -> None:
        pairs = [(self._items.get(id), items.get(id)) for id in others]
        if any((old is None) is not (new is None) for old, new in pairs):
            self.order = tuple(sorted(items, key=IN_ORDER))
        if any(_versions(old) != _versions(new) for old, new in pairs):
            named = {version for item in items.values() for version in item.versions}
            self.versions = tuple(sorted(named))


def _versions(item: Resolved | None) -> tuple[tuple[str, str], ...]:
    return item.versions if item else ()


def _put(into: set[ObjectId], id: ObjectId, belongs: bool) -> None:
    if belongs:
        into.add(id)
    else:
        into.discard(id)
