"""``/applications/{name}``: how one application stands on each target, what it has there and what
the cluster made of it, which versions run, what was delivered; and a closer look at one object.

The page itself asks no cluster: objects come from memory. Events and logs are asked for when a
person opens one of them, by a page of its own that the script shows in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Path, Query
from starlette.responses import HTMLResponse

from gitops.engine.onlookers import objects
from gitops.errors import Unknown
from gitops.model.ids import ApplicationName
from gitops.model.serving import Role
from gitops.web.applications import Target, View
from gitops.web.auth.viewer import Viewer
from gitops.web.pages.desk import Desk, Viewing
from gitops.web.pages.forms import DONE
from gitops.web.pages.frame import query
from gitops.web.pages.object_lines import Filter, shown
from gitops.web.rights import missing_rule
from gitops.web.showcase import Showcase, require_looking

MOST_TARGETS = 24
MOST_VERSIONS = 40
MOST_RESOURCES = 200
PAST = 12
"""Deliveries on one page."""
Name = Annotated[str, Path(max_length=253)]
Text = Annotated[str, Query(max_length=253)]
Key = Annotated[str, Query(pattern="^[0-9a-f]{16}$")]
Under = Annotated[str, Query(pattern="^([0-9a-f]{16})?$")]


@dataclass(frozen=True, slots=True)
class Typed:
    """A form that was refused, with what a person typed into it."""

    form: str = ""
    reason: str = ""
    seconds: str = ""
    delivery: str = ""
    said: str = ""
    hint: str = ""


EVERYTHING = Filter()
NOTHING_TYPED = Typed()


@dataclass(frozen=True, slots=True)
class Strip:
    """The targets, as far as they are shown."""

    targets: tuple[Target, ...]
    left: int
    counts: tuple[tuple[str, int], ...]


def add(app: FastAPI, desk: Desk) -> None:
    showcase: Showcase = app.state.showcase

    @app.get("/applications/{application}", include_in_schema=False)
    async def application(
        viewer: Viewing,
        application: Name,
        target: Text = "",
        q: Text = "",
        kind: Text = "",
        state: Annotated[str, Query(max_length=40)] = "",
        before: Annotated[str, Query(max_length=64)] = "",
        done: Annotated[str, Query(max_length=20)] = "",
    ) -> HTMLResponse:
        return await show(
            desk,
            showcase,
            viewer,
            application,
            target,
            chosen=Filter(q.strip(), kind, state),
            before=before,
            done=DONE.get(done, ""),
        )

    @app.get("/applications/{application}/object", include_in_schema=False)
    async def object(
        viewer: Viewing,
        application: Name,
        id: Key,
        target: Text = "",
        under: Under = "",
        container: Text = "",
        previous: bool | None = None,
    ) -> HTMLResponse:
        spec = showcase.applications.spec(application)
        require_looking(viewer, spec)
        if spec.terraform is not None:
            raise Unknown(f"{spec.name} is a Terraform root: it has no objects in a cluster")
        lane = showcase.applications.lane(spec, target)
        node = await showcase.node(lane, desk.controller, id, under)
        look = await showcase.looks.at(lane.target, node, container, previous=previous)
        return desk.frame.page(
            "application_object.html",
            viewer,
            at="/",
            spec=spec,
            lane=lane,
            node=node,
            look=look,
            under=under,
        )


async def show(
    desk: Desk,
    showcase: Showcase,
    viewer: Viewer,
    name: str,
    target: str = "",
    *,
    chosen: Filter = EVERYTHING,
    before: str = "",
    done: str = "",
    typed: Typed = NOTHING_TYPED,
    status: int = 200,
) -> HTMLResponse:
    """The page. Raises Unknown."""
    view = await showcase.applications.view(name, target, limit=PAST, before=before)
    desk.controller.vigil.onlookers.look(view.spec.name)
    tree = showcase.tree(view)
    at = view.chosen.name
    sentences = await desk.office.why(ApplicationName(name), at)
    return desk.frame.page(
        "application.html",
        viewer,
        at="/",
        topics=_topics(view),
        status=status,
        view=view,
        tree=tree,
        objects=shown(tree.nodes, chosen),
        rules=tuple(rule for each in tree.blind if (rule := missing_rule(each))),
        chosen=chosen,
        strip=_strip(view),
        why=next(iter(sentences.values()), ()),
        operates=viewer.may(Role.OPERATOR, view.spec),
        somebody=viewer.person is not None,
        stuck=_is_stuck(desk, view),
        done=done,
        typed=typed,
        before=before,
        keep=query(target=target),
        most_versions=MOST_VERSIONS,
        most_resources=MOST_RESOURCES,
    )


def _is_stuck(desk: Desk, view: View) -> bool:
    """Is there anything to try again?"""
    at = view.chosen.standing
    held = at.state in ("failed", "held", "drifted")
    return held or desk.controller.lanes.trouble(at.lane) is not None


def _topics(view: View) -> str:
    """Progress of a change is told of the change alone."""
    changes = [f"change:{each.change}" for each in view.targets[:MOST_TARGETS] if each.change]
    return " ".join([f"application:{view.spec.name}", objects(view.spec.name), *changes])


def _strip(view: View) -> Strip:
    first = view.targets[:MOST_TARGETS]
    if view.chosen not in first:
        first = (view.chosen, *first[: MOST_TARGETS - 1])
    counts = tuple(view.counts.items())
    return Strip(first, len(view.targets) - len(first), counts)
