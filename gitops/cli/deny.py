"""``gitops deny``: no, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops.cli.approve import find_request
from gitops.cli.remote import controller, say


def deny(
    ctx: typer.Context,
    request: Annotated[str, typer.Argument(help="Request id or unambiguous prefix.")],
    reason: Annotated[str, typer.Option(help="Why; the author reads it.")],
) -> None:
    """Say no to a request. It is not asked again until its source moves or `gitops ask`."""
    with controller(ctx) as api:
        found = find_request(api, request)["request"]
        answer = api.post(
            "requests",
            found["id"],
            "answer",
            body={"root": found["root"], "decision": "deny", "reason": reason, "via": "cli"},
        )
    say(ctx, f"denied as {answer['verdict']['person']}", answer)
