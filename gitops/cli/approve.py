"""``gitops approve``: yes to exactly what is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops.cli.asking import confirmed
from gitops.cli.remote import controller, say
from gitops.cli.settings import settings

if TYPE_CHECKING:
    from gitops.web.client import Api


def approve(
    ctx: typer.Context,
    request: Annotated[str, typer.Argument(help="Request id or unambiguous prefix.")],
    root: Annotated[
        str,
        typer.Option(help="Root hash you looked at: the answer is refused if anything moved."),
    ] = "",
    confirm: Annotated[
        str, typer.Option(help="The phrase that deletes over the budget ask for.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Recorded with the answer.")] = "",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; for scripts, with --root.")
    ] = False,
) -> None:
    """Say yes to a request, as the person whose token is in GITOPS_TOKEN.

    Shows the plan and asks first. The answer names what was shown: if the plan moved meanwhile it
    is refused, and nothing is applied.
    """
    from gitops.cli.output import make_console
    from gitops.cli.show import show_request_answer

    with controller(ctx) as api:
        found = find_request(api, request)
        seen = found["request"]["root"]
        if not yes:
            show_request_answer(found, make_console(settings(ctx), stderr=settings(ctx).json))
            _waiting(found["request"])
            if not confirmed("Apply exactly this?"):
                raise typer.Abort
            confirm = confirm or _typed(found)
        answer = api.post(
            "requests",
            found["request"]["id"],
            "answer",
            body={
                "root": _full(root, seen) or seen,
                "decision": "approve",
                "reason": reason,
                "confirmation": confirm,
                "via": "cli",
            },
        )
    say(ctx, f"approved as {answer['verdict']['person']}", answer)


def _waiting(request: dict[str, Any]) -> None:
    """Raises NotAllowed where a yes would be for nothing."""
    from gitops.errors import NotAllowed

    if request["state"] != "open":
        raise NotAllowed(
            f"request {request['id'][:12]} is closed: nothing of it waits for an answer",
            hint="`gitops deliveries` tells what was delivered",
        )


def find_request(api: Api, id: str) -> Any:
    """The request of that id. Raises NotAllowed when the id is something else's."""
    from gitops.errors import NotAllowed

    found = api.get("show", id)
    if "request" not in found:
        raise NotAllowed(
            f"{id} is not a request", hint="`gitops status` lists the requests that wait"
        )
    return found


def _typed(found: Any) -> str:
    phrases = {row["confirmation"] for row in found["members"] if row["confirmation"]}
    if not phrases:
        return ""
    total = sum(int(phrase.split()[-1]) for phrase in phrases) if len(phrases) > 1 else 0
    phrase = f"delete {total}" if total else phrases.pop()
    answer: str = typer.prompt(f"This needs its own confirmation. Type `{phrase}`", err=True)
    return answer


def _full(root: str, present: str) -> str:
    """A prefix of the present root stands for it; anything else goes to the gate as it is."""
    return present if len(root) >= 8 and present.startswith(root) else root
