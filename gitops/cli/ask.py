"""``gitops ask``: ask again about what was denied or has expired."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops.cli.remote import controller, say


def ask(
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(help="Application to be asked about again.")],
) -> None:
    """Lift what holds an application back and draw its plan again; people are asked anew."""
    with controller(ctx) as api:
        answer = api.post("applications", application, "again")
    lanes = ", ".join(f"{lane['application']}@{lane['target']}" for lane in answer["lanes"])
    say(ctx, f"on its way: {lanes}; see `gitops why {application}`", answer)
