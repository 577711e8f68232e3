"""What every command may be told: fleet file, controller, form of the output, colour.

The four options are accepted before and after the command's name (``gitops --output json plan``
and ``gitops plan --output json``); the later one wins. Commands read them with
:func:`settings`. Imported by every command, so it stays free of anything slow.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Settings:
    config: Path
    output: Output = Output.TEXT
    color: bool = True
    """False after ``--no-color`` or with ``NO_COLOR`` set to anything."""
    config_given: bool = False
    """Somebody named the fleet file, so a missing one is an error even where it is optional."""
    server: str = ""
    """Where a controller answers; empty: that of the fleet file."""

    @property
    def json(self) -> bool:
        return self.output is Output.JSON


def from_environment() -> Settings:
    named = os.environ.get("GITOPS_CONFIG", "")
    return Settings(
        config=Path(named or "gitops.yaml"),
        color=not os.environ.get("NO_COLOR"),
        config_given=bool(named),
        server=os.environ.get("GITOPS_API", ""),
    )


@dataclass(slots=True)
class Chosen:
    """What the options have said so far; one for the whole command line, so that an error can be
    told in the form and colour that was asked for."""

    settings: Settings


def settings(ctx: typer.Context) -> Settings:
    """Those of the running command; the environment's where no command line was read."""
    return ctx.obj.settings if isinstance(ctx.obj, Chosen) else from_environment()


def _remember(ctx: typer.Context, **chosen: Any) -> None:
    if isinstance(ctx.obj, Chosen):
        ctx.obj.settings = replace(ctx.obj.settings, **chosen)


def _config(ctx: typer.Context, value: Path | None) -> None:
    if value is not None:
        _remember(ctx, config=value, config_given=True)


def _output(ctx: typer.Context, value: Output | None) -> None:
    if value is not None:
        _remember(ctx, output=value)


def _no_color(ctx: typer.Context, value: bool) -> None:
    if value:
        _remember(ctx, color=False)


def _server(ctx: typer.Context, value: str | None) -> None:
    if value is not None:
        _remember(ctx, server=value)


ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="A controller elsewhere, with your token in $GITOPS_TOKEN; else $GITOPS_API.",
        callback=_server,
        expose_value=False,
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The fleet file; else $GITOPS_CONFIG, else gitops.yaml.",
        callback=_config,
        expose_value=False,
    ),
]
OutputOption = Annotated[
    Output | None,
    typer.Option(
        "--output",
        metavar="text|json",
        help="Form of what is printed.",
        callback=_output,
        expose_value=False,
    ),
]
NoColorOption = Annotated[
    bool,
    typer.Option(
        "--no-color",
        help="No colours; the NO_COLOR variable does the same.",
        callback=_no_color,
        expose_value=False,
    ),
]


def accepts_everywhere(
    config: ConfigOption = None,
    output: OutputOption = None,
    no_color: NoColorOption = False,
    server: ServerOption = None,
) -> None:
    """Carries the four options; the command table copies them onto every command."""


def shared_parameters() -> list[Any]:
    """The options as the command line library holds them."""
    carrier = typer.Typer(add_completion=False)
    carrier.command()(accepts_everywhere)
    command = typer.main.get_command(carrier)
    return [parameter for parameter in command.params if parameter.name != "help"]
