"""Finds the real programs we run (helm, kustomize, kubectl, the control plane) or builds them.

Order of preference: the folder ``KUBEBUILDER_ASSETS`` names, ``PATH`` (both only in the pinned
version: renderers are part of what is approved), the user's cache, then a build from the pinned
module files. Called by the renderers, the sandbox, the tests and ``gitops doctor``. Synchronous and
light to import; must never build unless :meth:`Toolbox.ensure` is called.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gitops.errors import ToolMissing
from gitops.sandbox import recipes
from gitops.sandbox.recipes import TOOLS, Tool

_ASK_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one module's build is. ``total`` is 0 until it is known."""

    module: str
    done: int
    total: int
    doing: str


Report = Callable[[Progress], None]


class Origin(StrEnum):
    ASSETS = "KUBEBUILDER_ASSETS"
    PATH = "PATH"
    CACHE = "cache"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file of the right name; ``accepted`` says whether its version is the pinned one."""

    path: Path
    origin: Origin
    version: str
    accepted: bool


def user_cache() -> Path:
    """Where built tools live, shared by every project of this user."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gitops-controller" / "tools"


class Toolbox:
    """Finds tools, remembers where they are, builds them when told to."""

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache or user_cache()
        self._found: dict[str, Path] = {}

    def find(self, name: str) -> Path | None:
        """The program, or None when it has to be built first. Builds nothing."""
        known = self._found.get(name)
        if known is not None and known.is_file():
            return known
        for candidate in self.candidates(name):
            if candidate.accepted:
                self._found[name] = candidate.path
                return candidate.path
        return None

    def path(self, name: str) -> Path:
        """The program; raises ToolMissing with the line that gets it."""
        found = self.find(name)
        if found is None:
            raise ToolMissing(f"{name} {_tool(name).version} is not here", hint=self.remedy(name))
        return found

    def ensure(self, names: Iterable[str], progress: Report | None = None) -> dict[str, Path]:
        """Every named tool, built where missing (minutes, and the network). Raises ToolMissing.

        Two processes that need the same module build it once: the second waits for the first.
        """
        from gitops.sandbox.build import build  # noqa: PLC0415 - only builders pay for it

        wanted = tuple(names)
        missing = {_tool(name).module for name in wanted if self.find(name) is None}
        for module in sorted(missing):
            build(module, self.folder(module), progress or _silent)
        return {name: self.path(name) for name in wanted}

    def version(self, name: str) -> str:
        """The pinned version without building: what :meth:`path` would answer with."""
        return _tool(name).version

    def folder(self, module: str) -> Path:
        """Where a module's binaries are cached; its name changes with anything they depend on."""
        return self.cache / f"{module}-{recipes.digest(module)}"

    def candidates(self, name: str) -> Iterator[Candidate]:
        """Every file of that name in order of preference, refused ones too (for ``doctor``)."""
        tool = _tool(name)
        for path, origin in self._places(name):
            if origin is Origin.CACHE:  # the folder's name already vouches for the version
                yield Candidate(path, origin, tool.version, accepted=True)
            else:
                said = _said_version(path, tool)
                yield Candidate(path, origin, said, accepted=said == tool.version)

    def remedy(self, name: str) -> str:
        """The line that gets a missing tool."""
        wrong = [c for c in self.candidates(name) if not c.accepted]
        seen = "".join(f"{c.path} is {c.version or 'of no known version'}; " for c in wrong)
        return f"{seen}run: gitops sandbox tools {name}"

    def _places(self, name: str) -> Iterator[tuple[Path, Origin]]:
        assets = os.environ.get("KUBEBUILDER_ASSETS")
        if assets and _runnable(Path(assets, name)):
            yield Path(assets, name).resolve(), Origin.ASSETS
        on_path = shutil.which(name)
        if on_path:
            yield Path(on_path).absolute(), Origin.PATH
        cached = self.folder(_tool(name).module) / name
        if _runnable(cached):
            yield cached, Origin.CACHE


def _tool(name: str) -> Tool:
    try:
        return TOOLS[name]
    except KeyError:
        known = ", ".join(sorted(TOOLS))
        raise ToolMissing(f"no tool is called {name!r}", hint=f"known: {known}") from None


def _runnable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _said_version(path: Path, tool: Tool) -> str:
    """The pinned version if the program names it, else the first thing it says; empty if nothing.

    Asked in an empty environment: a tool must not read a user's configuration to say its version.
    """
    try:
        answer = subprocess.run(
            [path, *tool.asks],
            capture_output=True,
            timeout=_ASK_SECONDS,
            env={"HOME": "/nonexistent", "PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = answer.stdout.decode("utf-8", "replace")
    number = recipes.version_in(text)
    return f"v{number}" if number else ""


def _silent(progress: Progress) -> None:
    """Progress nobody watches."""
