"""What the ways to sign in share: cookies, limits, sessions, and where people go then.

Used by :mod:`gitops.web.auth.routes` and :mod:`gitops.web.auth.oidc_routes`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import structlog
from fastapi import HTTPException, Request, Response
from starlette.responses import RedirectResponse

from gitops.controller import Controller
from gitops.model.ids import PersonName
from gitops.web.auth.guard import Guard
from gitops.web.buckets import Buckets, sender

_log = structlog.get_logger(__name__)

RATE, BURST = 0.5, 20.0
"""Attempts a second of one address."""
_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,500}")


def path_of_ours(text: str) -> str:
    """The path, if it can lead nowhere but to this controller; else the first page."""
    return text if _PATH.fullmatch(text) else "/"


class Doorman:
    """What the ways to sign in share: cookies, limits, sessions."""

    def __init__(self, controller: Controller, guard: Guard) -> None:
        self.controller, self.guard = controller, guard
        self.attempts = Buckets(RATE, BURST, now=controller.parts.clock.monotonic)

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
            instead_of=self.guard.cookie(request),
        )
        _log.info("session.begun", person=person, way=way, subject=subject)
        response = RedirectResponse(path_of_ours(next_), 303)
        longest = self.controller.fleet.api.sign_in.longest
        response.set_cookie(
            self.guard.cookie_name(request),
            cookie,
            max_age=int(longest.total_seconds()),
            secure=self.guard.secure(request),
            httponly=True,
            samesite="lax",
        )
        return response
