"""The API's side of accounts: tokens, passwords and sessions of people.

Added to the API by :mod:`gitops.web.api`. Making a token or a password means being anybody, so that
is done through the operator's own socket alone; looking at them and ending them may admins as well.
"""

from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gitops.controller import Controller
from gitops.model.events import TokenCreated, TokenRevoked
from gitops.model.ids import PersonName
from gitops.model.serving import Role
from gitops.tokens import new_token
from gitops.web.auth.guard import Guard
from gitops.web.auth.passwords import LONGEST, Passwords
from gitops.web.auth.roles import known
from gitops.web.auth.viewer import Viewing, account, admin
from gitops.web.responses import as_json

_NAME = r"^[^\x00-\x1f\x7f]{1,100}$"


class TokenBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    person: str = Field(pattern=_NAME)
    days: float = Field(90, gt=0, le=3_650)
    note: str = Field("", max_length=200)
    role: Role = Field(Role.ADMIN, description="The most it may do.")
    applications: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9*?._-]{1,253}$")]] = Field(
        default_factory=list, max_length=100, description="Names or patterns it may act on."
    )


class UserBody(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    person: str = Field(pattern=_NAME)
    password: str = Field(max_length=LONGEST, description="At least 12 characters.")


def add_routes(app: FastAPI, controller: Controller) -> None:
    _tokens(app, controller)
    _users(app, controller)
    _sessions(app)


def _tokens(app: FastAPI, controller: Controller) -> None:
    accounts, admins = [Depends(account)], [Depends(admin)]

    @app.get("/api/v1/tokens", dependencies=admins)
    async def tokens() -> JSONResponse:
        """Everybody's, newest first; never the tokens themselves."""
        return as_json({"tokens": await controller.ledger.read(lambda r: list(r.tokens()))})

    @app.post("/api/v1/tokens", dependencies=accounts)
    async def create(body: TokenBody) -> JSONResponse:
        """Answers with the token, this once."""
        person = known(controller.fleet, body.person)
        token = new_token()
        expires = controller.parts.clock.now() + body.days * 86_400
        applications = tuple(dict.fromkeys(body.applications))
        await controller.ledger.append(
            TokenCreated(token.id, person, token.hash, expires, body.note, body.role, applications)
        )
        return as_json({"id": token.id, "token": token.text, "expires_at": expires})

    @app.delete("/api/v1/tokens/{id}", dependencies=admins)
    async def revoke(id: str, viewer: Viewing) -> JSONResponse:
        """Its next use is refused."""
        await controller.ledger.append(TokenRevoked(id, viewer.person or "operator"))
        return as_json({"revoked": id})


def _users(app: FastAPI, controller: Controller) -> None:
    accounts, admins = [Depends(account)], [Depends(admin)]
    passwords = Passwords(controller.ledger, controller.parts.clock)
    guard: Guard = app.state.guard

    @app.get("/api/v1/users", dependencies=admins)
    async def users() -> JSONResponse:
        """Who signs in with a password."""
        return as_json({"users": await passwords.names()})

    @app.post("/api/v1/users", dependencies=accounts)
    async def set_password(body: UserBody) -> JSONResponse:
        """Gives a person of the fleet file a password; their sessions are over."""
        person = PersonName(body.person)
        await passwords.set(controller.fleet, person, body.password)
        return as_json({"person": person, "ended": await guard.sessions.end_all(person)})

    @app.delete("/api/v1/users/{person}", dependencies=accounts)
    async def remove(person: str) -> JSONResponse:
        """Takes a person's password away; their sessions are over."""
        name = PersonName(person)
        await passwords.remove(name)
        return as_json({"removed": name, "ended": await guard.sessions.end_all(name)})


def _sessions(app: FastAPI) -> None:
    admins = [Depends(admin)]
    guard: Guard = app.state.guard

    @app.get("/api/v1/sessions", dependencies=admins)
    async def sessions() -> JSONResponse:
        """Who is signed in at the pages, last used first."""
        rows = [
            {
                "person": each.person,
                "subject": each.subject,
                "way": each.way,
                "made": each.made,
                "seen": each.seen,
            }
            for each in await guard.sessions.listed()
        ]
        return as_json({"sessions": rows})

    @app.delete("/api/v1/sessions/{person}", dependencies=admins)
    async def end(person: str) -> JSONResponse:
        """Signs a person out everywhere."""
        return as_json({"ended": await guard.sessions.end_all(PersonName(person))})
