"""The one thing pages and API routes ask for: who is looking, and what may they do?

``viewer`` is a FastAPI dependency: ``found: Annotated[Viewer, Depends(viewer)]``. It answers 401
(pages: a redirect to the sign-in page) for whoever may not look, and for a request that changes
something it has refused by then whatever another site could have sent (origin and CSRF token). What
somebody may *do* a route asks itself, by ``require``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import PersonName
from gitops.model.serving import Role
from gitops.web.auth.roles import Roles
from gitops.web.buckets import sender


class Way(StrEnum):
    """How a request proved who sent it."""

    SOCKET = "socket"
    TOKEN = "token"  # noqa: S105 - a word, not a token
    SESSION = "session"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Viewer:
    person: PersonName | None
    """None: the operator's own account, an anonymous reader, or somebody the fleet does not know.
    None of them acts."""
    roles: Roles
    way: Way
    csrf: str = ""
    """For the hidden field ``csrf`` of every form, or the header ``X-CSRF-Token``. Empty where
    nobody is signed in: then no form is to be shown."""
    name: str = ""
    """How to call them where there is no person: foreign text."""
    heard: int = 0
    """How often the bell (:mod:`gitops.engine.bell`) had rung when they asked: a page that listens
    says so, and misses nothing that happened since."""

    def may(self, role: Role, application: ApplicationSpec | None = None) -> bool:
        """May they, about this application? None: about no single one. To do anything takes a
        person; what the approval policy says of them comes on top."""
        if self.person is None and role is not Role.VIEWER:
            return False
        return self.roles.allow(role, application)

    def require(self, role: Role, application: ApplicationSpec | None = None) -> PersonName:
        """The person. Raises 401 without one, 403 for one whose roles do not cover it."""
        if self.person is None:
            raise HTTPException(401, "a valid token is needed (gitops token create PERSON)")
        if not self.roles.allow(role, application):
            about = f" of {application.name}" if application else ""
            raise HTTPException(403, f"{self.person} is no {role}{about}")
        return self.person


async def viewer(request: Request) -> Viewer:
    """Raises 401 for whoever may not look at all, 403 for what another site may have sent, 429 for
    who has asked too much at once."""
    guard = request.app.state.guard
    found: Viewer = await guard.viewer(request)
    await guard.turns.take(request, sender_of(request, found))
    return found


def sender_of(request: Request, found: Viewer) -> str:
    """Whose requests and streams are counted together. No name that an identity provider gives is a
    person's."""
    if found.person or found.name:
        return f"person {found.person}" if found.person else f"name {found.name}"
    return f"address {sender(request.client.host)}" if request.client else ""


Viewing = Annotated[Viewer, Depends(viewer)]
"""A route's parameter: who is looking. Whoever may not look never reaches the route."""


async def operator(found: Viewing) -> None:
    """For what is about no single application; the operator's own account needs no person."""
    if found.way is not Way.SOCKET:
        found.require(Role.OPERATOR)


async def admin(found: Viewing) -> None:
    """The operator's own account, or a person with the role."""
    if found.way is not Way.SOCKET:
        found.require(Role.ADMIN)


async def account(request: Request, found: Viewing) -> None:
    """Making tokens and passwords means being anybody: through the operator's own socket alone."""
    del found  # whoever may not look hears that first
    if not request.app.state.guard.trusted:
        raise HTTPException(403, "this is done through the controller's Unix socket alone")
