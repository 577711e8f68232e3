"""What a person does to a change from its page: another try, another look, the lock, back.

Through the same orders as every other face. What is refused is told on the page again, with the
reason the person typed still there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Request
from starlette.responses import RedirectResponse, Response

from gitops.errors import GitopsError
from gitops.links import change_page
from gitops.model.delivery import Change
from gitops.model.ids import ChangeId, PersonName
from gitops.model.serving import Role
from gitops.orders import Orders
from gitops.web.auth.guard import form
from gitops.web.changes import look
from gitops.web.pages.change import Id, show
from gitops.web.pages.desk import Desk, Viewing
from gitops.web.pages.diff import Wish
from gitops.web.pages.forms import LONGEST_REASON

Act = Callable[[Change, PersonName, dict[str, str]], Awaitable[object]]


def add(app: FastAPI, desk: Desk) -> None:
    doing = _acts(desk.orders)

    @app.post("/changes/{id}/{act}", include_in_schema=False)
    async def act(
        id: Id, act: Annotated[str, Path(max_length=20)], viewer: Viewing, request: Request
    ) -> Response:
        if act not in doing and act != "rollback":
            raise HTTPException(404, "there is no such page")
        given = await form(request)
        found = await desk.controller.ledger.read(partial(look, id=id))
        change = found.change
        spec = desk.controller.roster.spec(change.lane.application)
        person = viewer.require(Role.OPERATOR, spec)
        given["reason"] = given.get("reason", "")[:LONGEST_REASON]
        after = change.id
        try:
            if act == "rollback":
                after = await _back(desk.orders, change, person, given)
            else:
                await doing[act](change, person, given)
        except GitopsError as error:
            return await show(desk, viewer, id, Wish(), error=error, typed=given["reason"])
        return RedirectResponse(f"{change_page(after)}?done={act}", 303)


def _acts(orders: Orders) -> dict[str, Act]:
    """What is done, by the last part of the address."""
    return {
        "retry": lambda change, person, _: orders.retry(change.lane.application, person),
        "again": lambda change, person, _: orders.again(change.lane.application, person),
        "unlock": lambda change, person, given: orders.unlock(
            change.lane.application, person, given.get("lock", "")[:200]
        ),
    }


async def _back(
    orders: Orders, change: Change, person: PersonName, given: dict[str, str]
) -> ChangeId:
    """The change that is asked about then. Without a delivery named: to what this target had."""
    delivery = given.get("delivery", "")[:64]
    target = "" if delivery else change.lane.target
    name, reason = change.lane.application, given["reason"]
    begun = await orders.rollback(name, person, delivery, reason, target)
    return next(iter(begun.changes.values()), change.id)
