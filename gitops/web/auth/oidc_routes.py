"""The way to the identity provider and back. Added by :mod:`gitops.web.auth.routes`.

What is remembered of an attempt stays with us, for ten minutes, under a cookie that only the
browser has which began it: an answer that somebody else brings about signs nobody in (login CSRF).
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping

import structlog
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.responses import RedirectResponse

from gitops.errors import GitopsError, NotAllowed
from gitops.model.fleet import Fleet
from gitops.model.ids import PersonName
from gitops.model.serving import OidcSpec, Role
from gitops.web.auth.doorman import Doorman, path_of_ours
from gitops.web.auth.oidc import Attempt, Identity, Provider
from gitops.web.auth.page import page
from gitops.web.auth.roles import roles_of

_log = structlog.get_logger(__name__)

RETURN = "/sign-in/return"
SECONDS = 600.0
"""For somebody to find their second factor."""
MOST = 2_000
"""Attempts at once; the oldest is forgotten first."""


class Attempts:
    """In memory: who was on the way during a restart clicks once more."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Attempt] = OrderedDict()

    def keep(self, attempt: Attempt) -> str:
        """The cookie that belongs to it."""
        cookie = secrets.token_urlsafe(32)
        self._known[_key(cookie)] = attempt
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return cookie

    def take(self, cookie: str, now: float) -> Attempt | None:
        """Once."""
        found = self._known.pop(_key(cookie), None)
        return found if found is not None and found.until >= now else None


def add_routes(app: FastAPI, doorman: Doorman) -> None:
    controller, attempts = doorman.controller, Attempts()
    built: dict[OidcSpec, Provider] = {}
    url = doorman.guard.door.url

    def provider() -> Provider:
        """Of the fleet file in force; it knows the provider's keys while that stays the same."""
        spec = controller.fleet.api.sign_in.oidc
        if spec is None or not url:
            raise HTTPException(404, "there is no identity provider to sign in at")
        if spec not in built:
            built.clear()
            built[spec] = Provider(spec, url + RETURN, controller.parts.clock)
        return built[spec]

    @app.get("/sign-in/begin", include_in_schema=False)
    async def begin(request: Request, next: str = "/") -> Response:
        found, ours = provider(), doorman.guard.origin(request)
        if ours is not None and ours.text != url:  # cookies stay with the name we come back to
            return RedirectResponse(str(request.url.replace(**_parts(url))), 303)
        doorman.refuse_many(request)
        try:
            there, attempt = await found.begin(path_of_ours(next), SECONDS)
        except GitopsError as error:
            return _sorry(doorman, error)
        response = RedirectResponse(there, 303)
        _set(response, request, doorman, attempts.keep(attempt))
        return response

    @app.get(RETURN, include_in_schema=False)
    async def come_back(request: Request) -> Response:
        found, now = provider(), controller.parts.clock.now()
        doorman.refuse_many(request)
        name = _cookie(request, doorman)
        attempt = attempts.take(request.cookies.get(name, ""), now)
        try:
            if attempt is None:
                raise NotAllowed("that took too long, or began in another window: sign in again")
            identity = await found.finish(attempt, _once(request))
            response = await _admit(doorman, request, identity, attempt.next)
        except GitopsError as error:
            response = _sorry(doorman, error)
        response.delete_cookie(
            name, secure=doorman.guard.secure(request), httponly=True, samesite="lax"
        )
        return response


async def _admit(doorman: Doorman, request: Request, identity: Identity, next_: str) -> Response:
    """Raises NotAllowed for whoever may not even look."""
    fleet = doorman.controller.fleet
    person = person_of(fleet, identity.subject)
    if not roles_of(person, identity.groups, fleet).allow(Role.VIEWER):
        known = f"{person} has no role here" if person else "nobody in `people` has"
        line = "" if person else f" sso: '{identity.subject}'"
        raise NotAllowed(f"You are signed in as {identity.name}, but {known}{line}.")
    return await doorman.admit(
        request,
        person,
        "oidc",
        next_,
        subject=identity.subject,
        name=identity.name,
        groups=identity.groups,
    )


def person_of(fleet: Fleet, subject: str) -> PersonName | None:
    """Whose identity it is. Raises NotAllowed when the fleet file gives it to two people."""
    found = [p.name for p in fleet.people.persons.values() if subject in p.subjects]
    if len(found) > 1:
        raise NotAllowed(f"{' and '.join(found)} share one sign-on identity in the fleet file")
    return found[0] if found else None


def _sorry(doorman: Doorman, error: GitopsError) -> Response:
    _log.warning("session.refused", way="oidc", problem=error.message)
    status = 403 if isinstance(error, NotAllowed) else 502
    return page(doorman.controller.fleet.api.sign_in, "/", error.message, status)


def _once(request: Request) -> Mapping[str, str]:
    """The query, unless something in it came twice (RFC 6749 3.1)."""
    found = request.query_params.multi_items()
    if len({name for name, _ in found}) != len(found) or len(found) > 20:
        raise NotAllowed("the answer of the identity provider cannot be read")
    return dict(found)


def _parts(url: str) -> dict[str, str]:
    scheme, _, netloc = url.partition("://")
    return {"scheme": scheme, "netloc": netloc}


def _cookie(request: Request, doorman: Doorman) -> str:
    return doorman.guard.cookie_name(request) + "-attempt"


def _set(response: Response, request: Request, doorman: Doorman, cookie: str) -> None:
    # Lax: the provider's answer is a navigation from another site, which Strict would not follow.
    response.set_cookie(
        _cookie(request, doorman),
        cookie,
        max_age=int(SECONDS),
        secure=doorman.guard.secure(request),
        httponly=True,
        samesite="lax",
    )


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
