"""Model values as text for people, and as JSON for programs.

Called by the commands; each ``show_*`` function prints one kind of value on the console it is
given. Nothing here reads a file or asks anybody. Every string that was not written by us goes
through :mod:`gitops.foreign`, and markup is off, so no value can colour, hide or move anything.
Values in plans are masked before they come here.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from gitops.cli.settings import Settings
from gitops.foreign import one_line
from gitops.jsonable import from_json, to_json
from gitops.model.approval import Decision, Request
from gitops.model.cluster import ClusterState, ClusterStatus
from gitops.model.delivery import (
    Cause,
    Change,
    ChangeState,
    Delivered,
    DeliveryRecord,
)
from gitops.model.finding import Finding, Severity
from gitops.model.ids import ChangeId, TargetName, short
from gitops.model.plan import ABSENT, Action, FieldChange, Plan, ResourceChange
from gitops.model.source import SourceState, SourceStatus
from gitops.model.terraform import Need
from gitops.ports.office import Standing
from gitops.sentences import writers
from gitops.standing import TONES
from gitops.summary import board, counted, meaning, risk

__all__ = [
    "emit",
    "from_json",
    "make_console",
    "show_deliveries",
    "show_examined",
    "show_findings",
    "show_plan",
    "show_request",
    "show_status",
    "show_table",
    "to_json",
]

VALUE_LIMIT = 160
"""Characters of one value that are shown; what is cut is counted."""
DIFF_LINES = 40
"""Lines of a changed text that are shown."""

_HALVES = re.compile("[\ud800-\udfff]")
_MARKS = {
    Action.DELETE: ("-", "red"),
    Action.REPLACE: ("±", "magenta"),
    Action.UPDATE: ("~", "yellow"),
    Action.CREATE: ("+", "green"),
}
_SEVERITIES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_DIFF = {"+": "green", "-": "red", "@": "dim"}
_EXAMINED = {"ok": ("✓", "green"), "optional": ("·", "yellow"), "missing": ("✗", "bold red")}
_GOOD = {ChangeState.HEALTHY, ChangeState.UNCHANGED}
_BAD = {ChangeState.FAILED, ChangeState.BLOCKED}
_TONES = {"good": "green", "bad": "red", "wait": "yellow", "work": "yellow", "": "dim"}


def make_console(settings: Settings, *, stderr: bool = False) -> Console:
    """Long lines are left to the terminal: a place or a digest must survive copying."""
    return Console(
        stderr=stderr,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
        color_system="auto" if settings.color else None,
    )


def emit(value: Any) -> None:
    """One JSON document on stdout: any model value, or a mapping or list of them. Half characters
    (undecodable bytes of a commit message), which no terminal can be sent, are escaped in it."""
    text = json.dumps(to_json(value), indent=2, ensure_ascii=False)
    sys.stdout.write(_HALVES.sub(lambda half: f"\\u{ord(half[0]):04x}", text) + "\n")


# --- plans ------------------------------------------------------------------------------------


def show_plan(plan: Plan, console: Console) -> None:
    """Everything a person needs to say yes or no: worst first, then object by object; outputs
    last."""
    unchanged = f"{plan.unchanged} unchanged" if plan.unchanged else ""
    nothing = "no plan, see below" if plan.blocked_by else "no change"
    work = plan.work or ("" if plan.told else nothing)
    console.print(
        Text.assemble(
            (one_line(plan.application), "bold"), " on ", (one_line(plan.target), "bold"), ": "
        )
        + Text("; ".join(filter(None, (work, unchanged, plan.told))))
    )
    for reason in plan.over_budget:
        console.print(Text(f"  needs its own confirmation: {one_line(reason)}", style="bold red"))
    worst = list(_MARKS)
    for change in sorted(plan.changes, key=lambda c: (c.output, worst.index(c.action))):
        _show_change(change, console)
    if plan.findings:
        console.print()
        show_findings(plan.findings, console)
    _show_board(plan, console)
    if plan.versions:
        goes = ", ".join(f"{one_line(name)} {one_line(version)}" for name, version in plan.versions)
        console.print(Text(f"\nversions: {goes}", style="dim"))
    if not plan.empty:
        console.print(Text(f"plan {short(plan.digest)}", style="dim"))


def _show_board(plan: Plan, console: Console) -> None:
    """Which checks looked, so that one which found nothing is seen to have passed."""
    if not plan.checks:
        return
    line = Text("\nchecks:", style="dim")
    for each in board([plan]):
        mark = "✓" if each.passed else ("✗" if each.worst is Severity.ERROR else "!")
        style = "green" if each.worst is None else _SEVERITIES[each.worst]
        line.append(f" {mark} {one_line(each.check)}", style=style)
    console.print(line)


def _show_change(change: ResourceChange, console: Console) -> None:
    mark, style = _MARKS[change.action]
    line = Text.assemble(
        (f"\n{mark} {change.action.value} ", style), (one_line(change.address), "bold")
    )
    if change.origin is not None:
        line.append(f"  {one_line(str(change.origin))}", style="dim")
    console.print(line)
    if change.predicted:
        _note("predicted: the server could not try it yet", console)
    if change.stateful and change.action.destroys:
        console.print(Text("    its data, or what it holds, goes with it", style="red"))
    if change.restarts:
        _note(f"restarts {counted(change.restarts, 'pod')}", console)
    for note in change.notes:
        _note(note, console)
    for field in change.fields:
        _show_field(field, console)


def _note(text: str, console: Console) -> None:
    console.print(Text(f"    {one_line(text)}", style="cyan"))


def _show_field(field: FieldChange, console: Console) -> None:
    path = one_line(field.path, 400) or "(the whole object)"
    line = Text(f"    {path}:")
    multiline = _is_text(field.before, field.after)
    if not multiline:
        line.append(" ")
        if field.before is not ABSENT:
            line.append(_value(field.before), style="red")
            line.append(" → ")
        line.append(_value(field.after), style="dim" if field.after is ABSENT else "green")
    if field.taken_from:
        line.append(f"  takes it from {one_line(field.taken_from)}", style="bold magenta")
    console.print(line)
    if multiline:
        _show_text(str(field.before), str(field.after), console)


def _is_text(before: Any, after: Any) -> bool:
    both = isinstance(before, str) and isinstance(after, str)
    return both and ("\n" in before.rstrip("\n") or "\n" in after.rstrip("\n"))


def _show_text(before: str, after: str, console: Console) -> None:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm="")
    shown = [line for line in lines if not line.startswith(("---", "+++"))]
    for line in shown[:DIFF_LINES]:
        style = _DIFF.get(line[:1], "")
        console.print(Text(f"      {one_line(line, VALUE_LIMIT)}", style=style))
    if len(shown) > DIFF_LINES:
        console.print(Text(f"      … {len(shown) - DIFF_LINES} more lines", style="dim"))


def _value(value: Any) -> str:
    if value is ABSENT:
        return "(absent)"
    text = value if isinstance(value, str) else json.dumps(to_json(value), ensure_ascii=False)
    if isinstance(value, str) and (not value or value != value.strip()):
        text = json.dumps(value, ensure_ascii=False)
    return one_line(text, VALUE_LIMIT)


# --- findings ---------------------------------------------------------------------------------


def show_findings(findings: Iterable[Finding], console: Console) -> None:
    """Errors first; within a severity as the checks gave them."""
    for finding in sorted(findings, key=lambda f: f.severity.rank):
        line = Text(f"{finding.severity.value}: ", style=_SEVERITIES[finding.severity])
        if finding.place:
            line.append(f"{one_line(finding.place)}: ", style="bold")
        line.append(one_line(finding.message))
        line.append(f" [{finding.check}]", style="dim")
        console.print(line)
        lines = finding.hint.splitlines()
        for text in lines[:DIFF_LINES]:
            console.print(Text(f"  {one_line(text)}", style=_DIFF.get(text[:1], "cyan")))
        if len(lines) > DIFF_LINES:
            console.print(Text(f"  … {len(lines) - DIFF_LINES} more lines", style="dim"))


# --- requests, deliveries, status -------------------------------------------------------------


def show_request(
    request: Request,
    plans: Mapping[ChangeId, Plan],
    console: Console,
    *,
    needs: Mapping[ChangeId, Mapping[str, Need]] | None = None,
) -> None:
    """The question as a whole. Members with equal plans are shown as one; what
    takes outputs of another one in says so, and that it goes out after it."""
    console.print(
        Text.assemble(
            (f"request {short(request.id)} ", "bold"), one_line(request.title, VALUE_LIMIT)
        )
    )
    root = f"; root {short(request.spoken_of)}" if request.spoken_of else ""
    console.print(Text(f"{request.state.value}{root}", style="dim"))
    asked = [plans[m.change] for m in request.members if m.change in plans]
    console.print(Text(one_line(risk(asked)), style="bold"))
    for line in meaning(asked):
        console.print(f"  {one_line(line, VALUE_LIMIT)}")
    shown: set[str] = set()
    for member in request.members:
        plan = plans.get(member.change)
        lane = f"{plan.application} on {plan.target}" if plan else short(member.change)
        until = f", until {moment(member.expires_at)}" if member.expires_at else ""
        console.print(Text(f"\n{one_line(lane)}: {member.state.value}{until}", style="bold"))
        if member.reason:
            console.print(Text(f"  {one_line(member.reason, 400)}", style="yellow"))
        if member.moved:
            console.print(Text(f"  moved since: {one_line(member.moved)}", style="magenta"))
        taken = (needs or {}).get(member.change)
        if taken:
            console.print(Text(f"  {_taken(taken, plans.values())}", style="cyan"))
        if plan is not None and plan.digest not in shown:
            show_plan(plan, console)
            shown.add(plan.digest)
        elif plan is not None:
            console.print("  the same plan as above")
    for verdict in request.verdicts:
        reason = f": {one_line(verdict.reason)}" if verdict.reason else ""
        said = "approved" if verdict.decision is Decision.APPROVE else "denied"
        who = one_line(f"{said} by {verdict.person} ({verdict.via})")
        console.print(f"\n{who} {moment(verdict.at)}{reason}")


def _taken(needs: Mapping[str, Need], plans: Iterable[Plan]) -> str:
    """``takes host from site, which goes first``"""
    planned = {plan.application for plan in plans}
    first = [need.application in planned for need in needs.values()]
    said = ", ".join(f"{name} from {need.application}" for name, need in sorted(needs.items()))
    return one_line(f"takes {said}{', which goes first' if all(first) else ''}", 400)


def show_deliveries(
    deliveries: Sequence[DeliveryRecord], console: Console, *, live: Collection[str] = ()
) -> None:
    """``live``: ids of those whose state is there now."""
    rows = [
        (
            Text(short(record.id)),
            Text(one_line(str(record.change.change.lane))),
            Text(
                f"{record.state.value}{', live' if record.id in live else ''}",
                style=_state_style(record.state),
            ),
            Text(moment(record.started_at)),
            Text(_seconds(record)),
            Text(one_line(short(record.change.change.revision.id))),
            Text(one_line(_writers(record.change.change), VALUE_LIMIT)),
            Text(one_line(", ".join(record.approved_by))),
            Text(one_line(", ".join(" ".join(pair) for pair in record.versions), VALUE_LIMIT)),
            Text(one_line(record.reason, VALUE_LIMIT)),
        )
        for record in deliveries
    ]
    headings = (
        *("delivery", "application", "state", "started", "took"),
        *("revision", "written by", "approved by", "versions", "what"),
    )
    show_table(headings, rows, console, empty="nothing was delivered yet")


def _writers(change: Change) -> str:
    """Foreign text; a drift has no author."""
    if change.cause is Cause.DRIFT:
        return "nobody (drift)"
    return ", ".join(writers(change)) or "unknown"


def show_status(
    sources: Sequence[SourceStatus],
    clusters: Mapping[TargetName, ClusterStatus],
    lanes: Sequence[tuple[Standing, Delivered | None]],
    console: Console,
) -> None:
    """``lanes``: how each stands, and what was delivered to it last."""
    show_table(
        ("source", "state", "revision", "looked", ""),
        [_source_row(source) for source in sources],
        console,
        empty="no sources",
    )
    console.print()
    show_table(
        ("cluster", "state", ""),
        [_cluster_row(name, status) for name, status in sorted(clusters.items())],
        console,
        empty="no clusters",
    )
    console.print()
    show_table(
        ("application", "state", "delivered", ""),
        [_lane_row(stands, there) for stands, there in lanes],
        console,
        empty="no applications",
    )


def _source_row(source: SourceStatus) -> tuple[Text, ...]:
    style = "green" if source.state is SourceState.READY else "yellow"
    return (
        Text(one_line(source.source)),
        Text(source.state.value, style=style),
        Text(one_line(short(source.revision.id)) if source.revision else "-"),
        Text(moment(source.checked_at)),
        Text(one_line(source.message, VALUE_LIMIT)),
    )


def _cluster_row(name: str, status: ClusterStatus) -> tuple[Text, ...]:
    style = "green" if status.state is ClusterState.READY else "yellow"
    return (
        Text(one_line(name)),
        Text(status.state.value, style=style),
        Text(one_line(status.message, VALUE_LIMIT)),
    )


def _lane_row(stands: Standing, there: Delivered | None) -> tuple[Text, ...]:
    return (
        Text(one_line(str(stands.lane))),
        Text(one_line(stands.state), style=_TONES[TONES.get(stands.state, "")]),
        Text(one_line(f"{short(there.revision.id)} {moment(there.at)}") if there else "-"),
        Text(one_line(stands.note, VALUE_LIMIT)),
    )


def _state_style(state: ChangeState) -> str:
    if state in _GOOD:
        return "green"
    return "red" if state in _BAD else "yellow"


def _seconds(record: DeliveryRecord) -> str:
    if record.finished_at is None:
        return "-"
    return f"{record.finished_at - record.started_at:.1f} s"


def moment(at: float | None) -> str:
    """``2026-11-21 10:30:05Z``; ``-`` for a time that never was."""
    if not at:
        return "-"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def show_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[Text | str]],
    console: Console,
    *,
    empty: str = "nothing",
) -> None:
    """Columns aligned by two spaces, no frame: reads well and cuts well with other tools."""
    if not rows:
        console.print(Text(empty, style="dim"))
        return
    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    lines = [[Text(heading, style="dim") for heading in headings], *cells]
    widths = [max(cell_len(line[i].plain) for line in lines) for i in range(len(headings))]
    for line in lines:
        joined = Text()
        for cell, width in zip(line, widths, strict=True):
            joined.append_text(cell)
            joined.append(" " * (width - cell_len(cell.plain) + 2))
        joined.rstrip()
        console.print(joined)


def show_examined(rows: Sequence[tuple[str, str, str, str]], console: Console) -> None:
    """(``ok``, ``optional`` or ``missing``; what was looked at; what was found; what to do)"""
    width = max((len(name) for _, name, _, _ in rows), default=0)
    for state, name, detail, remedy in rows:
        mark, style = _EXAMINED[state]
        line = f" {name.ljust(width)}  {one_line(detail, 2_000)}"
        console.print(Text.assemble((mark, style), line))
        if remedy:
            console.print(Text(f"  {' ' * width}  → {one_line(remedy, 2_000)}", style="cyan"))
