"""``/pending`` and ``/requests/{id}``: what waits for somebody, and the question as a page.

An answer goes the way of every other one: the viewer's role, then the gate, then the store's own
order of things. It names the root that was shown; if anything has moved since, it is refused, and
the page comes back with what is asked now and what the person had typed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from gitops.errors import GitopsError
from gitops.links import change_page, commits_at, request_page
from gitops.model.approval import Decision, MemberState
from gitops.model.approval import Request as Question
from gitops.model.ids import Digest
from gitops.model.plan import Plan
from gitops.office import FrontOffice
from gitops.ports import Reading
from gitops.ports.office import Card, Row
from gitops.summary import board, likeness, meaning, risk, versions
from gitops.web.asked import Answering, Why, answering, lanes_of, refusals, who_may
from gitops.web.auth.answers import require_answer
from gitops.web.auth.guard import form
from gitops.web.auth.viewer import Viewer
from gitops.web.codes import code_of
from gitops.web.pages.desk import Desk, Viewing
from gitops.web.pages.diff import ROOM, View, Wish, view
from gitops.web.pages.findings import ROOM as FINDINGS
from gitops.web.pages.findings import Board, board_of
from gitops.web.pages.forms import DONE, LONGEST_REASON
from gitops.web.pages.plans import files_of, wish
from gitops.web.questions import MOST, PLANNED, gathered, one

PAGE = 60
"""Questions in one view of what is pending."""
LOOKED_AT = 10
"""Members of each that are looked at for it: who may answer, and the risk."""
DRAWN = 6
"""Groups of equal plans whose differences one view shows."""
LISTED = 40
"""Lanes that are listed of a group."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One line of what is pending."""

    card: Card
    mine: bool
    """The viewer may answer it, as far as was looked."""
    risk: str
    where: str
    authors: tuple[str, ...]
    members: int
    expires_at: float
    loses: bool
    """Something is deleted or replaced."""


@dataclass(frozen=True, slots=True)
class Group:
    """Members whose plans show the same."""

    number: int
    rows: tuple[Row, ...]
    plan: Plan | None
    risk: str
    meaning: tuple[str, ...]
    checks: Board
    versions: tuple[tuple[str, str], ...]
    where: str
    view: View | None = None
    """None: its differences are in a view of their own."""

    @property
    def lead(self) -> Row:
        return self.rows[0]


Id = Annotated[str, Path(pattern=r"^[\w.-]{4,64}$")]


def add(app: FastAPI, desk: Desk) -> None:
    @app.get("/pending", include_in_schema=False)
    async def pending(
        viewer: Viewing, before: Annotated[str, Query(max_length=64)] = ""
    ) -> Response:
        found, more = await desk.controller.ledger.read(
            partial(waiting, office=desk.office, viewer=viewer, before=before)
        )
        return desk.frame.page(
            "pending.html",
            viewer,
            at="/pending",
            topics="request:*",
            mine=[each for each in found if each.mine],
            others=[each for each in found if not each.mine],
            more=more,
            before=before,
        )

    @app.get("/requests/{id}", include_in_schema=False)
    async def request(
        id: Id,
        viewer: Viewing,
        wanted: Annotated[Wish, Depends(wish)],
        group: Annotated[int, Query(ge=0, le=100_000)] = 0,
        members: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
        done: Annotated[str, Query(max_length=20)] = "",
    ) -> Response:
        shown = Shown(wanted, group, members, done)
        return await show(desk, viewer, id, shown)

    @app.post("/requests/{id}", include_in_schema=False)
    async def answer(id: Id, viewer: Viewing, request: Request) -> Response:
        given = await form(request)
        try:
            decision = Decision(given.get("decision", ""))
        except ValueError:
            raise HTTPException(400, "an answer is Approve or Deny") from None
        card = await desk.controller.ledger.read(
            lambda reading: one(reading, desk.office, id, slice(0))
        )
        person = require_answer(viewer, card, decision, desk.office.people())
        try:
            verdict = await desk.orders.answer(
                card.request.id,
                Digest(given.get("root", "")[:64]),
                person,
                decision,
                reason=given.get("reason", "")[:LONGEST_REASON],
                via="page",
                confirmation=given.get("confirmation", "")[:100],
            )
        except GitopsError as error:
            return await show(desk, viewer, id, Shown(Wish()), error=error, given=given)
        return RedirectResponse(await _onward(desk, card, decision, len(verdict.covers)), 303)


