"""``gitops slack check``: what of a Slack set-up is missing, and the line that mends it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gitops.cli.settings import settings

if TYPE_CHECKING:
    from gitops.model.fleet import Fleet, NotifierSpec
    from notifiers.slack.check import Found

app = typer.Typer(help="Set Slack up.", no_args_is_help=True)


@app.command()
def check(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="Of the notifier in the fleet file; default: all of kind slack.")
    ] = "",
) -> None:
    """Say which token, scope, channel or secret is missing, and how to get it.

    Looks only; posts nothing. Exit code 1 if something is missing without which cards or answers
    do not come through.
    """
    from rich.text import Text

    from gitops.cli.output import emit, make_console, show_examined
    from gitops.config import load
    from gitops.foreign import one_line

    chosen = settings(ctx)
    fleet = load(chosen.config, resolve_secrets=False)
    found = {spec.name: _examined(fleet, spec) for spec in _slacks(fleet, name)}
    well = all(one.state != "missing" for each in found.values() for one in each)
    if chosen.json:
        emit({"ok": well, "notifiers": found})
    else:
        console = make_console(chosen)
        for notifier, each in found.items():
            console.print(Text(one_line(notifier), style="bold"))
            rows = [(one.state.value, one.name, one.detail, one.remedy) for one in each]
            show_examined(rows, console)
    if not well:
        raise typer.Exit(1)


def _slacks(fleet: Fleet, name: str) -> list[NotifierSpec]:
    """Raises ConfigError where there is none."""
    from gitops.errors import ConfigError

    every = [spec for spec in fleet.notifiers if spec.kind == "slack"]
    found = [spec for spec in every if name in ("", spec.name)]
    if not found:
        known = ", ".join(spec.name for spec in every)
        raise ConfigError(
            f"the fleet file has no notifier {name!r} of kind slack"
            if name
            else "the fleet file has no notifier of kind slack",
            hint=f"it has: {known}" if known else "see examples/slack for one",
            place=str(fleet.path),
        )
    return found


def _examined(fleet: Fleet, spec: NotifierSpec) -> list[Found]:
    from dataclasses import replace

    from gitops.app import services_of
    from gitops.clock import SystemClock
    from gitops.plugins import Role, plugins
    from gitops.vault import Keyring

    services = services_of(fleet, Keyring.throwaway(), SystemClock())
    plugin = plugins(Role.NOTIFIER)[spec.kind]
    notifier = plugin.build(spec.options, replace(services, name=spec.name))
    found: list[Found] = asyncio.run(notifier.check(fleet.people))
    return found
