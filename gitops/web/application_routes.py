"""The API's side of applications: all of them, one of them, its objects, and a look at one object.

Added to the API by :mod:`gitops.web.api`, behind its guard. What asks a cluster (events, logs) is
for people and programs that are somebody: containers print what they like.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query
from fastapi.responses import JSONResponse

from gitops.controller import Controller
from gitops.errors import NotAllowed
from gitops.model.delivery import LaneId
from gitops.ports import Reading
from gitops.web.applications import summary, told
from gitops.web.auth.viewer import Viewer, Viewing, viewer
from gitops.web.objects import Known, Node, Tree, known
from gitops.web.responses import as_json
from gitops.web.showcase import Showcase, require_looking

Name = Annotated[str, Path(max_length=253)]
Place = Annotated[str, Query(max_length=253, description="Cluster or workspace; empty: the first")]
Key = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="As `objects` names it")]
Limit = Annotated[int, Query(ge=1, le=500)]
Before = Annotated[str, Query(max_length=253, description="`next` of the page before")]
_APPLICATIONS = "/api/v1/applications"
_ONE = f"{_APPLICATIONS}/{{application}}"
_OBJECT = f"{_ONE}/objects/{{key}}"


def add_application_routes(app: FastAPI, controller: Controller) -> None:
    """Leaves a :class:`Showcase` behind in ``app.state.showcase``, for the pages."""
    showcase = app.state.showcase = Showcase.of(controller)
    _reading(app, controller, showcase)
    _looking(app, controller, showcase)


def _reading(app: FastAPI, controller: Controller, showcase: Showcase) -> None:
    looks = [Depends(viewer)]

    @app.get(_APPLICATIONS, dependencies=looks)
    async def applications(limit: Limit = 100, before: Before = "") -> JSONResponse:
        """Every application with how it stands on each target, by name."""
        specs = controller.roster.specs()
        names = sorted(name for name in specs if name > before)[:limit]
        present = await controller.board.present()
        rows = [summary(specs[name], present.of(name)) for name in names]
        more = names[-1] if len(names) == limit else ""
        return as_json({"applications": rows, "next": more})

    @app.get(_ONE, dependencies=looks)
    async def application(
        application: Name,
        target: Place = "",
        limit: Limit = 20,
        before: Annotated[str, Query(max_length=64)] = "",
    ) -> JSONResponse:
        """How one stands on each target, who may approve it, what runs where since when, and what
        was delivered, newest first (`next` is the `before` of the deliveries after)."""
        view = await showcase.applications.view(application, target, limit=limit, before=before)
        return as_json(told(view))

    @app.get(f"{_ONE}/objects", dependencies=looks)
    async def objects(
        application: Name,
        target: Place = "",
        limit: Limit = 200,
        before: Annotated[str, Query(pattern="^([0-9a-f]{16})?$")] = "",
    ) -> JSONResponse:
        """What it has on one target, against what it should have, with what the cluster made of
        it; what needs somebody comes first. Of a Terraform root its resources as last planned."""
        spec = showcase.applications.spec(application)
        lane = showcase.applications.lane(spec, target)
        if spec.terraform is not None:
            view = await showcase.applications.view(application, target)
            return as_json({"target": lane.target, "objects": [], "root": view.root, "next": ""})

        def query(reading: Reading) -> Known:
            return known(reading, lane)

        tree = showcase.trees.of(lane, await controller.ledger.read(query))
        return as_json(_page(tree, limit, before))


def _looking(app: FastAPI, controller: Controller, showcase: Showcase) -> None:
    async def found(viewer: Viewer, application: str, target: str, key: str) -> tuple[LaneId, Node]:
        spec = showcase.applications.spec(application)
        require_looking(viewer, spec)
        if spec.terraform is not None:
            raise NotAllowed(f"{spec.name} is a Terraform root: it has no objects in a cluster")
        lane = showcase.applications.lane(spec, target)
        return lane, await showcase.node(lane, controller, key)

    @app.get(f"{_OBJECT}/events")
    async def events(
        viewer: Viewing, application: Name, key: Key, target: Place = ""
    ) -> JSONResponse:
        """What happened to one object lately, as its cluster tells it, newest first."""
        lane, node = await found(viewer, application, target, key)
        happened = await showcase.looks.events(lane.target, node)
        return as_json({"object": node.id, "events": happened.newest, "more": happened.more})

    @app.get(f"{_OBJECT}/log")
    async def log(
        viewer: Viewing,
        application: Name,
        key: Key,
        target: Place = "",
        container: Annotated[str, Query(max_length=253, description="Empty: the first")] = "",
        previous: Annotated[bool, Query(description="Before its last restart")] = False,
    ) -> JSONResponse:
        """The last lines of a container of a pod. Values of Secrets that we deliver to the
        namespace are hidden."""
        lane, node = await found(viewer, application, target, key)
        named = container or next(iter(node.containers), "")
        told = await showcase.looks.log(lane.target, node, named, previous=previous)
        return as_json({"object": node.id, "container": named, "text": told.text, "cut": told.cut})


def _page(tree: Tree, limit: int, before: str) -> Mapping[str, Any]:
    keys = [node.key for node in tree.nodes]
    start = keys.index(before) + 1 if before in keys else 0
    rows = list(islice(tree.nodes, start, start + limit))
    more = rows[-1].key if start + limit < len(keys) else ""
    return {
        "target": tree.lane.target,
        "objects": [told_node(node) for node in rows],
        "trouble": tree.trouble,
        "blind": tree.blind,
        "next": more,
    }


def told_node(node: Node) -> Mapping[str, Any]:
    """As the API tells it."""
    return {
        "key": node.key,
        "id": node.id,
        "health": node.health,
        "reason": node.reason,
        "sync": node.sync or "",
        "action": node.action or "",
        "containers": node.containers,
        "restarts": node.restarts,
        "ended": node.ended,
        "made": [told_node(each) for each in node.made],
    }