@dataclass(frozen=True, slots=True)
class Shown:
    """Which part of a request."""

    wish: Wish
    group: int = 0
    """A group alone, counted from 1; 0: all of them."""
    members: int = 0
    """From this member on."""
    done: str = ""


async def show(
    desk: Desk,
    viewer: Viewer,
    id: str,
    shown: Shown,
    *,
    error: GitopsError | None = None,
    given: dict[str, str] | None = None,
) -> Response:
    """The page. Raises Unknown."""
    start = shown.members
    card, total = await desk.controller.ledger.read(
        lambda reading: gathered(reading, desk.office, id, start)
    )
    rows = card.rows[start : start + PLANNED]
    groups = await asyncio.to_thread(_groups, rows, shown)
    may = answering(viewer, card, desk.office.people())
    lead = card.lead
    source = lead.record.change.revision.source if lead else None
    spec = desk.controller.fleet.sources.get(source) if source else None
    topics = [f"change:{row.record.change.id}" for row in rows]
    return desk.frame.page(
        "request.html",
        viewer,
        at="/pending",
        topics=" ".join((f"request:{card.request.id}", *topics)),
        status=code_of(error) if error else 200,
        done=DONE.get(shown.done, ""),
        card=card,
        request=card.request,
        lead=lead,
        state=_state(card),
        rows=rows,
        listed=LISTED,
        total=total,
        first=start,
        following=start + PLANNED if start + PLANNED < total else 0,
        groups=groups,
        shown=shown,
        asked_risk=risk([row.plan for row in rows if row.plan and _asks(row)]),
        loses=any(row.plan and row.plan.deletes for row in rows if _asks(row)),
        may=may,
        covers=lanes_of(may.approves),
        may_deny=lanes_of(may.denies),
        partly=_partly(card, may, total),
        typed=given or {},
        error=error,
        moved=_moved(card),
        electorates=_electorates(card),
        refusals=refusals(row.electorate for row in card.asking[:LOOKED_AT]),
        expires_at=min((row.member.expires_at for row in card.asking), default=None),
        authors=tuple(dict.fromkeys(name for row in card.rows[:200] for name in row.authors)),
        commits_at=commits_at(spec),
        files=files_of(spec, lead.record.change.revision.id if lead else ""),
        path=request_page(card.request.id),
    )


def waiting(
    reading: Reading, office: FrontOffice, viewer: Viewer, before: str
) -> tuple[tuple[Waiting, ...], str]:
    """A page of what is open, newest first, and the id the next page begins before."""
    found = reading.requests(open_only=True, limit=PAGE, before=before)
    people = office.people()
    lines = []
    for request in found:
        card = office.card_in(reading, request, planned=slice(LOOKED_AT), most=LOOKED_AT)
        mine = bool(answering(viewer, card, people).approves)
        lines.append(_line(request, card, mine=mine))
    return tuple(lines), found[-1].id if len(found) == PAGE else ""


def _line(request: Question, card: Card, *, mine: bool) -> Waiting:
    asking = sum(member.state is MemberState.ASKING for member in request.members)
    plans = [row.plan for row in card.asking if row.plan]
    more = asking - len(card.asking)
    said = risk(plans) + (f"; and {more:,} more places" if more > 0 else "")
    expires = [m.expires_at for m in request.members if m.state is MemberState.ASKING]
    authors = tuple(dict.fromkeys(name for row in card.asking for name in row.authors))
    where = lanes_of(card.asking, 3)
    loses = any(plan.deletes for plan in plans)
    return Waiting(card, mine, said, where, authors, asking, min(expires, default=0.0), loses)


