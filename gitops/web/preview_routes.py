"""The API's side of previews: which pull requests were previewed, one in full, one once more.

Added to the API by :mod:`gitops.web.api`, behind its guard. Nothing here applies or asks anything.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse

from gitops.controller import Controller
from gitops.errors import Unknown
from gitops.foreign import one_line
from gitops.model.ids import SourceName
from gitops.model.preview import Preview
from gitops.web.auth.viewer import operator, viewer
from gitops.web.responses import as_json

LONGEST_WAIT = 20.0
"""Seconds an answer is kept waiting for a preview."""


def add_preview_routes(app: FastAPI, controller: Controller) -> None:
    looks, acts = [Depends(viewer)], [Depends(operator)]

    @app.get("/api/v1/previews", dependencies=looks)
    async def previews() -> JSONResponse:
        """Open pull requests as they were previewed last, newest first, without their plans."""
        return as_json({"previews": [_short(each) for each in controller.previews.drawn()]})

    @app.get("/api/v1/previews/{source}/{number}", dependencies=looks)
    async def preview(source: str, number: int) -> JSONResponse:
        """One of them in full; ``under_way`` while it is being drawn or posted anew."""
        name = SourceName(source)
        found = controller.previews.of(name, number)
        under_way = controller.previews.busy(name, number)
        if found is None and not under_way:
            where = f"{one_line(source, 80)} {number}"
            raise Unknown(
                f"pull request {number} of {one_line(source, 80)!r} was not previewed since the "
                "start, or is not open",
                hint=f"`gitops preview {where} --post` does it now",
            )
        return as_json({"preview": found, "under_way": under_way})

    @app.post("/api/v1/previews/{source}/{number}", dependencies=acts)
    async def again(source: str, number: int) -> JSONResponse:
        """Preview it now and post that; null when it is not open into the branch followed."""
        asking = asyncio.ensure_future(controller.previews.again(SourceName(source), number))
        done, _ = await asyncio.wait({asking}, timeout=LONGEST_WAIT)
        if not done:
            asking.cancel()  # the preview itself goes on
        return as_json({"preview": asking.result() if done else None, "under_way": not done})


def _short(preview: Preview) -> Preview:
    return replace(preview, lanes=tuple(replace(each, plan=None) for each in preview.lanes))
