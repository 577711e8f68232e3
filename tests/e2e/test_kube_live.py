"""The live view against a real API server: what it sees, what it never believes, what it costs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from gitops.errors import ClusterRefused, NotFound
from gitops.kube.cluster import KubeCluster
from gitops.model.cluster import LiveEvent, LiveEventKind, Resource, Written
from gitops.model.manifest import ObjectId
from gitops.sandbox import lifecycle
from gitops.sandbox.layout import SandboxInfo
from tests.e2e.kube_support import (
    CONFIG_MAP,
    CRD,
    SECRET,
    id_of,
    make_namespace,
    put,
    reach_sandbox,
    until,
)

pytestmark = pytest.mark.e2e


@pytest.fixture
async def writer(sandbox: SandboxInfo) -> AsyncIterator[KubeCluster]:
    """Somebody else: what it does reaches ``watcher`` by its watches alone."""
    made = await reach_sandbox(sandbox)
    yield made
    await made.close()


@pytest.fixture
async def watcher(sandbox: SandboxInfo) -> AsyncIterator[KubeCluster]:
    made = await reach_sandbox(sandbox)
    yield made
    await made.close()


@pytest.fixture
async def home(writer: KubeCluster, namespace: str) -> str:
    await make_namespace(writer, namespace)
    return namespace


async def test_what_exists_is_there_when_follow_returns(
    writer: KubeCluster, watcher: KubeCluster, home: str
) -> None:
    mine, other = id_of(CONFIG_MAP, home, "mine"), id_of(CONFIG_MAP, home, "unlabelled")
    await put(writer, CONFIG_MAP, mine, home, data={"x": "1"})
    await put(writer, CONFIG_MAP, other, data={"x": "1"})
    await watcher.live.follow([CONFIG_MAP, SECRET])
    owned = watcher.live.owned(home)
    assert list(owned) == [mine]
    assert owned[mine].body["data"] == {"x": "1"}
    assert owned[mine].body["kind"] == "ConfigMap"
    assert owned[mine].body["apiVersion"] == "v1"
    assert owned[mine].application == home
    assert owned[mine].body["metadata"]["managedFields"]


async def test_creating_editing_and_deleting_are_seen_in_order(
    writer: KubeCluster, watcher: KubeCluster, home: str
) -> None:
    await watcher.live.follow([CONFIG_MAP])
    events = _of(watcher.live.events(), home)
    id = id_of(CONFIG_MAP, home, "a")
    made = await put(writer, CONFIG_MAP, id, home, data={"x": "1"})
    assert (await anext(events)).object.resource_version == made.object.resource_version
    edited = await put(writer, CONFIG_MAP, id, home, data={"x": "2"})
    assert (await anext(events)).object.resource_version == edited.object.resource_version
    await writer.delete(CONFIG_MAP, id, uid=made.object.uid)
    last = await anext(events)
    assert last.kind is LiveEventKind.DELETED
    assert last.object.body["data"] == {"x": "2"}
    assert watcher.live.owned(home) == {}


async def test_a_label_taken_off_is_a_change_and_no_deletion(
    writer: KubeCluster, watcher: KubeCluster, home: str
) -> None:
    await watcher.live.follow([CONFIG_MAP])
    events = _of(watcher.live.events(), home)
    id = id_of(CONFIG_MAP, home, "a")
    await put(writer, CONFIG_MAP, id, home)
    assert (await anext(events)).object.application == home
    await put(writer, CONFIG_MAP, id)
    seen = await anext(events)
    assert seen.kind is LiveEventKind.CHANGED
    assert seen.object.application == ""
    assert watcher.live.owned(home) == {}


async def test_an_object_that_changes_its_application_moves_with_it(
    writer: KubeCluster, watcher: KubeCluster, home: str
) -> None:
    await watcher.live.follow([CONFIG_MAP])
    id = id_of(CONFIG_MAP, home, "a")
    await put(writer, CONFIG_MAP, id, f"{home}-one")
    await until(lambda: watcher.live.owned(f"{home}-one"))
    await put(writer, CONFIG_MAP, id, f"{home}-two")
    await until(lambda: watcher.live.owned(f"{home}-two"))
    assert watcher.live.owned(f"{home}-one") == {}


async def test_deleted_and_made_again_is_the_new_object(
    writer: KubeCluster, watcher: KubeCluster, home: str
) -> None:
    await watcher.live.follow([CONFIG_MAP])
    id = id_of(CONFIG_MAP, home, "a")
    first = await put(writer, CONFIG_MAP, id, home)
    await writer.delete(CONFIG_MAP, id, uid=first.object.uid)
    second = await put(writer, CONFIG_MAP, id, home)
    await until(
        lambda: (found := watcher.live.owned(home).get(id)) and found.uid == second.object.uid
    )


async def test_an_own_write_is_known_when_apply_returns(watcher: KubeCluster, home: str) -> None:
    await make_namespace(watcher, home)
    await watcher.live.follow([CONFIG_MAP])
    events = _of(watcher.live.events(), home)
    id = id_of(CONFIG_MAP, home, "a")
    written = await put(watcher, CONFIG_MAP, id, home, data={"x": "1"})
    known = watcher.live.owned(home)[id]
    assert known.resource_version == written.object.resource_version
    await put(watcher, CONFIG_MAP, id, home, data={"x": "2"}, dry_run=True)
    assert watcher.live.owned(home)[id].body["data"] == {"x": "1"}  # a dry-run is not live
    await put(watcher, CONFIG_MAP, id_of(CONFIG_MAP, home, "b"), home)
    seen = [(await anext(events)).object.id.name for _ in range(2)]
    assert seen == ["a", "b"]  # each once, though the watch tells of it again


async def test_more_objects_than_a_page_are_all_listed_and_stay_small(
    writer: KubeCluster, sandbox: SandboxInfo, home: str
) -> None:
    ids = [id_of(CONFIG_MAP, home, f"c{n}") for n in range(1_050)]
    await asyncio.gather(
        *(put(writer, CONFIG_MAP, id, home, data={"k": "v" * 2_000}) for id in ids)
    )
    told = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.e2e.kube_memory", str(sandbox.kubeconfig), home],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    count, kib = (int(part) for part in told.stdout.split())
    assert count == 1_050
    assert kib < 24 * 1024  # 2.1 MB of values, their JSON, and one page of 500 while listing


@pytest.mark.xdist_group("sandboxes")
async def test_a_quiet_cluster_is_asked_nothing_but_to_renew_watches(
    tools: Any, tmp_path: Path
) -> None:
    # A control plane of its own: its audit log must hold nobody else's requests.
    tools.path("kube-apiserver")
    quiet = lifecycle.start("quiet", tmp_path, tools.toolbox, owner=os.getpid())
    watcher = await reach_sandbox(quiet, watch_seconds=2)
    try:
        await put(watcher, CONFIG_MAP, id_of(CONFIG_MAP, "default", "a"), "a")
        await watcher.live.follow([CONFIG_MAP, SECRET])
        begun = _requests(quiet)
        for _ in range(10):
            await watcher.live.follow([CONFIG_MAP, SECRET])
            assert watcher.live.owned("a")
            assert watcher.status()
            await asyncio.sleep(0.5)
        since = _requests(quiet)[len(begun) :]
        assert since, "the watches were renewed at least once"
        assert all("watch=1" in uri for uri in since), since
    finally:
        await watcher.close()
        lifecycle.stop("quiet", tmp_path)


async def test_a_kind_nobody_serves_is_said_and_stops_no_other(
    writer: KubeCluster, watcher: KubeCluster, home: str
) -> None:
    thing = Resource("example.com", "v1", "Thing", "things", True)
    with pytest.raises(NotFound, match="Thing"):
        await watcher.live.follow([CONFIG_MAP, thing])
    await put(writer, CONFIG_MAP, id_of(CONFIG_MAP, home, "a"), home)
    await until(lambda: watcher.live.owned(home))


async def test_a_kind_we_may_not_list_is_said_and_tried_again_once_we_may(
    sandbox: SandboxInfo, writer: KubeCluster, home: str, tmp_path: Path
) -> None:
    role = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False)
    binding = Resource(role.group, "v1", "ClusterRoleBinding", "clusterrolebindings", False)
    await _grant(writer, role, binding, home, [{"apiGroups": [""], "resources": ["namespaces"],
                                                "verbs": ["get"]}])  # fmt: skip
    kubeconfig = tmp_path / "ordinary"
    text = sandbox.kubeconfig.read_text().replace(sandbox.token, sandbox.ordinary_token)
    kubeconfig.write_text(text)
    ordinary = await reach_sandbox(sandbox, kubeconfig=kubeconfig)
    try:
        with pytest.raises(ClusterRefused, match="cannot list") as caught:
            await ordinary.live.follow([CONFIG_MAP])
        assert caught.value.code == 403
        await _grant(writer, role, binding, home, [
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
        ])  # fmt: skip
        async with asyncio.timeout(20):
            while True:
                try:
                    await ordinary.live.follow([CONFIG_MAP])
                    break
                except ClusterRefused:
                    await asyncio.sleep(0.1)
    finally:
        await ordinary.close()


async def test_a_deleted_definition_takes_its_objects_with_it_and_says_so(
    writer: KubeCluster, watcher: KubeCluster, home: str
) -> None:
    group = f"{home}.example.com"
    definition = ObjectId(CRD.group, CRD.kind, "", f"gears.{group}")
    made = await put(writer, CRD, definition, spec=_versions(group, "v1"))
    gear = await _served(writer, group, "Gear")
    id = id_of(gear, home, "g")
    await _insist(writer, gear, id, home)
    await watcher.live.follow([gear])
    events = _of(watcher.live.events(), home)
    assert id in watcher.live.owned(home)
    await writer.delete(CRD, definition, uid=made.object.uid)
    async with asyncio.timeout(30):
        while (await anext(events)).kind is not LiveEventKind.DELETED:
            pass
    assert watcher.live.owned(home) == {}


async def test_a_kind_that_moves_to_another_version_loses_no_object(
    writer: KubeCluster, sandbox: SandboxInfo, home: str
) -> None:
    group = f"{home}.example.com"
    definition = ObjectId(CRD.group, CRD.kind, "", f"gears.{group}")
    await put(writer, CRD, definition, spec=_versions(group, "v1"))
    gear = await _served(writer, group, "Gear")
    id = id_of(gear, home, "g")
    await _insist(writer, gear, id, home)
    watcher = await reach_sandbox(sandbox, watch_seconds=2)
    try:
        await watcher.live.follow([gear])
        events = watcher.live.events()
        both = _versions(group, "v1", "v2", stored="v2")
        both["versions"][0]["served"] = False  # type: ignore[index]
        await put(writer, CRD, definition, spec=both, force=True)
        await until(lambda: watcher.live.owned(home)[id].version == "v2", 30)
        told = [await anext(events)]
        assert all(event.kind is LiveEventKind.CHANGED for event in told)
    finally:
        await watcher.close()


async def _grant(
    writer: KubeCluster, role: Resource, binding: Resource, name: str, rules: list[object]
) -> None:
    await put(writer, role, id_of(role, "", name), rules=rules)
    await put(
        writer, binding, id_of(binding, "", name),
        roleRef={"apiGroup": role.group, "kind": "ClusterRole", "name": name},
        subjects=[{"kind": "User", "apiGroup": role.group, "name": "sandbox-user"}],
    )  # fmt: skip
    await asyncio.sleep(0.5)


async def _of(events: AsyncIterator[LiveEvent], namespace: str) -> AsyncIterator[LiveEvent]:
    """Other tests share the cluster."""
    while True:
        async with asyncio.timeout(20):
            event = await anext(events)
        if event.object.id.namespace == namespace:
            yield event


async def _served(cluster: KubeCluster, group: str, kind: str) -> Resource:
    async with asyncio.timeout(20):
        while (found := await cluster.resource(group, kind)) is None:
            cluster.forget()
            await asyncio.sleep(0.05)
        return found


async def _insist(cluster: KubeCluster, resource: Resource, id: ObjectId, app: str) -> Written:
    """Discovery knows a new kind a moment before its storage does."""
    async with asyncio.timeout(20):
        while True:
            with suppress(NotFound):
                return await put(cluster, resource, id, app)
            await asyncio.sleep(0.05)


def _versions(group: str, *names: str, stored: str = "") -> dict[str, object]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = [
        {"name": name, "served": True, "storage": name == (stored or names[0]),
         "schema": {"openAPIV3Schema": schema}}
        for name in names
    ]  # fmt: skip
    kinds = {"kind": "Gear", "plural": "gears", "singular": "gear"}
    return {"group": group, "scope": "Namespaced", "names": kinds, "versions": versions}


def _requests(sandbox: SandboxInfo) -> list[str]:
    """What the API server itself says we asked, in order."""
    asked = []
    for line in sandbox.audit_log.read_bytes().splitlines():
        event = orjson.loads(line)
        ours = event.get("userAgent", "").startswith("gitops-controller")
        if ours and event["stage"] in {"ResponseStarted", "ResponseComplete"}:
            asked.append(event["requestURI"])
    return asked
