"""The API's side of the audit: every event in words, and whether the record is whole.

Added to the API by :mod:`gitops.web.api`, behind its guard. A page is a bounded question; a check
of everything goes in stretches, so that neither a request nor a thread of the store is held long.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Query
from fastapi.responses import JSONResponse

from gitops.controller import Controller
from gitops.web.auth.viewer import Viewing, viewer
from gitops.web.responses import as_json, page_size
from gitops.web.trail import Filter, may_see_accounts, page

STRETCH = 5_000
"""Events one request checks."""
_DIGITS = r"^[0-9]{0,18}$"
_TIME = "`7d` back from now, a date, a date with a time, or seconds since 1970"
Name = Annotated[str, Query(max_length=253)]
Moment = Annotated[str, Query(max_length=40, description=_TIME)]
Kind = Annotated[str, Query(max_length=40, description="A kind of events or a group: `answers`.")]
Before = Annotated[str, Query(pattern=_DIGITS, description="`next` of the page before.")]
Place = Annotated[int, Query(ge=0, le=2**62)]
Head = Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")]


def add_audit_routes(app: FastAPI, controller: Controller) -> None:
    looks = [Depends(viewer)]

    @app.get("/api/v1/events")
    async def events(
        found: Viewing,
        since: Moment = "",
        until: Moment = "",
        person: Name = "",
        application: Name = "",
        target: Name = "",
        kind: Kind = "",
        limit: int = 100,
        before: Before = "",
    ) -> JSONResponse:
        """Every event of every change, request and source, newest first, in a sentence each; those
        of tokens for admins.
        ``person`` gives what they did or wrote; looking for them ends after a while, so a page may
        be short, or empty, and still have a ``next``: ``back_to`` says how far it looked."""
        accounts = may_see_accounts(found)
        chosen = Filter(since, until, person, application, target, kind, accounts)
        most = page_size(limit)
        told = await page(controller, chosen, int(before or 0), most)
        after = str(told.before) if told.before else ""
        return as_json({"events": told.events, "next": after, "back_to": told.back_to})

    @app.get("/api/v1/audit/verify", dependencies=looks)
    async def verify(after: Place = 0, head: Head = "", until: Place = 0) -> JSONResponse:
        """Check the next stretch of the record: whether each event follows from the one before it
        in its chain. ``after`` and ``head`` are ``last`` and ``head`` of the stretch before;
        ``until`` is the last event to look at. A ``head`` kept elsewhere shows, when it is made
        again up to the same event, whether anything before it was changed, added or removed."""
        return as_json(
            await controller.ledger.read(
                lambda reading: reading.verified(after, head, limit=STRETCH, until=until)
            )
        )
