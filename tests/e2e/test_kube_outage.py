"""API server gone, frozen, replaced, restored from a backup; credentials that are given and taken.

These tests stop and replace the API server, so they run a control plane of their own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from gitops.errors import (
    AnswerLost,
    ClusterRefused,
    ClusterUnavailable,
    ConfigError,
)
from gitops.kube.access import PodSettings
from gitops.kube.cluster import KubeCluster, connect
from gitops.model.cluster import ClusterState, LiveEventKind, Resource
from gitops.model.fleet import ClusterSpec
from gitops.model.ids import TargetName
from gitops.sandbox import lifecycle
from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.recipes import CONTROL_PLANE
from tests.e2e.kube_support import (
    CONFIG_MAP,
    RealClock,
    id_of,
    make_namespace,
    put,
    reach_sandbox,
    spec_of,
    until,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def own(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxInfo]:
    for name in CONTROL_PLANE:
        tools.path(name)
    state = tmp_path_factory.mktemp("outage")
    yield lifecycle.start("outage", state, tools.toolbox, owner=os.getpid())
    lifecycle.stop("outage", state)


@pytest.fixture
async def cluster(own: SandboxInfo) -> AsyncIterator[KubeCluster]:
    made = await reach_sandbox(own)
    yield made
    await made.close()


@pytest.fixture
async def home(cluster: KubeCluster, namespace: str) -> str:
    await make_namespace(cluster, namespace)
    return namespace


async def test_a_server_that_goes_and_comes_back_is_followed_on_without_a_deletion(
    own: SandboxInfo, cluster: KubeCluster, home: str
) -> None:
    ids = [id_of(CONFIG_MAP, home, name) for name in ("a", "b")]
    for id in ids:
        await put(cluster, CONFIG_MAP, id, home, data={"x": "1"})
    await cluster.live.follow([CONFIG_MAP])
    events = cluster.live.events()
    await asyncio.to_thread(lifecycle.stop_apiserver, own)
    await until(lambda: cluster.status().state is ClusterState.UNREACHABLE)
    assert set(cluster.live.owned(home)) == set(ids)
    with pytest.raises(ClusterUnavailable, match="refuses connections"):
        await put(cluster, CONFIG_MAP, ids[0], home, data={"x": "2"})
    await asyncio.to_thread(lifecycle.start_apiserver, own)
    await until(lambda: cluster.status().state is ClusterState.READY, 60)
    other = await reach_sandbox(own)
    await put(other, CONFIG_MAP, ids[0], home, data={"x": "3"})
    await other.close()
    async with asyncio.timeout(30):
        event = await anext(events)
        while event.object.id != ids[0]:
            event = await anext(events)
    assert event.kind is LiveEventKind.CHANGED
    assert event.object.body["data"] == {"x": "3"}
    assert set(cluster.live.owned(home)) == set(ids)


async def test_a_frozen_server_makes_a_write_lost_not_failed(
    own: SandboxInfo, cluster: KubeCluster, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = id_of(CONFIG_MAP, home, "a")
    await put(cluster, CONFIG_MAP, id, home, data={"x": "1"})
    _impatient(monkeypatch, 1.0)
    await asyncio.to_thread(lifecycle.pause, own)
    try:
        with pytest.raises(AnswerLost, match="may have happened"):
            await put(cluster, CONFIG_MAP, id, home, data={"x": "2"})
    finally:
        await asyncio.to_thread(lifecycle.resume, own)
    monkeypatch.undo()
    await until(lambda: True)
    read = await cluster.get(CONFIG_MAP, id)  # the server woke up and had it after all, or not
    assert read is not None
    assert read.body["data"]["x"] in {"1", "2"}


async def test_a_restored_backup_is_read_again_and_objects_are_not_declared_deleted_by_it(
    own: SandboxInfo, home: str, tools: Any, tmp_path: Path
) -> None:
    """etcd's data folder is copied, history goes on, then the copy takes its place."""
    cluster = await reach_sandbox(own)
    kept, later = id_of(CONFIG_MAP, home, "kept"), id_of(CONFIG_MAP, home, "later")
    try:
        await put(cluster, CONFIG_MAP, kept, home, data={"x": "old"})
        await cluster.live.follow([CONFIG_MAP])
        backup = await asyncio.to_thread(_stop_and_copy_etcd, own, tmp_path)
        await until(lambda: cluster.status().state is ClusterState.READY, 60)
        await put(cluster, CONFIG_MAP, kept, home, data={"x": "new"})
        await put(cluster, CONFIG_MAP, later, home, data={"x": "new"})
        await asyncio.to_thread(_restore_etcd, own, backup)
        await until(lambda: cluster.live.owned(home)[kept].body["data"] == {"x": "old"}, 60)
        await until(lambda: later not in cluster.live.owned(home), 30)  # a GET said so
    finally:
        await cluster.close()


