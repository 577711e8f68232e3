"""Signing in and out. Added to the listening server by :mod:`gitops.web.api`, never to the socket.

Everything a stranger sends gets the same answer, however wrong it is. After signing in people come
back to the page they wanted, which is a path of ours and nothing else (open redirects, CWE-601).
"""

import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote

import structlog
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from starlette.responses import RedirectResponse

from gitops.controller import Controller
from gitops.model.ids import PersonName
from gitops.web.auth.guard import Guard, cookie_name, cookie_of, form
from gitops.web.auth.origins import origin_of
from gitops.web.auth.page import STYLE_AT, page, style
from gitops.web.auth.passwords import Passwords
from gitops.web.auth.viewer import Viewer, Way, viewer
from gitops.web.buckets import Buckets, sender

_log = structlog.get_logger(__name__)

_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,500}")
_WRONG = "Name or password is wrong, or there were too many attempts: wait a moment and try again."
RATE, BURST = 0.5, 20.0
"""Attempts a second of one address."""


def path_of_ours(text: str) -> str:
    """The path, if it can lead nowhere but to this controller; else the first page."""
    return text if _PATH.fullmatch(text) else "/"


def wants_page(request: Request) -> bool:
    """Is it a person in front of a browser who asks, and is there anywhere to sign in?"""
    guard: Guard = request.app.state.guard
    page_of_ours = not request.url.path.startswith("/api/") and request.method == "GET"
    return page_of_ours and not guard.trusted and "text/html" in request.headers.get("accept", "")


def to_sign_in(request: Request) -> Response:
    """On to the sign-in page, and back from there."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(path_of_ours(wanted), safe='')}", 303)


class Doorman:
    """What the ways to sign in share: cookies, limits, sessions."""

    def __init__(self, controller: Controller, guard: Guard) -> None:
        self.controller, self.guard = controller, guard
        self.attempts = Buckets(RATE, BURST)

    def refuse_many(self, request: Request) -> None:
        """Raises 429."""
        host = request.client.host if request.client else ""
        if wait := self.attempts.take(sender(host)):
            seconds = str(int(wait) + 1)
            raise HTTPException(429, "too many attempts at once", headers={"Retry-After": seconds})

    async def admit(
        self,
        request: Request,
        person: PersonName | None,
        way: str,
        next_: str,
        *,
        subject: str = "",
        name: str = "",
        groups: Sequence[str] = (),
    ) -> Response:
        """Begins a session and goes on to the page that was wanted."""
        cookie = await self.guard.sessions.begin(
            person,
            way,
            subject=subject,
            name=name,
            groups=groups,
            instead_of=cookie_of(request, self.controller),
        )
        _log.info("session.begun", person=person, way=way, subject=subject)
        response = RedirectResponse(path_of_ours(next_), 303)
        longest = self.controller.fleet.api.sign_in.longest
        response.set_cookie(
            cookie_name(request, self.controller),
            cookie,
            max_age=int(longest.total_seconds()),
            secure=self.secure(request),
            httponly=True,
            samesite="lax",
        )
        return response

    def secure(self, request: Request) -> bool:
        ours = origin_of(request.headers.get("host", ""), self.controller.fleet.api)
        return ours is not None and ours.secure


def add_routes(app: FastAPI, controller: Controller, guard: Guard) -> None:
    doorman = Doorman(controller, guard)
    _signing_in(app, doorman)
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
            await doorman.guard.sessions.end(cookie_of(request, doorman.controller))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(
            cookie_name(request, doorman.controller),
            secure=doorman.secure(request),
            httponly=True,
            samesite="lax",
        )
        return response
