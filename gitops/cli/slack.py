"""``gitops slack check``: what of a Slack set-up is missing, and the line that mends it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gitops.cli.settings import Settings, settings

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
    from gitops.config import load

    chosen = settings(ctx)
    fleet = load(chosen.config, resolve_secrets=False)
    found = {spec.name: _examined(fleet, spec) for spec in _slacks(fleet, name)}
    well = all(one.state != "missing" for each in found.values() for one in each)
    if chosen.json:
        from gitops.cli.output import emit

        emit({"ok": well, "notifiers": found})
    else:
        for notifier, each in found.items():
            _show(notifier, each, chosen)
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


def _show(name: str, found: list[Found], chosen: Settings) -> None:
    from rich.text import Text

    from gitops.cli.output import make_console
    from gitops.foreign import one_line

    marks = {"ok": ("✓", "green"), "optional": ("·", "yellow"), "missing": ("✗", "bold red")}
    console = make_console(chosen)
    console.print(Text(one_line(name), style="bold"))
    width = max(len(one.name) for one in found)
    for one in found:
        mark, style = marks[one.state]
        detail = one_line(one.detail, 2_000)
        console.print(Text.assemble((mark, style), f" {one.name.ljust(width)}  {detail}"))
        if one.remedy:
            console.print(Text(f"  {' ' * width}  → {one_line(one.remedy, 2_000)}", style="cyan"))
