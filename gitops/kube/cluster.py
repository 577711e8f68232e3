"""One target cluster: every role of :class:`gitops.ports.Cluster`, put together.

``connect`` is called by the composition root for every cluster of the fleet file, and by the
commands that look at one. Nothing here decides anything: it turns the engine's wishes into
requests and the answers into values.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from gitops.errors import ClusterRefused, ClusterUnavailable, NotFound
from gitops.kube.access import IN_POD, PodSettings, reach
from gitops.kube.answers import Missing, warnings
from gitops.kube.dependents import Dependents, never
from gitops.kube.discovery import Discovery
from gitops.kube.follower import Follower
from gitops.kube.held import HeldObject, hold
from gitops.kube.identity import Identity
from gitops.kube.inspector import Inspector
from gitops.kube.inventory import Inventories
from gitops.kube.live import Live
from gitops.kube.paths import collection, single
from gitops.kube.standing import Standing
from gitops.kube.transport import Call, Transport
from gitops.model.cluster import (
    FIELD_MANAGER,
    ClusterFacts,
    ClusterStatus,
    LiveObject,
    Resource,
    Written,
)
from gitops.model.fleet import ClusterSpec
from gitops.model.manifest import ObjectId
from gitops.ports import Clock, Cluster
from gitops.ports.inspecting import Inspecting
from gitops.ports.pods import Attending

_APPLY = "application/apply-patch+yaml"
_FIRST_MEETING = 10.0
"""Seconds; a cluster behind a black hole must not keep the others waiting."""
_DEFINES_KINDS = frozenset({"CustomResourceDefinition", "APIService"})


async def connect(
    spec: ClusterSpec,
    *,
    clock: Clock,
    sandbox_kubeconfig: Callable[[str], Path],
    pod: PodSettings = IN_POD,
    watch_seconds: int = 290,
) -> KubeCluster:
    """Reads the credentials and meets the cluster (one GET of ``kube-system``).

    Raises ConfigError for what the operator must change. A cluster that does not answer or does
    not let us in is returned all the same: its ``status()`` says so and each use tries again.
    """
    access = await reach(spec, clock=clock, sandbox_kubeconfig=sandbox_kubeconfig, pod=pod)
    standing = Standing(clock, spec.name)
    transport = Transport(access, standing, clock)
    cluster = KubeCluster(spec, transport, standing, clock, watch_seconds)
    await cluster.meet()
    return cluster


class KubeCluster:
    """See :class:`gitops.ports.Cluster` for what each method promises."""

    def __init__(
        self,
        spec: ClusterSpec,
        transport: Transport,
        standing: Standing,
        clock: Clock,
        watch_seconds: int,
    ) -> None:
        self._transport = transport
        self._standing = standing
        self._identity = Identity(transport, standing, clock)
        self._discovery = Discovery(transport, standing, clock)
        self._live = Live(
            lambda resource, memory: Follower(
                resource,
                memory,
                transport,
                self._identity,
                self._fetch,
                self._discovery.now,
                clock,
                watch_seconds,
            )
        )
        self._pods = Dependents(
            clock,
            lambda resource, yard, scope: Follower(
                resource,
                yard,
                transport,
                self._identity,
                never,
                self._discovery.now,
                clock,
                watch_seconds,
                scope,
            ),
        )
        self._inspector = Inspector(transport, clock)
        self._inventory = Inventories(spec.namespace, self._fetch, self._keep)

    @property
    def live(self) -> Live:
        return self._live

    @property
    def pods(self) -> Dependents:
        return self._pods

    @property
    def inspector(self) -> Inspector:
        return self._inspector

    @property
    def inventory(self) -> Inventories:
        return self._inventory

    def status(self) -> ClusterStatus:
        return self._standing.status

    def requests(self) -> Mapping[tuple[str, str], int]:
        return self._standing.requests

    async def close(self) -> None:
        await self._live.close()
        await self._pods.close()
        await self._inspector.close()
        await self._transport.close()

    async def meet(self) -> None:
        """The first identity check; trouble is kept in ``status()`` and met again at the next
        use."""
        try:
            async with asyncio.timeout(_FIRST_MEETING):
                await self._identity.confirm()
        except TimeoutError:
            self._standing.unreachable(f"did not answer within {_FIRST_MEETING:.0f} seconds")
        except (ClusterUnavailable, ClusterRefused):
            return

    # --- reading --------------------------------------------------------------------------

    async def get(self, resource: Resource, id: ObjectId) -> LiveObject | None:
        return await self._fetch(resource, id)

    async def facts(self) -> ClusterFacts:
        await self._known()
        return await self._discovery.facts()

    async def resource(self, group: str, kind: str, version: str = "") -> Resource | None:
        return await self._discovery.resource(group, kind, version)

    async def schema(self, group: str, version: str, kind: str) -> Mapping[str, Any] | None:
        return await self._discovery.schema(group, version, kind)

    async def document(self, group: str, version: str) -> Mapping[str, Any] | None:
        return await self._discovery.document(group, version)

    def forget(self) -> None:
        """Kinds and schemas are asked for again at the next question."""
        self._discovery.forget()

    # --- writing --------------------------------------------------------------------------

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
        await self._known()
        query = [("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")]
        if force:
            query.append(("force", "true"))
        call = Call(
            "PATCH",
            single(resource, id),
            (*query, *_dry(dry_run)),
            body=body,
            content_type=_APPLY,
            run_as=run_as,
            writes=not dry_run,
            about=id,
        )
        reply = await self._transport.send(call)
        told = hold(resource, reply.json())
        if not dry_run:
            self._wrote(resource, told)
        return Written(told, reply.code == 201, warnings(reply.warnings, call.context))

    async def delete(
        self, resource: Resource, id: ObjectId, *, uid: str, dry_run: bool = False, run_as: str = ""
    ) -> None:
        await self._known()
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        if dry_run:
            options["dryRun"] = ["All"]
        await self._transport.send(
            Call(
                "DELETE",
                single(resource, id),
                _dry(dry_run),
                body=orjson.dumps(options),
                run_as=run_as,
                writes=not dry_run,
                about=id,
            )
        )
        if id.kind in _DEFINES_KINDS and not dry_run:
            self._discovery.forget()

    # --- underneath -----------------------------------------------------------------------

    async def _known(self) -> None:
        """Nothing is written to, or said about, a cluster whose identity is not known."""
        if not self._standing.uid:
            await self._identity.confirm()
        self._standing.require_same()

    async def _fetch(self, resource: Resource, id: ObjectId) -> HeldObject | None:
        """A quorum read. None only if the server says that this object, or its whole kind, is
        not there; any other 404 is somebody else's page."""
        call = Call("GET", single(resource, id), about=id)
        try:
            reply = await self._transport.send(call)
        except NotFound as missing:
            if isinstance(missing, Missing) and missing.said_of == id.name:
                return None
            if await self._discovery.now(resource) is None:
                return None
            raise ClusterUnavailable(
                f"{resource.kind} is not served as {resource.version} at this address",
                hint="its version changed, or a proxy answers instead of the API server",
                place=str(id),
            ) from missing
        return hold(resource, reply.json())

    async def _keep(self, method: str, resource: Resource, id: ObjectId, body: bytes) -> HeldObject:
        """POST or PUT of an object of our own (an inventory, its namespace)."""
        await self._known()
        path = collection(resource, id.namespace) if method == "POST" else single(resource, id)
        query = (("fieldManager", FIELD_MANAGER),)
        call = Call(method, path, query, body=body, writes=True, about=id)
        return hold(resource, (await self._transport.send(call)).json())

    def _wrote(self, resource: Resource, told: HeldObject) -> None:
        if told.id.kind in _DEFINES_KINDS:
            self._discovery.forget()
        self._live.learn(resource, told)


def _dry(dry_run: bool) -> tuple[tuple[str, str], ...]:
    return (("dryRun", "All"),) if dry_run else ()


if TYPE_CHECKING:

    def _plays(cluster: KubeCluster) -> Cluster:
        return cluster

    def _attends(cluster: KubeCluster) -> Attending:
        return cluster

    def _is_looked_into(cluster: KubeCluster) -> Inspecting:
        return cluster
