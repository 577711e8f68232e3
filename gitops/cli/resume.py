"""``gitops resume``: end a pause before its time."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops.cli.remote import controller, say


def resume(
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(help="Application that is paused.")],
) -> None:
    """Go on with a paused application: what was taken back is asked again."""
    with controller(ctx) as api:
        answer = api.post("applications", application, "resume")
    say(ctx, f"{application} goes on; see `gitops why {application}`", answer)
