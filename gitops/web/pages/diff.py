"""A plan as people read it: object by object, field by field, line by line. Pure.

Called by the pages that show a plan. What is asked to be approved must be seen as it is, so nothing
is left out silently: what does not fit into one view is counted and can be paged through,
characters nobody would see are written out, and two values that read the same but are not the same
are told apart. Values were masked when the plan was drawn; this never unmasks and decides nothing.
"""

from __future__ import annotations

import difflib
import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from typing import Any
from urllib.parse import urlencode

from gitops.foreign import one_line, readable
from gitops.jsonable import to_json
from gitops.model.plan import ABSENT, Action, FieldChange, Plan, ResourceChange

ROOM = 48_000
"""Bytes of one view of a plan, about: a page is to stay below 100 KiB with all that is around."""
OBJECTS = 80
"""Objects in one view."""
LEAST = 1_500
"""Bytes an object gets at least, whatever the others need."""
VALUE = 400
"""Characters of a longer line that are shown at once; the whole is in a fold beside it."""
FOLDED = 4_000
"""Characters in such a fold; what is longer is shown by itself, in pieces."""
PIECE = 1_000
"""Characters of a line that are never cut."""
COMPARED = 2_000
"""Lines of two texts that are compared line by line: the time it takes grows with their square."""
CONTEXT = 3
NOTES = 12
_LINE = 40
"""Bytes of what is around a line; twice that side by side."""
_ORDER = (Action.DELETE, Action.REPLACE, Action.UPDATE, Action.CREATE)
_WORDS = {
    Action.CREATE: "create",
    Action.UPDATE: "update",
    Action.REPLACE: "replace",
    Action.DELETE: "delete",
}
_SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.REPLACE: "±", Action.DELETE: "−"}
_TONES = {
    Action.CREATE: "good",
    Action.UPDATE: "work",
    Action.REPLACE: "bad",
    Action.DELETE: "bad",
}
_MASKED = re.compile(r"<hidden(?:: \d+ bytes, #[0-9a-f]+)?>|\(sensitive value\)")
_INDEX = re.compile(r"\[[^\]]*\]")
_NO_STRING = re.compile(r"\s*(?:[-+.]?\d.*|[\[{\"].*|true|false|null|~|yes|no|on|off)?\s*", re.I)


@dataclass(frozen=True, slots=True)
class Wish:
    """Which part of a plan, and how: what stands in the address."""

    split: bool = False
    action: str = ""
    kind: str = ""
    start: int = 0
    """Place among the objects that are left by the filter."""
    only: int | None = None
    """One object alone, by its place in the plan."""
    line: int = 0
    """Of that object, from this line on."""

    def query(self, **other: object) -> str:
        """Its address as a query, with some of it changed; what is usual is left out."""
        wish = replace(self, **other)  # type: ignore[arg-type]
        parts = [
            ("diff", "split" if wish.split else ""),
            ("action", wish.action),
            ("kind", wish.kind),
            ("from", wish.start or ""),
            ("object", "" if wish.only is None else wish.only),
            ("line", wish.line or ""),
        ]
        return urlencode([(name, str(value)) for name, value in parts if value != ""])


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a difference. ``left`` is None where something is new, ``right`` where it is
    gone; both are given where nothing differs, or one took the other's place."""

    left: str | None
    right: str | None
    same: bool = False
    gap: int = 0
    """So many equal lines are left out here."""
    left_whole: str = ""
    right_whole: str = ""
    """What was cut, whole."""

    @property
    def cost(self) -> int:
        texts = (self.left, self.right, self.left_whole, self.right_whole)
        return 2 * _LINE + sum(len(html.escape(text).encode()) for text in texts if text)


