"""The table of commands, and a group that imports a command only when it is used.

``gitops --help`` and shell completion read the table alone, so they cost the import of the command
line library and nothing else. A row is all that a new command needs here; its module offers either
a function of the command's name or, for a group of subcommands, ``app: typer.Typer``.
"""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from gitops.cli.settings import shared_parameters

_BEGIN, _LOOK, _ANSWER, _RUN = "Begin", "Look", "Answer", "Operate"


@dataclass(frozen=True, slots=True)
class Row:
    """One command: where help lists it, what help says, and which module has it."""

    panel: str
    help: str
    module: str


TABLE: dict[str, Row] = {
    name: Row(panel, help, f"gitops.cli.{name}")
    for name, panel, help in (
        ("init", _BEGIN, "Ask a few questions and write a working fleet file."),
        ("config", _BEGIN, "Check the fleet file, or print its JSON Schema."),
        ("demo", _BEGIN, "Show everything once, on a real control plane on this machine."),
        ("doctor", _BEGIN, "Say which tools and clusters are at hand, and how to get the rest."),
        ("render", _LOOK, "Print what an application becomes; needs no cluster."),
        ("plan", _LOOK, "Print what would change; writes nothing anywhere."),
        ("preview", _LOOK, "Show what merging a pull request would do; writes nothing."),
        ("status", _LOOK, "Show sources, clusters and applications."),
        ("deliveries", _LOOK, "List what was delivered, newest first."),
        ("show", _LOOK, "Show one request or delivery: plan, findings, answers."),
        ("stats", _LOOK, "Show how often, how fast and how well is delivered."),
        ("audit", _LOOK, "Tell who did what when, and check that the record is whole."),
        ("why", _LOOK, "Tell in words why an application is where it is."),
        ("approve", _ANSWER, "Say yes to a request."),
        ("deny", _ANSWER, "Say no to a request, with a reason."),
        ("ask", _ANSWER, "Ask again about what was denied or has expired."),
        ("retry", _ANSWER, "Try a failed delivery again under the same approval."),
        ("rollback", _ANSWER, "Ask to go back to an earlier healthy delivery."),
        ("pause", _ANSWER, "Leave an application alone for a time."),
        ("resume", _ANSWER, "End a pause before its time."),
        ("unlock", _ANSWER, "Ask to take the lock of a Terraform state from its holder."),
        ("run", _RUN, "Run the controller."),
        ("nudge", _RUN, "Have the controller look at a source now."),
        ("token", _RUN, "Create, list and revoke people's API tokens."),
        ("user", _RUN, "Passwords and sessions of people at the pages."),
        ("webhook", _RUN, "See and try the webhooks of forges."),
        ("slack", _RUN, "Say what of a Slack set-up is missing."),
        ("sandbox", _RUN, "Start and stop a real local control plane."),
    )
}


class _Stub(TyperCommand):
    """Stands for a command in help and completion until it is really called."""

    def __init__(self, name: str, row: Row) -> None:
        super().__init__(name, help=row.help, rich_markup_mode=None)


class Commands(TyperGroup):
    """The root group, over :data:`TABLE`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(TABLE)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        row = TABLE.get(cmd_name)
        return _Stub(cmd_name, row) if row else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, TABLE))
        for panel in dict.fromkeys(row.panel for row in TABLE.values()):
            rows = [(n.ljust(width), row.help) for n, row in TABLE.items() if row.panel == panel]
            with formatter.section(panel):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        row = TABLE.get(args[0])
        if row is None:
            if ctx.resilient_parsing:
                return None, None, args[1:]
            unknown(ctx, args[0], list(TABLE))
        return args[0], load(args[0], row), args[1:]


class Subcommands(TyperGroup):
    """A group below the root: the same words for an unknown name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            unknown(ctx, args[0], list(self.commands))
        return super().resolve_command(ctx, args)


def unknown(ctx: typer.Context, name: str, known: list[str]) -> NoReturn:
    if name.startswith("-"):
        ctx.fail(f"no such option {name!r}")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    ctx.fail(f"no such command {name!r}\n{hint}`{ctx.command_path} --help` lists all")


def load(name: str, row: Row) -> Any:
    """The real command, with the options every command accepts added to it."""
    module = importlib.import_module(row.module)
    if hasattr(module, "app"):
        module.app.rich_markup_mode = None
        group = get_group(module.app)
        group.__class__ = Subcommands
        command: Any = group
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name, help=None)(getattr(module, name))
        command = get_command(single)
    command.name = name
    _share(command)
    return command


def _share(command: Any) -> None:
    """A command that has an option of the same name keeps its own."""
    for child in getattr(command, "commands", {}).values():
        _share(child)
    taken = {option for parameter in command.params for option in parameter.opts}
    names = {parameter.name for parameter in command.params}
    for parameter in shared_parameters():
        if not taken.intersection(parameter.opts) and parameter.name not in names:
            command.params.append(parameter)
