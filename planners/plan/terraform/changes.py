"""From one entry of the tool's plan to the row people approve. Pure.

Whatever alters the state has a row: a move, an import and a removal from the state too, though
nothing real changes by them. Digests cover the values in clear and are therefore keyed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from gitops.foreign import one_line
from gitops.model.ids import Digest
from gitops.model.plan import Action, FieldChange, ResourceChange
from gitops.ports import Digester
from gitops.spelling import spelled
from planners.plan.terraform.document import Entry, Json
from planners.plan.terraform.fields import fields, path_of
from planners.plan.terraform.veil import Veil

ACTIONS: Mapping[tuple[str, ...], Action] = {
    ("no-op",): Action.NONE,
    ("read",): Action.NONE,
    ("open",): Action.NONE,
    ("renew",): Action.NONE,
    ("close",): Action.NONE,
    ("create",): Action.CREATE,
    ("update",): Action.UPDATE,
    ("delete", "create"): Action.REPLACE,
    ("create", "delete"): Action.REPLACE,
    ("delete",): Action.DELETE,
    ("forget",): Action.UPDATE,
    ("create", "forget"): Action.CREATE,
    ("forget", "create"): Action.CREATE,
}
"""What the tool's words mean (its JSON output format, "change representation")."""

_REASONS = {
    "replace_because_tainted": "it is marked as damaged (tainted)",
    "replace_because_cannot_update": "it cannot be changed in place",
    "replace_by_request": "its replacement was asked for",
    "replace_by_triggers": "something it is bound to changes (replace_triggered_by)",
    "delete_because_no_resource_config": "it is no longer in the configuration",
    "delete_because_wrong_repetition": "the configuration gives it other keys now",
    "delete_because_count_index": "its index is beyond `count`",
    "delete_because_each_key": "its key is no longer in `for_each`",
    "delete_because_no_module": "its module is no longer in the configuration",
    "delete_because_no_move_target": "it was moved to an address nobody declares",
    "delete_because_enabled_false": "it is switched off (`enabled`)",
}
_LONGEST_NOTE = 300


@dataclass(frozen=True, slots=True)
class Terms:
    """What every row of one plan is made with."""

    veil: Veil
    digester: Digester
    stateful: tuple[str, ...] = ()
    """Patterns of resource types."""
    provisioners: Mapping[str, Any] = field(default_factory=dict)
    """By the address the configuration uses."""


@dataclass(frozen=True, slots=True)
class Row:
    change: ResourceChange
    hidden: tuple[str, ...] = ()
    """Places where a value is hidden only because it equals a sensitive one of elsewhere."""
    veiled: bool = False
    """Something it does is not to be seen: a value said to be sensitive, what a program does."""


def action_of(entry: Entry) -> Action | None:
    """None for one this version does not know."""
    action = ACTIONS.get(entry.actions)
    if action is Action.NONE and (entry.previous or entry.importing is not None):
        return Action.UPDATE
    return action


def row(entry: Entry, action: Action, terms: Terms) -> Row:
    """The row of a resource that changes."""
    return _row(entry, action, terms, _notes(entry, action, terms))


def drift_row(entry: Entry, terms: Terms) -> Row:
    """What somebody else did: ``before`` is the state's value, ``after`` the real one."""
    gone = entry.after.value is None
    notes = ("it was removed by somebody else",) if gone else ()
    return _row(entry, Action.DELETE if gone else Action.UPDATE, terms, notes)


def output_row(entry: Entry, action: Action, terms: Terms) -> Row:
    """An output. One that is removed destroys nothing, so it counts as updated."""
    if action is Action.DELETE:
        made = _row(entry, Action.UPDATE, terms, ("it is removed",), "value")
    else:
        made = _row(entry, action, terms, (), "value")
    return replace(made, change=replace(made.change, output=True))


def _row(entry: Entry, action: Action, terms: Terms, notes: tuple[str, ...], name: str = "") -> Row:
    terms.veil.of(entry)
    address = terms.veil.text(entry.address)
    if entry.deposed:
        address += f" (left over, {one_line(entry.deposed, 20)})"
    hidden = [address] if terms.veil.hid else []
    rows: tuple[FieldChange, ...] = ()
    veiled = bool(_runs(entry, terms))
    if action is not Action.DELETE and entry.actions != ("forget",):
        differing = fields(entry.before, entry.after, terms.veil, name)
        veiled = veiled or differing.veiled
        rows, notes = differing.rows, (*notes, *_left_out(differing.more, entry, differing.rows))
        hidden += (f"{address} {path}" for path in differing.hidden)
        hidden += [f"{address}, further fields"] if differing.more else []
    change = ResourceChange(
        action,
        address,
        fields=rows,
        digest=digest(entry, terms),
        notes=tuple(_noted(note, terms.veil) for note in notes),
        stateful=_is_stateful(entry, terms),
        foreign=entry.importing is not None,
    )
    return Row(change, tuple(hidden), veiled)


