"""What of an application's objects a page shows: what needs somebody first, filtered, and so much
that a page stays small. Pure.

Called by the application's page. Thousands of objects are counted; a few dozen are lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gitops.engine.cases import inert
from gitops.web.objects import Node

MOST_LINES = 90
MOST_MADE = 8
"""Lines beneath one object."""
MANY = 30
"""Of more objects than this the worst is shown beneath each: the lines are for more of them."""


@dataclass(frozen=True, slots=True)
class Filter:
    """As it stands in the address."""

    q: str = ""
    kind: str = ""
    state: str = ""

    def __bool__(self) -> bool:
        return bool(self.q or self.kind or self.state)

    def lets(self, node: Node) -> bool:
        if self.kind and kind_of(node) != self.kind:
            return False
        if self.state and self.state not in (*states(node), "" if node.well else "attention"):
            return False
        if not self.q:
            return True
        wanted = self.q.casefold()
        return any(wanted in str(each.id).casefold() for each in node.all())


@dataclass(frozen=True, slots=True)
class Line:
    node: Node
    made: tuple[Line, ...] = ()
    left: int = 0
    """Of what the cluster made, so many are no lines."""
    plain: bool = False
    """Nothing more is known of it than its line says."""


@dataclass(frozen=True, slots=True)
class Kind:
    """All objects of one kind, counted."""

    name: str
    total: int
    counts: tuple[tuple[str, int], ...]
    """By what is worth saying of them: health, and what is not in sync."""


@dataclass(frozen=True, slots=True)
class Shown:
    kinds: tuple[Kind, ...]
    attention: tuple[Line, ...]
    """What is not well or not as it should be."""
    well: tuple[tuple[str, tuple[Line, ...]], ...]
    """The others, by kind."""
    matching: int
    lines: int
    """Objects shown, of those matching."""
    total: int


def shown(nodes: Sequence[Node], chosen: Filter) -> Shown:
    """``nodes`` are in order: what needs somebody first."""
    matching = [node for node in nodes if chosen.lets(node)]
    budget = _Budget(MOST_LINES, MOST_MADE if len(matching) <= MANY else 1)
    attention = tuple(budget.lines(node for node in matching if not node.well))
    well: dict[str, tuple[Line, ...]] = {}
    rest = sorted((n for n in matching if n.well), key=lambda n: (_quiet(n), kind_of(n), n.id))
    for line in budget.lines(rest):
        name = kind_of(line.node)
        well[name] = (*well.get(name, ()), line)
    count = len(attention) + sum(map(len, well.values()))
    return Shown(
        tuple(_kinds(nodes)), attention, tuple(well.items()), len(matching), count, len(nodes)
    )


def kind_of(node: Node) -> str:
    """``Deployment.apps``"""
    return f"{node.id.kind}.{node.id.group}" if node.id.group else node.id.kind


def states(node: Node) -> tuple[str, ...]:
    """What is worth saying of it."""
    return tuple(dict.fromkeys(filter(None, (node.health.value, node.sync and node.sync.value))))


def _kinds(nodes: Iterable[Node]) -> Iterator[Kind]:
    by_kind: dict[str, Counter[str]] = {}
    totals: Counter[str] = Counter()
    for node in nodes:
        name = kind_of(node)
        totals[name] += 1
        said = [each for each in states(node) if each != "in sync"]
        by_kind.setdefault(name, Counter()).update(said)
    for name in sorted(by_kind):
        yield Kind(name, totals[name], tuple(by_kind[name].most_common(4)))


def _quiet(node: Node) -> bool:
    return inert(node.id)


class _Budget:
    """How many lines there may still be."""

    def __init__(self, lines: int, made: int) -> None:
        self._left, self._made = lines, made

    def lines(self, nodes: Iterable[Node]) -> Iterator[Line]:
        for node in nodes:
            if self._left <= 0:
                return
            yield self._line(node)

    def _line(self, node: Node) -> Line:
        self._left -= 1
        made = []
        for child in node.made[: self._made]:
            if self._left <= 0:
                break
            made.append(self._line(child))
        plain = not node.uid or (inert(node.id) and node.well)
        return Line(node, tuple(made), len(node.made) - len(made), plain)
