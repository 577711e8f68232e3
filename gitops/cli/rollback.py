"""``gitops rollback``: back to what was healthy before."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops.cli.remote import controller, say


def rollback(
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(help="Application to roll back.")],
    delivery: Annotated[
        str,
        typer.Argument(
            help="Id or prefix of a healthy delivery; without one, each target goes back to its "
            "own one before the present."
        ),
    ] = "",
    reason: Annotated[str, typer.Option(help="Shown to whoever is asked, and recorded.")] = "",
    target: Annotated[str, typer.Option(help="Only this cluster or workspace.")] = "",
) -> None:
    """Ask to go back to what an earlier healthy delivery brought.

    Somebody other than you has to approve it. What takes outputs of other applications in gets them
    as they are now. It stays there until the application's files move in its source, or somebody
    says `gitops ask`.
    """
    with controller(ctx) as api:
        body = {"delivery": delivery, "reason": reason, "target": target}
        answer = api.post("applications", application, "rollback", body=body)
    told = [f"asked: {', '.join(answer['changes'])}; somebody other than you has to approve it"]
    told += [f"left alone: {why}" for why in answer["skipped"].values()]
    say(ctx, "\n".join(told), answer)
