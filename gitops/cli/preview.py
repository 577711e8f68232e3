"""``gitops preview``: what merging a pull request would do, before anybody merges it.

``SOURCE NUMBER`` draws it here, with the machinery of ``gitops plan``: nothing is written anywhere,
not even on the forge. ``--post`` has the running controller do it, for there is one comment and one
memory of what was shown. ``list`` and ``show`` tell of what the controller drew.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops.cli.remote import controller, read, read_all
from gitops.cli.settings import settings

if TYPE_CHECKING:
    from rich.console import Console

    from gitops.errors import Unknown
    from gitops.model.fleet import Fleet
    from gitops.model.preview import LanePreview, Preview


PATIENCE = 900.0
"""Seconds a preview may take at the controller."""


class _Words:
    """``list``, ``show [SOURCE] NUMBER`` or ``SOURCE NUMBER``."""

    def __init__(self, words: list[str]) -> None:
        self.verb = words[0] if words and words[0] in ("list", "show") else ""
        rest = words[1:] if self.verb else words
        self.number = rest[-1] if rest else ""
        self.source = rest[0] if len(rest) == 2 else ""
        most = {"list": 0, "show": 2}.get(self.verb, 2)
        least = {"list": 0, "show": 1}.get(self.verb, 2)
        wrong = not least <= len(rest) <= most or (least and not self.number.isdecimal())
        if wrong:
            raise typer.BadParameter("write SOURCE NUMBER, show NUMBER, or list")


def preview(
    ctx: typer.Context,
    words: Annotated[
        list[str], typer.Argument(help="SOURCE NUMBER; or: list; or: show [SOURCE] NUMBER.")
    ],
    post: Annotated[
        bool, typer.Option("--post", help="Have the controller do it, and post it on the forge.")
    ] = False,
) -> None:
    """Show what merging a pull request would do. Writes nothing; --post tells it on the forge.

    Exit code 0: no changes; 2: there are changes; 1: any error, a conflict or a finding that would
    stop it included.
    """
    said = _Words(words)
    if said.verb == "list":
        _list(ctx)
    elif said.verb == "show":
        _tell(ctx, _kept(ctx, said))
    elif post:
        _tell(ctx, _posted(ctx, said))
    else:
        _tell(ctx, _drawn(ctx, said))


def _list(ctx: typer.Context) -> None:
    from rich.text import Text

    from gitops.cli.output import emit, make_console, moment, show_table
    from gitops.foreign import one_line
    from gitops.model.ids import short
    from gitops.model.preview import Preview
    from gitops.preview_text import overall

    with controller(ctx) as api:
        found = api.get("previews")
    chosen = settings(ctx)
    if chosen.json:
        emit(found)
        return
    rows = [
        (
            Text(one_line(each.source)),
            Text(str(each.number)),
            Text(short(each.head)),
            Text(moment(each.at)),
            Text(one_line(each.title, 60)),
            Text(
                ", ".join(dict.fromkeys(lane.lane.application for lane in each.lanes))
                or overall(each).description
            ),
        )
        for each in read_all(Preview, found["previews"])
    ]
    headings = ("source", "number", "head", "drawn", "title", "applications")
    show_table(headings, rows, make_console(chosen), empty="no pull request is previewed now")


def _kept(ctx: typer.Context, said: _Words) -> Preview:
    from gitops.model.preview import Preview

    with controller(ctx) as api:
        source = said.source
        if not source:
            rows = api.get("previews")["previews"]
            names = [row["source"] for row in rows if row["number"] == int(said.number)]
            if len(names) != 1:
                raise _not_one(said.number, names)
            source = names[0]
        return read(Preview, api.get("previews", source, said.number)["preview"])


def _not_one(number: str, sources: list[str]) -> Unknown:
    from gitops.errors import Unknown

    if not sources:
        hint = "`gitops preview list` tells what was drawn, `gitops preview SOURCE NUMBER` draws it"
        return Unknown(f"no preview of a pull request {number} was drawn", hint=hint)
    several = f"pull request {number} is one of several sources: {', '.join(sources)}"
    return Unknown(several, hint="write gitops preview show SOURCE NUMBER")


def _posted(ctx: typer.Context, said: _Words) -> Preview:
    from gitops.errors import Unknown
    from gitops.model.preview import Preview

    with controller(ctx) as api:
        answer: Any = api.post("previews", said.source, said.number)
        end = time.monotonic() + PATIENCE
        while answer["under_way"] and time.monotonic() < end:
            time.sleep(1.0)
            answer = api.get("previews", said.source, said.number)
    if answer["preview"] is None:
        raise Unknown(
            f"nothing was posted on pull request {said.number} of {said.source}",
            hint="it is not open into the branch that is followed, or the forge refused: see the "
            "controller's log",
        )
    return read(Preview, answer["preview"])


def _drawn(ctx: typer.Context, said: _Words) -> Preview:
    from gitops.config import load
    from gitops.logs import configure

    chosen = settings(ctx)
    configure(level="error", color=chosen.color)
    return asyncio.run(_draw(load(chosen.config), said))


async def _draw(fleet: Fleet, said: _Words) -> Preview:
    from gitops.app import offline
    from gitops.engine.previews import depth_of, into
    from gitops.errors import NotAllowed, Unknown
    from gitops.model.fleet import PullRequestsSpec
    from gitops.model.ids import SourceName
    from gitops.previewing import Previewing

    spec = fleet.sources.get(SourceName(said.source))
    running = offline(fleet, asks_forges=True)
    control = running.controller
    try:
        forge = control.parts.forge(SourceName(said.source))
        if spec is None or forge is None:
            known = ", ".join(n for n, s in fleet.sources.items() if s.forge) or "none"
            raise Unknown(
                f"source {said.source!r} is on no forge", hint=f"sources with `forge:`: {known}"
            )
        pull = await forge.pull(int(said.number))
        if not into(pull, spec):
            raise NotAllowed(f"pull request {pull.number} is not into {spec.ref}")
        problems = await control.read_sources()
        if spec.name in problems:
            raise Unknown(f"{spec.name}: {problems[spec.name]}")
        depth = depth_of(pull, spec.pull_requests or PullRequestsSpec())
        return await Previewing(control.surroundings(alone=True)).draw(spec, pull, depth)
    finally:
        await control.close()
        running.close()


# --- telling ----------------------------------------------------------------------------------


def _tell(ctx: typer.Context, shown: Preview) -> None:
    """Prints it and exits."""
    from gitops.cli.output import emit, make_console

    chosen = settings(ctx)
    if chosen.json:
        emit({"preview": shown})
    else:
        show_preview(shown, make_console(chosen))
    raise typer.Exit(_code(shown))


def show_preview(shown: Preview, console: Console) -> None:
    """Everything of it, plan by plan."""
    from rich.text import Text

    from gitops.foreign import one_line
    from gitops.model.ids import short
    from gitops.preview_text import overall

    title = f"{shown.source} #{shown.number} at {short(shown.head)}: {one_line(shown.title, 100)}"
    console.print(Text(title, style="bold"))
    console.print(Text(overall(shown).description))
    for path in shown.conflicts:
        console.print(Text(f"  {one_line(path, 300)}", style="red"))
    for text in shown.refused:
        console.print(Text(f"  {one_line(text, 300)}", style="red"))
    for each in shown.lanes:
        console.print()
        _show_lane(each, console)


def _show_lane(each: LanePreview, console: Console) -> None:
    from rich.text import Text

    from gitops.cli.output import show_plan
    from gitops.foreign import one_line

    name = f"{each.lane.application} on {each.lane.target}"
    if each.plan is not None:
        show_plan(each.plan, console)
    elif each.problem:
        console.print(Text(f"{name}: {one_line(each.problem, 600)}", style="red"))
    else:
        console.print(Text(f"{name}: waits: {one_line(each.waits, 600)}", style="yellow"))
    if each.note:
        console.print(Text(f"  {one_line(each.note, 300)}", style="dim"))


def _code(shown: Preview) -> int:
    from gitops.preview_text import blocked

    if shown.problem or shown.conflicts or shown.refused or any(map(blocked, shown.lanes)):
        return 1
    changes = any(each.waits or (each.plan and each.plan.changes) for each in shown.lanes)
    return 2 if changes else 0
