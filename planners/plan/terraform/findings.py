"""What a plan says beside its rows: failed checks, parts put off, values that had to be hidden.

Pure; called by the reading. Every text went through the plan's veil.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace

from gitops.foreign import one_line
from gitops.model.finding import Finding, Severity
from gitops.model.plan import ResourceChange
from planners.plan.terraform.document import Entry, Json, deferred, items, mapping
from planners.plan.terraform.fields import fields
from planners.plan.terraform.veil import Veil

CHECK = "terraform-plan"
_MOST = 20
_NAMED = 5
_LONGEST = 500
_FAILED = ("fail", "error")


def of_plan(shown: Json, veil: Veil) -> Iterator[Finding]:
    """What the tool itself reports about its plan."""
    if shown.get("errored") is True:
        yield _finding(
            Severity.ERROR,
            "the plan ended with an error, so it is not whole",
            "run plan again; the tool's own words say what failed",
        )
    yield from _put_off(shown, veil)
    yield from _bounded(list(_failed_checks(shown, veil)), "failed assertions")


def unknown_actions(entries: Sequence[Entry], veil: Veil) -> Iterator[Finding]:
    """Nobody can approve what cannot be told."""
    for entry in entries[:_MOST]:
        yield _finding(
            Severity.ERROR,
            f"{veil.text(entry.address)}: the tool plans {'+'.join(entry.actions) or 'nothing'}, "
            "an action this version cannot explain",
            "use an older tool for this root, or a newer controller",
        )


def drift(entries: Sequence[Entry], shown_anyway: Set[str], veil: Veil) -> list[Finding]:
    """What the refresh found at resources that have no row of their own: an apply writes it to
    the state."""
    rest = [entry for entry in entries if entry.address not in shown_anyway]
    return _bounded(
        [
            _finding(Severity.INFO, f"{veil.text(entry.address)}: {drifted(entry, veil)}")
            for entry in rest[: _MOST + 1]
        ],
        "resources somebody else changed",
        len(rest),
    )


def drifted(entry: Entry, veil: Veil) -> str:
    """``changed by somebody else since: tags["Name"], size``."""
    if entry.after.value is None:
        return "removed by somebody else since"
    veil.of(entry)
    paths = [row.path for row in fields(entry.before, entry.after, veil).rows]
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"changed by somebody else since: {', '.join(paths[:_NAMED])}{more}"


def with_note(change: ResourceChange, note: str) -> ResourceChange:
    return replace(change, notes=(*change.notes, one_line(note, _LONGEST)))


def hidden(places: Sequence[str]) -> Iterator[Finding]:
    """A value outside the sensitive ones that nobody can see has to be said."""
    if not places:
        return
    named = ", ".join(places[:_NAMED])
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    yield _finding(
        Severity.WARNING,
        f"not all can be shown: {named}{more}",
        "a value equals one marked as sensitive elsewhere, or there is too much of it: "
        "look at the configuration itself before approving",
    )


def _put_off(shown: Json, veil: Veil) -> Iterator[Finding]:
    later = deferred(shown)
    if not later and shown.get("complete") is not False:
        return
    named = ", ".join(
        f"{veil.text(entry.address)} ({one_line(why, 60) or 'no reason given'})"
        for why, entry in later[:_NAMED]
    )
    more = f" and {len(later) - _NAMED} more" if len(later) > _NAMED else ""
    yield _finding(
        Severity.WARNING,
        f"not everything is planned yet: {named or 'the tool does not say what'}{more}",
        "plan again once this is applied",
    )


def _failed_checks(shown: Json, veil: Veil) -> Iterator[Finding]:
    for check in map(mapping, items(shown.get("checks"))):
        if check.get("status") not in _FAILED:
            continue
        # A `check` block warns, by its own definition; a condition of a resource, a variable or an
        # output keeps the tool from going on.
        mild = mapping(check.get("address")).get("kind") == "check"
        severity = Severity.WARNING if mild else Severity.ERROR
        for place, message in _problems(check):
            text = f"{place or 'a check'}: {message or 'its condition does not hold'}"
            yield _finding(severity, veil.text(text))


def _problems(check: Json) -> Iterator[tuple[str, str]]:
    whole = str(mapping(check.get("address")).get("to_display", ""))
    instances = [
        each
        for each in map(mapping, items(check.get("instances")))
        if each.get("status") in _FAILED
    ]
    for instance in instances:
        place = str(mapping(instance.get("address")).get("to_display", whole))
        problems = [mapping(each) for each in items(instance.get("problems"))]
        for problem in problems or [{}]:
            yield place, str(problem.get("message", ""))
    if not instances:
        yield whole, ""


def _bounded(found: Sequence[Finding], what: str, total: int = 0) -> list[Finding]:
    total = total or len(found)
    if total <= _MOST:
        return list(found)
    worst = max(found, key=lambda finding: finding.severity is Severity.ERROR).severity
    return [*found[:_MOST], _finding(worst, f"and {total - _MOST} more {what}")]


def _finding(severity: Severity, message: str, hint: str = "") -> Finding:
    return Finding(CHECK, severity, one_line(message, _LONGEST), hint)
