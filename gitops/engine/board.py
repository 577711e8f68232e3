"""How every lane stands, in memory, so that looking at thousands of them costs nothing.

Kept by the controller. The ledger's bell says which applications a write was about; only their
lanes are read again, when somebody asks or a moment later. What is in no store (pauses in force,
ailments, troubles) is compared whenever somebody asks: there is little of it. What is answered is
always what a fresh reading would give; a process that does not hold the lease does not hear of
writes and so reads everything each time. It decides nothing.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gitops.engine.bell import EVERYTHING
from gitops.engine.lanes import Lanes
from gitops.engine.ledger import Ledger, open_change
from gitops.engine.pauses import Pauses
from gitops.engine.roster import Roster
from gitops.engine.vigil import Vigil
from gitops.errors import StaleWrite, Transient
from gitops.model.delivery import LaneId, Pause
from gitops.model.events import Epoch
from gitops.model.fleet import ApplicationSpec
from gitops.model.health import Ailment
from gitops.model.ids import ApplicationName
from gitops.model.source import Authorship
from gitops.ports import Reading
from gitops.ports.office import Standing
from gitops.standing import NOTHING, Kept, standing

K = TypeVar("K")

SETTLES = 1.0
"""Seconds between two readings nobody asked for."""
FEW = 1_000
"""Lanes that are read one by one; more of them and reading all is quicker."""
_PREFIX = "application:"
_AFTER_TROUBLE = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One application, with how it stands on each of its targets, by target."""

    spec: ApplicationSpec
    standings: tuple[Standing, ...]
    departed: bool = False
    """It left its source, and is still there where it was delivered."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A lane people are asked about."""

    lane: LaneId
    spec: ApplicationSpec
    authorship: Authorship


@dataclass(frozen=True, slots=True)
class Present:
    """The whole board at one moment."""

    edition: int
    """Another number whenever anything on it is another."""
    rows: tuple[Row, ...] = ()
    """By name."""
    asked: Mapping[str, Sequence[Asked]] = field(default_factory=dict)
    """By request."""

    @property
    def standings(self) -> tuple[Standing, ...]:
        """By application and target."""
        return tuple(each for row in self.rows for each in row.standings)

    def of(self, name: str) -> tuple[Standing, ...]:
        """Of one application, by target; none of one that is not there. Costs no more in a large
        fleet."""
        place = bisect_left(self.rows, name, key=lambda row: row.spec.name)
        there = self.rows[place : place + 1]
        return there[0].standings if there and there[0].spec.name == name else ()


@dataclass(frozen=True, slots=True)
class Beside:
    """What of the lanes is in no store."""

    pauses: Mapping[ApplicationName, Pause] = field(default_factory=dict)
    ill: Mapping[LaneId, tuple[Ailment, ...]] = field(default_factory=dict)
    troubles: Mapping[LaneId, str] = field(default_factory=dict)

    def moved(self, before: Beside) -> set[ApplicationName]:
        """Applications of which this is no longer what it was."""
        lanes = _differing(self.ill, before.ill) | _differing(self.troubles, before.troubles)
        return {lane.application for lane in lanes} | _differing(self.pauses, before.pauses)


