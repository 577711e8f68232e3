"""What stands in a card's thread: every plan in full, and what happened since, line by line.

Called by :mod:`.post`. The text is for a file or for messages of preformatted text; values in
plans are masked before they come here.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gitops import summary
from gitops.jsonable import to_json
from gitops.model.ids import combine, short
from gitops.model.plan import ABSENT, Action, FieldChange, Plan, ResourceChange
from gitops.ports.office import Card, Row
from notifiers.slack.blocks import Ink, cut
from notifiers.slack.cards import verdicts
from notifiers.slack.standing import place_of, progress, state_of

VALUE = 500
"""Characters of one value."""
WHOLE = 1_000_000
"""Characters of the whole text of one plan."""
PART = 2_400
PARTS = 6
"""Messages of a plan where no file may be sent."""
_MARKS = {
    Action.DELETE: "-",
    Action.REPLACE: "±",
    Action.UPDATE: "~",
    Action.CREATE: "+",
}


@dataclass(frozen=True, slots=True)
class Detail:
    """One plan in full, told once however many places it is for."""

    key: str
    """Equal for equal plans."""
    title: str
    text: str


def details(rows: Sequence[Row], ink: Ink, most: int | None = None) -> list[Detail]:
    """Of the plans of these rows, equal ones once; of the first ``most``."""
    chosen = list(_groups(rows).items())[:most]
    return [_detail(key, same, ink) for key, same in chosen]


def unlike(rows: Sequence[Row]) -> int:
    """How many different plans these rows have."""
    return len(_groups(rows))


def _groups(rows: Sequence[Row]) -> dict[str, list[Plan]]:
    groups: dict[str, list[Plan]] = {}
    for row in rows:
        if row.plan is not None and row.plan.changes:
            groups.setdefault(summary.likeness(row.plan), []).append(row.plan)
    return groups


def _detail(key: str, same: list[Plan], ink: Ink) -> Detail:
    places = ", ".join(summary.place(plan) for plan in same[:20])
    more = f" and {len(same) - 20:,} more" if len(same) > 20 else ""
    title = ink.line(f"{same[0].application} on {places}{more}", 200)
    body = "\n".join(_lines(same[0], ink))
    text = f"{title}\n{ink.line(summary.risk(same), 400)}\n{body}"
    return Detail(short(key, 16), title, cut(text, WHOLE))


def parts(text: str) -> list[str]:
    """The text in pieces of one message each, cut between lines where possible; what is beyond
    the last is counted in it."""
    found = pieces_of(text)
    if len(found) <= PARTS:
        return found
    left = sum(len(each.split("\n")) for each in found[PARTS:])
    return [*found[:PARTS], f"… and {left:,} more lines"]


def pieces_of(text: str) -> list[str]:
    """All of a text, in pieces that fit a block, cut between lines where possible. None is empty:
    Slack refuses empty texts."""
    found: list[str] = []
    held: list[str] = []
    size = 0
    for line in (part for whole in text.split("\n") for part in _short(whole)):
        if held and size + len(line) + 1 > PART:
            found.append("\n".join(held) or " ")
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    return [*found, "\n".join(held) or " "]


def _short(line: str) -> Iterator[str]:
    yield line[:PART]
    for start in range(PART, len(line), PART):
        yield line[start : start + PART]


# --- a plan as text ---------------------------------------------------------------------------


def _lines(plan: Plan, ink: Ink) -> Iterator[str]:
    for reason in plan.over_budget:
        yield f"needs its own confirmation: {ink.line(reason, VALUE)}"
    worst = list(_MARKS)
    for change in sorted(plan.changes, key=lambda each: (each.output, worst.index(each.action))):
        yield ""
        yield from _change(change, ink)
    for finding in plan.findings:
        yield ""
        yield ink.line(f"{finding.severity}: {finding.place}: {finding.message}", 1_000)
        yield from (f"  {ink.line(line, VALUE)}" for line in finding.hint.splitlines()[:20])


def _change(change: ResourceChange, ink: Ink) -> Iterator[str]:
    where = f"  {change.origin}" if change.origin else ""
    yield ink.line(f"{_MARKS[change.action]} {change.action} {change.address}{where}", VALUE)
    if change.predicted:
        yield "    predicted: the server could not try it yet"
    if change.stateful and change.action.destroys:
        yield "    its data, or what it holds, goes with it"
    if change.restarts:
        yield f"    restarts {summary.counted(change.restarts, 'pod')}"
    for note in change.notes:
        yield f"    {ink.line(note, VALUE)}"
    for field in change.fields:
        yield from _field(field, ink)


def _field(field: FieldChange, ink: Ink) -> Iterator[str]:
    path = ink.line(field.path, 400) if field.path else "(the whole object)"
    takes = f"  takes it from {ink.line(field.taken_from, 80)}" if field.taken_from else ""
    if _long(field.before) or _long(field.after):
        yield f"    {path}:{takes}"
        yield from _text(str(field.before), str(field.after), ink)
        return
    before = "" if field.before is ABSENT else f"{_value(field.before, ink)} → "
    yield f"    {path}: {before}{_value(field.after, ink)}{takes}"


def _long(value: Any) -> bool:
    return isinstance(value, str) and "\n" in value.rstrip("\n")


def _text(before: str, after: str, ink: Ink) -> Iterator[str]:
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm="")
    for line in found:
        if not line.startswith(("---", "+++")):
            yield f"      {ink.line(line, VALUE)}"


def _value(value: Any, ink: Ink) -> str:
    if value is ABSENT:
        return "(absent)"
    text = value if isinstance(value, str) else json.dumps(to_json(value), ensure_ascii=False)
    return ink.line(text or '""', VALUE)


# --- what happened ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened, told once."""

    key: str
    text: str


def events(card: Card, ink: Ink) -> list[Line]:
    """Answers, and how all of it ended: what people who follow a thread want to hear of."""
    told = [
        Line(short(combine("verdict", text, number), 16), ink.line(text, 700))
        for number, text in enumerate(verdicts(card))
    ]
    state = state_of(card)
    if card.asking or not state.over:
        return told
    if len(card.rows) == 1:
        text = f"{card.rows[0].lane}: {place_of(card, card.rows[0]).words}"
    else:
        text = f"{state.value}: {progress(card)}"
    return [*told, Line(short(combine("end", state.value, text), 16), ink.line(text, 1_000))]
