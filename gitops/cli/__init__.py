"""The ``gitops`` command: its options, and what becomes of errors.

Called by the console script. Every command is a module beside this one (see
:mod:`gitops.cli.commands`) and may raise any :class:`gitops.errors.GitopsError`: here it becomes a
message, its place and its hint on stderr, and exit code 1. A traceback is shown to nobody who did
not set ``GITOPS_DEBUG=1``, and nothing a foreign exception says is printed: it may hold a secret.

Exit codes: 0 done, 1 any error (wrong usage included), 2 only from ``plan`` and ``preview``: there
are changes; 130 after ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from gitops.cli.commands import Commands
from gitops.cli.settings import (
    Chosen,
    ConfigOption,
    NoColorOption,
    OutputOption,
    ServerOption,
    from_environment,
)

app = typer.Typer(
    name="gitops",
    cls=Commands,
    no_args_is_help=False,
    rich_markup_mode=None,  # its boxes cost 150 ms of imports and do not survive a pipe
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        from gitops import __version__

        print(f"gitops {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    config: ConfigOption = None,
    output: OutputOption = None,
    no_color: NoColorOption = False,
    server: ServerOption = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Watch configuration repositories, test every change, ask somebody who is not the author,
    and apply exactly what was approved."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits. Never returns."""
    chosen = Chosen(from_environment())
    try:
        code = _run(arguments, chosen)
        sys.stdout.flush()
    except BrokenPipeError:
        code = _reader_left()
    sys.exit(code)


def _run(arguments: list[str] | None, chosen: Chosen) -> int:
    command = typer.main.get_command(app)
    try:
        result = command.main(arguments, prog_name="gitops", standalone_mode=False, obj=chosen)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("GITOPS_DEBUG") == "1":
            raise
        from gitops.cli.failures import report

        report(error, chosen.settings)
        return 1
    return result if type(result) is int else 0


def _reader_left() -> int:
    """``gitops deliveries | head``: nothing to tell, and the interpreter's own flush at exit must
    not complain either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
