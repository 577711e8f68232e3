"""A preview of a pull request in Markdown: one comment, and a report for each application. Pure.

Called by :mod:`gitops.engine.previews`. Everything that somebody else wrote (names, paths, values,
messages) appears in code only, where no forge looks for mentions, references, links, images or
commands; what is too long is cut where people see it, the longest first, and the comment says where
the whole is to be had. Values were masked when the plan was drawn; ``mask`` takes out what is known
to be secret once more.
"""

from __future__ import annotations

import difflib
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from gitops.foreign import one_line
from gitops.jsonable import to_json
from gitops.model.delivery import LaneId
from gitops.model.finding import Finding, Severity
from gitops.model.ids import ApplicationName, short
from gitops.model.plan import ABSENT, Action, FieldChange, Plan, ResourceChange
from gitops.model.preview import Depth, LanePreview, Preview
from gitops.ports.forges import Annotation, CommitState
from gitops.summary import counted, meaning, risk

ROWS = 100
"""Lines of the table."""
FINDINGS = 50
"""Findings that are listed; all are in the remarks at file and line, as far as the forge goes."""
REMARKS = 200
VALUE = 400
"""Characters of one line of a value."""
LINES = 400
"""Lines of one value, or of one text's differences."""
COMPARED = 4_000
"""Lines of two texts that are compared line by line: the time it takes grows with their square."""
LEAST = 500
"""Bytes of a plan below which showing a piece of it helps nobody."""
_WORK = (Action.CREATE, Action.UPDATE, Action.REPLACE, Action.DELETE)
_ORDER = (Action.DELETE, Action.REPLACE, Action.UPDATE, Action.CREATE)
_RUN = re.compile("`+")
_SPACE = " "


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one forge makes of Markdown."""

    limit: int
    """Bytes of a comment."""
    folds: bool
    """It knows HTML: ``<details>``, and comments nobody sees."""


_HTML = Dialect(64_000, folds=True)
_DIALECTS = {
    "github": _HTML,  # 65,536 characters
    "gitea": _HTML,
    "gitlab": Dialect(980_000, folds=True),  # 1,000,000 characters
    "bitbucket": Dialect(32_000, folds=False),  # 32,768, and no HTML
}


def dialect(kind: str) -> Dialect:
    """Of a forge (``Forge.kind``); the narrowest for one nobody knows."""
    return _DIALECTS.get(kind, _DIALECTS["bitbucket"])


@dataclass(frozen=True, slots=True)
class Comment:
    text: str
    whole: frozenset[LaneId]
    """Lanes whose plan is there uncut: what a reader has seen."""


def marker(name: str, dialect: Dialect) -> str:
    """A line that no reader sees. ``name`` tells one controller's from another's."""
    if dialect.folds:
        return f"<!-- gitops preview {name} -->"
    return f"[//]: # (gitops preview {name})"


# --- foreign text -----------------------------------------------------------------------------


def code(text: str, limit: int = 200) -> str:
    """As a code span (CommonMark 6.1) that cannot be left, also in a table; empty for nothing."""
    flat = one_line(text, limit).replace("|", "¦").strip(_SPACE)
    if not flat:
        return ""
    fence = "`" * (_longest(flat) + 1)
    pad = _SPACE if flat[0] == "`" or flat[-1] == "`" else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def _longest(text: str) -> int:
    return max((len(found) for found in _RUN.findall(text)), default=0)


def _tag(text: str, limit: int = 200) -> str:
    """The same as HTML, for where Markdown is not read."""
    return f"<code>{html.escape(one_line(text, limit))}</code>"


@dataclass(slots=True)
class _Fold:
    """One plan: a headline and a block of lines that can be cut."""

    lane: LaneId
    head: str
    lines: list[str] = field(default_factory=list)

    def text(self, dialect: Dialect, limit: int, more: str) -> tuple[str, bool]:
        """(Markdown of at most ``limit`` bytes, whether it is whole)."""
        fence = "`" * max(3, max(map(_longest, self.lines), default=0) + 1)
        before, after = (
            (f"<details><summary>{self.head}</summary>\n\n{fence}diff\n", f"{fence}\n\n</details>")
            if dialect.folds
            else (f"#### {self.head}\n\n{fence}diff\n", fence)
        )
        whole = f"{before}{_joined(self.lines)}{after}\n\n"
        if _size(whole) <= limit:
            return whole, True
        room = limit - _size(before + after) - _size(more) - 60
        kept = 0
        for line in self.lines:
            room -= _size(line) + 1
            if room < 0:
                break
            kept += 1
        left = f"\n… {counted(len(self.lines) - kept, 'more line')}. {more}\n\n"
        return f"{before}{_joined(self.lines[:kept])}{after}\n{left}", False

    def size(self, dialect: Dialect) -> int:
        return _size(self.text(dialect, 1 << 40, "")[0])


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


# --- the comment ------------------------------------------------------------------------------


def comment(
    preview: Preview,
    dialect: Dialect,
    mark: str,
    *,
    page: str = "",
    mask: Callable[[str], str] = str,
) -> Comment:
    """The whole comment, within the forge's limit. ``page``: where people find more."""
    more = _where(preview, page)
    head = mask(_head(preview))
    foot = mask(_foot(preview, more))
    folds = list(_folds(preview, dialect, mask))
    room = dialect.limit - _size(mark) - _size(head) - _size(foot) - _size(more) - 200
    body, whole = _fitted(folds, dialect, room, more)
    return Comment(f"{mark}\n\n{head}\n{body}{foot}\n", whole)


