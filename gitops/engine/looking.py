"""Clusters and workspaces that can be looked at and not be changed, whoever holds them.

Previews are drawn through these: what is not approved, and may never be merged, has no way to a
write. A cluster is the very one that deliveries use, with its watches and its memory; nothing is
listed or watched for a preview that the application itself does not follow already.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from gitops.errors import NotAllowed
from gitops.model.cluster import (
    ClusterFacts,
    ClusterStatus,
    LiveEvent,
    LiveObject,
    Resource,
    Written,
)
from gitops.model.manifest import ObjectId
from gitops.ports import Cluster, Inventory, LiveView
from gitops.ports.terraform import PlanRun, Root, Workspace

Kinds = Collection[tuple[str, str]]
"""(group, kind)."""


def refused() -> NoReturn:
    """Raises NotAllowed."""
    raise NotAllowed("a preview writes nothing")


@dataclass(frozen=True, slots=True)
class _View:
    live: LiveView
    kinds: Kinds | None

    async def follow(self, kinds: Sequence[Resource]) -> None:
        wanted = self.kinds
        known = [k for k in kinds if wanted is None or (k.group, k.kind) in wanted]
        await self.live.follow(known)

    def owned(self, application: str) -> Mapping[ObjectId, LiveObject]:
        return self.live.owned(application)

    def events(self) -> AsyncIterator[LiveEvent]:
        return self.live.events()


@dataclass(frozen=True, slots=True)
class _Inventory:
    inventory: Inventory

    async def read(self, application: str) -> frozenset[ObjectId] | None:
        return await self.inventory.read(application)

    async def write(self, application: str, owns: frozenset[ObjectId]) -> None:
        refused()


@dataclass(frozen=True, slots=True)
class LookedAt:
    """Plays :class:`gitops.ports.Cluster` over one that is in use."""

    cluster: Cluster
    kinds: Kinds | None = None
    """Kinds that may be watched, for they are already; None: any."""

    @property
    def live(self) -> LiveView:
        return _View(self.cluster.live, self.kinds)

    @property
    def inventory(self) -> Inventory:
        return _Inventory(self.cluster.inventory)

    async def get(self, resource: Resource, id: ObjectId) -> LiveObject | None:
        return await self.cluster.get(resource, id)

    async def facts(self) -> ClusterFacts:
        return await self.cluster.facts()

    def status(self) -> ClusterStatus:
        return self.cluster.status()

    async def resource(self, group: str, kind: str, version: str = "") -> Resource | None:
        return await self.cluster.resource(group, kind, version)

    async def schema(self, group: str, version: str, kind: str) -> Mapping[str, Any] | None:
        return await self.cluster.schema(group, version, kind)

    async def document(self, group: str, version: str) -> Mapping[str, Any] | None:
        return await self.cluster.document(group, version)

    async def apply(
        self,
        resource: Resource,
        id: ObjectId,
        body: bytes,
        *,
        dry_run: bool,
        force: bool = False,
        run_as: str = "",
    ) -> Written:
        if dry_run is not True:
            refused()
        return await self.cluster.apply(
            resource, id, body, dry_run=True, force=force, run_as=run_as
        )

    async def delete(
        self, resource: Resource, id: ObjectId, *, uid: str, dry_run: bool = False, run_as: str = ""
    ) -> None:
        if dry_run is not True:
            refused()
        await self.cluster.delete(resource, id, uid=uid, dry_run=True, run_as=run_as)

    async def close(self) -> None:
        """Others go on using it."""


class Unlocked:
    """What planning and checking need of :class:`gitops.ports.terraform.Workspace`, without any
    lock; nothing else."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.tool = workspace.tool
        self.fmt = workspace.fmt
        self.validate = workspace.validate
        self.test = workspace.test
        self.show = workspace.show
        self.identity = workspace.identity
        self.queue = workspace.queue

    async def plan(
        self, root: Root, *, refresh_only: bool = False, locking: bool = False
    ) -> PlanRun:
        return await self._workspace.plan(root, refresh_only=refresh_only, locking=False)

    async def state(self, root: Root) -> NoReturn:
        """Would make the workspace where there is none."""
        refused()

    outputs = reached = state

    async def apply(self, root: Root, plan_file: bytes, run: str) -> NoReturn:
        refused()

    async def begun(self, root: Root, run: str) -> NoReturn:
        refused()

    async def unlock(self, root: Root, lock: str) -> NoReturn:
        refused()

    def close(self) -> None:
        """Others go on using it."""


if TYPE_CHECKING:

    def _plays(cluster: LookedAt, workspace: Unlocked) -> tuple[Cluster, Workspace]:
        return cluster, workspace