@dataclass(frozen=True, slots=True)
class Field:
    path: str
    lines: tuple[Line, ...]
    taken_from: str = ""
    masked: bool = False

    @property
    def unified(self) -> Iterator[tuple[str, str, str]]:
        """(``gone``, ``new``, ``same`` or ``gap``; text; the whole of it where it was cut)"""
        gone: list[Line] = []
        new: list[Line] = []
        for line in (*self.lines, Line("", "", same=True)):
            if not (line.same or line.gap):
                gone += [line] if line.left is not None else []
                new += [line] if line.right is not None else []
                continue
            yield from (("gone", each.left or "", each.left_whole) for each in gone)
            yield from (("new", each.right or "", each.right_whole) for each in new)
            gone, new = [], []
            if line.gap:
                yield "gap", f"{line.gap:,} equal lines", ""
            else:
                yield "same", line.left or "", line.left_whole

    @property
    def rows(self) -> tuple[tuple[str, str, str], ...]:
        """The same without the line that only ends it."""
        return tuple(self.unified)[:-1]


@dataclass(frozen=True, slots=True)
class Thing:
    """One object or resource of a plan."""

    place: int
    action: str
    sign: str
    tone: str
    address: str
    origin: str = ""
    path: str = ""
    line: int = 0
    notes: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    left: int = 0
    """Lines that are not in this view."""
    next_line: int = 0


@dataclass(frozen=True, slots=True)
class View:
    wish: Wish
    things: tuple[Thing, ...]
    total: int
    """Objects the filter leaves."""
    first: int
    """Place of the first one shown, from 0."""
    next: int
    """Place of the next view's first; 0: this is the last."""
    actions: tuple[tuple[str, int], ...]
    kinds: tuple[tuple[str, int], ...]
    unchanged: int = 0

    @property
    def last(self) -> int:
        return self.first + len(self.things)


def view(plan: Plan, wish: Wish, room: int = ROOM) -> View:
    """The part of a plan that was asked for, as much as fits into ``room`` bytes."""
    every = sorted(enumerate(plan.changes), key=lambda each: _ORDER.index(each[1].action))
    left = [each for each in every if _fits(each[1], wish)]
    actions = Counter(_WORDS[change.action] for change in plan.changes)
    kinds = Counter(kind_of(change) for change in plan.changes)
    if wish.only is not None:
        left = [each for each in every if each[0] == wish.only]
        things, start = tuple(_thing(*each, wish, room) for each in left), 0
    else:
        start = max(0, wish.start if wish.start < len(left) else 0)
        things = tuple(_some(left[start:], wish, room))
    end = start + len(things)
    return View(
        wish,
        things,
        len(left),
        start,
        end if end < len(left) else 0,
        tuple((_WORDS[each], actions[_WORDS[each]]) for each in _ORDER if actions[_WORDS[each]]),
        tuple(sorted(kinds.items())),
        plan.unchanged,
    )


def kind_of(change: ResourceChange) -> str:
    """``Deployment``, ``aws_s3_bucket``, ``output``."""
    if change.object is not None:
        return change.object.kind
    if change.output:
        return "output"
    parts = _INDEX.sub("", change.address).split(".")
    return parts[-2] if len(parts) > 1 else change.address.split(" ")[0]


def _fits(change: ResourceChange, wish: Wish) -> bool:
    action = not wish.action or _WORDS.get(change.action) == wish.action
    return action and (not wish.kind or kind_of(change) == wish.kind)


