"""``gitops show``: one request, delivery or change with its plan, findings and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops.cli.remote import controller, read
from gitops.cli.settings import settings

if TYPE_CHECKING:
    from rich.console import Console

    from gitops.model.approval import Electorate
    from gitops.model.source import Authorship


def show(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(help="Id or unambiguous prefix (4 characters or more).")],
) -> None:
    """Show one request, delivery or change."""
    from gitops.cli.output import emit, make_console

    with controller(ctx) as api:
        found = api.get("show", id)
    chosen = settings(ctx)
    if chosen.json:
        emit(found)
        return
    console = make_console(chosen)
    if "request" in found:
        show_request_answer(found, console)
    else:
        _show_change(found, console)


def show_request_answer(found: Any, console: Console) -> None:
    """A request as the API answers it, with who may approve."""
    from rich.text import Text

    from gitops.cli.output import show_request
    from gitops.model.approval import Electorate, Request
    from gitops.model.delivery import ChangeRecord
    from gitops.model.ids import ChangeId
    from gitops.model.plan import Plan
    from gitops.model.terraform import Need

    plans = {
        ChangeId(row["member"]["change"]): read(Plan, row["plan"])
        for row in found["members"]
        if row["plan"]
    }
    needs = {
        ChangeId(row["member"]["change"]): {
            n: read(Need, need) for n, need in (row.get("needs") or {}).items()
        }
        for row in found["members"]
    }
    show_request(read(Request, found["request"]), plans, console, needs=needs)
    told: set[str] = set()
    changes = [read(ChangeRecord, row["change"]) for row in found["members"] if row.get("change")]
    for authorship in dict.fromkeys(record.change.authorship for record in changes):
        _show_pulls(authorship, console)
    for row in found["members"]:
        if row["member"]["state"] != "asking" or not row["electorate"]:
            continue
        group = read(Electorate, row["electorate"])
        if str(group) not in told:  # one policy for many members is told once
            told.add(str(group))
            _show_electorate(group, console)
        if row["confirmation"]:
            console.print(Text(f"  to confirm, type: {row['confirmation']}", style="bold red"))


def _show_electorate(group: Electorate, console: Console) -> None:
    from rich.text import Text

    may = ", ".join(group.eligible) or "nobody"
    console.print(Text(f"\nmay approve ({group.needed} needed): {may}", style="bold"))
    console.print(f"  {group.note}")
    for reason in sorted(group.refusals.values()):
        console.print(Text(f"  {reason}", style="dim"))


def _show_pulls(authorship: Authorship, console: Console) -> None:
    """Whose pull requests brought it, as far as a forge told."""
    from rich.text import Text

    from gitops.foreign import one_line
    from gitops.summary import brought

    for pull in authorship.pull_requests:
        console.print(Text(f"  {one_line(f'{brought(pull)} {pull.url}', 1_000)}"))


def _show_change(found: Any, console: Console) -> None:
    from rich.text import Text

    from gitops.cli.output import moment, show_deliveries, show_plan
    from gitops.foreign import one_line
    from gitops.model.delivery import ChangeRecord, ChangeState, DeliveryRecord
    from gitops.model.events import StoredEvent
    from gitops.model.ids import short
    from gitops.model.plan import Plan
    from gitops.sentences import sentence

    if "delivery" in found:
        delivery = read(DeliveryRecord, found["delivery"])
        record = delivery.change
        show_deliveries([delivery], console)
    else:
        record = read(ChangeRecord, found["change"])
        console.print(
            Text(f"change {short(record.change.id)} of {record.change.lane}: ", style="bold")
            + Text(record.state.value)
        )
        if record.reason:
            console.print(f"  {one_line(record.reason, 2_000)}")
    if record.state is ChangeState.FAILED:
        name = record.change.lane.application
        console.print(Text(f"  try it again: gitops retry {one_line(name)}", style="cyan"))
        console.print(Text(f"  go back: gitops rollback {one_line(name)}", style="cyan"))
    for commit in record.change.authorship.commits:
        who = f"{commit.author.name} <{commit.author.email}>"
        console.print(f"  {short(commit.id)} {one_line(who, 100)}: {one_line(commit.subject, 200)}")
    _show_pulls(record.change.authorship, console)
    console.print()
    if found["plan"]:
        show_plan(read(Plan, found["plan"]), console)
    console.print()
    for event in found["events"]:
        stored = read(StoredEvent, event)
        said = one_line(sentence(stored.event), 400)
        console.print(Text(f"{moment(stored.at)}  {said}", style="dim"))
