"""The JSON API, ``/api/v1``: everything the command line can see and do.

Served on a Unix socket (0600: whoever opens it is the operator's own account, and may look without
a token) and, when the fleet file says so, on an address, where every request needs a token or a
session (:mod:`gitops.web.auth`). Acting as a person always takes that person's own. Errors are
problem+json (RFC 9457).
"""

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gitops import __version__
from gitops.controller import Controller
from gitops.engine.pauses import LONGEST
from gitops.model.approval import Decision
from gitops.model.delivery import Cause, ChangeState
from gitops.model.ids import ApplicationName, Digest, PersonName, RequestId, SourceName
from gitops.model.serving import Role
from gitops.office import FrontOffice
from gitops.orders import Orders
from gitops.web import views
from gitops.web.application_routes import add_application_routes
from gitops.web.audit_routes import add_audit_routes
from gitops.web.auth import accounts
from gitops.web.auth import routes as signing
from gitops.web.auth.answers import require_answer
from gitops.web.auth.guard import Guard
from gitops.web.auth.shield import Shield
from gitops.web.auth.viewer import Viewer, Viewing, operator, viewer
from gitops.web.badges import add_badge_routes
from gitops.web.bounded import Bounded
from gitops.web.change_routes import add_change_routes
from gitops.web.description import add_description
from gitops.web.etags import Tagged
from gitops.web.fleet_routes import add_fleet_routes
from gitops.web.health import Probes
from gitops.web.hook_routes import add_hook_routes
from gitops.web.late import LateRoute
from gitops.web.pages import add_pages
from gitops.web.pages.frame import Frame
from gitops.web.preview_routes import add_preview_routes
from gitops.web.problems import map_errors
from gitops.web.responses import as_json, page_size
from gitops.web.stats_routes import add_stats_routes
from gitops.web.turns import InTurn


class AnswerBody(BaseModel):
    """One person's answer to a request."""

    model_config = ConfigDict(extra="forbid")

    root: str = Field(description="The request's root hash as it was shown to the person.")
    decision: Decision
    reason: str = Field("", max_length=2_000, description="Required for a denial.")
    confirmation: str = Field("", max_length=100, description="Typed where deletes need it.")
    via: str = Field("api", pattern=r"^[a-z]{1,20}$")


class UnlockBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    lock: str = Field(pattern=r"^[\w.:/+=-]{1,200}$", description="The lock's id, as it is shown.")


class RollbackBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    delivery: str = Field(
        "",
        pattern=r"^([0-9a-f]{4,64})?$",
        description="Id or prefix of a healthy delivery; empty: each lane's one before the present",
    )
    target: str = Field("", max_length=253, description="Only this cluster or workspace.")
    reason: str = Field("", max_length=2_000)


class PauseBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(gt=0, le=LONGEST, description="Until it ends by itself.")
    reason: str = Field(min_length=1, max_length=2_000)


