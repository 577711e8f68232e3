"""Reads the fleet file: YAML → tree → shape → values → rules, and every problem at once.

Called at start, on reload and by ``gitops config check``. Either a whole, consistent fleet comes
out or :class:`gitops.errors.ConfigError`; nothing is ever half-accepted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gitops.config.build import build
from gitops.config.files import Files
from gitops.config.problems import Draft, Loc, together
from gitops.config.rules import apply_rules
from gitops.config.shape import FleetFile
from gitops.config.tree import Node
from gitops.config.words import explain, owner
from gitops.errors import ConfigError
from gitops.foreign import one_line
from gitops.model.fleet import Fleet

_FREE = frozenset({"options", "renderer", "checks", "notifiers", "variables"})


def load(
    path: Path, env: Mapping[str, str] | None = None, *, resolve_secrets: bool = True
) -> Fleet:
    """The fleet that the file describes.

    ``env`` is the environment that secrets, ``~`` and XDG folders are looked up in (default: the
    process's). Without ``resolve_secrets`` nothing outside the fleet's own files has to exist:
    neither secrets nor kubeconfigs nor folders. Raises ConfigError whose ``problems`` hold all
    that is wrong, each with file:line:column and what to write instead.
    """
    files = Files(os.environ if env is None else env)
    try:
        root = files.read(path)
    except ConfigError as error:
        raise together((error, *files.problems), str(path)) from None
    draft = Draft(root, files.env, resolve_secrets)
    shape = _shape(draft)
    fleet = None if shape is None else build(draft, shape, path.absolute())
    if fleet is not None:
        apply_rules(draft, fleet)
    problems = (*files.problems, *draft.problems)
    if problems or fleet is None:
        raise together(problems, str(path))
    return fleet


def _shape(draft: Draft) -> FleetFile | None:
    """The file in its shape. What does not fit is said and left out, so that the rest can still be
    checked: first the bad value alone, then the entry, then the section."""
    plain = draft.root.plain()
    for blank in _blanks(draft.root, ()):
        _refuse_blank(draft, blank)
        _leave_out(draft, plain, blank, 0)
    for attempt in range(4):
        try:
            return FleetFile.model_validate(plain)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            if attempt == 0:
                explain(draft, errors)
            for found in errors:
                _leave_out(draft, plain, tuple(found["loc"]), attempt)
    return None


def _leave_out(draft: Draft, plain: Any, loc: Loc, attempt: int) -> None:
    """Removes from ``plain`` what an error is about, coarser with each attempt."""
    loc = loc[:-1] if loc and loc[-1] == "[key]" else loc
    loc = tuple(part for part in loc if not (isinstance(part, str) and part.startswith("<")))
    entry = loc[: 2 if attempt < 2 else 1]
    draft.damaged.update({entry, loc, loc[:1]})
    depth = len(loc) if attempt == 0 else len(entry)
    for part in loc[: depth - 1]:
        inside = isinstance(plain, dict) and part in plain
        if not inside and not (isinstance(plain, list) and isinstance(part, int)):
            return
        plain = plain[part]
    if isinstance(plain, dict) and depth:  # an entry of a list stays: others would be renumbered
        plain.pop(loc[depth - 1], None)


def _blanks(node: Node, loc: Loc) -> Iterator[Loc]:
    """Keys with nothing behind them; a plugin's options may hold null."""
    if isinstance(node.value, dict) and not _FREE.intersection(loc):
        for key, child in node.value.items():
            if child.value is None:
                yield (*loc, key)
            yield from _blanks(child, (*loc, key))
    elif isinstance(node.value, list):
        for index, child in enumerate(node.value):
            yield from _blanks(child, (*loc, index))


def _refuse_blank(draft: Draft, loc: Loc) -> None:
    """``quorum:`` with nothing behind it is a slip, not a wish for the default."""
    where = f" in {owner(loc[:-1])}" if len(loc) > 1 else ""
    message = f'nothing is written after "{one_line(str(loc[-1]), 80)}"{where}'
    draft.refuse_at(draft.named(loc), message, "write a value, or remove the line")
