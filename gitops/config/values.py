"""Single values of the fleet file held against a rule or against this machine.

Each returns the value, or adds a problem to the draft and returns something harmless. Called while
the fleet is built, by :mod:`gitops.config.build` and :mod:`gitops.config.roots`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gitops.config.addresses import Refused
from gitops.config.base import Secret
from gitops.config.problems import Draft, Loc
from gitops.config.words import owner
from gitops.foreign import one_line
from gitops.model.secret import SecretRef


def judge(draft: Draft, rule: Callable[[str], Any], text: str, loc: Loc) -> Any:
    """Runs a rule over a text; the message never repeats the text."""
    try:
        return rule(text)
    except Refused as refused:
        what = f"entry {loc[-1] + 1}" if isinstance(loc[-1], int) else f'"{loc[-1]}"'
        draft.refuse(loc, f"{what} of {owner(loc[:-1])} {refused.message}", refused.hint)
        return ""


def secret(draft: Draft, given: Secret | None, loc: Loc) -> SecretRef | None:
    """The reference; its file starts at the fleet file."""
    if given is None:
        return None
    if (given.env is None) == (given.file is None):
        hint = "write {env: VARIABLE} or {file: PATH}"
        draft.refuse(loc, f'"{loc[-1]}" has to be in exactly one place', hint)
        return None
    if given.file is not None:
        return SecretRef(file=draft.path((*loc, "file"), given.file))
    return SecretRef(env=given.env)


def existing(draft: Draft, text: str, loc: Loc, *, folder: bool = False) -> Path:
    """A file or folder of this machine, which has to be there unless the check is offline."""
    path = draft.path(loc, text)
    try:
        there = path.is_dir() if folder else path.is_file()
    except (OSError, ValueError):
        there = False
    if not there and draft.resolve_secrets:
        kind = "folder" if folder else "file"
        message = f'there is no {kind} "{one_line(str(path), 200)}"'
        draft.refuse(loc, message, "relative paths start at the folder of this file")
    return path
