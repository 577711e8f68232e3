"""``gitops stats``: how often, how fast and how well is delivered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from gitops.cli.remote import controller, read
from gitops.cli.settings import settings

if TYPE_CHECKING:
    from rich.console import Console

    from gitops.dora import Dora, Report, Spread


def stats(
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(help="Only this application.")] = "",
    days: Annotated[int, typer.Option(min=1, max=400, help="How far to look back.")] = 30,
    by: Annotated[
        str, typer.Option(help="Label of applications that says whose they are.")
    ] = "team",
) -> None:
    """Show deployment frequency, lead time, failures and time to restore, by application and team,
    and where a commit's time goes."""
    from gitops.cli.output import emit, make_console
    from gitops.dora import Report

    with controller(ctx) as api:
        found = api.get("stats", application=application, days=days, by=by)
    chosen = settings(ctx)
    if chosen.json:
        emit(found)
        return
    _show(read(Report, found), days, by, make_console(chosen))


def _show(report: Report, days: int, by: str, console: Console) -> None:
    from rich.text import Text

    from gitops.cli.output import show_table
    from gitops.foreign import one_line

    console.print(Text(f"the last {days} days", style="bold"))
    if not report.complete:
        console.print(
            Text("there are more changes than are looked at: the oldest are missing", "yellow")
        )
    _table("application", {**report.applications, "all": report.total}, console)
    if report.teams:
        console.print()
        _table(by, report.teams, console)
    _stream(report, console)
    if report.drift:
        console.print()
        rows = [(one_line(name, 80), str(count)) for name, count in report.drift.items()]
        show_table(("application", "drifts"), rows, console)


def _table(what: str, found: Mapping[str, Dora], console: Console) -> None:
    from gitops.cli.output import show_table
    from gitops.foreign import one_line

    columns = (one_line(what, 40), "deployments", "a day", "lead time", "failed", "restored in")
    rows = [
        (
            one_line(name, 80),
            str(one.deployments),
            f"{one.per_day:.2g}",
            _median(one.lead_time),
            _failed(one),
            _restored(one),
        )
        for name, one in found.items()
    ]
    show_table(columns, rows, console)


def _stream(report: Report, console: Console) -> None:
    from rich.text import Text

    from gitops.cli.output import show_table
    from gitops.plots import duration

    if not report.stream:
        return
    total = sum(stage.mean for stage in report.stream) or 1.0
    console.print(Text(f"\nfrom commit to healthy: {duration(total)} on average", style="bold"))
    rows = [
        (
            stage.stage.value,
            duration(stage.mean),
            f"{stage.mean / total:.0%}",
            duration(stage.spread.median),
            duration(stage.spread.p90),
            "waiting" if stage.waiting else "working",
        )
        for stage in report.stream
    ]
    show_table(("stage", "mean", "share", "median", "nine in ten", ""), rows, console)


def _median(spread: Spread | None) -> str:
    from gitops.plots import duration

    return duration(spread.median) if spread else "-"


def _failed(one: Dora) -> str:
    return "-" if one.failure_rate is None else f"{one.failed} ({one.failure_rate:.0%})"


def _restored(one: Dora) -> str:
    still = f", {one.unrestored} not yet" if one.unrestored else ""
    return _median(one.time_to_restore) + still
