"""How an application stands, as a small picture for a README or a wall.

Added to the API by :mod:`gitops.web.api`, behind its guard: where anonymous readers are let, a
forge can show it. One state for all its targets, the worst of them.
"""

from collections.abc import Sequence
from html import escape
from typing import Annotated

from fastapi import Depends, FastAPI, Path
from fastapi.responses import Response

from gitops.controller import Controller
from gitops.errors import Unknown
from gitops.foreign import one_line
from gitops.office import FrontOffice
from gitops.ports.office import Standing
from gitops.standing import TONES, rank
from gitops.web.auth.viewer import viewer

_COLOURS = {
    "bad": "#b3261e",
    "wait": "#7a5900",
    "work": "#0b5cad",
    "": "#5f6368",
    "good": "#1a7f37",
}
"""By tone; white text has a contrast of 5:1 and more on each."""
_LETTER, _MARGIN, _HEIGHT = 6.6, 10, 20
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
    'aria-label="{name}: {state}"><title>{name}: {state}</title>'
    '<rect width="{width}" height="{height}" rx="3" fill="{colour}"/>'
    '<rect width="{left}" height="{height}" rx="3" fill="#3c4043"/>'
    '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" '
    'text-anchor="middle"><text x="{middle_left}" y="14">{name}</text>'
    '<text x="{middle_right}" y="14">{state}</text></g></svg>\n'
)
_HEADERS = {"Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-cache"}


def add_badge_routes(app: FastAPI, controller: Controller) -> None:
    office = FrontOffice(controller)

    @app.get(
        "/api/v1/applications/{application}/badge.svg",
        dependencies=[Depends(viewer)],
        response_class=Response,
    )
    async def badge(application: Annotated[str, Path(max_length=253)]) -> Response:
        """How an application stands, as SVG: the worst state of its targets."""
        found = await office.standings(application)
        if not found:
            raise Unknown(f"there is no application {one_line(application, 80)!r}")
        state, colour = worst(found)
        return Response(
            draw(application, state, colour), media_type="image/svg+xml", headers=_HEADERS
        )


def worst(standings: Sequence[Standing]) -> tuple[str, str]:
    """The state that needs somebody most, of at least one, with its colour."""
    state = min((row.state for row in standings), key=rank)
    return state, _COLOURS[TONES.get(state, "")]


def draw(name: str, state: str, colour: str) -> str:
    """Both texts are foreign."""
    name, state = one_line(name, 60), one_line(state, 30)
    left, right = (round(len(text) * _LETTER + 2 * _MARGIN) for text in (name, state))
    return _SVG.format(
        name=escape(name),
        state=escape(state),
        colour=colour,
        left=left,
        width=left + right,
        height=_HEIGHT,
        middle_left=left // 2,
        middle_right=left + right // 2,
    )
