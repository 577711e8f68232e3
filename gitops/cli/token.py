"""``gitops token``: people's API tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops.cli.remote import controller, say
from gitops.cli.settings import settings

app = typer.Typer(help="Create, list and revoke people's API tokens.", no_args_is_help=True)


@app.command()
def create(
    ctx: typer.Context,
    person: Annotated[str, typer.Argument(help="A person of the fleet file.")],
    days: Annotated[float, typer.Option(help="Life in days.", min=0.01, max=3650)] = 90,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> None:
    """Make a token and print it, this once. Only through the controller's own socket."""
    with controller(ctx) as api:
        made = api.post("tokens", body={"person": person, "days": days, "note": note})
    say(ctx, made["token"], made)


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List tokens: whose, until when; never the tokens themselves."""
    from rich.text import Text

    from gitops.cli.output import emit, make_console, moment, show_table

    with controller(ctx) as api:
        found = api.get("tokens")
    chosen = settings(ctx)
    if chosen.json:
        emit(found)
        return
    rows = [
        (
            Text(row["id"]),
            Text(row["person"]),
            Text("revoked" if row.get("revoked_at") else moment(row["expires_at"])),
            Text(row.get("note", "")),
        )
        for row in found["tokens"]
    ]
    headings = ("token", "person", "until", "note")
    show_table(headings, rows, make_console(chosen), empty="no tokens")


@app.command()
def revoke(
    ctx: typer.Context, token: Annotated[str, typer.Argument(help="A token's id, see list.")]
) -> None:
    """Revoke a token; its next use is refused."""
    with controller(ctx) as api:
        answer = api.delete("tokens", token)
    say(ctx, f"revoked {token}", answer)
