"""What the Kubernetes adapter's tests share: a clock, a connection, small manifests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from gitops.kube.access import IN_POD, PodSettings
from gitops.kube.cluster import KubeCluster, connect
from gitops.model.cluster import OWNER_LABEL, Resource, Written
from gitops.model.fleet import ClusterSpec
from gitops.model.ids import TargetName
from gitops.model.manifest import ObjectId
from gitops.sandbox.layout import SandboxInfo

CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)
SECRET = Resource("", "v1", "Secret", "secrets", True)
NAMESPACE = Resource("", "v1", "Namespace", "namespaces", False)
DEPLOYMENT = Resource("apps", "v1", "Deployment", "deployments", True)
CRD = Resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False
)


class RealClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def spec_of(sandbox: SandboxInfo, **more: Any) -> ClusterSpec:
    return replace(ClusterSpec(TargetName("target"), sandbox=sandbox.name), **more)


async def reach_sandbox(
    sandbox: SandboxInfo,
    spec: ClusterSpec | None = None,
    *,
    kubeconfig: Path | None = None,
    pod: PodSettings = IN_POD,
    watch_seconds: int = 290,
) -> KubeCluster:
    return await connect(
        spec or spec_of(sandbox),
        clock=RealClock(),
        sandbox_kubeconfig=lambda name: kubeconfig or sandbox.kubeconfig,
        pod=pod,
        watch_seconds=watch_seconds,
    )


def id_of(resource: Resource, namespace: str, name: str) -> ObjectId:
    return ObjectId(resource.group, resource.kind, namespace, name)


def body_of(resource: Resource, id: ObjectId, app: str = "", **more: Any) -> bytes:
    """A manifest; ``metadata`` among ``more`` is merged into the usual one."""
    metadata: dict[str, Any] = {"name": id.name, **more.pop("metadata", {})}
    if id.namespace:
        metadata["namespace"] = id.namespace
    if app:
        metadata["labels"] = {OWNER_LABEL: app, **metadata.get("labels", {})}
    version = f"{resource.group}/{resource.version}" if resource.group else resource.version
    whole = {"apiVersion": version, "kind": resource.kind, "metadata": metadata, **more}
    return orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)


async def put(
    cluster: KubeCluster,
    resource: Resource,
    id: ObjectId,
    app: str = "",
    *,
    dry_run: bool = False,
    force: bool = False,
    run_as: str = "",
    **more: Any,
) -> Written:
    body = body_of(resource, id, app, **more)
    return await cluster.apply(resource, id, body, dry_run=dry_run, force=force, run_as=run_as)


async def make_namespace(cluster: KubeCluster, name: str) -> None:
    await put(cluster, NAMESPACE, ObjectId("", "Namespace", "", name))


def deployment_spec(app: str, replicas: int = 1) -> dict[str, Any]:
    labels = {"app": app}
    containers = [{"name": "c", "image": "registry.invalid/c:1"}]
    return {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    }


async def until(what: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Waits for a condition, at most that long, and gives its value."""
    async with asyncio.timeout(seconds):
        while not (value := what()):
            await asyncio.sleep(0.02)
        return value
