"""The API's side of one change and one question: what their pages show.

Added to the API by :mod:`gitops.web.api`, behind its guard. Reads what the pages read, by the same
functions, so that the two cannot disagree.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Depends, FastAPI, Path
from fastapi.responses import JSONResponse

from gitops.controller import Controller
from gitops.office import FrontOffice
from gitops.summary import risk
from gitops.web.asked import answering
from gitops.web.auth.viewer import Viewing, viewer
from gitops.web.changes import look, progress_of, trouble_of, way_of
from gitops.web.questions import PLANNED, gathered
from gitops.web.responses import as_json

_Id = Annotated[
    str, Path(pattern=r"^[0-9a-f]{8,64}$", description="Its id or the beginning of it.")
]


def add_change_routes(app: FastAPI, controller: Controller) -> None:
    office = FrontOffice(controller)

    @app.get("/api/v1/changes/{id}", dependencies=[Depends(viewer)])
    async def change(id: _Id) -> JSONResponse:
        """A change with its plan, its way in six steps, everything that happened to it, and what
        went out together with it. ``broken`` is the sequence of the first event that does not
        follow from those before it, null for a record that is complete and unchanged."""
        found = await controller.ledger.read(partial(look, id=id))
        return as_json(
            {
                "change": found.record,
                "delivery": found.delivery,
                "plan": found.plan,
                "request": found.request,
                "steps": way_of(controller, found),
                "progress": progress_of(controller, found),
                "trouble": trouble_of(controller, found),
                "together": found.together,
                "events": found.events,
                "request_events": found.asked,
                "broken": found.broken,
            }
        )

    @app.get("/api/v1/requests/{id}")
    async def request(
        id: Annotated[str, Path(pattern=r"^[\w.-]{4,64}$", description="Id, or its beginning.")],
        viewer: Viewing,
    ) -> JSONResponse:
        """A question with the risk of what is asked, and what whoever asks this may answer, and
        why not the rest. The plans themselves are at ``show``."""
        card, _ = await controller.ledger.read(lambda reading: gathered(reading, office, id, 0))
        may = answering(viewer, card, office.people(), form=False)
        return as_json(
            {
                "request": card.request,
                "url": card.url,
                "risk": risk([row.plan for row in card.asking if row.plan]),
                "planned": min(PLANNED, len(card.asking)),
                "members": [
                    {
                        "change": row.record,
                        "authors": row.authors,
                        "electorate": row.electorate,
                    }
                    for row in card.rows
                ],
                "may": {
                    "approve": [row.record.change.id for row in may.approves],
                    "deny": [row.record.change.id for row in may.denies],
                    "confirmation": may.confirmation,
                    "why_not": may.whys,
                },
            }
        )
