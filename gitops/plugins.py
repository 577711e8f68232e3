"""Finds plugins: one file adds a check, a renderer, a source or a notifier.

A plugin module offers ``NAME``, ``VERSION``, a frozen ``Options`` dataclass (its configuration
schema and its documentation) and ``build(options, services)``. Ours are found by scanning the
packages below; third parties register a module under the entry-point group ``gitops.<role>``.
Called by ``app.py`` and by the fleet file's validation (which only reads ``Options``).
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from gitops.errors import ConfigError, ToolMissing
from gitops.model.fleet import GitHubApp
from gitops.model.ids import SourceName
from gitops.ports import Children, Cipher, Clock, Digester
from gitops.ports.forges import Forge
from gitops.ports.office import Memory, Office
from gitops.ports.terraform import Workspace


class Role(StrEnum):
    CHECK = "checks"
    RENDERER = "renderers"
    SOURCE = "sources"
    NOTIFIER = "notifiers"
    FORGE = "forges"
    WEBHOOK = "webhooks"


_PACKAGES = {
    Role.CHECK: "planners.checks",
    Role.RENDERER: "planners.render",
    Role.SOURCE: "gitops.sources",
    Role.NOTIFIER: "notifiers",
    Role.FORGE: "gitops.forges",
    Role.WEBHOOK: "webhooks",
}


def no_tool(name: str) -> Path:
    """Stands in where no tools were lent."""
    raise ToolMissing(f"no {name} was made available", hint="run `gitops doctor`")


def no_office() -> Office:
    """Stands in where no controller runs."""
    raise ConfigError("no controller runs here", hint="start one: gitops run")


def no_memory() -> Memory:
    """Stands in where nothing lasts."""
    raise ConfigError("nothing is remembered here", hint="start a controller: gitops run")


def no_forge(_source: SourceName) -> None:
    """Stands in where no forge is asked."""


AppToken = Callable[[GitHubApp, Path | None, str], str]
"""A GitHub App's token, given the certificates its API is verified against and the token that was
just refused, if any. Blocks; see :meth:`gitops.forges.github_app.AppTokens.token`."""


def no_app(_app: GitHubApp, _ca_file: Path | None, _refused: str) -> str:
    """Stands in where nobody signs in as an app."""
    raise ConfigError("nobody signs in as a GitHub App here")


@dataclass(frozen=True, slots=True)
class Services:
    """What the composition root lends to every plugin it builds."""

    children: Children
    digester: Digester
    clock: Clock
    state_dir: Path
    """The controller's state folder; a plugin keeps to a folder of its own name inside."""
    cache_dir: Path
    """Content-addressed, bounded, safe to delete at any time."""
    tool: Callable[[str], Path] = no_tool
    """Path of a program by name (``helm``); may take a while, call it off the loop."""
    cipher: Cipher | None = None
    """For what is kept on disk and may hold secrets; None: nothing of the kind is kept."""
    terraform: Workspace | None = None
    """Runs terraform and tofu on roots; None where no root is ever checked."""
    chart_hosts: tuple[str, ...] = ()
    """Hosts a chart may be fetched from: the fleet's, never a source's own say."""
    office: Callable[[], Office] = no_office
    """What a chat shows and answers through. Called when needed: the controller is made after its
    plugins."""
    name: str = ""
    """What the fleet file calls this very plugin, where it has names for its kind (notifiers)."""
    memory: Memory | None = None
    """What a plugin remembers between runs; None where nothing lasts."""
    forge: Callable[[SourceName], Forge | None] = no_forge
    """The client for a source's forge; None where the fleet file names none."""
    app_token: AppToken = no_app
    """Signs sources and forges in that are reached as a GitHub App."""
    mask: Callable[[str], str] = str
    """Takes every secret value met so far out of a text."""


@dataclass(frozen=True, slots=True)
class Plugin:
    role: Role
    name: str
    version: str
    module: ModuleType

    @property
    def options(self) -> type[Any]:
        return self.module.Options  # type: ignore[no-any-return]

    def build(self, options: Mapping[str, Any], services: Services) -> Any:
        """Raises ConfigError for an option the plugin does not know."""
        known = {f.name for f in dataclasses.fields(self.options)}
        for key in options:
            if key not in known:
                raise ConfigError(
                    f"{self.role.value.rstrip('s')} {self.name!r} has no option {key!r}",
                    hint=f"it knows: {', '.join(sorted(known)) or 'none'}",
                )
        return self.module.build(self.options(**options), services)


@cache
def plugins(role: Role) -> Mapping[str, Plugin]:
    """Every plugin of a role by name, ours and those of installed distributions."""
    package = importlib.import_module(_PACKAGES[role])
    modules = [
        importlib.import_module(f"{package.__name__}.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
    ]
    modules += [point.load() for point in entry_points(group=f"gitops.{role.value}")]
    found = {}
    for module in modules:
        if hasattr(module, "NAME") and hasattr(module, "build"):
            found[module.NAME] = Plugin(role, module.NAME, module.VERSION, module)
    return found
