"""``gitops pause``: leave an application alone for a time."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops.cli.remote import controller, read, say


def pause(
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(help="Application to leave alone.")],
    length: Annotated[str, typer.Argument(help="How long, such as 30m, 2h or 1d; at most 30d.")],
    reason: Annotated[str, typer.Option(help="Why; everybody who looks reads it.")],
) -> None:
    """Ask nothing, apply nothing and mend nothing of an application until the time is up or
    `gitops resume`. What is being applied goes on; open questions are taken back and asked again
    afterwards."""
    from gitops.config.scalars import duration
    from gitops.model.delivery import Pause

    try:
        seconds = duration(length).total_seconds()
    except ValueError:
        raise typer.BadParameter("write a whole number and a unit: 30m, 2h or 1d") from None
    with controller(ctx) as api:
        body = {"seconds": seconds, "reason": reason}
        answer = api.post("applications", application, "pause", body=body)
    say(ctx, f"{application} is {read(Pause, answer['pause']).told}", answer)
