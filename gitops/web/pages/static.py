"""Style sheets, the script and pictures of the pages: a fixed set, read once, kept by browsers.

Their addresses carry a digest of their content, so they are kept for a year and never stale. Nobody
has to be signed in for them: they say nothing of the fleet.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, HTTPException, Path, Response

if TYPE_CHECKING:
    from gitops.web.pages.desk import Desk

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_KEPT = "public, max-age=31536000, immutable"


@cache
def _content() -> dict[str, bytes]:
    """By name; what has another ending is not served."""
    folder = files("gitops.web.pages") / "static"
    return {
        each.name: each.read_bytes()
        for each in folder.iterdir()
        if each.name.rpartition(".")[2] in _TYPES
    }


@cache
def address(name: str) -> str:
    """``/static/3f5e…/base.css``. Raises KeyError for a name that is not there."""
    return f"/static/{hashlib.sha256(_content()[name]).hexdigest()[:16]}/{name}"


def add(app: FastAPI, desk: Desk) -> None:
    del desk

    @app.get("/static/{digest}/{name}", include_in_schema=False)
    async def file(
        digest: Annotated[str, Path(max_length=16)], name: Annotated[str, Path(max_length=80)]
    ) -> Response:
        if name not in _content() or address(name) != f"/static/{digest}/{name}":
            raise HTTPException(404, "there is no such file")
        kind = _TYPES[name.rpartition(".")[2]]
        return Response(_content()[name], media_type=kind, headers={"cache-control": _KEPT})

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        """What browsers ask for by themselves on a page that names no icon, like the sign-in."""
        return Response(_content()["mark.svg"], media_type=_TYPES["svg"])
