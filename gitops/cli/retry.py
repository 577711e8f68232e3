"""``gitops retry``: try a failed delivery again."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops.cli.remote import controller, say


def retry(
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(help="Application whose delivery failed.")],
) -> None:
    """Try a failed delivery again. What was approved is applied without another question while
    nothing of it moved; whatever moved is asked about."""
    with controller(ctx) as api:
        answer = api.post("applications", application, "retry")
    lanes = ", ".join(f"{lane['application']}@{lane['target']}" for lane in answer["lanes"])
    say(ctx, f"on its way: {lanes}; see `gitops why {application}`", answer)
