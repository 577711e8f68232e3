"""How an error is told: what happened, where, what to do next.

Called by the command line's ``main`` and by commands that go on after an error. Imported only when
something failed.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from gitops.cli.output import make_console
from gitops.cli.settings import Settings
from gitops.errors import ConfigError, GitopsError, raised_at
from gitops.foreign import readable

_PROBLEMS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Failure:
    """One error as it is shown."""

    kind: str
    message: str
    place: str = ""
    hint: str = ""


def report(error: BaseException, settings: Settings) -> None:
    """Prints an error on stderr, as text or as one JSON line."""
    failures = list(explain(error))
    console = make_console(settings, stderr=True)
    if settings.json:
        rows = [{k: getattr(f, k) for k in ("kind", "message", "place", "hint")} for f in failures]
        console.print(json.dumps({"errors": rows}))
        return
    for failure in failures[:_PROBLEMS_SHOWN]:
        _show(failure, console)
    if len(failures) > _PROBLEMS_SHOWN:
        console.print(f"and {len(failures) - _PROBLEMS_SHOWN} more")


def _show(failure: Failure, console: Console) -> None:
    line = Text()
    if failure.place:
        line.append(f"{readable(failure.place)}: ", style="bold")
    else:
        line.append("error: ", style="bold red")
    line.append(readable(failure.message))
    console.print(line)
    for hint in readable(failure.hint).splitlines():
        console.print(Text(f"  {hint}", style="cyan"))


def explain(error: BaseException) -> Iterator[Failure]:
    """Every failure an exception stands for: all problems of a fleet file, all of a group."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from explain(part)
    elif isinstance(error, ConfigError) and error.problems:
        for problem in error.problems:
            yield from explain(problem)
    elif isinstance(error, GitopsError):
        yield Failure(type(error).__name__, error.message, error.place, error.hint)
    elif hasattr(error, "format_message"):
        yield _usage(error)
    elif type(error).__name__ == "Abort":
        hint = "without a terminal options answer: see --help"
        yield Failure("Aborted", "nothing was done: no answer, or not a yes", hint=hint)
    elif isinstance(error, ModuleNotFoundError) and not _ours(error.name or ""):
        yield _not_installed(error)
    else:
        yield _unexpected(error)


def _usage(error: Any) -> Failure:
    ctx = getattr(error, "ctx", None)
    near = _nearest_option(error, ctx)
    message, _, hint = str(error.format_message()).partition("\n")
    path = ctx.command_path if ctx is not None else "gitops"
    hint = hint or (f"did you mean {near}? " if near else "") + f"`{path} --help` tells more"
    message = message[:1].lower() + message[1:].rstrip(".")
    return Failure("UsageError", message, hint=hint)


def _nearest_option(error: Any, ctx: Any) -> str:
    wanted = getattr(error, "option_name", "")
    if not wanted or ctx is None:
        return ""
    error.possibilities = None
    known = [option for parameter in ctx.command.params for option in parameter.opts]
    near = difflib.get_close_matches(wanted, known, n=1)
    return near[0] if near else ""


def _ours(module: str) -> bool:
    return module.partition(".")[0] in ("", "gitops", "notifiers", "planners", "webhooks")


def _not_installed(error: ModuleNotFoundError) -> Failure:
    """The code is newer than what is installed beside it: the usual thing after a git pull."""
    return Failure(
        "NotInstalled",
        f"the Python package {error.name} is not installed",
        hint="`make venv` (or `pip install`) in the folder of gitops brings what it needs",
    )


def _unexpected(error: BaseException) -> Failure:
    """A defect of ours. Its text may hold anything, so only its type and place are told."""
    return Failure(
        "InternalError",
        f"something unexpected happened ({type(error).__name__})",
        raised_at(error),
        "this is a defect of gitops; GITOPS_DEBUG=1 shows the whole story",
    )
