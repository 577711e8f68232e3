"""``gitops audit``: who did what when, and whether the record of it is whole."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops.cli.remote import controller
from gitops.cli.settings import settings

if TYPE_CHECKING:
    from gitops.web.client import Api

app = typer.Typer(
    help="Tell who did what when, and check that the record is whole.",
    invoke_without_command=True,
)
PAGE = 500
_KEPT = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


class Form(StrEnum):
    TEXT = "text"
    JSON = "json"
    CSV = "csv"


@app.callback()
def audit(
    ctx: typer.Context,
    since: Annotated[str, typer.Option(help="From then on: 7d, 12h, 2026-11-01.")] = "",
    until: Annotated[str, typer.Option(help="Before then; a day counts as a whole.")] = "",
    person: Annotated[str, typer.Option(help="What they did or wrote.")] = "",
    application: Annotated[str, typer.Option(help="Only of this application.")] = "",
    target: Annotated[str, typer.Option(help="Only of this cluster or workspace.")] = "",
    kind: Annotated[
        str, typer.Option(help="changes, questions, answers, deliveries … or a single kind.")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0: all of them.")] = 100,
    output: Annotated[
        Form | None, typer.Option(metavar="text|json|csv", help="Form of what is printed.")
    ] = None,
) -> None:
    """Tell who did what when, newest first, in a sentence each."""
    if ctx.invoked_subcommand is not None:
        return
    form = output or (Form.JSON if settings(ctx).json else Form.TEXT)
    asked = {
        "since": since,
        "until": until,
        "person": person,
        "application": application,
        "target": target,
        "kind": kind,
    }
    with controller(ctx) as api:
        rows = _rows(api, {key: value for key, value in asked.items() if value}, limit)
        {Form.TEXT: _text, Form.JSON: _json, Form.CSV: _csv}[form](ctx, rows)


def _rows(api: Api, asked: Mapping[str, str], limit: int) -> Iterator[Mapping[str, Any]]:
    """Page by page, so that any number takes little memory."""
    told, before = 0, ""
    while True:
        most = min(PAGE, limit - told) if limit else PAGE
        page = api.get("events", **asked, limit=most, before=before)
        yield from page["events"]
        told += len(page["events"])
        before = page["next"]
        if not before or (limit and told >= limit):
            return


def _text(ctx: typer.Context, rows: Iterator[Mapping[str, Any]]) -> None:
    from rich.text import Text

    from gitops.cli.output import make_console, moment
    from gitops.foreign import one_line

    console, row = make_console(settings(ctx)), None
    for row in rows:
        where = "@".join(filter(None, (row["application"], row["target"])))
        line = Text(moment(row["at"]), style="dim")
        line.append(f"  {one_line(where, 60)}" if where else "", style="bold")
        line.append(f"  {one_line(row['said'], 1_000)}")
        console.print(line)
    if row is None:
        console.print(Text("nothing fits", style="dim"))


def _json(ctx: typer.Context, rows: Iterator[Mapping[str, Any]]) -> None:
    from gitops.cli.output import emit

    emit({"events": list(rows)})


def _csv(ctx: typer.Context, rows: Iterator[Mapping[str, Any]]) -> None:
    from gitops.sheet import TRAIL, line, trail_line

    sys.stdout.reconfigure(newline="")  # type: ignore[union-attr]
    sys.stdout.write(line(TRAIL))
    for row in rows:
        sys.stdout.write(trail_line(row))


@app.command()
def verify(
    ctx: typer.Context,
    expect: Annotated[
        str,
        typer.Option(
            metavar="EVENT:DIGEST", help="What an earlier check printed, and you kept elsewhere."
        ),
    ] = "",
) -> None:
    """Check every event of the record against the one before it in its chain.

    Prints a digest over all of it. Kept elsewhere and given with --expect later, it also shows that
    nothing was cut off or written anew since. Exit code 1: the record was tampered with.
    """
    from gitops.cli.output import emit

    kept = _kept(expect)
    with controller(ctx) as api:
        found = _check(api, kept)
    if settings(ctx).json:
        emit(found)
    else:
        _tell(ctx, found)
    if not found["sound"]:
        raise typer.Exit(1)


def _kept(expect: str) -> tuple[int, str] | None:
    if not expect:
        return None
    found = _KEPT.fullmatch(expect.strip())
    if found is None:
        raise typer.BadParameter("it is written EVENT:DIGEST, as an earlier check printed it")
    return int(found[1]), found[2]


def _check(api: Api, kept: tuple[int, str] | None) -> dict[str, Any]:
    """Stretch by stretch; first up to what is expected."""
    checked, last, head = 0, 0, ""
    broken: list[Any] = []
    as_kept: bool | None = None
    for until in (*([kept[0]] if kept and kept[0] else []), 0):
        done = False
        while not done:
            part = api.get("audit", "verify", after=last, head=head, until=until)
            checked, last, head = checked + part["checked"], part["last"], part["head"]
            broken += part["broken"]
            done = part["done"]
        if until:
            as_kept = (last, head) == kept
    if kept and not kept[0]:
        as_kept = False
    return {
        "sound": not broken and as_kept is not False,
        "checked": checked,
        "broken": broken,
        "as_expected": as_kept,
        "head": f"{last}:{head}" if head else "",
    }


def _tell(ctx: typer.Context, found: Mapping[str, Any]) -> None:
    from rich.text import Text

    from gitops.cli.output import make_console
    from gitops.foreign import one_line
    from gitops.summary import counted

    console = make_console(settings(ctx))
    for each in found["broken"]:
        said = f"event {each['sequence']} of {one_line(each['subject'], 100)}"
        console.print(Text(f"{said} does not follow from what is before it", style="bold red"))
    if found["as_expected"] is False:
        console.print(
            Text(
                "this is not the record that had the expected digest: something up to that event "
                "was changed, added or taken out",
                style="bold red",
            )
        )
    many = counted(found["checked"], "event")
    if found["broken"]:
        console.print(Text(f"{many} checked: the record was tampered with", style="bold red"))
    elif found["sound"]:
        kept = ", and nothing is missing of what was expected" if found["as_expected"] else ""
        console.print(Text(f"{many}, all complete and unchanged{kept}", style="green"))
    if found["sound"] and found["head"]:
        console.print(f"keep elsewhere: --expect {found['head']}")
