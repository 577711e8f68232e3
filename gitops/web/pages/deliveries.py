"""``/deliveries``: everything that was carried to a target, newest first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import FastAPI, Query
from starlette.responses import HTMLResponse

from gitops.links import commits_at
from gitops.model.delivery import Cause, ChangeState, DeliveryRecord
from gitops.web import views
from gitops.web.pages.desk import Desk, Viewing

PAGE = 50
STATES = (ChangeState.APPLYING, ChangeState.VERIFYING, ChangeState.HEALTHY, ChangeState.FAILED,
          ChangeState.SUPERSEDED)  # fmt: skip
"""A delivery can be in."""
Text = Annotated[str, Query(max_length=253)]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is asked for. Everything is foreign text."""

    application: str = ""
    target: str = ""
    state: str = ""
    cause: str = ""

    def at(self, **other: str) -> str:
        """The address of this with something else."""
        given = {key: value for key, value in {**asdict(self), **other}.items() if value}
        return f"/deliveries?{urlencode(given)}" if given else "/deliveries"


@dataclass(frozen=True, slots=True)
class Row:
    delivery: DeliveryRecord
    live: bool
    """Its state is what its target has now."""
    commits_at: str
    """Address of a commit's page without the id; empty where unknown."""

    @property
    def lasted(self) -> float | None:
        """Seconds; None while it goes on."""
        end = self.delivery.finished_at
        return None if end is None else end - self.delivery.started_at


def add(app: FastAPI, desk: Desk) -> None:
    controller = desk.controller

    @app.get("/deliveries", include_in_schema=False)
    async def page(
        viewer: Viewing,
        application: Text = "",
        target: Text = "",
        state: Text = "",
        cause: Text = "",
        before: Text = "",
    ) -> HTMLResponse:
        chosen = Chosen(
            application.strip(),
            target.strip() if application.strip() else "",
            state if state in STATES else "",
            cause if cause in list(Cause) else "",
        )
        found = await views.deliveries(
            controller,
            chosen.application,
            chosen.target,
            PAGE,
            before,
            ChangeState(chosen.state) if chosen.state else None,
            Cause(chosen.cause) if chosen.cause else None,
        )
        return desk.frame.page(
            "deliveries.html",
            viewer,
            at="/deliveries",
            # What is old does not move.
            topics="" if before else f"application:{chosen.application or '*'}",
            chosen=chosen,
            rows=_rows(desk, found),
            older=chosen.at(before=found["next"]) if found["next"] else "",
            first=not before,
            states=STATES,
            causes=list(Cause),
        )


def _rows(desk: Desk, found: Any) -> tuple[Row, ...]:
    there, sources = set(found["live"]), desk.controller.fleet.sources

    def row(delivery: DeliveryRecord) -> Row:
        source = sources.get(delivery.change.change.revision.source)
        return Row(delivery, delivery.id in there, commits_at(source))

    return tuple(map(row, found["deliveries"]))