def _some(left: Sequence[tuple[int, ResourceChange]], wish: Wish, room: int) -> Iterator[Thing]:
    """From the first on, each with a fair share of the room; at least one."""
    spent, share = 0, max(LEAST, room // max(1, min(len(left), 8)))
    for number, (place, change) in enumerate(left[:OBJECTS]):
        if number and spent > room - LEAST:
            return
        thing = _thing(place, change, wish, min(share, max(LEAST, room - spent)))
        around = (thing.address, thing.origin, thing.origin, *thing.notes)
        spent += 600 + sum(len(html.escape(each)) for each in around) + _cost(thing.fields)
        yield thing


def _cost(fields: Iterable[Field]) -> int:
    return sum(
        150 + len(html.escape(field.path)) + sum(line.cost for line in field.lines)
        for field in fields
    )


def _thing(place: int, change: ResourceChange, wish: Wish, room: int) -> Thing:
    alone = wish.only is not None
    lines = islice(_lines(change, whole=alone), wish.line if alone else 0, None)
    fields, shown, left = _fitting(lines, room)
    origin = change.origin
    return Thing(
        place,
        _WORDS[change.action],
        _SIGNS[change.action],
        _TONES[change.action],
        one_line(change.address, 500),
        one_line(str(origin), 500) if origin else "",
        origin.path if origin else "",
        origin.line if origin else 0,
        tuple(_notes(change)),
        fields,
        left,
        (wish.line if alone else 0) + shown if left else 0,
    )


def _notes(change: ResourceChange) -> Iterator[str]:
    if change.action.destroys and change.stateful:
        yield "its data, or what it holds, goes with it"
    if change.foreign:
        yield "it is there already and none of ours made it: it is taken over"
    if change.predicted:
        yield "predicted: the server could not try it yet"
    if change.restarts:
        yield f"restarts {change.restarts:,} {'pod' if change.restarts == 1 else 'pods'}"
    yield from (one_line(note, VALUE) for note in change.notes[:NOTES])
    if (more := len(change.notes) - NOTES) > 0:
        yield f"and {more:,} more notes"


def _fitting(
    lines: Iterable[tuple[FieldChange, Line]], room: int
) -> tuple[tuple[Field, ...], int, int]:
    """(fields, lines shown, lines left out)"""
    fields: list[Field] = []
    gathered: list[Line] = []
    before: FieldChange | None = None
    spent = shown = left = 0
    for change, raw in lines:
        if left:
            left += 1
            continue
        line = _cut(raw)
        if shown and spent + line.cost > room:
            left = 1
            continue
        if change is not before:
            if before is not None:
                fields.append(_field(before, gathered))
            before, gathered = change, []
            spent += 120 + len(change.path)
        gathered.append(line)
        spent += line.cost
        shown += 1
    if before is not None:
        fields.append(_field(before, gathered))
    return tuple(fields), shown, left


def _field(change: FieldChange, lines: Sequence[Line]) -> Field:
    masked = any(isinstance(v, str) and _MASKED.search(v) for v in (change.before, change.after))
    path = one_line(change.path, 1_000) or "(the whole of it)"
    return Field(path, tuple(lines), one_line(change.taken_from, 200), masked)


# --- lines ------------------------------------------------------------------------------------


def _lines(change: ResourceChange, *, whole: bool) -> Iterator[tuple[FieldChange, Line]]:
    """Every line of every field. ``whole``: long ones in pieces, so that none is cut."""
    for field in change.fields:
        for line in compared(field.before, field.after):
            yield from ((field, each) for each in (_pieces(line) if whole else (line,)))


def compared(before: Any, after: Any) -> Iterator[Line]:
    """Two values line by line, a few equal lines about each difference."""
    one, other = _spelled(before, after), _spelled(after, before)
    mine, yours = _split(one), _split(other)
    if len(mine) > 1 and len(yours) > 1 and mine[-1] == yours[-1] == "":
        mine, yours = mine[:-1], yours[:-1]  # both end with a newline: that is no line of its own
    for left, right, same in _folded(_aligned(mine, yours)):
        if isinstance(left, int):
            yield Line("", "", gap=left)
        else:
            yield Line(left, right, same)


def _split(text: str | None) -> list[str]:
    return [] if text is None else text.split("\n")


def _spelled(value: Any, other: Any) -> str | None:
    """As text; None for what is not there. A text that reads like another type, or whose blanks
    would not be seen, stands in quotes."""
    if value is ABSENT:
        return None
    if isinstance(value, str):
        odd = value != value.strip() or _NO_STRING.fullmatch(value)
        plain = "\n" in value.rstrip("\n") or not odd
        mixed = other is not ABSENT and not isinstance(other, str)
        return value if plain and not mixed else json.dumps(value, ensure_ascii=False)
    flat = json.dumps(to_json(value), ensure_ascii=False)
    nested = isinstance(value, Mapping | list | tuple) and len(flat) > 100
    return json.dumps(to_json(value), ensure_ascii=False, indent=2) if nested else flat


Aligned = tuple[str | int | None, str | None, bool]


def _aligned(one: list[str], other: list[str]) -> Iterator[tuple[str | None, str | None, bool]]:
    """Line beside line; of two long texts only what their ends do not share is compared."""
    head = 0
    while head < min(len(one), len(other)) and one[head] == other[head]:
        head += 1
    tail = 0
    while tail < min(len(one), len(other)) - head and one[-1 - tail] == other[-1 - tail]:
        tail += 1
    yield from ((line, line, True) for line in one[:head])
    mine, yours = one[head : len(one) - tail], other[head : len(other) - tail]
    yield from _middle(mine, yours)
    yield from ((line, line, True) for line in one[len(one) - tail :])


def _middle(mine: list[str], yours: list[str]) -> Iterator[tuple[str | None, str | None, bool]]:
    if not mine or not yours or len(mine) + len(yours) > 2 * COMPARED:
        yield from ((left, right, False) for left, right in zip_longest(mine, yours))
        return
    for tag, a, b, c, d in difflib.SequenceMatcher(None, mine, yours).get_opcodes():
        if tag == "equal":
            yield from ((line, line, True) for line in mine[a:b])
        else:
            yield from ((left, right, False) for left, right in zip_longest(mine[a:b], yours[c:d]))


def _folded(lines: Iterable[tuple[str | None, str | None, bool]]) -> Iterator[Aligned]:
    """Equal lines far from any difference become a count."""
    equal: list[str | None] = []
    begun = False
    for left, right, same in lines:
        if same:
            equal.append(left)
            continue
        yield from _near(equal, CONTEXT if begun else 0, CONTEXT)
        equal, begun = [], True
        yield left, right, False
    yield from _near(equal, CONTEXT if begun else 0, 0)


def _near(equal: list[str | None], after: int, before: int) -> Iterator[Aligned]:
    gap = len(equal) - after - before
    if gap <= 1:
        yield from ((line, line, True) for line in equal)
        return
    yield from ((line, line, True) for line in equal[:after])
    yield gap, None, True
    yield from ((line, line, True) for line in equal[len(equal) - before :])


def seen(text: str) -> str:
    """One line as it is: what nobody would see is written out, terminal escapes too (on a page
    they are no danger, and two texts that differ in one are not the same)."""
    return readable(text.replace("\x1b", "\\u{1b}").replace("\r", "\\u{d}"))


def _cut(line: Line) -> Line:
    """Fit to be seen, and short enough."""
    if line.gap:
        return line
    left, left_whole = _shortened(line.left)
    right, right_whole = (left, "") if line.same else _shortened(line.right)
    return Line(left, right, line.same, 0, left_whole, right_whole)


def _shortened(text: str | None) -> tuple[str | None, str]:
    if text is None:
        return None, ""
    if len(text) <= PIECE + 1:
        return seen(text), ""
    head = f"{seen(text[:VALUE])}… (+{len(text) - VALUE:,} characters)"
    return head, seen(text) if len(text) <= FOLDED else ""


def _pieces(line: Line) -> Iterator[Line]:
    if line.gap:
        yield line
        return
    for left, right in zip_longest(_in_pieces(line.left), _in_pieces(line.right)):
        yield Line(left, right, line.same)


def _in_pieces(text: str | None) -> list[str | None]:
    if text is None:
        return []
    starts = range(0, max(1, len(text)), PIECE)
    return [text[at : at + PIECE] + "…" * (at + PIECE < len(text)) for at in starts]