async def test_another_cluster_at_the_same_address_stops_every_write(
    own: SandboxInfo, home: str
) -> None:
    cluster = await reach_sandbox(own)
    try:
        uid = cluster._standing.uid
        cluster._standing._uid = "the uid of the cluster that was here before"
        with pytest.raises(ClusterRefused, match="another cluster"):
            await cluster._identity.confirm()
        assert cluster.status().state is ClusterState.CHANGED
        assert uid in cluster.status().message
        with pytest.raises(ClusterRefused, match="another cluster"):
            await put(cluster, CONFIG_MAP, id_of(CONFIG_MAP, home, "a"), dry_run=True)
        with pytest.raises(ClusterRefused, match="another cluster"):
            await cluster.delete(CONFIG_MAP, id_of(CONFIG_MAP, home, "a"), uid="x")
    finally:
        await cluster.close()


async def test_an_extension_that_does_not_answer_takes_no_other_kind_with_it(
    cluster: KubeCluster, home: str
) -> None:
    service = Resource("apiregistration.k8s.io", "v1", "APIService", "apiservices", False)
    dead = id_of(service, "", "v1.dead.example.com")
    made = await put(cluster, service, dead, spec={
        "group": "dead.example.com", "version": "v1", "groupPriorityMinimum": 100,
        "versionPriority": 100, "insecureSkipTLSVerify": True,
        "service": {"namespace": home, "name": "nobody"},
    })  # fmt: skip
    try:
        refused = await _eventually_unavailable(cluster, "dead.example.com", "Ghost")
        assert "dead.example.com" in str(refused)
        assert await cluster.resource("apps", "Deployment") is not None
        assert await cluster.resource("", "Nonsense") is None
        ghost = Resource("dead.example.com", "v1", "Ghost", "ghosts", True)
        with pytest.raises(ClusterUnavailable):
            await cluster.get(ghost, id_of(ghost, home, "g"))
        with pytest.raises(ClusterUnavailable):
            await cluster.live.follow([ghost])
    finally:
        await cluster.delete(service, dead, uid=made.object.uid)


async def test_a_service_account_outside_a_pod_connects_as_itself_and_its_token_is_read_again(
    own: SandboxInfo, cluster: KubeCluster, home: str, tools: Any, tmp_path: Path
) -> None:
    account = Resource("", "v1", "ServiceAccount", "serviceaccounts", True)
    role = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False)
    binding = Resource(role.group, "v1", "ClusterRoleBinding", "clusterrolebindings", False)
    await put(cluster, account, id_of(account, home, "controller"))
    await put(cluster, role, id_of(role, "", home), rules=[
        {"apiGroups": [""], "resources": ["namespaces", "configmaps"],
         "verbs": ["get", "list", "watch", "create", "patch"]},
    ])  # fmt: skip
    await put(
        cluster, binding, id_of(binding, "", home),
        roleRef={"apiGroup": role.group, "kind": "ClusterRole", "name": home},
        subjects=[{"kind": "ServiceAccount", "name": "controller", "namespace": home}],
    )  # fmt: skip
    pod = _mount(own, tools, home, tmp_path)
    spec = ClusterSpec(TargetName("here"), in_cluster=True)
    await asyncio.sleep(1)
    inside = await connect(spec, clock=RealClock(), sandbox_kubeconfig=Path, pod=pod)
    try:
        assert inside.status().state is ClusterState.READY
        made = await put(inside, CONFIG_MAP, id_of(CONFIG_MAP, home, "a"), home)
        assert made.created
        with pytest.raises(ClusterRefused, match=f"system:serviceaccount:{home}:controller"):
            await inside.delete(CONFIG_MAP, made.object.id, uid=made.object.uid)
    finally:
        await inside.close()


async def test_not_being_in_a_pod_is_said(tmp_path: Path) -> None:
    spec = ClusterSpec(TargetName("here"), in_cluster=True)
    pod = PodSettings(mount=tmp_path, environ={})
    with pytest.raises(ConfigError, match="pod"):
        await connect(spec, clock=RealClock(), sandbox_kubeconfig=Path, pod=pod)


async def test_a_wrong_ca_is_refused_by_name_and_not_retried(
    own: SandboxInfo, tmp_path: Path
) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=other", "-keyout", tmp_path / "key", "-out", tmp_path / "ca.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    cluster = await _with_kubeconfig(
        own, tmp_path, lambda config: _cluster_of(config).update(
            {"certificate-authority": "ca.crt"}
        ),
    )  # fmt: skip
    try:
        assert cluster.status().state is ClusterState.REFUSED
        assert "certificate" in cluster.status().message
        with pytest.raises(ClusterRefused, match="certificate"):
            await cluster.facts()
    finally:
        await cluster.close()


