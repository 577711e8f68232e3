"""One application planned and carried out on the real control plane, without the engine around it.

Whatever is asserted about the cluster is read from the API server, through a second connection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import orjson
import yaml

from gitops.kube.cluster import KubeCluster
from gitops.masking import Masker
from gitops.model.cluster import Resource
from gitops.model.delivery import AppliedObject, Cause, Change, LaneId
from gitops.model.fleet import ApplicationSpec
from gitops.model.health import ObjectHealth
from gitops.model.ids import ApplicationName, Digest, SourceName, TargetName, combine
from gitops.model.manifest import Desired, Manifest, ObjectId, Origin
from gitops.model.sealed import SealedSet
from gitops.model.source import Closure, Revision
from gitops.ports import Cluster, DrawJob, Drawn, Executed
from planners.plan.planner import ManifestPlanner
from tests.e2e.kube_support import RealClock


class Keyed:
    """A digester with a key of its own."""

    def of(self, data: bytes) -> Digest:
        return Digest(hashlib.blake2b(data, digest_size=32, key=b"k" * 32).hexdigest())


def desired_of(text: str, digester: Keyed) -> Desired:
    """Manifests as a renderer would give them."""
    found = [manifest_of(value, n, digester) for n, value in enumerate(yaml.safe_load_all(text))]
    digest = combine(*(manifest.digest for manifest in found))
    return Desired(tuple(found), Closure(()), digest, "test 1")


def manifest_of(value: dict[str, Any], number: int, digester: Keyed) -> Manifest:
    group, _, version = value["apiVersion"].rpartition("/")
    metadata = value["metadata"]
    id = ObjectId(group, value["kind"], metadata.get("namespace", ""), metadata["name"])
    body = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return Manifest(id, version, body, digester.of(body), Origin("app.yaml", number + 1, 1))


@dataclass
class Stage:
    """An application's life: what it should be, planned and applied time after time."""

    cluster: Cluster
    other: KubeCluster
    namespace: str
    spec: ApplicationSpec = field(init=False)
    applied: dict[ObjectId, AppliedObject] = field(default_factory=dict)
    digester: Keyed = field(default_factory=Keyed)
    fence: str = ""

    def __post_init__(self) -> None:
        name = ApplicationName(f"app-{self.namespace}")
        self.spec = ApplicationSpec(name, SourceName("s"), "", namespace=self.namespace)
        self.masker = Masker(self.digester)
        self.planner = ManifestPlanner(
            self.digester, self.masker, RealClock(), lambda _target: self.fence
        )

    def policy(self, **more: Any) -> None:
        self.spec = replace(self.spec, **more)

    async def plan(self, text: str) -> Drawn:
        desired = desired_of(text, self.digester)
        lane = LaneId(self.spec.name, TargetName("target"))
        change = Change(lane, 0, desired.digest, Cause.COMMIT, Revision(SourceName("s"), "r1"))
        job = DrawJob(change, self.spec, desired, (), self.cluster, self.applied)
        drawn = await self.planner.draw(job)
        self._record(drawn.settled)
        return drawn

    async def apply(self, sealed: SealedSet) -> Executed:
        executed = await self.planner.execute(sealed, self.cluster)
        self._record(executed.applied)
        return executed

    async def deliver(self, text: str) -> Drawn:
        """Planned, applied, all done."""
        drawn = await self.plan(text)
        assert not drawn.plan.blocked_by, drawn.plan.blocked_by
        executed = await self.apply(drawn.sealed)
        assert not executed.failed, executed.failed
        return drawn

    async def healthy(self, *ids: ObjectId, seconds: float = 30) -> Mapping[ObjectId, ObjectHealth]:
        within = timedelta(seconds=seconds).total_seconds()
        return await self.planner.until_healthy(self.spec.name, ids, self.cluster, within)

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Any:
        """The object's body as the server has it; None where it is not there."""
        where = (namespace or self.namespace) if resource.namespaced else ""
        found = await self.other.get(resource, self.id(resource, name, where))
        return found.body if found else None

    def id(self, resource: Resource, name: str, namespace: str = "") -> ObjectId:
        where = (namespace or self.namespace) if resource.namespaced else ""
        return ObjectId(resource.group, resource.kind, where, name)

    def _record(self, seen: Mapping[ObjectId, AppliedObject | None]) -> None:
        for id, now in seen.items():
            if now is None:
                self.applied.pop(id, None)
            else:
                self.applied[id] = now
