"""One plan of the tool, read: rows, findings, what they amount to. Pure.

Called by the planner in a thread of its own, since ten thousand resources take a while. What it
gives out may be shown, stored and sent, ``outputs`` excepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gitops.errors import RenderError
from gitops.model.finding import Finding
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import Digest, combine
from gitops.model.plan import Action, ResourceChange
from gitops.model.terraform import STATEFUL
from gitops.ports import Digester
from gitops.spelling import spelled
from planners.plan.budget import over_budget
from planners.plan.terraform import findings as said
from planners.plan.terraform.changes import (
    Row,
    Terms,
    action_of,
    drift_row,
    output_row,
    provisioners,
    row,
)
from planners.plan.terraform.document import (
    Entry,
    Json,
    deferred,
    drifted,
    items,
    mapping,
    modules,
    outputs,
    require_readable,
    resources,
)
from planners.plan.terraform.veil import Veil

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Reading:
    changes: tuple[ResourceChange, ...]
    digest: Digest
    """Semantic: the same for two plans of one configuration and one state."""
    unchanged: int
    findings: tuple[Finding, ...]
    over_budget: tuple[str, ...]
    hides: bool


def read(shown: Json, application: ApplicationSpec, veil: Veil, digester: Digester) -> Reading:
    """``veil`` is this plan's own. Raises RenderError for what cannot be read."""
    try:
        return _read(shown, application, veil, digester)
    except (RecursionError, ValueError) as error:
        raise _unreadable() from error


def read_drift(
    shown: Json, veil: Veil, digester: Digester
) -> tuple[tuple[ResourceChange, ...], Digest]:
    """What a refresh found, and a keyed digest over it. Raises RenderError."""
    try:
        require_readable(shown)
        terms = Terms(veil, digester)
        rows = tuple(drift_row(entry, terms).change for entry in drifted(shown))
    except (RecursionError, ValueError) as error:
        raise _unreadable() from error
    return rows, combine("terraform drift", *(change.digest for change in rows))


def _unreadable() -> RenderError:
    return RenderError(
        "a value of this plan is nested too deeply, or is too large a number, to be read",
        hint="keep such a value out of the configuration, or pass it as a JSON text",
    )


def _read(shown: Json, application: ApplicationSpec, veil: Veil, digester: Digester) -> Reading:
    require_readable(shown)
    stateful = application.terraform.stateful if application.terraform else STATEFUL
    terms = Terms(veil, digester, stateful, provisioners(modules(shown)))
    entries, drift = resources(shown), drifted(shown)
    rows = [*_resource_rows(entries, terms), *_action_rows(shown, terms)]
    losses, held = (each.change for each in rows), _held(entries)
    lost = over_budget(losses, application.delete_budget, held, "resources")
    stateful_losses = _stateful_losses(rows)
    rows += _output_rows(outputs(shown), terms)
    if not rows and shown.get("applyable") is True:
        rows.append(_state_only(terms))
    changes = tuple(each.change for each in rows)
    hidden = [place for each in rows for place in each.hidden]
    return Reading(
        _with_drift(changes, drift, veil),
        combine("terraform", *(change.digest for change in changes), *_put_off(shown, terms)),
        sum(1 for entry in entries if entry.managed and action_of(entry) is Action.NONE),
        (
            *said.unknown_actions([e for e in entries if action_of(e) is None], veil),
            *said.of_plan(shown, veil),
            *said.drift(drift, {e.address for e in entries if _has_row(e)}, veil),
            *said.hidden(hidden),
        ),
        (*lost, *stateful_losses),
        bool(hidden) or any(each.veiled for each in rows),
    )


def _resource_rows(entries: Iterable[Entry], terms: Terms) -> Iterator[Row]:
    for entry in entries:
        if _has_row(entry):
            # An action nobody here knows is shown as far as can be; a finding blocks the plan.
            yield row(entry, action_of(entry) or Action.UPDATE, terms)


def _has_row(entry: Entry) -> bool:
    return action_of(entry) is not Action.NONE


def _output_rows(entries: Iterable[Entry], terms: Terms) -> Iterator[Row]:
    for entry in entries:
        if _has_row(entry):
            yield output_row(entry, action_of(entry) or Action.UPDATE, terms)


def _action_rows(shown: Json, terms: Terms) -> Iterator[Row]:
    """Actions of providers (terraform 1.14): they change things without being resources."""
    for each in map(mapping, items(shown.get("action_invocations"))):
        address = terms.veil.text(str(each.get("address", "an action")))
        digest = terms.digester.of(spelled(each))
        note = ("runs an action of its provider",)
        yield Row(ResourceChange(Action.UPDATE, address, digest=digest, notes=note))


def _state_only(terms: Terms) -> Row:
    note = ("the state is written, though neither a resource nor an output changes",)
    digest = terms.digester.of(b"state only")
    return Row(ResourceChange(Action.UPDATE, "state", digest=digest, notes=note))


def _put_off(shown: Json, terms: Terms) -> list[Digest]:
    later = [[why, entry.address, entry.actions] for why, entry in deferred(shown)]
    return [terms.digester.of(spelled(later))] if later else []


def _held(entries: Iterable[Entry]) -> int:
    """Resources that the state holds before."""
    return sum(1 for e in entries if e.managed and not e.deposed and e.before.value is not None)


def _stateful_losses(rows: Sequence[Row]) -> list[str]:
    lost = [each.change for each in rows if each.change.stateful and each.change.action.destroys]
    named = [
        f"{'replaces' if change.action is Action.REPLACE else 'deletes'} {change.address}: "
        "a stateful resource"
        for change in lost[:_NAMED]
    ]
    more = len(lost) - _NAMED
    return [*named, f"and {more} more stateful resources"] if more > 0 else named


def _with_drift(
    changes: Sequence[ResourceChange], drift: Sequence[Entry], veil: Veil
) -> tuple[ResourceChange, ...]:
    """Says at the row of a resource that somebody else changed it meanwhile."""
    noted: Mapping[str, str] = {
        veil.text(entry.address): said.drifted(entry, veil) for entry in drift
    }
    return tuple(
        said.with_note(change, noted[change.address]) if change.address in noted else change
        for change in changes
    )