async def test_a_wrong_token_is_refused_by_name(own: SandboxInfo, tmp_path: Path) -> None:
    cluster = await _with_kubeconfig(
        own, tmp_path, lambda config: config["users"][0].update({"user": {"token": "stale"}})
    )
    try:
        assert cluster.status().state is ClusterState.REFUSED
        assert "401" in cluster.status().message
        assert "stale" not in cluster.status().message
    finally:
        await cluster.close()


async def test_skipping_tls_verification_is_refused(own: SandboxInfo, tmp_path: Path) -> None:
    def insecure(config: dict[str, Any]) -> None:
        cluster = _cluster_of(config)
        cluster["insecure-skip-tls-verify"] = True

    with pytest.raises(ConfigError, match="insecure-skip-tls-verify"):
        await _with_kubeconfig(own, tmp_path, insecure)


async def test_plain_http_to_another_machine_is_refused(own: SandboxInfo, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in clear"):
        await _with_kubeconfig(
            own, tmp_path, lambda c: _cluster_of(c).update(server="http://192.0.2.1:6443")
        )


async def test_a_token_of_a_plugin_is_used_and_a_silent_plugin_is_named(
    own: SandboxInfo, tmp_path: Path
) -> None:
    plugin = tmp_path / "plugin"
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": own.token},
    }  # fmt: skip
    plugin.write_text(f"#!/bin/sh\necho '{orjson.dumps(answer).decode()}'\n")
    plugin.chmod(0o700)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    cluster = await _with_kubeconfig(own, tmp_path, lambda c: c["users"][0].update(user=user))
    assert cluster.status().state is ClusterState.READY
    await cluster.close()
    plugin.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ClusterUnavailable, match="plugin"):
        await _with_kubeconfig(own, tmp_path, lambda c: c["users"][0].update(user=user))


async def test_proxies_of_the_environment_are_not_used(
    own: SandboxInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    cluster = await reach_sandbox(own)
    assert cluster.status().state is ClusterState.READY
    await cluster.close()


async def test_a_missing_kubeconfig_and_an_unknown_context_name_themselves(
    own: SandboxInfo, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no kubeconfig"):
        await reach_sandbox(own, kubeconfig=tmp_path / "none")
    spec = spec_of(own, kubeconfig=own.kubeconfig, context="nowhere")
    with pytest.raises(ConfigError, match="nowhere"):
        await reach_sandbox(own, spec)


async def _eventually_unavailable(
    cluster: KubeCluster, group: str, kind: str
) -> ClusterUnavailable:
    """The API server takes a moment to find out that an extension is dead."""
    async with asyncio.timeout(30):
        while True:
            cluster.forget()
            try:
                await cluster.resource(group, kind)
            except ClusterUnavailable as told:
                return told
            await asyncio.sleep(0.1)


def _impatient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    from gitops.kube import cluster as module

    def quick(*parts: Any, **more: Any) -> Any:
        return replace(original(*parts, **more), seconds=seconds)

    original = module.Call
    monkeypatch.setattr(module, "Call", quick)


def _stop_and_copy_etcd(own: SandboxInfo, into: Path) -> Path:
    from gitops.sandbox import control

    control.ask(own.folder, "stop", ["kube-apiserver", "etcd"])
    backup = into / "etcd"
    subprocess.run(["cp", "-a", own.folder / "etcd", backup], check=True)
    control.ask(own.folder, "start", ["etcd"])
    lifecycle.start_apiserver(own)
    return backup


def _restore_etcd(own: SandboxInfo, backup: Path) -> None:
    from gitops.sandbox import control

    control.ask(own.folder, "stop", ["kube-apiserver", "etcd"])
    subprocess.run(["rm", "-rf", own.folder / "etcd"], check=True)
    subprocess.run(["cp", "-a", backup, own.folder / "etcd"], check=True)
    control.ask(own.folder, "start", ["etcd"])
    lifecycle.start_apiserver(own)


def _mount(own: SandboxInfo, tools: Any, namespace: str, folder: Path) -> PodSettings:
    """What the kubelet would give a pod of that account."""
    token = subprocess.run(
        [tools.path("kubectl"), "--kubeconfig", own.kubeconfig, "-n", namespace,
         "create", "token", "controller"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    (folder / "token").write_bytes(token)
    (folder / "ca.crt").write_bytes(own.ca_file.read_bytes())
    host, _, port = own.url.removeprefix("https://").partition(":")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    return PodSettings(mount=folder, environ=environ)


def _cluster_of(config: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = config["clusters"][0]["cluster"]
    entry.pop("certificate-authority-data", None)
    return entry


async def _with_kubeconfig(
    own: SandboxInfo, folder: Path, edit: Callable[[dict[str, Any]], object]
) -> KubeCluster:
    import yaml

    config = yaml.safe_load(own.kubeconfig.read_text())
    edit(config)
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return await reach_sandbox(own, kubeconfig=path)
