"""Signing in and out. Added to the listening server by :mod:`gitops.web.api`, never to the socket.

Everything a stranger sends gets the same answer, however wrong it is. After signing in people come
back to the page they wanted, which is a path of ours and nothing else (open redirects, CWE-601).
"""

from typing import Annotated
from urllib.parse import quote, urlsplit

import structlog
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from starlette.responses import RedirectResponse

from gitops.controller import Controller
from gitops.web.auth import oidc_routes
from gitops.web.auth.doorman import Doorman, path_of_ours
from gitops.web.auth.guard import Guard, form
from gitops.web.auth.page import STYLE_AT, page, style
from gitops.web.auth.passwords import Passwords
from gitops.web.auth.viewer import Viewer, Way, viewer

_log = structlog.get_logger(__name__)

_WRONG = "Name or password is wrong, or there were too many attempts: wait a moment and try again."


def wants_page(request: Request) -> bool:
    """Is it a person in front of a browser who asks, and is there anywhere to sign in?"""
    guard: Guard = request.app.state.guard
    page_of_ours = not request.url.path.startswith("/api/") and request.method in {"GET", "POST"}
    return page_of_ours and not guard.trusted and "text/html" in request.headers.get("accept", "")


def to_sign_in(request: Request) -> Response:
    """On to the sign-in page, and back from there: to the page, or the one a form was sent from."""
    posted = request.method == "POST"
    try:
        at = urlsplit(request.headers.get("referer", "") if posted else str(request.url))
        wanted = at.path + (f"?{at.query}" if at.query else "")
    except ValueError:  # of what is no address, like http://[
        wanted = "/"
    return RedirectResponse(f"/sign-in?next={quote(path_of_ours(wanted), safe='')}", 303)


def add_routes(app: FastAPI, controller: Controller, guard: Guard) -> None:
    doorman = Doorman(controller, guard)
    _signing_in(app, doorman)
    oidc_routes.add_routes(app, doorman)
    _signing_out(app, doorman)


def _signing_in(app: FastAPI, doorman: Doorman) -> None:
    controller = doorman.controller
    passwords = Passwords(controller.ledger, controller.parts.clock)

    @app.get("/sign-in", include_in_schema=False)
    async def sign_in(next: str = "/") -> Response:
        return page(controller.fleet.api.sign_in, path_of_ours(next))

    @app.get(STYLE_AT, include_in_schema=False)
    async def sheet() -> Response:
        return style()

    @app.post("/sign-in", include_in_schema=False)
    async def sign_in_here(request: Request) -> Response:
        spec = controller.fleet.api.sign_in
        if not spec.local:
            raise HTTPException(404, "nobody signs in here with a password")
        if not doorman.guard.same_origin(request):
            raise HTTPException(403, "this did not come from a page of this controller")
        doorman.refuse_many(request)
        sent = await form(request)
        name, password = sent.get("name", ""), sent.get("password", "")
        person = await passwords.check(controller.fleet, name, password)
        next_ = path_of_ours(sent.get("next", "/"))
        if person is None:
            _log.warning("session.refused", way="local")
            return page(spec, next_, _WRONG, 401)
        return await doorman.admit(request, person, "local", next_)


def _signing_out(app: FastAPI, doorman: Doorman) -> None:
    @app.post("/sign-out", include_in_schema=False)
    async def sign_out(request: Request, found: Annotated[Viewer, Depends(viewer)]) -> Response:
        if found.way is Way.SESSION:
            await doorman.guard.sessions.end(doorman.guard.cookie(request))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(
            doorman.guard.cookie_name(request),
            secure=doorman.guard.secure(request),
            httponly=True,
            samesite="lax",
        )
        return response
