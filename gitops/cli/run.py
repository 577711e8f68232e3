"""``gitops run``: the controller."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from gitops.cli.settings import settings


def run(
    ctx: typer.Context,
    log: Annotated[
        str | None,
        typer.Option(
            help="Form of the log: console or json; default: as the fleet file says.",
            metavar="console|json",
        ),
    ] = None,
) -> None:
    """Run the controller until SIGTERM or ctrl-C. SIGHUP reloads the fleet file."""
    from gitops.app import assemble
    from gitops.config import load
    from gitops.logs import configure
    from gitops.web.serve import serve

    chosen = settings(ctx)
    fleet = load(chosen.config)
    running = assemble(fleet)
    configure(
        level=fleet.log.level,
        json=(log or fleet.log.format) == "json",
        color=chosen.color,
        mask=running.controller.parts.mask,
    )
    try:
        asyncio.run(serve(running.controller))
    finally:
        running.close()