def _where(preview: Preview, page: str) -> str:
    command = f"Everything: `gitops preview show {preview.source} {preview.number}`"
    return f"{command}, or see [the status page]({page})" if page else command


def _fitted(
    folds: Sequence[_Fold], dialect: Dialect, room: int, more: str
) -> tuple[str, frozenset[LaneId]]:
    """The longest are cut to the length at which all fit; what would be a scrap is left out."""
    measured = [fold.size(dialect) for fold in folds]
    cap, left, share = 0, room, len(measured)
    for size in sorted(measured):
        cap = left // share
        if size > cap:
            break
        left, share, cap = left - size, share - 1, size
    parts, whole, dropped = [], set(), 0
    for fold, size in zip(folds, measured, strict=True):
        if size > max(cap, 0) and cap < LEAST:
            dropped += 1
            continue
        text, all_of_it = fold.text(dialect, max(cap, LEAST), more)
        parts.append(text)
        if all_of_it:
            whole.add(fold.lane)
    if dropped:
        parts.append(f"… and {counted(dropped, 'more plan')}, not shown here. {more}\n\n")
    return "".join(parts), frozenset(whole)


def _head(preview: Preview) -> str:
    parts = ["### What merging this would do", "", _verdict(preview), ""]
    if preview.conflicts:
        parts += [f"- {code(path)}" for path in preview.conflicts[:FINDINGS]]
        parts += _and_more(len(preview.conflicts), FINDINGS)
    if preview.lanes:
        parts += _table(preview)
    if lines := meaning([each.plan for each in preview.lanes if each.plan]):
        parts += ["", *(f"- {code(line)}" for line in lines[:10]), *_and_more(len(lines), 10)]
    found = [(each, f) for each in preview.lanes if each.plan for f in each.plan.findings]
    parts += _findings(found)
    if preview.refused:
        parts += ["", "Folders that cannot become applications:", ""]
        parts += [f"- {code(text, 300)}" for text in preview.refused[:FINDINGS]]
        parts += _and_more(len(preview.refused), FINDINGS)
    return "\n".join(parts) + "\n"


def _verdict(preview: Preview) -> str:
    if preview.problem:
        return f"**There is no preview**: {code(preview.problem, 600)}"
    if preview.conflicts:
        return "**It cannot be merged**: both sides changed"
    if not preview.lanes:
        return "**Nothing**: no application reads what it changes."
    told = preview.depth is Depth.LINT
    stuck = [each for each in preview.lanes if blocked(each)]
    if stuck:
        names = ", ".join(code(name) for name in dict.fromkeys(_name(each) for each in stuck[:10]))
        return f"**It cannot be delivered as it is**: see {names}"
    if told:
        return "Rendered and linted; a pull request from a fork is not planned."
    return f"**{code(risk(each.plan for each in preview.lanes if each.plan), 400)}**"


