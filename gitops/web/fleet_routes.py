"""Where revisions come from and where they go to: every source and cluster as it stands.

Added to the API by :mod:`gitops.web.api`, behind its guard; the page of sources shows the same.
Addresses are shown without anything that could let somebody in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse

from gitops.controller import Controller
from gitops.links import commits_at
from gitops.model.cluster import ClusterStatus
from gitops.model.fleet import ClusterSpec, SourceSpec
from gitops.model.ids import SourceName, TargetName
from gitops.model.source import SourceState, SourceStatus
from gitops.web.auth.viewer import viewer
from gitops.web.responses import as_json


@dataclass(frozen=True, slots=True)
class WatchedSource:
    """One source of the fleet file."""

    name: SourceName
    kind: str
    address: str
    """Without credentials, and without what follows a ``?``."""
    ref: str
    interval: float
    """Seconds between two looks when nobody nudges."""
    status: SourceStatus
    looks: dict[str, int]
    """Of this process, by what they said."""
    heard_at: float | None
    """When a webhook last spoke of it."""
    applications: int
    commits_at: str
    """Address of a commit's page without the id; empty where unknown."""


@dataclass(frozen=True, slots=True)
class TargetCluster:
    """One cluster of the fleet file."""

    name: TargetName
    labels: dict[str, str]
    reached: str
    """By which kind of credentials."""
    status: ClusterStatus | None
    """None while nothing needed it."""
    applications: int


def add_fleet_routes(app: FastAPI, controller: Controller) -> None:
    looks = [Depends(viewer)]

    @app.get("/api/v1/sources", dependencies=looks)
    async def found() -> JSONResponse:
        """Every source: its address, how the last look at it went, when a webhook spoke of it."""
        return as_json({"sources": sources(controller)})

    @app.get("/api/v1/clusters", dependencies=looks)
    async def targets() -> JSONResponse:
        """Every cluster and how it stands."""
        return as_json({"clusters": clusters(controller)})


def sources(controller: Controller) -> Sequence[WatchedSource]:
    """By name."""
    uses = Counter(spec.source for spec in controller.roster.specs().values())
    heard = controller.inbox.tallies.status().heard
    return tuple(
        _source(controller, spec, heard.get(name), uses[name])
        for name, spec in sorted(controller.fleet.sources.items())
    )


def _source(
    controller: Controller, spec: SourceSpec, heard_at: float | None, uses: int
) -> WatchedSource:
    watch = controller.watches.get(spec.name)
    return WatchedSource(
        spec.name,
        spec.kind,
        bare(spec.url),
        spec.ref,
        spec.interval.total_seconds(),
        watch.status if watch else SourceStatus(spec.name, SourceState.NEW),
        dict(watch.polls) if watch else {},
        heard_at,
        uses,
        commits_at(spec),
    )


def clusters(controller: Controller) -> Sequence[TargetCluster]:
    """By name."""
    specs = controller.roster.specs().values()
    uses = Counter(name for spec in specs if not spec.terraform for name in spec.clusters)
    connected = controller.clusters.connected
    return tuple(
        TargetCluster(
            name,
            dict(spec.labels),
            _reached(spec),
            connected[name].status() if name in connected else None,
            uses[name],
        )
        for name, spec in sorted(controller.fleet.clusters.items())
    )


def _reached(spec: ClusterSpec) -> str:
    if spec.in_cluster:
        return "the cluster the controller runs in"
    if spec.sandbox:
        return f"sandbox {spec.sandbox}"
    return f"context {spec.context}" if spec.context else "a kubeconfig of its own"


def bare(url: str) -> str:
    """An address as it may be shown. ``git@host:path`` stays as it is: its user is no secret."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return url.partition("://")[0] + "://…"
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))
