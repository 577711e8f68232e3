"""What of the fleet is shown: filtered, counted, sorted and cut into pages. Pure.

Called by the overview with the rows of :mod:`gitops.engine.board`. What is chosen is all in the
address of the page, so that it can be sent to somebody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from urllib.parse import urlencode

from gitops.engine.board import Row
from gitops.model.ids import short
from gitops.ports.office import Standing
from gitops.standing import rank as state_rank

TROUBLE = "trouble"
"""Not a state: a lane that is in trouble has one besides."""
MOST_COLUMNS = 8
"""Clusters side by side; of more, each application's are counted instead."""
CELLS = 150
"""On one page, about."""
FEWEST, MOST, LISTED = 15, 50, 30
"""Applications on one page; ``LISTED`` where they are not side by side."""
_TROUBLED = state_rank("held")
_REVISION = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asked to see. Everything is foreign text."""

    q: str = ""
    """Words; each has to be in an application's name, labels or revisions."""
    label: str = ""
    """``team=shop env``: all of them, by value or by being there."""
    state: str = ""
    """One of :data:`gitops.standing.WORST_FIRST`, or :data:`TROUBLE`."""
    cluster: str = ""
    """Name or pattern of a target."""
    project: str = ""
    source: str = ""
    sort: str = ""
    """``name``; else the worst first."""
    page: int = 1

    @property
    def filters(self) -> bool:
        return replace(self, sort="", page=1) != Wanted()

    def at(self, **other: object) -> str:
        """The address of this with something else: from the first page, unless that is said."""
        chosen = {**asdict(self), "page": 1, **other}
        given = {key: value for key, value in chosen.items() if value and (key, value) != FIRST}
        return f"/?{urlencode(given)}" if given else "/"


FIRST = ("page", 1)


@dataclass(frozen=True, slots=True)
class Line:
    """One application as it is shown."""

    row: Row
    there: tuple[Standing, ...]
    """Those asked for, by target."""
    rank: int

    @property
    def name(self) -> str:
        return self.row.spec.name

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """By state, the worst first."""
        return in_order(Counter(each.state for each in self.there))

    def cells(self, columns: Sequence[str]) -> tuple[Standing | None, ...]:
        """By column; the last one is for a workspace."""
        by_target = {each.lane.target: each for each in self.there}
        if self.row.spec.terraform is not None:
            workspace = next(iter(self.there), None)
            return tuple(workspace if column == WORKSPACE else None for column in columns)
        return tuple(by_target.get(column) for column in columns)  # type: ignore[call-overload]

    def exceptions(self, most: int) -> tuple[Standing, ...]:
        """The worst that are not well."""
        ill = [each for each in self.there if each.state != "healthy" or each.trouble]
        return tuple(sorted(ill, key=lambda each: (rank(each), each.lane.target))[:most])


WORKSPACE = ""
"""The column of Terraform's workspaces: each has one of its own."""


@dataclass(frozen=True, slots=True)
class View:
    wanted: Wanted
    lines: tuple[Line, ...]
    """Of this page."""
    columns: tuple[str, ...]
    """Targets side by side; none when there are too many of them."""
    counts: tuple[tuple[str, int], ...]
    """Of everything chosen but for its state, by state, the worst first."""
    troubled: int
    applications: int
    """Chosen, on all pages."""
    targets: int
    page: int
    pages: int
    known: int
    """Applications there are at all."""
    more: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What one can choose among: ``projects``, ``clusters``."""


def view(rows: Sequence[Row], wanted: Wanted) -> View:
    """Bounded whatever is asked for: a page past the last one is the last."""
    fits, on = _fitting(wanted), _targeted(wanted.cluster)
    near = [(row, on(row.standings)) for row in rows if fits(row)]
    near = [(row, there) for row, there in near if there]
    counts = Counter(each.state for _, there in near for each in there)
    troubled = sum(1 for _, there in near for each in there if each.trouble)
    lines = [
        Line(row, there, min(map(rank, there)))
        for row, there in near
        if not wanted.state or any(_is(each, wanted.state) for each in there)
    ]
    if wanted.sort != "name":
        lines.sort(key=lambda line: line.rank)  # by name they are already, and stay within a rank
    columns, targets = _columns(lines)
    size = max(FEWEST, min(MOST, CELLS // len(columns))) if columns else LISTED
    pages = max(1, -(-len(lines) // size))
    page = max(1, min(wanted.page, pages))
    return View(
        wanted,
        tuple(lines[(page - 1) * size : page * size]),
        columns,
        in_order(counts),
        troubled,
        len(lines),
        targets,
        page,
        pages,
        len(rows),
        _choices(rows),
    )


def rank(standing: Standing) -> int:
    """How much it needs somebody; 0 the most. Trouble is as urgent as what is held."""
    found = state_rank(standing.state)
    return min(found, _TROUBLED) if standing.trouble else found


def in_order(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda each: (state_rank(each[0]), each[0])))


def _is(standing: Standing, state: str) -> bool:
    return bool(standing.trouble) if state == TROUBLE else standing.state == state


def _fitting(wanted: Wanted) -> Callable[[Row], bool]:
    words = [_word(word) for word in wanted.q.lower().split()]
    labels = [part.partition("=") for part in wanted.label.replace(",", " ").split()]

    def fits(row: Row) -> bool:
        spec = row.spec
        if wanted.project and spec.project != wanted.project:
            return False
        if wanted.source and spec.source != wanted.source:
            return False
        for key, given, value in labels:
            if key not in spec.labels or (given and spec.labels[key] != value):
                return False
        text = _text(row) if words else ""
        return all(word in text for word in words)

    return fits


def _word(word: str) -> str:
    """A whole revision is found by what is shown of it."""
    return short(word) if len(word) > len(short(word)) and _REVISION.issuperset(word) else word


def _text(row: Row) -> str:
    spec = row.spec
    labels = (f"{key}={value}" for key, value in spec.labels.items())
    revisions = (each.revision for each in row.standings)
    return "\n".join((spec.name, spec.project, *labels, *revisions)).lower()


def _targeted(cluster: str) -> Callable[[tuple[Standing, ...]], tuple[Standing, ...]]:
    if not cluster:
        return lambda standings: standings
    known: dict[str, bool] = {}  # the same few targets, thousands of times

    def fits(standing: Standing) -> bool:
        target = standing.lane.target
        if target not in known:
            known[target] = fnmatchcase(target, cluster)
        return known[target]

    return lambda standings: tuple(filter(fits, standings))


def _columns(lines: Iterable[Line]) -> tuple[tuple[str, ...], int]:
    """(side by side, how many targets there are). Clusters by name, workspaces last, in one."""
    clusters: set[str] = set()
    workspaces: set[str] = set()
    for line in lines:
        names = workspaces if line.row.spec.terraform is not None else clusters
        names.update(each.lane.target for each in line.there)
    number = len(clusters) + len(workspaces)
    if len(clusters) > MOST_COLUMNS:
        return (), number
    return (*sorted(clusters), *([WORKSPACE] if workspaces else ())), number


def _choices(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    projects = {row.spec.project for row in rows}
    clusters = {t for row in rows if row.spec.terraform is None for t in row.spec.clusters}
    return {"projects": tuple(sorted(projects)), "clusters": tuple(sorted(clusters))}