class Board:
    """One controller's."""

    def __init__(
        self, roster: Roster, ledger: Ledger, pauses: Pauses, vigil: Vigil, lanes: Lanes
    ) -> None:
        self._roster = roster
        self._ledger = ledger
        self._pauses = pauses
        self._vigil = vigil
        self._lanes = lanes
        self._all = True
        self._heard: set[ApplicationName] = set()
        """Whose lanes have to be read again."""
        self._epoch: Epoch | None = None
        self._edition = -1
        """Of the roster, as it is laid out here."""
        self._specs: Mapping[ApplicationName, ApplicationSpec] = {}
        self._names: Sequence[ApplicationName] = ()
        self._kept: dict[LaneId, Kept] = {}
        self._unread: set[LaneId] = set()
        self._beside = Beside()
        self._stale: set[ApplicationName] = set()
        """Whose row has to be made again."""
        self._rows: dict[ApplicationName, Row] = {}
        self._moved = False
        self._present = Present(0)
        self._turn = asyncio.Lock()
        self._rung = asyncio.Event()
        ledger.bell.attach(self)

    def hear(self, topics: Collection[str]) -> None:
        """Called by the bell in the middle of a write."""
        for topic in topics:
            if topic.startswith(_PREFIX):
                self._heard.add(ApplicationName(topic[len(_PREFIX) :]))
            elif topic == EVERYTHING:
                self._all = True
        self._rung.set()

    async def run(self) -> None:
        """For ever: reads again what moved, so that nobody who looks has to wait for much."""
        while True:
            self._rung.clear()
            try:
                await self.present()
            except (Transient, StaleWrite):
                await asyncio.sleep(_AFTER_TROUBLE)
                self._rung.set()
            await self._rung.wait()
            await asyncio.sleep(SETTLES)

    async def present(self) -> Present:
        """As a fresh reading would have it. Raises StoreUnavailable."""
        async with self._turn:
            self._distrust()
            # Nothing is awaited between finding nothing to read and the answer.
            while (todo := self._todo()) is None or todo:
                await self._read(todo)
            return self._drawn()

    def _distrust(self) -> None:
        """Whoever holds no lease, or has just got it, has not heard of what others wrote."""
        epoch = self._ledger.epoch
        if epoch is None or epoch != self._epoch:
            self._all, self._epoch = True, epoch

    # --- what there is to read ----------------------------------------------------------------

    def _todo(self) -> set[LaneId] | None:
        """Lanes to be read; None for all of them."""
        if self._edition != self._roster.edition:
            self._lay_out()
        if self._all:
            return None
        heard, self._heard = self._heard, set()
        for name in heard & self._specs.keys():
            self._unread.update(_lanes_of(self._specs[name]))
        return self._unread

    def _lay_out(self) -> None:
        """Takes in what came to the roster, lets go of what left."""
        self._edition = self._roster.edition
        specs = self._roster.specs()
        self._stale.update(name for name, spec in specs.items() if self._is_new(name, spec))
        self._specs, self._names = specs, sorted(specs)
        lanes = {lane for spec in specs.values() for lane in _lanes_of(spec)}
        self._unread = (self._unread & lanes) | (lanes - self._kept.keys())
        self._kept = {lane: kept for lane, kept in self._kept.items() if lane in lanes}
        for name in self._rows.keys() - specs.keys():
            del self._rows[name]
            self._moved = True

    def _is_new(self, name: ApplicationName, spec: ApplicationSpec) -> bool:
        row = self._rows.get(name)
        return row is None or row.spec is not spec or row.departed != self._roster.departed(name)

    async def _read(self, todo: set[LaneId] | None) -> None:
        wanted = frozenset(self._specs_lanes() if todo is None else todo)
        self._all = self._all and todo is not None
        try:
            found = await self._ledger.read(_everything if len(wanted) > FEW else _each(wanted))
        except BaseException:
            self._all = self._all or todo is None
            raise
        self._unread -= wanted
        for lane in wanted:
            kept = found.get(lane, NOTHING)
            if self._kept.get(lane) != kept:
                self._kept[lane] = kept
                self._stale.add(lane.application)

    def _specs_lanes(self) -> Iterator[LaneId]:
        return (lane for spec in self._specs.values() for lane in _lanes_of(spec))

    # --- what is shown of it ------------------------------------------------------------------

    def _drawn(self) -> Present:
        troubles = self._lanes.troubles().items()
        beside = Beside(
            self._pauses.present(),
            self._vigil.ill(),
            {lane: each.told for lane, each in troubles if each.told},
        )
        self._stale |= beside.moved(self._beside)
        self._beside = beside
        for name in self._stale & self._specs.keys():
            row = self._row(name)
            self._moved = self._moved or row != self._rows.get(name)
            self._rows[name] = row
        self._stale = set()
        if self._moved:
            self._moved = False
            rows = tuple(self._rows[name] for name in self._names)
            self._present = Present(self._present.edition + 1, rows, self._asked())
        return self._present

    def _asked(self) -> Mapping[str, Sequence[Asked]]:
        found: dict[str, list[Asked]] = {}
        for lane, kept in self._kept.items():
            asked = kept.open
            if asked is not None and asked.authorship is not None and asked.request:
                row = Asked(lane, self._specs[lane.application], asked.authorship)
                found.setdefault(asked.request, []).append(row)
        return found

    def _row(self, name: ApplicationName) -> Row:
        spec = self._specs[name]
        lanes = sorted(_lanes_of(spec), key=lambda lane: lane.target)
        standings = tuple(self._standing(lane, spec) for lane in lanes)
        return Row(spec, standings, self._roster.departed(name))

    def _standing(self, lane: LaneId, spec: ApplicationSpec) -> Standing:
        beside = self._beside
        return standing(
            lane,
            self._kept.get(lane, NOTHING),
            labels=spec.labels,
            pause=beside.pauses.get(lane.application),
            ill=next(iter(beside.ill.get(lane, ())), None),
            trouble=beside.troubles.get(lane, ""),
        )


def _lanes_of(spec: ApplicationSpec) -> Iterator[LaneId]:
    return (LaneId(spec.name, target) for target in spec.targets)


def _everything(reading: Reading) -> dict[LaneId, Kept]:
    open_ = {record.change.lane: record for record in reading.changes()}
    return {each.lane: Kept.of(each, open_.get(each.lane)) for each in reading.lanes()}


def _each(lanes: Collection[LaneId]) -> Callable[[Reading], dict[LaneId, Kept]]:
    def query(reading: Reading) -> dict[LaneId, Kept]:
        records = [reading.lane(lane) for lane in lanes]
        return {each.lane: Kept.of(each, open_change(reading, each)) for each in records}

    return query


def _differing(one: Mapping[K, Any], other: Mapping[K, Any]) -> set[K]:
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
