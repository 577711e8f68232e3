"""``gitops user``: who signs in to the pages with a password, and who is signed in."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gitops.cli.remote import controller, say
from gitops.cli.settings import settings

app = typer.Typer(help="Passwords and sessions of people at the pages.", no_args_is_help=True)

Person = Annotated[str, typer.Argument(help="A person of the fleet file.")]


@app.command()
def add(ctx: typer.Context, person: Person) -> None:
    """Give a person a password, or a new one, and sign them out everywhere.

    Asks for it twice; what is piped in is read as one line. Only through the controller's socket.
    """
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().removesuffix("\n")
    with controller(ctx) as api:
        answer = api.post("users", body={"person": person, "password": password})
    say(ctx, f"{person} can sign in with that password", answer)


@app.command()
def remove(ctx: typer.Context, person: Person) -> None:
    """Take a person's password away and sign them out everywhere."""
    with controller(ctx) as api:
        answer = api.delete("users", person)
    say(ctx, f"{person} has no password any more", answer)


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List who has a password, since when."""
    from rich.text import Text

    from gitops.cli.output import emit, make_console, moment, show_table
    from gitops.foreign import one_line

    with controller(ctx) as api:
        found = api.get("users")
    chosen = settings(ctx)
    if chosen.json:
        emit(found)
        return
    rows = [(Text(one_line(row["person"])), Text(moment(row["since"]))) for row in found["users"]]
    show_table(("person", "since"), rows, make_console(chosen), empty="nobody has a password")


@app.command()
def sessions(ctx: typer.Context) -> None:
    """List who is signed in."""
    from rich.text import Text

    from gitops.cli.output import emit, make_console, moment, show_table
    from gitops.foreign import one_line

    with controller(ctx) as api:
        found = api.get("sessions")
    chosen = settings(ctx)
    if chosen.json:
        emit(found)
        return
    rows = [
        (
            Text(one_line(row["person"] or row["subject"], 80)),
            Text(row["way"]),
            Text(moment(row["made"])),
            Text(moment(row["seen"])),
        )
        for row in found["sessions"]
    ]
    headings = ("person", "by", "signed in", "last seen")
    show_table(headings, rows, make_console(chosen), empty="nobody is signed in")


@app.command("sign-out")
def sign_out(ctx: typer.Context, person: Person) -> None:
    """Sign a person out everywhere, at once."""
    with controller(ctx) as api:
        answer = api.delete("sessions", person)
    say(ctx, f"ended {answer['ended']} sessions of {person}", answer)
