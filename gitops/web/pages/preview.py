"""``/previews/{source}/{number}``: what merging a pull request would do, whole.

Where the comment on the pull request leads when not all of it fits there. Nothing here asks or
applies anything; what was previewed is in memory only, so after a restart the page says so.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Query
from starlette.responses import Response

from gitops.errors import Unknown
from gitops.foreign import one_line
from gitops.links import commits_at, preview_page
from gitops.model.ids import SourceName
from gitops.model.preview import Depth, LanePreview, Preview
from gitops.summary import board, likeness, meaning, risk, versions
from gitops.web.pages.desk import Desk, Viewing
from gitops.web.pages.diff import ROOM, View, Wish, view
from gitops.web.pages.findings import ROOM as FINDINGS
from gitops.web.pages.findings import Board, board_of
from gitops.web.pages.plans import files_of, wish

DRAWN = 6
"""Plans whose differences one view shows."""
LISTED = 100


@dataclass(frozen=True, slots=True)
class Lane:
    """Targets of one application on which it would do the same."""

    number: int
    lanes: tuple[LanePreview, ...]
    risk: str
    meaning: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    checks: Board | None
    view: View | None

    @property
    def lead(self) -> LanePreview:
        return self.lanes[0]


def add(app: FastAPI, desk: Desk) -> None:
    @app.get("/previews/{source}/{number}", include_in_schema=False)
    async def preview(
        source: Annotated[str, Path(max_length=253)],
        number: Annotated[int, Path(ge=0, le=1 << 53)],
        viewer: Viewing,
        wanted: Annotated[Wish, Depends(wish)],
        group: Annotated[int, Query(ge=0, le=100_000)] = 0,
    ) -> Response:
        name, previews = SourceName(source), desk.controller.previews
        found, busy = previews.of(name, number), previews.busy(name, number)
        if found is None and not busy:
            raise Unknown(
                f"pull request {number} of {one_line(source, 80)!r} was not previewed since the "
                "start, or is not open any more",
                hint=f"gitops preview {one_line(source, 80)} {number} --post does it now",
            )
        spec = desk.controller.fleet.sources.get(name)
        groups = await asyncio.to_thread(_groups, found, wanted, group) if found else ()
        return desk.frame.page(
            "preview.html",
            viewer,
            at="/sources",
            source=name,
            number=number,
            preview=found,
            busy=busy,
            linted=found is not None and found.depth is Depth.LINT,
            risk=risk([lane.plan for lane in found.lanes if lane.plan]) if found else "",
            groups=groups,
            group=group,
            commits_at=commits_at(spec),
            files=files_of(spec, found.head if found else ""),
            path=preview_page(name, number),
        )


def _groups(preview: Preview, wanted: Wish, alone: int) -> tuple[Lane, ...]:
    """Equal plans of one application as one."""
    same: dict[str, list[LanePreview]] = {}
    for lane in preview.lanes:
        alike = likeness(lane.plan) if lane.plan else f"{lane.lane} {lane.problem} {lane.waits}"
        same.setdefault(f"{lane.lane.application} {alike}", []).append(lane)
    drawn = 1 if alone else max(1, min(DRAWN, len(same)))
    return tuple(
        _group(
            number, tuple(lanes), wanted if alone or len(same) == 1 else Wish(wanted.split), drawn
        )
        for number, lanes in enumerate(same.values(), 1)
        if alone in (0, number)
    )[:LISTED]


def _group(number: int, lanes: tuple[LanePreview, ...], wanted: Wish, drawn: int) -> Lane:
    plan = lanes[0].plan
    plans = [plan] if plan else []
    fits = plan is not None and bool(plan.changes) and (drawn == 1 or number <= drawn)
    return Lane(
        number,
        lanes,
        risk([lane.plan for lane in lanes if lane.plan]),
        meaning(plans),
        versions(plans),
        board_of(board(plans), FINDINGS // drawn)
        if plans and (drawn == 1 or number <= drawn)
        else None,
        view(plan, wanted, ROOM // drawn) if fits and plan else None,
    )
