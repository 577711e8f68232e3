"""The API's side of a period's figures: as JSON, and as plots.

Added to the API by :mod:`gitops.web.api`, behind its guard. The figures are made off the event
loop, of a bounded number of changes, so that a long period slows nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Path, Query
from fastapi.responses import JSONResponse, Response

from gitops import dora, plots
from gitops.controller import Controller
from gitops.dora import DAY, Report
from gitops.errors import Unknown
from gitops.foreign import one_line
from gitops.model.ids import ApplicationName
from gitops.model.passage import Passage
from gitops.web.auth.viewer import viewer
from gitops.web.responses import as_json

MOST = 10_000
"""Changes that are looked at, the newest ones."""
TEAM = "team"
"""The label of an application that says whose it is, unless another is asked for."""
PLOTS: dict[str, Callable[[Report], str]] = {
    "frequency": lambda report: plots.frequency(report.weeks),
    "delivery-times": lambda report: plots.delivery_times(report.weeks),
    "drift": lambda report: plots.drift(report.drift),
    "value-stream": lambda report: plots.value_stream(report.stream),
}
_HEADERS = {
    # Asked for by itself an SVG is a document: it may load and run nothing.
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=60",
}
Days = Annotated[int, Query(ge=1, le=400)]
Name = Annotated[str, Query(max_length=253)]
LabelName = Annotated[str, Query(max_length=100)]


def add_stats_routes(app: FastAPI, controller: Controller) -> None:
    looks = [Depends(viewer)]

    @app.get("/api/v1/stats", dependencies=looks)
    async def stats(application: Name = "", days: Days = 30, by: LabelName = TEAM) -> JSONResponse:
        """Deployment frequency, lead time, failures and time to restore; where a commit's time
        goes; by week, by application and by ``by``, a label of applications. Seconds throughout."""
        return as_json(await report(controller, application, days, by))

    @app.get("/api/v1/stats/plots/{plot}.svg", dependencies=looks)
    async def plotted(
        plot: Annotated[str, Path(max_length=40)], application: Name = "", days: Days = 84
    ) -> Response:
        """``frequency``, ``delivery-times``, ``drift`` or ``value-stream`` as an SVG."""
        if plot not in PLOTS:
            raise HTTPException(404, f"there is no such plot; known: {', '.join(PLOTS)}")
        found = await report(controller, application, days)
        return Response(PLOTS[plot](found), media_type="image/svg+xml", headers=_HEADERS)


async def report(
    controller: Controller, application: str = "", days: float = 30, by: str = TEAM
) -> Report:
    """For the API and the pages. Raises Unknown for an application nobody knows."""
    until = controller.parts.clock.now()
    since = until - days * DAY
    passages = await passed(controller, since, application)
    return await asyncio.to_thread(made, controller, passages, since, until, by)


async def passed(controller: Controller, since: float, application: str = "") -> Sequence[Passage]:
    """Changes that ended since then, the newest :data:`MOST`, oldest first. Raises Unknown for an
    application nobody knows."""
    name = ApplicationName(application)
    if application and controller.roster.spec(name) is None:
        raise Unknown(f"there is no application {one_line(application, 80)!r}")
    return await controller.ledger.read(
        lambda reading: reading.passages(since, application=name or None, limit=MOST)
    )


def made(
    controller: Controller, passages: Sequence[Passage], since: float, until: float, by: str = TEAM
) -> Report:
    """Figures of these; takes a while for many."""
    teams = {spec.name: spec.labels.get(by, "") for spec in controller.roster.specs().values()}
    complete = len(passages) < MOST
    return dora.report(passages, since, until, lambda of: teams.get(of, ""), complete=complete)
