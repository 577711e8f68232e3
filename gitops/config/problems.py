"""Collects everything that is wrong with a fleet file, so that people fix it in one go.

One :class:`Draft` is filled while a fleet file is read and checked; :mod:`gitops.config.load`
raises what it holds. Knows the tree, so that a rule names a path and the place follows.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gitops.config.tree import Node, Place
from gitops.errors import ConfigError
from gitops.foreign import one_line

Loc = tuple[str | int, ...]
"""Keys and list positions from the root of the fleet file."""


@dataclass(slots=True)
class Draft:
    """A fleet file while it is being read."""

    root: Node
    env: Mapping[str, str]
    resolve_secrets: bool = True
    damaged: set[Loc] = field(default_factory=set)
    """Entries already refused: what follows from that is not said as well."""
    _found: list[tuple[Place, ConfigError]] = field(default_factory=list)

    def refuse(self, loc: Loc, message: str, hint: str = "") -> None:
        node, named = self.root.find(loc)
        scalar = not isinstance(node.value, dict | list)
        self.refuse_at(node.place if scalar else named, message, hint)

    def refuse_at(self, place: Place, message: str, hint: str = "") -> None:
        self._found.append((place, ConfigError(message, hint=hint, place=str(place))))

    def named(self, loc: Loc) -> Place:
        """Where the key at ``loc`` stands."""
        return self.root.find(loc)[1]

    def path(self, loc: Loc, text: str) -> Path:
        """A path as written at ``loc``: ``~`` is the home, relative ones start at the file."""
        if text == "~" or text.startswith("~/"):
            return home(self.env) / text[2:]
        return Path(self.root.find(loc)[0].place.folder, text)

    def names(self, section: str) -> list[str]:
        """Every name a section defines, refused entries included: they exist."""
        node = self.root.value.get(section)
        return list(node.value) if node is not None and isinstance(node.value, dict) else []

    def expect(self, loc: Loc, name: str, known: Iterable[str], what: str) -> None:
        """Refuses a name that is not defined, with the nearest one that is."""
        known = list(known)
        if name not in known:
            hint = nearest(name, known) or f"there are no {what}s yet"
            self.refuse(loc, f'there is no {what} "{one_line(name, 80)}"', hint)

    @property
    def problems(self) -> tuple[ConfigError, ...]:
        """In the order of the files, each said once."""
        found = sorted(self._found, key=lambda item: (item[0].file, item[0].line, item[0].column))
        return tuple({str(problem): problem for _, problem in found}.values())


def home(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or Path.home())


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean "source"?``, else the known words, else empty."""
    known = sorted(known)
    close = difflib.get_close_matches(word[:64], known, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known: {', '.join(known)}" if known else ""


def together(problems: tuple[ConfigError, ...], file: str) -> ConfigError:
    """One error that carries them all; its text shows them all."""
    if len(problems) == 1:
        [one] = problems
        return ConfigError(one.message, hint=one.hint, place=one.place, problems=problems)
    listed = "\n  ".join("\n".join(map(str, problems)).splitlines())
    return ConfigError(f"{len(problems)} problems in {file}", hint=listed, problems=problems)