def _table(preview: Preview) -> list[str]:
    rows = ["| application | where | create | update | replace | delete | |"]
    rows.append("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    for each in preview.lanes[:ROWS]:
        where = "" if preview.depth is Depth.LINT else code(each.lane.target, 80)
        counts = [_count(each.plan, action) for action in _WORK]
        rows.append(
            f"| {code(each.lane.application, 120)} | {where} | {' | '.join(counts)} "
            f"| {_remark(each, preview)} |"
        )
    more = len(preview.lanes) - ROWS
    return rows + ([f"\n… and {counted(more, 'more line')}"] if more > 0 else [])


def _count(plan: Plan | None, action: Action) -> str:
    number = plan.count(action) if plan is not None else 0
    return f"{number:,}" if number else ""


def _remark(each: LanePreview, preview: Preview) -> str:
    parts = []
    if each.arrives:
        parts.append("new")
    if each.departs:
        parts.append("its folder is gone")
    if each.problem:
        parts.append(f"no plan: {code(each.problem, 300)}")
    if each.waits:
        parts.append(f"waits: {code(each.waits, 300)}")
    if each.plan is not None:
        parts += _of_plan(each.plan, linted=preview.depth is Depth.LINT)
    if each.note:
        parts.append(code(each.note, 300))
    return "; ".join(parts)


def _of_plan(plan: Plan, *, linted: bool) -> Iterator[str]:
    for severity in (Severity.ERROR, Severity.WARNING):
        number = sum(finding.severity is severity for finding in plan.findings)
        if number:
            yield f"{counted(number, severity.value)}"
    if plan.empty and not plan.blocked_by:
        yield "linted" if linted else "no change"
    if plan.over_budget:
        yield "needs a typed confirmation"


def _findings(found: Sequence[tuple[LanePreview, Finding]]) -> list[str]:
    """The worst first; one that several targets share is told once."""
    told: dict[tuple[str, str, str, str], Finding] = {}
    for _, each in sorted(found, key=lambda pair: pair[1].severity.rank):
        if each.severity is not Severity.INFO:
            told.setdefault((each.check, each.place, each.message, each.severity), each)
    if not told:
        return []
    lines = ["", "Findings:", ""]
    for each in list(told.values())[:FINDINGS]:
        hint = f" – {code(each.hint, 300)}" if each.hint else ""
        place = f"{code(each.place, 300)} " if each.place else ""
        text = code(each.message, 400)
        lines.append(f"- **{each.severity.value}** {place}{text} ({code(each.check)}){hint}")
    return lines + _and_more(len(told), FINDINGS)


def _and_more(total: int, shown: int) -> list[str]:
    return [f"- … and {total - shown:,} more"] if total > shown else []


def _foot(preview: Preview, more: str) -> str:
    base = ""
    if preview.base is not None:
        base = f" into {code(preview.base.ref or 'HEAD')} at {code(short(preview.base.id))}"
    text = f"Of {code(short(preview.head))} merged{base}. Nothing was applied."
    if preview.untouched:
        text += f" {counted(preview.untouched, 'other application')} read nothing of it."
    if not preview.problem:
        text += f" {more}"
    return text


# --- plans ------------------------------------------------------------------------------------


def _folds(preview: Preview, dialect: Dialect, mask: Callable[[str], str]) -> Iterator[_Fold]:
    for each in preview.lanes:
        if each.plan is not None and each.plan.changes:
            yield _Fold(
                each.lane,
                mask(_headline(each, each.plan, dialect)),
                mask("\n".join(_lines(each.plan))).split("\n"),
            )


def _headline(each: LanePreview, plan: Plan, dialect: Dialect) -> str:
    quote = _tag if dialect.folds else code
    work = ", ".join(
        f"{plan.count(action):,} to {action.value}" for action in _WORK if plan.count(action)
    )
    digest = quote(short(plan.digest))
    name = f"{quote(each.lane.application)} on {quote(each.lane.target)}"
    return f"{name}: {work or 'outputs'} (plan {digest})"


def _lines(plan: Plan) -> Iterator[str]:
    """The plan as lines of a ``diff`` block: every one begins with a sign of ours."""
    for reason in plan.over_budget:
        yield f"! needs its own confirmation: {one_line(reason, VALUE)}"
    for change in sorted(plan.changes, key=lambda c: (c.output, _ORDER.index(c.action))):
        yield from _of_change(change)


def _of_change(change: ResourceChange) -> Iterator[str]:
    place = f"  {one_line(str(change.origin), 200)}" if change.origin is not None else ""
    yield f"@@ {change.action.value} {one_line(change.address, 300)}{place} @@"
    if change.predicted:
        yield "! predicted: the server could not try it yet"
    if change.stateful and change.action.destroys:
        yield "! its data, or what it holds, goes with it"
    if change.restarts:
        yield f"! restarts {counted(change.restarts, 'pod')}"
    for note in change.notes:
        yield f"! {one_line(note, VALUE)}"
    for each in change.fields:
        yield from _of_field(each)


def _of_field(change: FieldChange) -> Iterator[str]:
    taken = f"  (takes it from {one_line(change.taken_from, 100)})" if change.taken_from else ""
    yield f"  {one_line(change.path, VALUE) or 'all of it'}{taken}"
    old, new = _texts(change.before), _texts(change.after)
    if 2 < len(old) + len(new) <= COMPARED and old and new:
        lines = list(difflib.unified_diff(old, new, n=2, lineterm=""))[2:]
        yield from _cut(line for line in lines if not line.startswith("@@"))
    else:
        yield from _cut(f"-{line}" for line in old)
        yield from _cut(f"+{line}" for line in new)


def _texts(value: object) -> list[str]:
    """The value's lines; none for one that is not there."""
    if value is ABSENT:
        return []
    if isinstance(value, str) and "\n" in value.rstrip("\n"):
        return value.splitlines()
    text = json.dumps(to_json(value), ensure_ascii=False, indent=2)
    return text.splitlines()


def _cut(lines: Iterable[str]) -> Iterator[str]:
    every = list(lines)
    for line in every[:LINES]:
        yield f"{line[:1]} {one_line(line[1:], VALUE)}"
    if len(every) > LINES:
        yield f"! … {len(every) - LINES:,} more lines of it"


# --- reports ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """What a status says, with a text where the forge has room for one."""

    state: CommitState
    description: str
    summary: str = ""
    remarks: tuple[Annotation, ...] = ()


def blocked(each: LanePreview) -> bool:
    """Would it stop here after the merge?"""
    return bool(each.problem or (each.plan is not None and each.plan.blocked_by))


def _name(each: LanePreview) -> str:
    return each.lane.application


def overall(preview: Preview) -> Told:
    """Of the pull request as a whole."""
    if preview.problem:
        return Told(CommitState.ERROR, one_line(f"no preview: {preview.problem}", 300))
    if preview.conflicts:
        paths = ", ".join(preview.conflicts[:3]) + ", …" * (len(preview.conflicts) > 3)
        return Told(CommitState.FAILURE, one_line(f"cannot be merged: {paths}", 300))
    stuck = list(dict.fromkeys(_name(each) for each in preview.lanes if blocked(each)))
    if stuck:
        names = ", ".join(stuck[:5]) + ", …" * (len(stuck) > 5)
        return Told(CommitState.FAILURE, one_line(f"cannot be delivered: {names}", 300))
    if preview.refused:
        return Told(CommitState.FAILURE, one_line(preview.refused[0], 300))
    return Told(CommitState.SUCCESS, _good(preview))


def _good(preview: Preview) -> str:
    if not preview.lanes:
        return "no application reads what it changes"
    if preview.depth is Depth.LINT:
        return "rendered and linted, not planned: it comes from a fork"
    return one_line(risk(each.plan for each in preview.lanes if each.plan), 300)


def report(
    preview: Preview, application: ApplicationName, mask: Callable[[str], str] = str
) -> Told:
    """Of one application, on all its targets."""
    lanes = [each for each in preview.lanes if each.lane.application == application]
    plans = [each.plan for each in lanes if each.plan]
    findings = dict.fromkeys(finding for plan in plans for finding in plan.findings)
    state, words = _standing(preview, lanes, plans)
    own = replace(preview, lanes=tuple(lanes))
    text = "\n".join(_table(own)) + "\n\n"
    room = _HTML.limit - 4_000 - _size(text)
    text += _fitted(list(_folds(own, _HTML, mask)), _HTML, room, _where(preview, ""))[0]
    remarks = tuple(_remark_at(each, mask) for each in findings if each.path)[:REMARKS]
    return Told(state, mask(one_line(words, 300)), mask(text), remarks)


def _standing(
    preview: Preview, lanes: Sequence[LanePreview], plans: Sequence[Plan]
) -> tuple[CommitState, str]:
    errors = [finding for plan in plans for finding in plan.blocked_by]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        place = f"{errors[0].place}: " if errors[0].place else ""
        return CommitState.FAILURE, f"{place}{errors[0].message}{more}"
    for each in lanes:
        if each.problem:
            return CommitState.ERROR, f"no plan for {each.lane.target}: {each.problem}"
    waits = [each.waits for each in lanes if each.waits]
    if waits:
        return CommitState.SUCCESS, f"waits: {waits[0]}"
    if preview.depth is Depth.LINT:
        return CommitState.SUCCESS, "rendered and linted, not planned: it comes from a fork"
    return CommitState.SUCCESS, risk(plans)


_LEVELS = {Severity.ERROR: "failure", Severity.WARNING: "warning", Severity.INFO: "notice"}


def _remark_at(finding: Finding, mask: Callable[[str], str]) -> Annotation:
    text = one_line(finding.message, 2_000)
    if finding.hint:
        text += f"\n{one_line(finding.hint, 1_000)}"
    level, title = _LEVELS[finding.severity], one_line(finding.check, 100)
    return Annotation(finding.path, max(finding.line, 1), level, mask(text), title)
