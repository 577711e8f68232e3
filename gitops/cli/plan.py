"""``gitops plan``: the whole sentence up to the question, with a desk that asks nobody.

Needs no controller and writes nothing anywhere: its store is in memory, its vault forgets, and the
API server is only ever sent dry-runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops.cli.settings import Settings, settings

if TYPE_CHECKING:
    from gitops.app import Running
    from gitops.controller import Controller
    from gitops.model.approval import Answer
    from gitops.model.delivery import LaneId
    from gitops.model.fleet import Fleet
    from gitops.model.ids import SourceName


@dataclass(frozen=True, slots=True)
class Previewed:
    """One lane's plan, or why there is none."""

    lane: LaneId
    answer: Answer | None
    error: str = ""
    waits: str = ""
    """For what, where outputs of another application are not known before that is applied."""

    @property
    def stuck(self) -> bool:
        return bool(self.error or (self.answer and self.answer.plan.blocked_by))


def plan(
    ctx: typer.Context,
    applications: Annotated[
        list[str] | None, typer.Argument(help="Only these; default: all of the fleet file.")
    ] = None,
    local: Annotated[
        Path | None,
        typer.Option(
            help="Plan this working tree instead of what the source has: before committing.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    target: Annotated[str, typer.Option(help="Only this cluster.")] = "",
) -> None:
    """Print what would change. Writes nothing: every request to a cluster is a read or a dry-run.

    What takes outputs of a Terraform root in is planned with those the root's own plan gives it,
    or waits where they are known after its apply only.

    Exit code 0: no changes; 2: there are changes; 1: any error, a blocking finding included.
    """
    from gitops.app import offline
    from gitops.config import load
    from gitops.logs import configure

    chosen = settings(ctx)
    configure(level="error", color=chosen.color)
    fleet = load(chosen.config)
    if local is not None:
        fleet = _with_tree(fleet, local.absolute(), applications or [])
    running = offline(fleet)
    try:
        previews = asyncio.run(_preview(running, applications or [], target))
    finally:
        running.close()
    _show(previews, chosen)
    raise typer.Exit(_code(previews))


def _with_tree(fleet: Fleet, tree: Path, applications: Sequence[str]) -> Fleet:
    """The same fleet, reading the sources concerned from a folder."""
    wanted = {spec.source for name, spec in fleet.applications.items() if name in applications}
    wanted = wanted or set(fleet.sources)
    sources = {
        name: replace(spec, kind="directory", url=str(tree), allow_local=True, options={})
        if name in wanted
        else spec
        for name, spec in fleet.sources.items()
    }
    return replace(fleet, sources=sources)


async def _preview(
    running: Running, applications: Sequence[str], target: str
) -> tuple[Previewed, ...]:
    from gitops.errors import NotAllowed

    controller = running.controller
    problems = await controller.read_sources()
    unknown = [name for name in applications if name not in controller.roster.specs()]
    if unknown and not problems:
        known = ", ".join(sorted(controller.roster.specs())) or "none"
        raise NotAllowed(f"there is no application {unknown[0]!r}", hint=f"applications: {known}")
    lanes = [
        lane
        for lane in controller.roster.lanes()
        if (not applications or lane.application in applications) and target in ("", lane.target)
    ]
    try:
        return await _in_order(controller, lanes, problems)
    finally:
        await controller.close()


async def _in_order(
    controller: Controller, lanes: Sequence[LaneId], problems: Mapping[SourceName, str]
) -> tuple[Previewed, ...]:
    """All side by side, but what takes outputs in after those it takes them from. Those are
    planned even where nobody asked to see them."""
    tasks: dict[LaneId, asyncio.Future[Previewed]] = {}

    def begin(lane: LaneId) -> asyncio.Future[Previewed]:
        if lane not in tasks:
            tasks[lane] = asyncio.get_running_loop().create_future()  # ends a circle
            first = {name: begin(other) for name, other in _providers(controller, lane).items()}
            first = {name: one for name, one in first.items() if one is not tasks[lane]}
            tasks[lane] = asyncio.ensure_future(_after(first, controller, lane, problems))
        return tasks[lane]

    for lane in lanes:
        begin(lane)
    return tuple([await tasks[lane] for lane in lanes])


def _providers(controller: Controller, lane: LaneId) -> dict[str, LaneId]:
    """Name of the value → the lane it comes from."""
    from gitops.model.delivery import LaneId
    from gitops.model.ids import ApplicationName

    roster = controller.roster
    spec = roster.spec(lane.application)
    needs = spec.needs if spec else {}
    found = {name: roster.spec(ApplicationName(need.application)) for name, need in needs.items()}
    return {name: LaneId(one.name, one.targets[0]) for name, one in found.items() if one}


async def _after(
    first: Mapping[str, asyncio.Future[Previewed]],
    controller: Controller,
    lane: LaneId,
    problems: Mapping[SourceName, str],
) -> Previewed:
    for name, future in first.items():
        provider = await future
        if provider.stuck:
            where = f"{provider.lane}, of which there is no plan"
            return Previewed(lane, None, waits=f"{name} comes from {where}")
    return await _one(controller, lane, problems)


async def _one(
    controller: Controller, lane: LaneId, problems: Mapping[SourceName, str]
) -> Previewed:
    from gitops.errors import Awaiting, GitopsError

    spec = controller.roster.spec(lane.application)
    if spec is not None and spec.source in problems:
        return Previewed(lane, None, problems[spec.source])
    try:
        return Previewed(lane, await controller.preview(lane))
    except Awaiting as error:
        return Previewed(lane, None, waits=error.message)
    except GitopsError as error:
        return Previewed(lane, None, str(error))


def _code(previews: Sequence[Previewed]) -> int:
    if any(p.stuck for p in previews):
        return 1
    return 2 if any(p.waits or (p.answer and not p.answer.plan.empty) for p in previews) else 0


def _show(previews: Sequence[Previewed], chosen: Settings) -> None:
    from gitops.cli.output import emit, make_console, show_plan

    if chosen.json:
        emit([_as_value(preview) for preview in previews])
        return
    console = make_console(chosen)
    for index, preview in enumerate(previews):
        if index:
            console.print()
        name = f"{preview.lane.application} on {preview.lane.target}"
        if preview.answer is not None:
            show_plan(preview.answer.plan, console)
        elif preview.error:
            console.print(f"{name}: {preview.error}", style="red", markup=False)
        elif preview.waits:
            console.print(f"{name}: waits: {preview.waits}", style="yellow", markup=False)
        else:
            console.print(f"{name}: the source has nothing for it yet", markup=False)


def _as_value(preview: Previewed) -> dict[str, object]:
    answer = preview.answer
    return {
        "lane": preview.lane,
        "plan": answer.plan if answer else None,
        "seal": answer.seal if answer else None,
        "error": preview.error,
        "waits": preview.waits,
    }