def digest(entry: Entry, terms: Terms) -> Digest:
    """Over everything that decides what will be done, and nothing that moves by itself: no time,
    no version of the tool, no order of maps."""
    content = [
        entry.address,
        entry.previous,
        entry.deposed,
        entry.mode,
        entry.type,
        entry.provider,
        entry.actions,
        *(part for side in (entry.before, entry.after) for part in (side.value, side.sensitive)),
        entry.after.unknown,
        entry.replace_paths,
        entry.importing,
        _runs(entry, terms),
    ]
    return terms.digester.of(spelled(content))


def _is_stateful(entry: Entry, terms: Terms) -> bool:
    return entry.managed and any(fnmatchcase(entry.type, each) for each in terms.stateful)


def _runs(entry: Entry, terms: Terms) -> Any:
    """Provisioners that run for it: they are programs, and no attribute tells of them."""
    changes = {"create", "delete"} & set(entry.actions)
    return terms.provisioners.get(entry.place) if changes else None


# --- notes ------------------------------------------------------------------------------------


def _notes(entry: Entry, action: Action, terms: Terms) -> tuple[str, ...]:
    return tuple(note for each in _NOTES for note in each(entry, action, terms))


def _moved(entry: Entry, _action: Action, _terms: Terms) -> Iterator[str]:
    if entry.previous:
        yield f"moved from {entry.previous}"


def _imported(entry: Entry, _action: Action, _terms: Terms) -> Iterator[str]:
    if entry.importing is None:
        return
    named = entry.importing.get("id") or entry.importing.get("identity")
    yield f"imports {'what is there already' if named is None else _words(named)}"


def _forgotten(entry: Entry, _action: Action, _terms: Terms) -> Iterator[str]:
    if "forget" not in entry.actions:
        return
    what = "it" if entry.actions == ("forget",) else "the old one"
    yield f"{what} is taken out of the state and goes on existing, managed by nobody"


def _why(entry: Entry, action: Action, _terms: Terms) -> Iterator[str]:
    forced = action is Action.REPLACE and entry.replace_paths
    if entry.reason and not forced and not entry.reason.startswith("read_"):
        yield _REASONS.get(entry.reason) or f"reason: {entry.reason}"
    for path in entry.replace_paths if forced else ():
        text = ""
        for step in path:
            text = path_of(text, step if isinstance(step, int) else str(step))
        yield f"forces replacement: {text}"


def _order(entry: Entry, _action: Action, _terms: Terms) -> Iterator[str]:
    if entry.actions == ("create", "delete"):
        yield "the new one is made before the old one is destroyed"


def _identified(entry: Entry, action: Action, terms: Terms) -> Iterator[str]:
    if action is not Action.DELETE and entry.actions != ("forget",):
        return
    before = entry.before
    if (
        isinstance(before.value, Mapping)
        and before.value.get("id")
        and before.sensitive is not True
    ):
        terms.veil.of(entry)
        marked = isinstance(before.sensitive, Mapping) and before.sensitive.get("id")
        yield f"its id is {'hidden' if marked else _words(before.value['id'])}"


def _programs(entry: Entry, _action: Action, terms: Terms) -> Iterator[str]:
    runs = _runs(entry, terms)
    kinds = [str(each.get("type", "")) for each in runs or () if isinstance(each, Mapping)]
    if kinds:
        yield f"runs provisioners: {', '.join(kinds)}"


_NOTES: tuple[Callable[[Entry, Action, Terms], Iterator[str]], ...] = (
    _moved,
    _imported,
    _forgotten,
    _why,
    _order,
    _identified,
    _programs,
)


def _left_out(more: bool, entry: Entry, rows: tuple[FieldChange, ...]) -> tuple[str, ...]:
    if more:
        return (f"more than {len(rows)} fields change, the rest is not listed",)
    if not rows and entry.actions == ("update",):
        if entry.before.sensitive != entry.after.sensitive:
            return ("only what is treated as sensitive changes",)
        return ("no attribute differs in what can be shown",)
    return ()


def _noted(note: str, veil: Veil) -> str:
    return one_line(veil.text(note), _LONGEST_NOTE)


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def provisioners(configured: Iterator[tuple[str, Json, Json]]) -> dict[str, Any]:
    """Of each resource the configuration gives any, by address without keys."""
    found: dict[str, Any] = {}
    for module, _, configuration in configured:
        for each in configuration.get("resources") or ():
            if isinstance(each, Mapping) and each.get("provisioners"):
                address = f"{module}.{each.get('address')}" if module else str(each.get("address"))
                found[address] = each["provisioners"]
    return found
