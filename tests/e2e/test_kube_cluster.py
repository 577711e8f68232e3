"""Every answer of a real API server becomes the error or value the engine is promised."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from gitops.errors import (
    ClusterRefused,
    ConfigError,
    FieldConflict,
    Immutable,
    NotFound,
    ObjectMoved,
)
from gitops.kube.cluster import KubeCluster
from gitops.model.cluster import ClusterState, Resource
from gitops.model.manifest import ObjectId
from gitops.sandbox.layout import SandboxInfo
from tests.e2e.kube_support import (
    CONFIG_MAP,
    CRD,
    DEPLOYMENT,
    NAMESPACE,
    SECRET,
    body_of,
    deployment_spec,
    id_of,
    make_namespace,
    put,
    reach_sandbox,
    spec_of,
)

pytestmark = pytest.mark.e2e

CANARY = "canary-7f3a91"


@pytest.fixture
async def cluster(sandbox: SandboxInfo) -> AsyncIterator[KubeCluster]:
    made = await reach_sandbox(sandbox)
    yield made
    await made.close()


@pytest.fixture
async def home(cluster: KubeCluster, namespace: str) -> str:
    await make_namespace(cluster, namespace)
    return namespace


async def test_a_cluster_says_who_it_is_and_what_it_serves(cluster: KubeCluster) -> None:
    facts = await cluster.facts()
    kube_system = await cluster.get(NAMESPACE, ObjectId("", "Namespace", "", "kube-system"))
    assert kube_system is not None
    assert facts.uid == kube_system.uid
    assert facts.version == "v1.35.4"
    assert {"v1", "apps/v1", "v1/ConfigMap", "apps/v1/Deployment"} <= set(facts.api_versions)
    assert cluster.status().state is ClusterState.READY


async def test_kinds_are_found_with_and_without_a_version(cluster: KubeCluster) -> None:
    assert await cluster.resource("apps", "Deployment") == DEPLOYMENT
    assert await cluster.resource("", "Namespace", "v1") == NAMESPACE
    assert await cluster.resource("apps", "Deployment", "v9") is None
    assert await cluster.resource("nowhere.io", "Thing") is None


async def test_schemas_come_from_the_target_itself(cluster: KubeCluster) -> None:
    schema = await cluster.schema("apps", "v1", "Deployment")
    assert schema is not None
    assert {"spec", "status", "metadata"} <= set(schema["properties"])
    document = await cluster.document("apps", "v1")
    assert document is not None
    assert "io.k8s.api.apps.v1.DeploymentSpec" in document["components"]["schemas"]
    assert await cluster.schema("apps", "v1", "Nothing") is None
    assert await cluster.document("nowhere.io", "v1") is None


async def test_apply_creates_once_and_a_repetition_moves_nothing(
    cluster: KubeCluster, home: str
) -> None:
    id = id_of(CONFIG_MAP, home, "a")
    first = await put(cluster, CONFIG_MAP, id, data={"x": "1"})
    again = await put(cluster, CONFIG_MAP, id, data={"x": "1"})
    assert first.created
    assert not again.created
    assert again.object.resource_version == first.object.resource_version
    assert first.object.body["metadata"]["managedFields"][0]["manager"] == "gitops-controller"


async def test_a_dry_run_shows_the_result_and_writes_nothing(
    cluster: KubeCluster, home: str
) -> None:
    id = id_of(DEPLOYMENT, home, "web")
    shown = await put(cluster, DEPLOYMENT, id, dry_run=True, spec=deployment_spec("web"))
    assert shown.created
    assert shown.object.body["spec"]["strategy"]["type"] == "RollingUpdate"  # a server default
    assert await cluster.get(DEPLOYMENT, id) is None


async def test_a_conflict_names_the_other_manager_and_the_field(
    cluster: KubeCluster, home: str, sandbox: SandboxInfo, tools: object
) -> None:
    id = id_of(DEPLOYMENT, home, "web")
    await put(cluster, DEPLOYMENT, id, spec=deployment_spec("web", 1))
    _kubectl(tools, sandbox, "-n", home, "scale", "deployment/web", "--replicas=3")
    with pytest.raises(FieldConflict) as caught:
        await put(cluster, DEPLOYMENT, id, dry_run=True, spec=deployment_spec("web", 2))
    assert [field for _, field in caught.value.conflicts] == [".spec.replicas"]
    assert caught.value.conflicts[0][0] == "kubectl"
    taken = await put(cluster, DEPLOYMENT, id, force=True, spec=deployment_spec("web", 2))
    assert taken.object.body["spec"]["replicas"] == 2


async def test_an_immutable_field_is_named(cluster: KubeCluster, home: str) -> None:
    id = id_of(DEPLOYMENT, home, "web")
    await put(cluster, DEPLOYMENT, id, spec=deployment_spec("web"))
    with pytest.raises(Immutable) as caught:
        await put(cluster, DEPLOYMENT, id, dry_run=True, spec=deployment_spec("other"))
    assert caught.value.fields == ("spec.selector",)


IMMUTABLE = {
    "an immutable ConfigMap": (
        ("", "v1", "ConfigMap", "configmaps"),
        {"immutable": True, "data": {"a": "1"}},
        {"immutable": True, "data": {"a": "2"}},
    ),
    "a Secret's type": (
        ("", "v1", "Secret", "secrets"),
        {"type": "Opaque", "data": {}},
        {"type": "example.com/other", "data": {}},
    ),
    "a StatefulSet's service": (
        ("apps", "v1", "StatefulSet", "statefulsets"),
        {"spec": {**deployment_spec("s"), "serviceName": "one"}},
        {"spec": {**deployment_spec("s"), "serviceName": "two"}},
    ),
    "a Job's template": (
        ("batch", "v1", "Job", "jobs"),
        {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "c", "image": "registry.invalid/c:1"}]}}}},
        {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "c", "image": "registry.invalid/c:2"}]}}}},
    ),
    "a claim's class": (
        ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
        {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "a",
                  "resources": {"requests": {"storage": "1Gi"}}}},
        {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "b",
                  "resources": {"requests": {"storage": "1Gi"}}}},
    ),
    "a binding's role": (
        ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
        {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"}},
        {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "b"}},
    ),
    "a Service's address": (
        ("", "v1", "Service", "services"),
        {"spec": {"ports": [{"port": 80}], "clusterIP": "10.96.200.201"}},
        {"spec": {"ports": [{"port": 80}], "clusterIP": "10.96.200.202"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IMMUTABLE)
async def test_what_only_a_replacement_changes_is_told_apart(
    cluster: KubeCluster, home: str, case: str
) -> None:
    kind, before, after = IMMUTABLE[case]
    resource = Resource(*kind, namespaced=True)
    id = id_of(resource, home, "a")
    await put(cluster, resource, id, **before)
    with pytest.raises(Immutable) as caught:
        await put(cluster, resource, id, dry_run=True, force=True, **after)
    assert caught.value.fields


async def test_an_invalid_change_is_refused_and_is_no_replacement(
    cluster: KubeCluster, home: str
) -> None:
    id = id_of(DEPLOYMENT, home, "web")
    with pytest.raises(ClusterRefused, match=r"spec\.replicas") as caught:
        await put(cluster, DEPLOYMENT, id, dry_run=True, spec=deployment_spec("web", -1))
    assert caught.value.code == 422
    assert not isinstance(caught.value, Immutable)


async def test_an_unknown_field_is_a_permanent_refusal_though_the_server_says_500(
    cluster: KubeCluster, home: str, sandbox: SandboxInfo
) -> None:
    id = id_of(CONFIG_MAP, home, "a")
    with pytest.raises(ClusterRefused, match="dataa") as caught:
        await put(cluster, CONFIG_MAP, id, dry_run=True, dataa={"x": "1"})
    assert caught.value.code == 500
    assert _audited(sandbox, f"/namespaces/{home}/configmaps/a", "patch") == 1  # not retried


@pytest.mark.parametrize(
    "wrong",
    [
        {"stringData": {"p": 7391557}},
        {"data": {"p": f"{CANARY}!"}},
        {"data": {"p": {"q": CANARY}}},
        {"stringData": {CANARY + "/": "x"}},
        {"type": f"kubernetes.io/{CANARY}", "metadata": {"annotations": {"a": 7391557}}},
        {"type": "kubernetes.io/dockerconfigjson",
         "stringData": {".dockerconfigjson": f"{{{CANARY}"}},
        {"dota": {"p": CANARY}},
    ],
)  # fmt: skip
async def test_no_refusal_of_a_secret_quotes_its_value(
    cluster: KubeCluster, home: str, wrong: dict[str, object]
) -> None:
    id = id_of(SECRET, home, "s")
    if "stringData" in wrong and CANARY + "/" in str(wrong):
        wrong = {"stringData": {"bad/key": CANARY}}  # a key is a name and may be shown
    with pytest.raises(ClusterRefused) as caught:
        await put(cluster, SECRET, id, dry_run=True, **wrong)
    assert CANARY not in str(caught.value)
    assert "7391557" not in str(caught.value)
    assert str(caught.value.__cause__ or "") == ""


async def test_nothing_is_applied_into_a_namespace_that_is_not_there(
    cluster: KubeCluster, namespace: str
) -> None:
    id = id_of(CONFIG_MAP, namespace, "a")
    with pytest.raises(NotFound, match=namespace) as caught:
        await put(cluster, CONFIG_MAP, id, dry_run=True)
    assert "create namespace" in caught.value.hint


async def test_a_kind_without_its_definition_is_not_found(cluster: KubeCluster, home: str) -> None:
    thing = Resource("example.com", "v1", "Thing", "things", True)
    with pytest.raises(NotFound, match="does not serve"):
        await put(cluster, thing, id_of(thing, home, "a"), dry_run=True)
    assert await cluster.get(thing, id_of(thing, home, "a")) is None


async def test_a_stale_resource_version_is_refused_even_under_force(
    cluster: KubeCluster, home: str
) -> None:
    id = id_of(CONFIG_MAP, home, "a")
    planned = await put(cluster, CONFIG_MAP, id, data={"x": "1"})
    await put(cluster, CONFIG_MAP, id, data={"x": "2"})
    with pytest.raises(ObjectMoved):
        await put(
            cluster, CONFIG_MAP, id, force=True, data={"x": "3"},
            metadata={"resourceVersion": planned.object.resource_version},
        )  # fmt: skip


async def test_an_object_made_again_is_not_the_one_that_was_planned(
    cluster: KubeCluster, home: str
) -> None:
    id = id_of(CONFIG_MAP, home, "a")
    planned = await put(cluster, CONFIG_MAP, id, data={"x": "1"})
    await cluster.delete(CONFIG_MAP, id, uid=planned.object.uid)
    with pytest.raises(ObjectMoved):  # gone: a resourceVersion alone would create it anew
        await put(cluster, CONFIG_MAP, id, metadata={"uid": planned.object.uid})
    await put(cluster, CONFIG_MAP, id, data={"x": "1"})
    with pytest.raises(ObjectMoved):
        await put(cluster, CONFIG_MAP, id, metadata={"uid": planned.object.uid})


async def test_resource_version_one_means_it_must_not_exist(
    cluster: KubeCluster, home: str
) -> None:
    """No object ever has it (etcd's first write is revision 2), and creating ignores it."""
    id = id_of(CONFIG_MAP, home, "a")
    absence = {"resourceVersion": "1"}
    made = await put(cluster, CONFIG_MAP, id, data={"x": "1"}, metadata=absence)
    assert made.created
    with pytest.raises(ObjectMoved):
        await put(cluster, CONFIG_MAP, id, force=True, data={"x": "2"}, metadata=absence)


async def test_a_delete_needs_the_uid_that_was_shown(cluster: KubeCluster, home: str) -> None:
    id = id_of(CONFIG_MAP, home, "a")
    made = await put(cluster, CONFIG_MAP, id)
    with pytest.raises(ObjectMoved):
        await cluster.delete(CONFIG_MAP, id, uid="00000000-0000-0000-0000-000000000000")
    await cluster.delete(CONFIG_MAP, id, uid=made.object.uid, dry_run=True)
    assert await cluster.get(CONFIG_MAP, id) is not None
    await cluster.delete(CONFIG_MAP, id, uid=made.object.uid)
    assert await cluster.get(CONFIG_MAP, id) is None
    with pytest.raises(NotFound):
        await cluster.delete(CONFIG_MAP, id, uid=made.object.uid)


async def test_a_vanishing_object_is_said_to_be_terminating(
    cluster: KubeCluster, home: str
) -> None:
    id = id_of(CONFIG_MAP, home, "a")
    held = await put(cluster, CONFIG_MAP, id, metadata={"finalizers": ["example.com/hold"]})
    await cluster.delete(CONFIG_MAP, id, uid=held.object.uid)
    answer = await put(
        cluster, CONFIG_MAP, id, data={"x": "1"}, metadata={"finalizers": ["example.com/hold"]}
    )
    assert answer.object.terminating
    await put(cluster, CONFIG_MAP, id, data={"x": "1"})  # lets the finalizer go


async def test_a_custom_resource_is_known_as_soon_as_its_definition_is(
    cluster: KubeCluster, home: str
) -> None:
    group = f"{home}.example.com"
    assert await cluster.resource(group, "Widget") is None
    definition = ObjectId(CRD.group, CRD.kind, "", f"widgets.{group}")
    await cluster.live.follow([CRD])
    await put(cluster, CRD, definition, "shop", spec=_definition(group, "Widget", "widgets"))
    await _established(cluster, definition)
    widget = await _served(cluster, group, "Widget")
    made = await put(cluster, widget, id_of(widget, home, "w"), "shop", spec={"size": 3})
    assert made.created
    document = await cluster.document(group, "v1")
    await cluster.delete(CRD, definition, uid=cluster.live.owned("shop")[definition].uid)
    assert document is None or "components" in document


async def test_a_service_account_does_only_what_it_may(cluster: KubeCluster, home: str) -> None:
    id = id_of(CONFIG_MAP, home, "a")
    with pytest.raises(ClusterRefused, match=f"system:serviceaccount:{home}:deployer") as caught:
        await put(cluster, CONFIG_MAP, id, run_as=f"{home}/deployer")
    assert caught.value.code == 403
    role = Resource("rbac.authorization.k8s.io", "v1", "Role", "roles", True)
    binding = Resource("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", True)
    await put(cluster, role, id_of(role, home, "deployer"), rules=[
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"]},
    ])  # fmt: skip
    await put(
        cluster, binding, id_of(binding, home, "deployer"),
        roleRef={"apiGroup": role.group, "kind": "Role", "name": "deployer"},
        subjects=[{"kind": "Group", "apiGroup": role.group,
                   "name": f"system:serviceaccounts:{home}"}],
    )  # fmt: skip
    made = await _soon(lambda: put(cluster, CONFIG_MAP, id, run_as=f"{home}/deployer"))
    assert made.created
    with pytest.raises(ClusterRefused):
        await put(cluster, SECRET, id_of(SECRET, home, "s"), run_as=f"{home}/deployer")


async def test_an_ordinary_user_may_not_impersonate(
    sandbox: SandboxInfo, home: str, tmp_path: Path
) -> None:
    ordinary = await reach_sandbox(sandbox, kubeconfig=_ordinary(sandbox, tmp_path))
    try:
        assert ordinary.status().state is ClusterState.REFUSED
        with pytest.raises(ClusterRefused, match="kube-system"):
            await put(ordinary, CONFIG_MAP, id_of(CONFIG_MAP, home, "a"), run_as=f"{home}/x")
    finally:
        await ordinary.close()


async def test_run_as_that_is_no_account_is_refused_before_any_request(
    cluster: KubeCluster, home: str
) -> None:
    for wrong in ("deployer", "a/b/c", "/x", "x/", "a\r\nX: y/b"):
        with pytest.raises(ConfigError, match="NAMESPACE/NAME"):
            await put(cluster, CONFIG_MAP, id_of(CONFIG_MAP, home, "a"), run_as=wrong)


async def test_names_that_would_leave_their_path_are_refused(
    cluster: KubeCluster, home: str
) -> None:
    for name in ("..", ".", "a/b", "a%2fb", ""):
        with pytest.raises(ClusterRefused):
            await cluster.get(CONFIG_MAP, ObjectId("", "ConfigMap", home, name))


async def test_remarks_of_the_server_are_handed_on(cluster: KubeCluster, home: str) -> None:
    spec = deployment_spec("web")
    spec["template"]["metadata"]["annotations"] = {
        "scheduler.alpha.kubernetes.io/critical-pod": "",
        "container.apparmor.security.beta.kubernetes.io/c": "unconfined",
    }
    body = body_of(DEPLOYMENT, id_of(DEPLOYMENT, home, "web"), spec=spec)
    told = await cluster.apply(DEPLOYMENT, id_of(DEPLOYMENT, home, "web"), body, dry_run=True)
    assert any("deprecated" in warning for warning in told.warnings)


async def test_a_configmap_over_a_mebibyte_and_a_body_over_three_are_refused_as_such(
    cluster: KubeCluster, home: str
) -> None:
    id = id_of(CONFIG_MAP, home, "big")
    with pytest.raises(ClusterRefused) as caught:
        await put(cluster, CONFIG_MAP, id, data={"x": "x" * ((1 << 20) + 1)})
    assert caught.value.code == 422
    with pytest.raises(ClusterRefused) as caught:
        await put(cluster, CONFIG_MAP, id, data={"x": "x" * (4 << 20)})
    assert caught.value.code == 413
    assert len(str(caught.value)) < 3_000


async def test_inventories_survive_and_a_second_writer_is_noticed(
    sandbox: SandboxInfo, cluster: KubeCluster, namespace: str
) -> None:
    spec = spec_of(sandbox, namespace=namespace)  # not made before: it is at first need
    one = await reach_sandbox(sandbox, spec)
    two = await reach_sandbox(sandbox, spec)
    owns = frozenset(
        ObjectId("apps", "Deployment", f"ns-{n % 40}", f"web-{n}") for n in range(20_000)
    )
    try:
        assert await one.inventory.read("shop") is None
        await one.inventory.write("shop", owns)
        before = _audited(sandbox, f"/namespaces/{namespace}/configmaps", "")
        await one.inventory.write("shop", owns)
        assert await one.inventory.read("shop") == owns
        assert _audited(sandbox, f"/namespaces/{namespace}/configmaps", "") == before
        assert await two.inventory.read("shop") == owns
        await two.inventory.write("shop", frozenset(list(owns)[:3]))
        with pytest.raises(ObjectMoved, match="somebody else"):
            await one.inventory.write("shop", frozenset())
        assert len(await one.inventory.read("shop") or ()) == 3
    finally:
        await one.close()
        await two.close()


async def test_a_damaged_inventory_counts_as_lost_and_is_rebuilt(
    sandbox: SandboxInfo, cluster: KubeCluster, namespace: str
) -> None:
    made = await reach_sandbox(sandbox, spec_of(sandbox, namespace=namespace))
    await make_namespace(made, namespace)
    id = id_of(CONFIG_MAP, namespace, "inventory-shop")
    await put(made, CONFIG_MAP, id, data={"objects": "[]"})
    try:
        assert await made.inventory.read("shop") is None
        assert made.inventory.warnings
        await made.inventory.write("shop", frozenset({id}))
        assert await made.inventory.read("shop") == {id}
    finally:
        await made.close()


def _kubectl(tools: object, sandbox: SandboxInfo, *argv: str) -> None:
    program = tools.path("kubectl")  # type: ignore[attr-defined]
    subprocess.run(
        [program, "--kubeconfig", sandbox.kubeconfig, *argv], check=True, capture_output=True
    )


def _ordinary(sandbox: SandboxInfo, folder: Path) -> Path:
    text = sandbox.kubeconfig.read_text().replace(sandbox.token, sandbox.ordinary_token)
    path = folder / "ordinary.kubeconfig"
    path.write_text(text)
    return path


def _audited(sandbox: SandboxInfo, path: str, verb: str) -> int:
    """Requests the server itself says it got."""
    count = 0
    for line in sandbox.audit_log.read_bytes().splitlines():
        event = orjson.loads(line)
        if path in event["requestURI"] and verb in event["verb"]:
            count += 1
    return count


def _definition(group: str, kind: str, plural: str) -> dict[str, object]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
    }  # fmt: skip
    return {
        "group": group,
        "scope": "Namespaced",
        "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
        "versions": [version],
    }


async def _established(cluster: KubeCluster, definition: ObjectId) -> None:
    async with asyncio.timeout(20):
        while True:
            live = cluster.live.owned("shop").get(definition)
            conditions = (live.body.get("status") or {}).get("conditions") if live else None
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions or ()):
                return
            await asyncio.sleep(0.02)


async def _served(cluster: KubeCluster, group: str, kind: str) -> Resource:
    async with asyncio.timeout(20):
        while (found := await cluster.resource(group, kind)) is None:
            cluster.forget()
            await asyncio.sleep(0.05)
        return found


async def _soon(attempt: object) -> object:
    """RBAC grants reach the API server's own cache a moment later."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await attempt()  # type: ignore[operator]
            except ClusterRefused:
                await asyncio.sleep(0.05)
