"""``gitops nudge``: look at a source now."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops.cli.remote import controller, say


def nudge(
    ctx: typer.Context, source: Annotated[str, typer.Argument(help="Source to be looked at.")]
) -> None:
    """Have the controller look at a source now, and print what that look said."""
    with controller(ctx) as api:
        answer = api.post("sources", source, "nudge")
    found = answer["source"]
    at = found["revision"]["id"][:12] if found["revision"] else "nothing"
    message = f": {found['message']}" if found["message"] else ""
    say(ctx, f"{source} is {found['state']} at {at}{message}", answer)
