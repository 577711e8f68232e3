"""``/sources``: where revisions come from and where they go, and what keeps either from working.

Sources, clusters, webhooks and the requests they brought. An operator can have a source looked at
now, or what a webhook said done once more, through the same orders as everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import FastAPI, Path, Query
from starlette.responses import HTMLResponse, RedirectResponse

from gitops.model.cluster import ClusterState
from gitops.model.ids import SourceName
from gitops.model.serving import Role
from gitops.model.source import SourceState
from gitops.web.fleet_routes import TargetCluster, WatchedSource, clusters, sources
from gitops.web.pages.desk import Desk, Viewing

TOPICS = "source:* look:* cluster:*"
MOST = 60
"""Rows of each table; those that need somebody come first."""
MOST_HEARD = 20
LONGEST_LOOK = 5.0
"""Seconds somebody waits for a look they asked for; it goes on without them."""
DONE = {
    "looked": "The source was looked at just now.",
    "looking": "The source is being looked at; this page shows what comes of it.",
    "replayed": "What that request said was done once more.",
    "ignored": "That request means nothing to the present fleet file: nothing was done.",
}
"""What is said after an act, by the code in the address."""
ADVICE = {
    SourceState.NEW: "It has not been looked at yet.",
    SourceState.UNREACHABLE: "The last good revision stays in force, and it is asked again by "
    "itself. Is the address right, and does the host answer from here?",
    SourceState.REFUSED: "The last good revision stays in force. Look at the credentials of "
    "this source in the fleet file, and at what they may read.",
    SourceState.GONE: "The last good revision stays in force. Was the branch renamed or deleted? "
    "Bring it back, or name another one in the fleet file.",
    SourceState.EMPTY: "There is no commit yet: push one.",
    SourceState.REWRITTEN: "Somebody pushed with force. What was delivered stays; whoever is asked "
    "next is told that authors cannot be known.",
    SourceState.INVALID: "The last good revision stays in force until a newer one is valid.",
}
"""What to do about a source in such a state; none for one that is well."""
CLUSTER_ADVICE = {
    ClusterState.UNREACHABLE: "Nothing is applied there meanwhile, and it is asked again every few "
    "seconds.",
    ClusterState.REFUSED: "Look at the credentials it is reached with, and at what they may do.",
    ClusterState.CHANGED: "Nothing is written to it. If that is meant, start the controller again.",
    ClusterState.CONNECTING: "It has not answered yet.",
}
Words = Annotated[str, Query(max_length=200)]
Row = TypeVar("Row", WatchedSource, TargetCluster)


@dataclass(frozen=True, slots=True)
class Shown(Generic[Row]):
    rows: tuple[Row, ...]
    left_out: int
    known: int


def add(app: FastAPI, desk: Desk) -> None:
    controller = desk.controller

    @app.get("/sources", include_in_schema=False)
    async def page(viewer: Viewing, q: Words = "", done: Words = "") -> HTMLResponse:
        heard = await controller.inbox.deliveries(MOST_HEARD)
        return desk.frame.page(
            "sources.html",
            viewer,
            at="/sources",
            topics=TOPICS,
            q=q.strip(),
            done=DONE.get(done, ""),
            sources=_chosen(sources(controller), q, _source_rank),
            clusters=_chosen(clusters(controller), q, _cluster_rank),
            webhooks=controller.inbox.tallies.status().webhooks,
            heard=heard,
            advice=ADVICE,
            cluster_advice=CLUSTER_ADVICE,
            operates=viewer.csrf and viewer.may(Role.OPERATOR),
        )

    @app.post("/sources/{name}/nudge", include_in_schema=False)
    async def nudge(
        viewer: Viewing, name: Annotated[str, Path(max_length=200)]
    ) -> RedirectResponse:
        viewer.require(Role.OPERATOR)
        try:
            async with asyncio.timeout(LONGEST_LOOK):
                await desk.orders.nudge(SourceName(name))
        except TimeoutError:
            return RedirectResponse("/sources?done=looking", 303)
        return RedirectResponse("/sources?done=looked", 303)

    @app.post("/sources/heard/{id}/replay", include_in_schema=False)
    async def replay(viewer: Viewing, id: Annotated[str, Path(max_length=100)]) -> RedirectResponse:
        viewer.require(Role.OPERATOR)
        found = await controller.inbox.replay(id)
        return RedirectResponse(f"/sources?done={'replayed' if found.sources else 'ignored'}", 303)


def _chosen(rows: Sequence[Row], q: str, rank: Callable[[Row], int]) -> Shown[Row]:
    """Those with all the words in their name, the ones that need somebody first."""
    words = q.lower().split()
    found = [row for row in rows if all(word in row.name.lower() for word in words)]
    found.sort(key=rank)
    return Shown(tuple(found[:MOST]), len(found) - len(found[:MOST]), len(rows))


def _source_rank(source: WatchedSource) -> int:
    return {SourceState.READY: 2, SourceState.NEW: 1}.get(source.status.state, 0)


def _cluster_rank(cluster: TargetCluster) -> int:
    if cluster.status is None:
        return 3
    ranks = {ClusterState.READY: 2, ClusterState.CONNECTING: 1}
    return ranks.get(cluster.status.state, 0)
