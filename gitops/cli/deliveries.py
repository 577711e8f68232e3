"""``gitops deliveries``: what went out, when, and who said yes."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops.cli.remote import controller, read_all
from gitops.cli.settings import settings


def deliveries(
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(help="Only this application.")] = "",
    target: Annotated[str, typer.Option(help="Only this cluster.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    before: Annotated[str, typer.Option(help="Id of the last one seen: the page after it.")] = "",
) -> None:
    """List deliveries, newest first: which revision, who wrote it, who approved it, how it went,
    and which one is live now."""
    from gitops.cli.output import emit, make_console, show_deliveries
    from gitops.model.delivery import DeliveryRecord

    with controller(ctx) as api:
        found = api.get(
            "deliveries", application=application, target=target, limit=limit, before=before
        )
    chosen = settings(ctx)
    if chosen.json:
        emit(found)
    else:
        console = make_console(chosen)
        rows = read_all(DeliveryRecord, found["deliveries"])
        show_deliveries(rows, console, live=frozenset(found["live"]))
        if found["next"]:
            console.print(f"\nmore: --before {found['next']}")