def _groups(rows: Sequence[Row], shown: Shown) -> tuple[Group, ...]:
    """Equal plans as one; what is asked first, what loses something before the rest."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        alike = likeness(row.plan) if row.plan else f"none {row.member.change}"
        key = f"{_asks(row)} {alike} {row.member.moved}"
        found.setdefault(key, []).append(row)
    ordered = sorted(found.values(), key=lambda same: (not _asks(same[0]), not _loses(same[0])))
    alone, drawn = shown.group > 0, min(DRAWN, len(ordered))
    groups = []
    for number, same in enumerate(ordered, 1):
        if alone and number != shown.group:
            continue
        plan = same[0].plan
        room = ROOM if alone else ROOM // max(1, drawn)
        part = shown.wish if alone or len(ordered) == 1 else Wish(shown.wish.split)
        fits = plan is not None and (alone or number <= DRAWN)
        groups.append(
            Group(
                number,
                tuple(same),
                plan,
                risk([row.plan for row in same if row.plan]),
                meaning([plan] if plan else []),
                board_of(board([plan] if plan else []), FINDINGS // max(1, drawn)),
                versions([plan] if plan else []),
                lanes_of(same, 3),
                view(plan, part, room) if fits and plan else None,
            )
        )
    return tuple(groups)


def _asks(row: Row) -> bool:
    return row.member.state is MemberState.ASKING


def _loses(row: Row) -> bool:
    return row.plan is not None and row.plan.deletes > 0


def _state(card: Card) -> str:
    if card.asking:
        return "asking"
    states = {row.member.state.value for row in card.rows}
    order = ("denied", "expired", "approved", "left")
    return next((state for state in order if state in states), card.request.state.value)


def _partly(card: Card, may: Answering, total: int) -> str:
    """Said where a yes would not cover everything that is asked about."""
    asked = sum(member.state is MemberState.ASKING for member in card.request.members)
    if may.approves and asked > len(card.asking):
        return f"Your approval covers what you may approve of {asked:,} places; {MOST:,} are shown"
    if may.approves and len(may.approves) < asked:
        return f"Your approval covers {len(may.approves):,} of the {asked:,} places asked about"
    if may.approves and total > PLANNED:
        return f"Your approval covers all {asked:,} places; this view shows {PLANNED} of them"
    return ""


def _moved(card: Card) -> tuple[Why, ...]:
    """What changed since people last looked, each once with its lanes."""
    found: dict[str, list[str]] = {}
    for row in card.asking:
        if row.member.moved:
            found.setdefault(row.member.moved, []).append(str(row.lane))
    return tuple(Why(said, tuple(lanes)) for said, lanes in list(found.items())[:5])


def _electorates(card: Card) -> tuple[Why, ...]:
    """Who may approve, each sentence once with the lanes it holds for."""
    found: dict[str, list[str]] = {}
    for row in card.asking:
        if row.electorate is not None:
            told = who_may(row.electorate, row.member.yes)
            found.setdefault(told, []).append(str(row.lane))
    return tuple(Why(said, tuple(lanes)) for said, lanes in list(found.items())[:8])


async def _onward(desk: Desk, card: Card, decision: Decision, covered: int) -> str:
    """Where to watch what comes of it."""
    now = await desk.controller.ledger.read(lambda reading: reading.request(card.request.id))
    members = now.members if now else ()
    if decision is Decision.DENY:
        done = "denied"
    else:
        decided = any(member.state is MemberState.APPROVED for member in members)
        done = "approved" if decided else "counted"
    if covered == len(members) == 1 and done == "approved":
        return f"{change_page(members[0].change)}?done={done}"
    return f"{request_page(card.request.id)}?done={done}"
