"""``gitops token``: people's API tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

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
    role: Annotated[
        str,
        typer.Option(
            help="The most it may do: viewer looks, approver answers, operator does the rest.",
            metavar="viewer|approver|operator|admin",
        ),
    ] = "admin",
    application: Annotated[
        list[str] | None,
        typer.Option(help="Act on this one alone (or a pattern: shop-*); may be repeated."),
    ] = None,
) -> None:
    """Make a token and print it, this once. Only through the controller's own socket.

    A token never does more than its person may; --role and --application cut it down further.
    """
    body = {"person": person, "days": days, "note": note, "role": role}
    with controller(ctx) as api:
        made = api.post("tokens", body={**body, "applications": application or []})
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
            Text(_cut(row)),
            Text(row.get("note", "")),
        )
        for row in found["tokens"]
    ]
    headings = ("token", "person", "until", "may", "note")
    show_table(headings, rows, make_console(chosen), empty="no tokens")


def _cut(row: Mapping[str, Any]) -> str:
    """What a token may, where that is less than its person may."""
    role = "" if row["role"] == "admin" else str(row["role"])
    about = ", ".join(row["applications"])
    return " of ".join(part for part in (role or ("what they may" if about else ""), about) if part)


@app.command()
def revoke(
    ctx: typer.Context, token: Annotated[str, typer.Argument(help="A token's id, see list.")]
) -> None:
    """Revoke a token; its next use is refused."""
    with controller(ctx) as api:
        answer = api.delete("tokens", token)
    say(ctx, f"revoked {token}", answer)
