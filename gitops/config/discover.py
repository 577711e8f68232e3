"""Turns folders of a source into applications.

The source is foreign: a folder may have any name, so what cannot become an application is a
problem beside the others and stops none of them. Called whenever a source with discoveries moved;
reads only the tree, never a file, and touches only the folders its pattern leads through.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

from gitops.config.roots import named
from gitops.config.scalars import dns_label
from gitops.errors import ConfigError
from gitops.foreign import one_line
from gitops.model.fleet import ApplicationSpec, Discovery, Fleet
from gitops.model.ids import ApplicationName
from gitops.model.source import EntryKind
from gitops.ports import Snapshot

MAX_APPLICATIONS = 10_000
"""Of one discovery: a pattern that matches more is a mistake."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """What one discovery found in one revision."""

    applications: Mapping[ApplicationName, ApplicationSpec]
    problems: tuple[ConfigError, ...] = ()
    """One per folder that cannot become an application; ``place`` is ``SOURCE@REVISION:FOLDER``."""


def discover(fleet: Fleet, discovery: Discovery, snapshot: Snapshot) -> Discovered:
    """Every folder that matches, as an application.

    A folder that the fleet file describes itself (same source and path) is left to it. A name that
    is taken, by an application of the fleet file or by two folders at once, is refused for all of
    the folders concerned: which came first must not decide.
    """
    described = _described(fleet, discovery)
    claims: dict[str, list[str]] = {}
    problems: list[ConfigError] = []
    for folder in _folders(discovery.glob, snapshot):
        if len(claims) >= MAX_APPLICATIONS:
            problems.append(_too_many(discovery, snapshot))
            break
        if folder not in described:
            claims.setdefault(_name(discovery, folder), []).append(folder)
    found = {}
    for name, folders in claims.items():
        refusal = _refusal(fleet, name, folders)
        if refusal is None:
            found[ApplicationName(name)] = instance(discovery, name, folders[0])
        else:
            problems += [_problem(snapshot, folder, *refusal) for folder in folders]
    return Discovered(MappingProxyType(found), tuple(problems))


def _described(fleet: Fleet, discovery: Discovery) -> frozenset[str]:
    source = discovery.template.source
    return frozenset(app.path for app in fleet.applications.values() if app.source == source)


def _folders(pattern: str, snapshot: Snapshot) -> Iterator[str]:
    """Folders that match, sorted; ``*`` does not cross a slash, links are not followed."""
    return _walk([part for part in pattern.split("/") if part], "", snapshot)


def _walk(parts: list[str], above: str, snapshot: Snapshot) -> Iterator[str]:
    if not parts:
        yield above
        return
    for entry in snapshot.children(above):
        if entry.kind is EntryKind.TREE and _matches(entry.path.rpartition("/")[2], parts[0]):
            yield from _walk(parts[1:], entry.path, snapshot)


def _matches(name: str, pattern: str) -> bool:
    """As in a shell: a leading dot has to be written."""
    return fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))


def _name(discovery: Discovery, folder: str) -> str:
    above, _, own = folder.rpartition("/")
    parent = above.rpartition("/")[2]
    # Not str.format: a folder's name is foreign and must not be read as a pattern.
    return parent.join(
        part.replace("{name}", own) for part in discovery.template.name.split("{parent}")
    )


def _refusal(fleet: Fleet, name: str, folders: list[str]) -> tuple[str, str] | None:
    shown = one_line(name, 80)
    try:
        dns_label(name)
    except ValueError:
        return (
            f'the folder would become application "{shown}", which is not a name',
            "rename it (lower-case letters, digits, dashes), or describe it under applications:",
        )
    if len(folders) > 1:
        both = ", ".join(one_line(folder, 80) for folder in folders[:5])
        return (
            f'{len(folders)} folders would become application "{shown}": {both}',
            'put {parent} into the name pattern, such as "{parent}-{name}"',
        )
    if ApplicationName(name) in fleet.applications:
        return (
            f'application "{shown}" is already described in the fleet file, from another folder',
            "rename the folder, or the application in the fleet file",
        )
    return None


def instance(discovery: Discovery, name: str, path: str) -> ApplicationSpec:
    """The discovery's template as the application of this name in this folder.

    A policy written into the discovery carries the application's name, as anywhere else; a root's
    state has a place of its own.
    """
    template = discovery.template
    approval = template.approval
    if approval.name == template.name:
        approval = dataclasses.replace(approval, name=name)
    terraform = None if template.terraform is None else named(template.terraform, name)
    return dataclasses.replace(
        template, name=ApplicationName(name), path=path, approval=approval, terraform=terraform
    )


def _problem(snapshot: Snapshot, folder: str, message: str, hint: str) -> ConfigError:
    return ConfigError(message, hint=hint, place=f"{snapshot.revision}:{one_line(folder, 200)}")


def _too_many(discovery: Discovery, snapshot: Snapshot) -> ConfigError:
    pattern = one_line(discovery.glob, 80)
    return ConfigError(
        f"{pattern} matches more than {MAX_APPLICATIONS} folders: the rest are left out",
        hint="narrow the pattern",
        place=str(snapshot.revision),
    )
