"""``/``: the fleet at a glance, every application on every target with how it stands.

What is asked for is in the address; what is shown comes from the board, so that five thousand
applications cost no more than the page of them that is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Query
from markupsafe import Markup
from starlette.responses import HTMLResponse

from gitops.controller import Controller
from gitops.engine.board import Asked, Present
from gitops.gate import may_answer
from gitops.model.approval import Decision, MemberState, Request
from gitops.model.cluster import ClusterState
from gitops.model.fleet import People
from gitops.model.ids import RequestId
from gitops.model.serving import Role
from gitops.model.source import SourceState
from gitops.ports import Reading
from gitops.standing import TONES, WORST_FIRST
from gitops.web.auth.viewer import Viewer
from gitops.web.pages.desk import Desk, Viewing
from gitops.web.pages.matrix import TROUBLE, View, Wanted, view

TOPICS = "application:* request:* cluster:* source:*"
MOST_ASKED = 200
"""Open requests looked through for those somebody may answer."""
MOST_MEMBERS = 50
"""Members of each, likewise."""
MOST_SHOWN = 5
MOST_KEPT = 32
"""Drawn fleets that are kept for who asks the same."""
FRESH = 10.0
"""Seconds a drawn fleet is shown: its ages stand in words."""
LARGEST = 80 << 10
"""Characters the drawn fleet has, if it can be: what does not fit is cut shorter."""
_WELL = frozenset({SourceState.READY, SourceState.NEW})
_THERE = frozenset({ClusterState.READY, ClusterState.CONNECTING})
Text = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Needs:
    """What waits for somebody, of the whole fleet."""

    mine: tuple[Request, ...]
    """The first that this viewer may answer."""
    mine_in_all: int
    others: int
    """Requests that wait for somebody else."""
    bad: tuple[tuple[str, int, str], ...]
    """(state, how many, address) of what is not well; ``trouble`` among them."""
    sources: tuple[str, ...]
    """Names of those that cannot be read."""
    clusters: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        return not (self.mine_in_all or self.others or self.bad or self.sources or self.clusters)


@dataclass(frozen=True, slots=True)
class Cut:
    """Characters that are shown of each foreign text."""

    note: int
    label: int


def add(app: FastAPI, desk: Desk) -> None:
    drawn = Drawn(desk)

    @app.get("/", include_in_schema=False)
    async def overview(
        viewer: Viewing,
        q: Text = "",
        label: Text = "",
        state: Text = "",
        cluster: Text = "",
        project: Text = "",
        source: Text = "",
        sort: Text = "",
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    ) -> HTMLResponse:
        wanted = Wanted(
            q.strip(), label.strip(), state, cluster.strip(), project, source, sort, page
        )
        present = await desk.controller.board.present()
        found, fleet = await drawn.fleet(present, wanted)
        return desk.frame.page(
            "overview.html",
            viewer,
            at="/",
            topics=TOPICS,
            view=found,
            fleet=fleet,
            needs=await needs(desk.controller, present, await drawn.bad(present), viewer),
            states=(*WORST_FIRST, TROUBLE),
        )


class Drawn:
    """What many readers look at is drawn once: nothing of it depends on who looks. Off the loop,
    since to look through thousands of applications takes a tenth of a second, and one at a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._turn = asyncio.Lock()
        self._kept: dict[tuple[int, Wanted, object], tuple[float, View, Markup]] = {}
        self._bad: tuple[int, tuple[tuple[str, int], ...]] = (-1, ())

    async def fleet(self, present: Present, wanted: Wanted) -> tuple[View, Markup]:
        controller = self._desk.controller
        away = dict(_away(controller))
        key = present.edition, wanted, tuple(away.items())
        async with self._turn:
            now, kept = controller.parts.clock.now(), self._kept.get(key)
            if kept is None or not 0 <= now - kept[0] < FRESH:
                kept = now, *await asyncio.to_thread(self._drawn, present, wanted, away)
                if len(self._kept) >= MOST_KEPT:
                    self._kept.clear()
                self._kept[key] = kept
        return kept[1], kept[2]

    def _drawn(
        self, present: Present, wanted: Wanted, away: Mapping[str, str]
    ) -> tuple[View, Markup]:
        found = view(present.rows, wanted)
        return found, self._draw(found, away)

    def _draw(self, found: View, away: Mapping[str, str]) -> Markup:
        part = self._part(found, away, Cut(120, 30))
        return part if len(part) <= LARGEST else self._part(found, away, Cut(24, 8))

    def _part(self, found: View, away: Mapping[str, str], cut: Cut) -> Markup:
        return self._desk.frame.part("fleet.html", view=found, away=away, cut=cut)

    async def bad(self, present: Present) -> tuple[tuple[str, int], ...]:
        """What is not well in the whole fleet, whatever is looked at."""
        async with self._turn:
            if self._bad[0] != present.edition:
                every = await asyncio.to_thread(view, present.rows, Wanted())
                bad = [each for each in every.counts if TONES.get(each[0]) == "bad"]
                if every.troubled:
                    bad.append((TROUBLE, every.troubled))
                self._bad = present.edition, tuple(bad)
        return self._bad[1]


async def needs(
    controller: Controller, present: Present, bad: Sequence[tuple[str, int]], viewer: Viewer
) -> Needs:
    mine = _mine(present.asked, viewer, controller.fleet.people)
    asked = list(present.asked)

    def query(reading: Reading) -> list[Request]:
        found = (reading.request(RequestId(id)) for id in mine[:MOST_ASKED])
        return [each for each in found if each is not None and _waits_for(each, viewer)]

    waiting = await controller.ledger.read(query) if mine else []
    waiting.sort(key=lambda request: request.opened_at)
    return Needs(
        tuple(waiting[:MOST_SHOWN]),
        len(waiting),
        len(asked) - len(waiting),
        tuple((state, number, Wanted(state=state).at()) for state, number in bad),
        tuple(n for n, w in sorted(controller.watches.items()) if w.status.state not in _WELL),
        tuple(name for name, _ in _away(controller)),
    )


def _away(controller: Controller) -> Iterator[tuple[str, str]]:
    """Names of clusters in trouble, and how they stand."""
    for name, cluster in sorted(controller.clusters.connected.items()):
        state = cluster.status().state
        if state not in _THERE:
            yield name, state.value


def _mine(asked: Mapping[str, Sequence[Asked]], viewer: Viewer, people: People) -> list[str]:
    """Requests of which the viewer may answer something."""
    if viewer.person is None or not viewer.roles.anywhere(Role.APPROVER):
        return []
    found = []
    for request, members in list(asked.items())[:MOST_ASKED]:
        known: set[tuple[int, object]] = set()
        for each in members[:MOST_MEMBERS]:
            key = (id(each.spec.approval), each.authorship)
            if not viewer.may(Role.APPROVER, each.spec) or key in known:
                continue
            known.add(key)
            approve = Decision.APPROVE
            policy = each.spec.approval
            if may_answer(viewer.person, approve, policy, each.authorship, people).allowed:
                found.append(request)
                break
    return found


def _waits_for(request: Request, viewer: Viewer) -> bool:
    """Is there anything in it they have not said yes to?"""
    asking = (each for each in request.members if each.state is MemberState.ASKING)
    return any(viewer.person not in each.yes for each in asking)
