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
from gitops.ports import Children, Cipher, Clock, Digester
from gitops.ports.terraform import Workspace


class Role(StrEnum):
    CHECK = "checks"
    RENDERER = "renderers"
    SOURCE = "sources"
    NOTIFIER = "notifiers"


_PACKAGES = {
    Role.CHECK: "planners.checks",
    Role.RENDERER: "planners.render",
    Role.SOURCE: "gitops.sources",
    Role.NOTIFIER: "notifiers",
}


def no_tool(name: str) -> Path:
    """Stands in where no tools were lent."""
    raise ToolMissing(f"no {name} was made available", hint="run `gitops doctor`")


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
