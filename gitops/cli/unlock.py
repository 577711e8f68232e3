"""``gitops unlock``: ask to force the lock of a Terraform state."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops.cli.remote import controller, say


def unlock(
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(help="Terraform application whose state is held.")],
    lock: Annotated[str, typer.Argument(help="Id of the lock, as `gitops why` names it.")],
) -> None:
    """Ask somebody else to let the lock of a state be forced. Make sure first that nobody is
    writing it: two who write one state damage it."""
    with controller(ctx) as api:
        answer = api.post("applications", application, "unlock", body={"lock": lock})
    say(ctx, "asked: see `gitops status`; somebody other than you has to approve it", answer)
