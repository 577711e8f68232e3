"""Takes a changed fleet file into use, or keeps the old one and says why.

Called on SIGHUP. A bad file never stops the controller and never half-applies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gitops.config.backends import identity
from gitops.config.load import load
from gitops.errors import ConfigError
from gitops.model.fleet import ApplicationSpec, Fleet


def reload(
    old: Fleet, path: Path, env: Mapping[str, str] | None = None
) -> tuple[Fleet, tuple[ConfigError, ...]]:
    """The new fleet and no problems, or the old fleet and every problem of the new file."""
    try:
        return load(path, env), ()
    except ConfigError as error:
        return old, error.problems or (error,)


_STAYS = "its objects stay and are no longer managed"
_ROOT_STAYS = "its resources and its state stay and are no longer managed"
_SECTIONS = (
    ("source", "sources", "nothing is read from it any more"),
    ("cluster", "clusters", "everything in it stays and is no longer managed"),
)


def changes(old: Fleet, new: Fleet) -> tuple[str, ...]:
    """What is different, one sentence each, removals first; empty when nothing is."""
    return (*_removed(old, new), *_different(old, new), *_open(old, new), *_restart(old, new))


def _removed(old: Fleet, new: Fleet) -> Iterator[str]:
    """Taking something out of the fleet file deletes nothing: said each time."""
    for word, section, what in _SECTIONS:
        present: Mapping[Any, Any] = getattr(new, section)
        for name in getattr(old, section):
            if name not in present:
                yield f'{word} "{name}" was removed: {what}'
    for name, application in old.applications.items():
        after = new.applications.get(name)
        if after is None:
            yield f'application "{name}" was removed: {_stays(application)}'
            continue
        if application.terraform is not None and _state(application) != _state(after):
            yield f'application "{name}" has another state: resources of the one before stay there'
        for cluster in application.clusters:
            if cluster not in after.clusters and cluster in new.clusters:
                yield f'application "{name}" no longer goes to cluster "{cluster}": {_STAYS} there'
    gone = [d for d in old.discoveries if d.glob not in {n.glob for n in new.discoveries}]
    for discovery in gone:
        where = f'{discovery.glob} of source "{discovery.template.source}"'
        yield f"applications are no longer discovered in {where}: their objects stay"


def _stays(application: ApplicationSpec) -> str:
    return _STAYS if application.terraform is None else _ROOT_STAYS


def _state(application: ApplicationSpec) -> object:
    """Where a root keeps what it made; None for an application that is no root."""
    root = application.terraform
    if root is None:
        return None
    backend = root.backend
    return identity(backend, root.workspace, root.environment.plan) if backend else root.workspace


def _different(old: Fleet, new: Fleet) -> Iterator[str]:
    for word, section in (
        ("source", "sources"),
        ("cluster", "clusters"),
        ("application", "applications"),
    ):
        before: Mapping[Any, Any] = getattr(old, section)
        after: Mapping[Any, Any] = getattr(new, section)
        for name, value in after.items():
            if name not in before:
                yield f'{word} "{name}" was added'
            elif value != before[name]:
                yield f'{word} "{name}" was changed{_effect(before[name], value)}'
    if old.people != new.people:
        yield "people, groups or bots were changed: what waits for approval is asked again"
    for section in ("discoveries", "notifiers", "chart_hosts"):
        if getattr(old, section) != getattr(new, section):
            yield f"{section.replace('_', ' ')} were changed"


def _effect(before: Any, after: Any) -> str:
    if isinstance(after, ApplicationSpec) and before.approval != after.approval:
        return ": what waits for approval under the old policy is asked again"
    return ""


def _open(old: Fleet, new: Fleet) -> Iterator[str]:
    """Who may come in is asked with every request: these are in force at once."""
    if old.api.roles != new.api.roles:
        yield "roles at pages and API were changed: they hold from the next request on"
    if old.api.sign_in != new.api.sign_in:
        yield "the ways to sign in were changed: they hold from the next request on"
        if new.api.sign_in.anonymous and not old.api.sign_in.anonymous:
            yield "from now on everybody who reaches the address may look"


def _restart(old: Fleet, new: Fleet) -> Iterator[str]:
    """These are opened once, at start."""
    for section in ("store", "vault", "api", "state_dir", "terraform", "metrics", "tracing", "log"):
        before, after = getattr(old, section), getattr(new, section)
        if section == "api":
            before = replace(before, sign_in=after.sign_in, roles=after.roles)
        if before != after:
            yield f"{section} was changed: this takes effect at the next start"
