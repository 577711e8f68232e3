"""``/``: the fleet at a glance, every application on every target with how it stands."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import HTMLResponse

from gitops.web.pages.desk import Desk, Viewing


def add(app: FastAPI, desk: Desk) -> None:
    @app.get("/", include_in_schema=False)
    async def overview(viewer: Viewing) -> HTMLResponse:
        standings = await desk.office.standings()
        return desk.frame.page(
            "overview.html", viewer, at="/", topics="application:*", standings=standings
        )