def build(controller: Controller, *, trusted: bool) -> FastAPI:
    """The application. ``trusted``: reached through the operator's own socket."""
    app = FastAPI(
        title="gitops-controller",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.router.route_class = LateRoute
    app.state.guard = Guard(controller, trusted=trusted)
    frame = Frame(controller)
    map_errors(app, frame)
    Probes(controller).add_to(app)
    _looking(app, controller)
    _acting(app, controller)
    accounts.add_routes(app, controller)
    add_hook_routes(app, controller)
    add_preview_routes(app, controller)
    add_change_routes(app, controller)
    add_stats_routes(app, controller)
    add_fleet_routes(app, controller)
    add_audit_routes(app, controller)
    add_badge_routes(app, controller)
    add_application_routes(app, controller)
    add_description(app)
    app.add_middleware(Bounded)
    app.add_middleware(Tagged)
    if not trusted:
        signing.add_routes(app, controller, app.state.guard)
        add_pages(app, controller, frame)
        app.add_middleware(InTurn)
        app.add_middleware(Shield, door=controller.fleet.api)
    return app


def _looking(app: FastAPI, controller: Controller) -> None:
    look = [Depends(viewer)]

    @app.get("/api/v1/status", dependencies=look)
    async def status() -> JSONResponse:
        """Sources, clusters, lanes and open requests."""
        return as_json(await views.status(controller))

    @app.get("/api/v1/requests", dependencies=look)
    async def requests(all: bool = False, limit: int = 50, before: str = "") -> JSONResponse:
        """Open requests, newest first; ``all`` for ended ones too. ``next`` is the ``before`` of
        the page after this one, empty at the end."""
        most = page_size(limit)
        found = await controller.ledger.read(
            lambda reading: reading.requests(open_only=not all, limit=most, before=before)
        )
        return as_json({"requests": found, "next": found[-1].id if len(found) == most else ""})

    @app.get("/api/v1/deliveries", dependencies=look)
    async def deliveries(
        application: str = "",
        target: str = "",
        state: ChangeState | None = None,
        cause: Cause | None = None,
        limit: int = 50,
        before: str = "",
    ) -> JSONResponse:
        """Newest first; ``before`` is the id of the last one seen, ``live`` names those whose state
        is there now. ``target`` goes with ``application``."""
        if target and not application:
            raise HTTPException(400, "`target` goes with `application`")
        page = page_size(limit)
        return as_json(
            await views.deliveries(controller, application, target, page, before, state, cause)
        )

    @app.get("/api/v1/show/{id}", dependencies=look)
    async def show(id: str) -> JSONResponse:
        """A request, change or delivery by id or unambiguous prefix."""
        found = await views.show(controller, id)
        if found is None:
            raise HTTPException(404, f"there is no request, change or delivery {id[:40]!r}")
        return as_json(found)

    @app.get("/api/v1/why/{application}", dependencies=look)
    async def why(application: str) -> JSONResponse:
        """Per target the causal chain in words."""
        return as_json(await views.why(controller, ApplicationName(application)))


def _acting(app: FastAPI, controller: Controller) -> None:
    orders = Orders(controller)

    def operates(viewer: Viewer, application: str) -> tuple[ApplicationName, PersonName]:
        name = ApplicationName(application)
        return name, viewer.require(Role.OPERATOR, controller.roster.spec(name))

    @app.post("/api/v1/requests/{id}/answer")
    async def answer(id: str, body: AnswerBody, viewer: Viewing) -> JSONResponse:
        """Approve or deny as the person the token belongs to."""
        card = await FrontOffice(controller).card(id)
        person = require_answer(viewer, card, body.decision, controller.fleet.people)
        verdict = await orders.answer(
            RequestId(id),
            Digest(body.root),
            person,
            body.decision,
            reason=body.reason,
            via=body.via,
            confirmation=body.confirmation,
        )
        return as_json({"verdict": verdict})

    @app.post("/api/v1/applications/{application}/again")
    async def again(application: str, viewer: Viewing) -> JSONResponse:
        """Lift what holds an application's lanes and try or ask again."""
        return as_json({"lanes": await orders.again(*operates(viewer, application))})

    @app.post("/api/v1/applications/{application}/retry")
    async def retry(application: str, viewer: Viewing) -> JSONResponse:
        """Try again what failed or is held, under the same approval while it holds."""
        return as_json({"lanes": await orders.retry(*operates(viewer, application))})

    @app.post("/api/v1/applications/{application}/rollback")
    async def rollback(application: str, body: RollbackBody, viewer: Viewing) -> JSONResponse:
        """Ask to go back to what an earlier delivery brought; held there until the source moves."""
        name, person = operates(viewer, application)
        begun = await orders.rollback(name, person, body.delivery, body.reason, body.target)
        return as_json(
            {
                "changes": {str(lane): change for lane, change in begun.changes.items()},
                "skipped": {str(lane): why for lane, why in begun.skipped.items()},
            }
        )

    @app.post("/api/v1/applications/{application}/pause")
    async def pause(application: str, body: PauseBody, viewer: Viewing) -> JSONResponse:
        """Ask and apply nothing of an application for a time."""
        name, person = operates(viewer, application)
        return as_json({"pause": await orders.pause(name, person, body.seconds, body.reason)})

    @app.post("/api/v1/applications/{application}/resume")
    async def resume(application: str, viewer: Viewing) -> JSONResponse:
        """End a pause."""
        await orders.resume(*operates(viewer, application))
        return as_json({"resumed": application})

    @app.post("/api/v1/applications/{application}/unlock")
    async def unlock(application: str, body: UnlockBody, viewer: Viewing) -> JSONResponse:
        """Ask whether the lock of a Terraform state may be forced."""
        return as_json({"lanes": await orders.unlock(*operates(viewer, application), body.lock)})

    @app.post("/api/v1/sources/{source}/nudge", dependencies=[Depends(operator)])
    async def nudge(source: str) -> JSONResponse:
        """Look at a source now; answers with what that look said."""
        return as_json({"source": await orders.nudge(SourceName(source))})
