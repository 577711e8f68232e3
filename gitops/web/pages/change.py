"""``/changes/{id}``: one change on its way, what it does, who was asked, and all that happened.

Everything shown is read in one transaction, but for what is in no store: how far the apply is and
why a lane waits. Acting goes through the orders; who may is asked of role and gate. A delivery is
its change, so its address leads here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Query
from starlette.responses import RedirectResponse, Response

from gitops.errors import GitopsError, Unknown
from gitops.gate import authors_of
from gitops.links import change_page, commits_at
from gitops.model.approval import Decision, Verdict
from gitops.model.delivery import (
    Cause,
    ChangeState,
)
from gitops.model.events import AutoApproved, Reminded
from gitops.model.source import Grade
from gitops.office import electorate_of
from gitops.sentences import sentence
from gitops.summary import board, counted, meaning, risk
from gitops.web.asked import refusals, who_may
from gitops.web.auth.viewer import Viewer
from gitops.web.changes import TOGETHER, Found, look, newer, trouble_of, way_of
from gitops.web.codes import code_of
from gitops.web.pages.acts import acts_of
from gitops.web.pages.desk import Desk, Viewing
from gitops.web.pages.diff import View, Wish, view
from gitops.web.pages.findings import board_of, newest
from gitops.web.pages.forms import DONE
from gitops.web.pages.plans import files_of, wish
from gitops.web.steps import Step

EVENTS = 14_000
"""Bytes of what happened, about."""
MOST_EVENTS = 200
ANSWERS = 20
_SIGNS = {
    "done": "✓", "failed": "✗", "waiting": "◷", "working": "▸", "skipped": "–", "": "·"
}  # fmt: skip
_WORDS = {
    "done": "done",
    "failed": "failed",
    "waiting": "waiting",
    "working": "under way",
    "skipped": "not reached",
    "": "not yet",
}
_GRADES = {
    Grade.CLAIMED: ": what the commits say of themselves, which anybody can write",
    Grade.SIGNED: ": the commits' signatures were verified",
    Grade.AUTHENTICATED: ": the forge knows who pushed",
}
_BY_ORDER = {Cause.COMMAND, Cause.ROLLBACK}
_ORDERED = ": who asked for it had signed in"
_CAUSES = {
    Cause.COMMIT: "caused by a commit",
    Cause.DRIFT: "drift: what is live was changed by somebody else",
    Cause.COMMAND: "a person's command",
    Cause.ROLLBACK: "a rollback",
}


@dataclass(frozen=True, slots=True)
class Answer:
    person: str
    decision: Decision
    reason: str
    via: str
    at: float
    confirmation: str
    counts: bool
    """It was to what is asked now, or was asked last."""


@dataclass(frozen=True, slots=True)
class Part:
    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """Where the time went, as one line of a thousand units."""

    parts: tuple[Part, ...]
    worked: float
    waited: float

    @property
    def label(self) -> str:
        return "; ".join(part.title for part in self.parts)


Id = Annotated[str, Path(pattern=r"^[0-9a-f]{8,64}$")]


def add(app: FastAPI, desk: Desk) -> None:
    @app.get("/changes/{id}", include_in_schema=False)
    async def change(
        id: Id,
        viewer: Viewing,
        wanted: Annotated[Wish, Depends(wish)],
        done: Annotated[str, Query(max_length=20)] = "",
    ) -> Response:
        return await show(desk, viewer, id, wanted, done=done)

    @app.get("/deliveries/{id}", include_in_schema=False)
    async def delivery(id: Id, viewer: Viewing) -> Response:
        del viewer
        found = await desk.controller.ledger.read(lambda reading: reading.delivery(id))
        if found is None:
            raise Unknown(f"there is no delivery {id[:40]}")
        return RedirectResponse(change_page(found.change.change.id), 303)


async def show(
    desk: Desk,
    viewer: Viewer,
    id: str,
    wanted: Wish,
    *,
    done: str = "",
    error: GitopsError | None = None,
    typed: str = "",
) -> Response:
    """The page. Raises Unknown."""
    controller = desk.controller
    found = await controller.ledger.read(partial(look, id=id))
    change, record, plan = found.change, found.record, found.plan
    spec = controller.roster.spec(change.lane.application)
    source = controller.fleet.sources.get(change.revision.source)
    group = electorate_of(controller, record)
    drawn: View | None = None
    if plan is not None:
        drawn = await asyncio.to_thread(view, plan, wanted)
    way = way_of(controller, found)
    authors = authors_of(change.authorship, desk.office.people())
    acts = acts_of(viewer, found, spec, trouble_of(controller, found))
    topics = [f"change:{change.id}", f"application:{change.lane.application}"]
    return desk.frame.page(
        "change.html",
        viewer,
        at="/deliveries",
        topics=" ".join([*topics, *([f"request:{found.request.id}"] if found.request else [])]),
        status=code_of(error) if error else 200,
        done=DONE.get(done, ""),
        change=change,
        record=record,
        cause=_CAUSES[change.cause],
        request=found.request,
        member=found.member,
        moved_on=newer(found),
        way=way,
        signs=_SIGNS,
        words=_WORDS,
        bar=bar(way),
        commits_at=commits_at(source),
        files=files_of(source, change.revision.id),
        authors=(*sorted(authors.persons | authors.mergers), *authors.strangers),
        grade=_ORDERED if change.cause in _BY_ORDER else _GRADES[change.authorship.grade],
        versions=plan.versions if plan else found.delivery.versions if found.delivery else (),
        together=found.together,
        more_together=_more_together(found),
        board=board_of(board([plan] if plan else [])),
        plan=plan,
        risk=risk([plan]) if plan else "",
        meaning=meaning([plan]) if plan else (),
        view=drawn,
        path=change_page(change.id),
        nobody_asked=_nobody_asked(found),
        ask_line=who_may(group, found.member.yes if found.member else ()) if group else "",
        answers=_answers(found),
        reminders=[each.at for each in found.events if isinstance(each.event, Reminded)][-3:],
        refusals=refusals([group]),
        broken=found.broken,
        events=_told(desk, found),
        events_total=len(found.events) + len(found.asked),
        acts=acts,
        error=error,
        typed=typed,
    )


def bar(way: Sequence[Step]) -> Bar | None:
    """None where nothing took any time."""
    timed = [(step, step.seconds) for step in way if step.seconds]
    total = sum(seconds for _, seconds in timed)
    if total <= 0:
        return None
    parts, x = [], 0.0
    for step, seconds in timed:
        width = seconds / total * 1_000
        kind = "waited" if step.waits else "worked"
        parts.append(Part(kind, round(x, 1), round(width, 1), f"{step.name} {seconds:.0f} s"))
        x += width
    worked = sum(seconds for step, seconds in timed if not step.waits)
    return Bar(tuple(parts), worked, total - worked)


def _more_together(found: Found) -> str:
    more = len(found.together) - 12
    least = "at least " if len(found.together) >= TOGETHER else ""
    return f"{least}{counted(more, 'more place')}"


def _nobody_asked(found: Found) -> str:
    for stored in found.events:
        if isinstance(stored.event, AutoApproved):
            return f"Nobody: approved by {stored.event.policy}."
    if found.record.state is ChangeState.BLOCKED:
        return "Nobody: what a check blocks nobody can approve."
    if found.plan is not None and found.plan.empty:
        return "Nobody: nothing changes."
    return "Nobody." if found.record.state.terminal else "Nobody yet."


def _answers(found: Found) -> tuple[Answer, ...]:
    member, verdicts = found.member, found.request.verdicts if found.request else ()
    mine = [
        (verdict, seal)
        for verdict in verdicts
        for change, seal in verdict.covers
        if change == found.change.id
    ]
    return tuple(
        _answer(verdict, counts=member is not None and seal == member.seal)
        for verdict, seal in mine[-ANSWERS:]
    )


def _answer(verdict: Verdict, *, counts: bool) -> Answer:
    return Answer(
        verdict.person,
        verdict.decision,
        verdict.reason,
        verdict.via,
        verdict.at,
        verdict.confirmation,
        counts,
    )


def _told(desk: Desk, found: Found) -> tuple[tuple[float, str], ...]:
    """(time, sentence) of its events and its request's, in their order."""
    every = sorted((*found.events, *found.asked), key=lambda each: each.sequence)[-MOST_EVENTS:]
    mask, versions = desk.controller.parts.mask, found.plan.versions if found.plan else ()
    said = [(each.at, mask(sentence(each.event, versions=versions))) for each in every]
    return newest(said, EVENTS)
