"""``gitops why``: the causal chain in words."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops.cli.remote import controller
from gitops.cli.settings import settings


def why(
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(help="Application in question.")],
) -> None:
    """Tell in words why an application is where it is, and who could move it."""
    from rich.text import Text

    from gitops.cli.output import emit, make_console
    from gitops.foreign import one_line

    with controller(ctx) as api:
        found = api.get("why", application)
    chosen = settings(ctx)
    if chosen.json:
        emit(found)
        return
    console = make_console(chosen)
    for lane, sentences in found.items():
        console.print(Text(one_line(lane), style="bold"))
        for sentence in sentences:
            console.print(f"  {one_line(sentence, 2_000)}")
