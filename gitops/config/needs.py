"""Outputs that applications take from one another: as values, and as rules across the fleet.

Called by :mod:`gitops.config.build` and, once everything has its shape, by
:mod:`gitops.config.rules`. Only Terraform roots have outputs. What a discovery will find is not
known yet, so a name that one of them could find counts as there; whoever needs it waits until it
is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from gitops.config.problems import Draft, Loc
from gitops.config.shape import Delivered
from gitops.config.words import owner
from gitops.model.fleet import ApplicationSpec, Discovery, Fleet
from gitops.model.ids import ApplicationName
from gitops.model.terraform import Need


def needs(given: Delivered) -> Mapping[str, Need]:
    """``database.host`` and ``{application: database, output: host}`` mean the same."""
    found = {}
    for name, wanted in given.needs.items():
        if isinstance(wanted, str):
            found[name] = Need(*wanted.split(".", 1))
        else:
            found[name] = Need(wanted.application, wanted.output)
    return MappingProxyType(found)


def check_needs(draft: Draft, fleet: Fleet) -> None:
    """Every need leads to a root, no name hides another, and nothing waits for itself."""
    if ("applications",) in draft.damaged or ("discover",) in draft.damaged:
        return
    for loc, application in _entries(fleet):
        _hidden(draft, application.needs, (*loc, "needs"))
        for name, need in application.needs.items():
            _leads_to_a_root(draft, fleet, need, (*loc, "needs", name))
    _no_cycles(draft, fleet)


def _entries(fleet: Fleet) -> Iterator[tuple[Loc, ApplicationSpec]]:
    for name, application in fleet.applications.items():
        yield ("applications", name), application
    for index, discovery in enumerate(fleet.discoveries):
        yield ("discover", index), discovery.template


def _hidden(draft: Draft, names: Iterable[str], loc: Loc) -> None:
    """As a Helm value ``db`` cannot be a text and hold ``db.host`` at the same time."""
    known = set(names)
    for name in sorted(known):
        parts = name.split(".")
        above = [".".join(parts[:end]) for end in range(1, len(parts))]
        hides = next((each for each in above if each in known), None)
        if hides is not None:
            message = f'"{name}" of {owner(loc)} lies within "{hides}", which is a value itself'
            draft.refuse_at(draft.named((*loc, name)), message, "rename one of the two")


def _leads_to_a_root(draft: Draft, fleet: Fleet, need: Need, loc: Loc) -> None:
    at = (*loc, "application")
    spec = _spec(fleet, need.application)
    if spec is None:
        draft.expect(at, need.application, _roots(fleet), "Terraform application")
    elif spec.terraform is None:
        message = f'application "{need.application}" is not a Terraform root, so it has no outputs'
        draft.refuse(at, message, f"roots: {', '.join(_roots(fleet)) or 'there are none yet'}")


def _roots(fleet: Fleet) -> list[str]:
    return [name for name, spec in fleet.applications.items() if spec.terraform is not None]


def _spec(fleet: Fleet, name: str) -> ApplicationSpec | None:
    """The application of this name, or what a discovery would make it; roots are tried first."""
    listed = fleet.applications.get(ApplicationName(name))
    if listed is not None:
        return listed
    could = [each.template for each in fleet.discoveries if could_find(each, name)]
    could.sort(key=lambda template: template.terraform is None)
    return could[0] if could else None


def could_find(discovery: Discovery, name: str) -> bool:
    """Does the pattern of names leave room for this one?"""
    pattern = re.escape(discovery.template.name)
    for part in ("{name}", "{parent}"):
        pattern = pattern.replace(re.escape(part), ".+")
    return re.fullmatch(pattern, name) is not None


def _no_cycles(draft: Draft, fleet: Fleet) -> None:
    """What needs each other would wait for each other for ever."""

    def needed(name: str) -> list[str]:
        spec = _spec(fleet, name)
        return [] if spec is None else [need.application for need in spec.needs.values()]

    starts = [str(name) for name in fleet.applications]
    for each in fleet.discoveries:
        starts += [need.application for need in each.template.needs.values()]
    for cycle in circles(starts, needed):
        _refuse_cycle(draft, fleet, cycle)


def circles(starts: Iterable[str], needed: Callable[[str], Iterable[str]]) -> Iterator[list[str]]:
    """Each circle that the starts lead into, its first name again at its end. Depth first, without
    recursion: a chain may be as long as the fleet."""
    done: set[str] = set()
    for start in starts:
        path: dict[str, None] = {}
        ahead = [iter((start,))]
        while ahead:
            name = next(ahead[-1], None)
            if name is None:
                ahead.pop()
                if path:
                    done.add(path.popitem()[0])
            elif name in path:
                names = list(path)
                yield [*names[names.index(name) :], name]
            elif name not in done:
                path[name] = None
                ahead.append(iter(needed(name)))


def _refuse_cycle(draft: Draft, fleet: Fleet, cycle: list[str]) -> None:
    loc, spec = _described(fleet, cycle[0])
    name = next(name for name, need in spec.needs.items() if need.application == cycle[1])
    found = loc[0] == "discover"
    if len(cycle) > 2:
        message = f"applications need each other: {' → '.join(cycle)}"
        hint = "break the circle at one of them"
    elif found:
        message = f'{owner((*loc, ""))}: application "{cycle[0]}" would need itself'
        hint = f"describe {cycle[0]} under applications:"
    else:
        message, hint = f'application "{cycle[0]}" needs itself', "remove it"
    draft.refuse_at(draft.named((*loc, "needs", name)), message, hint)


def _described(fleet: Fleet, name: str) -> tuple[Loc, ApplicationSpec]:
    spec = _spec(fleet, name)
    for loc, described in _entries(fleet):
        if described is spec:
            return loc, described
    raise AssertionError(name)
