"""What goes wrong, told: problem+json (RFC 9457) for programs, a page for people in a browser.

Every error of a route comes through here, so that none shows a traceback or a secret. Used by
:mod:`gitops.web.api`.
"""

from __future__ import annotations

import structlog
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response

from gitops.errors import GitopsError, Transient, raised_at
from gitops.web.auth.guard import Guard
from gitops.web.auth.routes import to_sign_in, wants_page
from gitops.web.auth.viewer import Viewer
from gitops.web.codes import code_of
from gitops.web.pages.frame import Frame

_log = structlog.get_logger(__name__)


def problem(
    code: int,
    message: str,
    hint: str = "",
    place: str = "",
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    body = {"title": message, "status": code, "hint": hint, "place": place}
    return JSONResponse(
        {key: value for key, value in body.items() if value != ""},
        code,
        headers=headers,
        media_type="application/problem+json",
    )


def map_errors(app: FastAPI, frame: Frame) -> None:
    """Every error a route raises becomes an answer."""

    async def told(
        request: Request,
        code: int,
        message: str,
        hint: str = "",
        place: str = "",
        headers: dict[str, str] | None = None,
    ) -> Response:
        if not in_browser(request):
            return problem(code, message, hint, place, headers)
        said = f"{place}: {message}" if place else message
        page = frame.refusal(await _viewer(request), code, said, hint)
        page.headers.update(headers or {})
        return page

    @app.exception_handler(GitopsError)
    async def ours(request: Request, error: GitopsError) -> Response:
        headers = {}
        if isinstance(error, Transient) and error.retry_after:
            headers["Retry-After"] = str(int(error.retry_after))
        return await told(request, code_of(error), error.message, error.hint, error.place, headers)

    @app.exception_handler(StarletteHTTPException)
    async def http(request: Request, error: StarletteHTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 401:
            if wants_page(request):
                return to_sign_in(request)
            headers["WWW-Authenticate"] = "Bearer"
        if error.status_code == 404 and error.detail == "Not Found":
            hint = "it may be mistyped, or cut off where it was copied"
            return await told(request, 404, "there is nothing at this address", hint)
        return await told(request, error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        _log.error("api.defect", error=type(error).__name__, at=raised_at(error))
        return await told(request, 500, "an internal error, see the controller's log")

    @app.exception_handler(RequestValidationError)
    async def shape(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        wrong = f"{where}: {first['msg']}"
        if in_browser(request):
            return await told(
                request, 422, "this address, or what was sent to it, is not whole", wrong
            )
        return await told(request, 422, wrong)


def in_browser(request: Request) -> bool:
    """Is it a page that is asked for, or a form of one that was sent?"""
    guard: Guard = request.app.state.guard
    ours = not request.url.path.startswith("/api/")
    return ours and not guard.trusted and "text/html" in request.headers.get("accept", "")


async def _viewer(request: Request) -> Viewer | None:
    """For the frame around a refusal; one who may not look sees none of it."""
    guard: Guard = request.app.state.guard
    try:
        return await guard.viewer(request)
    except HTTPException:
        return None
