"""What a person does to an application from its page: pause, resume, another try, back.

Through the same orders as every other face. What is refused is told on the page again, with what
the person typed still there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, HTTPException, Path, Request
from starlette.responses import RedirectResponse, Response

from gitops.errors import GitopsError, Unknown
from gitops.links import application_page
from gitops.model.ids import ApplicationName, PersonName
from gitops.model.serving import Role
from gitops.orders import Orders
from gitops.web.auth.guard import form
from gitops.web.codes import code_of
from gitops.web.pages.application import Typed, show
from gitops.web.pages.desk import Desk, Viewing
from gitops.web.pages.forms import LONGEST_REASON
from gitops.web.showcase import Showcase

LENGTHS = ("3600", "14400", "86400", "604800")
"""Seconds a pause may be asked for here; the command line takes any."""
Act = Callable[[ApplicationName, PersonName, dict[str, str]], Awaitable[object]]


def add(app: FastAPI, desk: Desk) -> None:
    showcase: Showcase = app.state.showcase
    doing = _acts(desk.orders)

    @app.post("/applications/{application}/{act}", include_in_schema=False)
    async def act(
        request: Request,
        viewer: Viewing,
        application: Annotated[str, Path(max_length=253)],
        act: Annotated[str, Path(max_length=20)],
    ) -> Response:
        if act not in doing:
            raise HTTPException(404, "there is no such page")
        spec = showcase.applications.spec(application)
        person = viewer.require(Role.OPERATOR, spec)
        sent = await form(request)
        target, reason = sent.get("target", "")[:253], sent.get("reason", "")
        try:
            if len(reason) > LONGEST_REASON:
                raise HTTPException(400, f"a reason has at most {LONGEST_REASON} characters")
            await doing[act](spec.name, person, sent)
        except Unknown:
            raise
        except GitopsError as refused:
            typed = Typed(
                act,
                reason,
                sent.get("seconds", "")[:10],
                sent.get("delivery", "")[:64],
                f"{refused.place}: {refused.message}" if refused.place else refused.message,
                refused.hint,
            )
            status = code_of(refused)
            return await show(
                desk, showcase, viewer, application, target, typed=typed, status=status
            )
        shown = {**({"target": target} if target in spec.targets else {}), "done": act}
        return RedirectResponse(f"{application_page(spec.name)}?{urlencode(shown)}", 303)


def _acts(orders: Orders) -> dict[str, Act]:
    """What is done, by the last part of the address."""

    async def pause(name: ApplicationName, person: PersonName, sent: dict[str, str]) -> object:
        seconds = sent.get("seconds", "")
        if seconds not in LENGTHS:
            raise HTTPException(400, "choose how long the pause lasts")
        return await orders.pause(name, person, float(seconds), sent.get("reason", ""))

    async def back(name: ApplicationName, person: PersonName, sent: dict[str, str]) -> object:
        delivery = sent.get("delivery", "")
        if not delivery:
            raise HTTPException(400, "no delivery is named")
        return await orders.rollback(name, person, delivery, sent.get("reason", ""))

    return {
        "pause": pause,
        "resume": lambda name, person, _sent: orders.resume(name, person),
        "again": lambda name, person, _sent: orders.again(name, person),
        "retry": lambda name, person, _sent: orders.retry(name, person),
        "rollback": back,
    }
