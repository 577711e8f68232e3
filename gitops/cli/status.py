"""``gitops status``: sources, clusters, applications, and who is being asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from gitops.cli.remote import controller, read, read_all
from gitops.cli.settings import settings

if TYPE_CHECKING:
    from rich.console import Console


def status(ctx: typer.Context) -> None:
    """Show sources, clusters, applications and open requests of the running controller."""
    from gitops.cli.output import emit, make_console
    from gitops.cli.webhook import show_webhooks
    from gitops.model.hooks import HooksStatus

    with controller(ctx) as api:
        found = api.get("status")
    chosen = settings(ctx)
    if chosen.json:
        emit(found)
        return
    console = make_console(chosen)
    _show_tables(found, console)
    _show_waiting(found, console)
    hooks = read(HooksStatus, found["webhooks"])
    if hooks.webhooks:
        show_webhooks(hooks, console)
    _show_left(found, console)


def _show_tables(found: Mapping[str, Any], console: Console) -> None:
    from gitops.cli.output import show_status
    from gitops.model.cluster import ClusterStatus
    from gitops.model.delivery import LaneRecord
    from gitops.model.ids import TargetName
    from gitops.model.source import SourceStatus
    from gitops.ports.office import Standing

    lanes = [
        (read(Standing, row["standing"]), read(LaneRecord, row["record"]).delivered)
        for row in found["lanes"]
    ]
    clusters = {
        TargetName(row["name"]): read(ClusterStatus, row["status"]) for row in found["clusters"]
    }
    show_status(read_all(SourceStatus, found["sources"]), clusters, lanes, console)


def _show_waiting(found: Mapping[str, Any], console: Console) -> None:
    """Runs of Terraform, questions, and lanes whose last round ended early."""
    from rich.text import Text

    from gitops.cli.output import moment
    from gitops.foreign import one_line
    from gitops.model.approval import Request
    from gitops.model.ids import short
    from gitops.ports.terraform import Place

    for place in read_all(Place, found["runs"]):
        style = "yellow" if place.late else ""
        console.print(Text(f"\n{one_line(str(place))}, since {moment(place.since)}", style=style))
    for request in read_all(Request, found["requests"]):
        asked = f"\nwaiting for an answer: {one_line(request.title, 200)}"
        console.print(Text(asked, style="bold"))
        console.print(f"  gitops show {short(request.id)}")
    for row in found["lanes"]:
        if row["trouble"]:
            lane, trouble = row["record"]["lane"], row["trouble"]
            waits = "waits: " if trouble["waits"] else ""
            said = f"{lane['application']}@{lane['target']}: {waits}{trouble['message']}"
            console.print(Text(f"\n{one_line(said, 500)}", style="yellow"))
            console.print(f"  gitops why {lane['application']}")


def _show_left(found: Mapping[str, Any], console: Console) -> None:
    from rich.text import Text

    from gitops.foreign import one_line

    for problem in found["problems"]:
        console.print(Text(f"\n{one_line(problem, 500)}", style="yellow"))
    for lane in found["no_longer_managed"]:
        name = f"{lane['application']}@{lane['target']}"
        console.print(f"\nno longer managed, what it made stays: {one_line(name)}")
