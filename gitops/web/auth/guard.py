"""Finds out who sent a request: the socket's account, a token, a session, or nobody.

One for each door (:func:`gitops.web.api.build` keeps it in ``app.state.guard``). What it says no to
says no in the same words whatever the reason, so that nobody learns which guess came close.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from urllib.parse import parse_qs

from fastapi import HTTPException, Request

from gitops.controller import Controller
from gitops.model.serving import Role
from gitops.tokens import hash_of
from gitops.web.auth.origins import Origin, origin_of
from gitops.web.auth.roles import EVERYTHING, LOOKING, Scope, roles_of
from gitops.web.auth.sessions import Sessions
from gitops.web.auth.viewer import Viewer, Way
from gitops.web.turns import Turns

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing here (RFC 9110 9.2.1)."""
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
LONGEST_COOKIE = 512
_FORM = "application/x-www-form-urlencoded"


class Guard:
    """``trusted``: in front of the operator's own socket."""

    def __init__(self, controller: Controller, *, trusted: bool) -> None:
        self._controller = controller
        self.trusted = trusted
        self.door = controller.fleet.api
        """What we listen on, and by which name: as at the start, whatever the file says since."""
        clock = controller.parts.clock
        self.turns = Turns()
        self.sessions = Sessions(controller.ledger, clock, lambda: controller.fleet.api.sign_in)

    async def viewer(self, request: Request) -> Viewer:
        """Raises 401 for whoever may not look, 403 for what another site may have sent."""
        heard = self._controller.ledger.bell.rung
        found = await self._found(request)
        if found is None or not found.roles.allow(Role.VIEWER):
            raise HTTPException(401, "a valid token is needed (gitops token create PERSON)")
        if found.way is Way.SESSION and request.method not in SAFE:
            await self._refuse_foreign(request, found)
        return replace(found, heard=heard)

    async def _found(self, request: Request) -> Viewer | None:
        if "authorization" in request.headers:
            return await self._by_token(request.headers.getlist("authorization"))
        if self.trusted:
            return Viewer(None, EVERYTHING, Way.SOCKET)
        # What a page asks for by itself does not keep its session: nobody may be there any more.
        # Browsers say so (Fetch Metadata 2.1), and no page can say otherwise.
        used = request.headers.get("sec-fetch-dest", "") != "empty"
        by_session = await self._by_session(self.cookie(request), used=used)
        if by_session is not None:
            return by_session
        anonymous = self._controller.fleet.api.sign_in.anonymous
        if anonymous and request.method in SAFE:
            return Viewer(None, LOOKING, Way.ANONYMOUS)
        return None

    async def _by_token(self, headers: list[str]) -> Viewer | None:
        scheme, _, text = headers[0].partition(" ")
        if len(headers) != 1 or scheme.lower() != "bearer" or not text:
            return None
        found = await self._controller.ledger.read(lambda r: r.token(hash_of(text.strip())))
        if found is None or found.expires_at <= self._controller.parts.clock.now():
            return None
        scope = Scope(found.role, found.applications)
        roles = roles_of(found.person, (), self._controller.fleet, scope)
        return Viewer(found.person, roles, Way.TOKEN)

    async def _by_session(self, cookie: str, *, used: bool) -> Viewer | None:
        session = await self.sessions.of(cookie, used=used) if cookie else None
        if session is None:
            return None
        fleet = self._controller.fleet
        roles = roles_of(session.person, session.groups, fleet)
        return Viewer(session.person, roles, Way.SESSION, session.csrf, session.name)

    async def _refuse_foreign(self, request: Request, found: Viewer) -> None:
        """Raises 403 unless a page of ours sent it."""
        if not self.same_origin(request):
            raise HTTPException(403, "this did not come from a page of this controller")
        given = request.headers.get(CSRF_HEADER) or await _field(request)
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), found.csrf.encode()):
            raise HTTPException(403, "the page is out of date: load it again")

    def same_origin(self, request: Request) -> bool:
        """Browsers say where a request that is no GET comes from; who does not say is refused."""
        ours = self.origin(request)
        return ours is not None and request.headers.getlist("origin") == [ours.text]

    def origin(self, request: Request) -> Origin | None:
        """The origin of a browser that called us as this one did; None by a name not ours."""
        return origin_of(request.headers.get("host", ""), self.door)

    def cookie_name(self, request: Request) -> str:
        """``__Host-`` binds a cookie to this host and TLS (RFC 6265bis 4.1.3.2). Plain HTTP there
        is on loopback alone, where browsers would not keep such a cookie."""
        return "__Host-gitops" if self.secure(request) else "gitops"

    def secure(self, request: Request) -> bool:
        ours = self.origin(request)
        return ours is not None and ours.secure

    def cookie(self, request: Request) -> str:
        """The session's; empty without one."""
        found = request.cookies.get(self.cookie_name(request), "")
        return found if len(found) <= LONGEST_COOKIE else ""


async def _field(request: Request) -> str:
    """The form's own token; the body was bounded before it came here."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return ""
    fields = await form(request)
    return fields.get(CSRF_FIELD, "")


async def form(request: Request) -> dict[str, str]:
    """The fields of a sent form, each once. Raises 400 for what is none."""
    try:
        text = (await request.body()).decode("ascii")
        found = parse_qs(text, keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
    if any(len(values) != 1 for values in found.values()):
        raise HTTPException(400, "a field of the form came twice")
    return {name: values[0] for name, values in found.items()}
