"""The folder that shows how to run inside a cluster: it is accepted, enough, and no more.

The pod is fake in the sandbox, so the controller runs here, as that pod's service account: with its
token, its CA and the variables the kubelet would set. What it used is read from the audit log.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from gitops.app import Running, assemble
from gitops.controller import Controller
from gitops.kube.access import PodSettings
from gitops.kube.cluster import connect
from gitops.model.delivery import ChangeState
from gitops.model.fleet import Fleet
from gitops.ports.inspecting import Happenings, Log
from gitops.sandbox import lifecycle
from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.recipes import CONTROL_PLANE
from gitops.web.application_routes import Showcase
from gitops.web.objects import Node
from tests.e2e import rig as rig_module
from tests.e2e.rig import Rig, System, config_map

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("in-cluster")]

EXAMPLE = Path(__file__).parents[2] / "examples/kubernetes"
NAMESPACE, NAME = "gitops-system", "gitops-controller"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{NAME}"

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: "registry.example.com/web:1"}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: shop}
data: {greeting: hello}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""

DOOR = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: door}
spec:
  defaultBackend: {service: {name: web, port: {number: 80}}}
"""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One verb on one resource, as wide as RBAC grants it."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    """Empty: everywhere."""
    name: str = ""
    """Empty: all of them."""

    def covers(self, request: Grant) -> bool:
        return (
            (self.group, self.resource, self.verb)
            == (request.group, request.resource, request.verb)
            and self.namespace in ("", request.namespace)
            and self.name in ("", request.name)
        )

    @property
    def width(self) -> int:
        return (not self.namespace) + (not self.name)


UNUSED: dict[Grant, str] = {}
"""Granted though this story does not use it, with the reason."""


@pytest.fixture(scope="module")
def own(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxInfo]:
    """A control plane of its own: the example names its namespace, which other tests use too."""
    for name in CONTROL_PLANE:
        tools.path(name)
    state = tmp_path_factory.mktemp("in-cluster")
    yield lifecycle.start("in-cluster", state, tools.toolbox, owner=os.getpid())
    lifecycle.stop("in-cluster", state)


@pytest.fixture
def inside(
    own: SandboxInfo,
    tools: Any,
    tmp_path: Path,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Rig]:
    """The example applied, and its fleet with a repository of this machine."""
    made = Rig(tmp_path, own, tools.path("kubectl"), namespace)
    made.kubectl("apply", "--kustomize", str(EXAMPLE))
    _await_verb(made, 3, "create")
    fleet = yaml.safe_load((EXAMPLE / "gitops.yaml").read_text())
    fleet["sources"] = made.fleet["sources"]
    fleet["state_dir"] = made.fleet["state_dir"]
    del fleet["api"], fleet["vault"]  # places that only the pod has
    made.fleet = fleet
    pod = _as_the_pod(made, tmp_path / "mount")
    monkeypatch.setattr(rig_module, "assemble", lambda fleet: _in_pod(fleet, pod))
    yield made
    for block in _readme_blocks():
        made.kubectl("delete", "--ignore-not-found", "--filename", "-", stdin=block)


async def test_the_example_suffices_to_deliver_and_grants_nothing_more(inside: Rig) -> None:
    folder = f"apps/{inside.application}"
    inside.write(f"{folder}/keep.yaml", config_map("keep", v="1"))
    inside.write(f"{folder}/web.yaml", WEB)
    inside.commit("open the shop")
    async with inside.controller() as system:
        await system.deliver("grace")
        assert _ready(inside, "shop", "web") == 1
        await _look_at_a_pod(system)
        inside.remove(f"{folder}/web.yaml")
        inside.commit("close the shop")
        await system.nudge()
        record = await system.approve("grace", confirmation="delete 4")
        assert record.state is ChangeState.HEALTHY, record
        live = system.controller.clusters.connected[system.lane.target].live
        await system.until(lambda: len(live.owned(inside.application)) == 1)
    assert "namespace/shop" not in inside.kubectl("get", "namespaces", "-o", "name").split()
    assert inside.kubectl("get", "configmap", "keep", "-o", "name")
    requests, refused = _asked(inside)
    assert not refused
    granted = _granted(inside)
    used = {grant for request in requests for grant in _needed(request, granted)}
    assert granted - used == set(UNUSED)


async def test_run_as_leaves_the_controller_nothing_but_looking(inside: Rig) -> None:
    for block in _readme_blocks():
        inside.kubectl("apply", "--filename", "-", stdin=block)
    _only_look(inside)
    inside.fleet["discover"][0].update(run_as="shop/deployer", namespace="shop")
    file = f"apps/{inside.application}/sign.yaml"
    inside.write(file, config_map("sign", text="open"))
    inside.write(f"apps/{inside.application}/keep.yaml", config_map("keep", v="1"))
    inside.commit("hang out a sign")
    async with inside.controller() as system:
        await system.deliver("grace")
        inside.remove(file)
        inside.commit("take it in")
        await system.nudge()
        record = await system.approve("grace", confirmation="delete 1")
        assert record.state is ChangeState.HEALTHY, record
    found = inside.kubectl("-n", "shop", "get", "configmaps", "-o", "name").split()
    assert "configmap/keep" in found
    assert "configmap/sign" not in found


async def test_a_right_that_is_missing_is_named_and_one_more_role_adds_it(
    inside: Rig,
) -> None:
    widen = _readme_blocks()[0]
    inside.kubectl("delete", "--ignore-not-found", "--filename", "-", stdin=widen)
    inside.write(f"apps/{inside.application}/door.yaml", DOOR)
    inside.commit("a door to the street")
    async with inside.controller() as system:
        await system.nudge()
        assert not await system.requests()
        said = system.controller.lanes.trouble(system.lane)
        assert "ingresses" in str(said)
        inside.kubectl("apply", "--filename", "-", stdin=widen)
        inside.write(f"apps/{inside.application}/door.yaml", DOOR.replace("80", "443"))
        inside.commit("a safer door")
        await system.nudge()
        record = await system.approve("grace")
        assert record.state is ChangeState.HEALTHY, record


async def test_the_cluster_takes_the_pod_under_its_strictest_standard(inside: Rig) -> None:
    inside.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{NAME}", "--timeout=60s")
    pods = json.loads(inside.kubectl("-n", NAMESPACE, "get", "pods", "-o", "json"))["items"]
    (pod,) = [p for p in pods if p["metadata"]["labels"].get("app.kubernetes.io/name") == NAME]
    assert pod["spec"]["serviceAccountName"] == NAME
    volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
    assert volumes["secrets"]["secret"]["defaultMode"] == 0o440
    mounts = {m["mountPath"]: m["name"] for m in pod["spec"]["containers"][0]["volumeMounts"]}
    fleet = yaml.safe_load((EXAMPLE / "gitops.yaml").read_text())
    for needed in (fleet["state_dir"], fleet["api"]["socket"], fleet["vault"]["key"]["file"]):
        assert any(needed.startswith(f"{path}/") for path in mounts), needed


async def _look_at_a_pod(system: System) -> None:
    """What its page does when somebody opens the pod of a delivered Deployment."""
    showcase = Showcase.of(system.controller)

    async def pods() -> list[Node]:
        tree = showcase.tree(await showcase.applications.view(system.rig.application))
        nodes = [node for top in tree.nodes for node in top.all()]
        return [node for node in nodes if node.id.kind == "Pod"]

    await system.until_async(pods)
    (pod,) = await pods()
    look = await showcase.looks.at(system.lane.target, pod)
    assert isinstance(look.log, Log), look
    assert "this pod is a fake one" in look.log.text
    assert isinstance(look.events, Happenings), look
    assert "Scheduled" in {event.reason for event in look.events.newest}


# --- the controller, as the pod would run it --------------------------------------------------


def _as_the_pod(rig: Rig, mount: Path) -> PodSettings:
    """What the kubelet mounts and sets for the service account."""
    mount.mkdir()
    token = rig.kubectl("-n", NAMESPACE, "create", "token", NAME)
    (mount / "token").write_text(token.strip())
    (mount / "ca.crt").write_bytes(rig.sandbox.ca_file.read_bytes())
    (mount / "namespace").write_text(NAMESPACE)
    url = urlsplit(rig.sandbox.url)
    return PodSettings(
        mount,
        {
            "KUBERNETES_SERVICE_HOST": url.hostname or "",
            "KUBERNETES_SERVICE_PORT": str(url.port),
        },
    )


def _in_pod(fleet: Fleet, pod: PodSettings) -> Running:
    running = assemble(fleet)
    parts = running.controller.parts

    async def reach(spec: Any) -> Any:
        assert spec.in_cluster
        return await connect(spec, clock=parts.clock, sandbox_kubeconfig=Path, pod=pod)

    whole = running.controller
    return replace(
        running, controller=Controller(whole.roster, whole.desk, replace(parts, connect=reach))
    )


def _readme_blocks() -> list[str]:
    """The manifests the page shows: one more kind; another account to write as."""
    text = (EXAMPLE / "README.md").read_text()
    found = re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(found) == 2
    return found


def _only_look(rig: Rig) -> None:
    """Takes the controller's own rights to write away."""
    role = json.loads(rig.kubectl("get", "clusterrole", f"{NAME}-grants-basic", "-o", "json"))
    for rule in role["rules"]:
        rule["verbs"] = ["get", "list", "watch"]
    rig.kubectl("apply", "--filename", "-", stdin=json.dumps(role))
    _await_verb(rig, 2, "watch")


def _await_verb(rig: Rig, position: int, verb: str) -> None:
    """The cluster adds the labelled roles up a moment after they changed."""
    rig.kubectl(
        *("wait", "--timeout=30s", f"--for=jsonpath={{.rules[0].verbs[{position}]}}={verb}"),
        *("clusterrole", f"{NAME}-applications"),
    )


# --- rights -----------------------------------------------------------------------------------


def _granted(rig: Rig) -> set[Grant]:
    """Everything bound to the service account, anywhere in the cluster."""
    found: set[Grant] = set()
    for kind in ("clusterrolebindings", "rolebindings"):
        for binding in _items(rig, kind):
            if not any(
                (s["kind"], s["name"]) == ("ServiceAccount", NAME)
                for s in binding.get("subjects", ())
            ):
                continue
            namespace = binding["metadata"].get("namespace", "")
            role = binding["roleRef"]
            where = ["-n", namespace] if role["kind"] == "Role" else []
            text = rig.kubectl(*where, "get", role["kind"], role["name"], "-o", "json")
            found |= set(_expanded(json.loads(text)["rules"], namespace))
    return found


def _expanded(rules: Sequence[Mapping[str, Any]], namespace: str) -> Iterator[Grant]:
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames", [""]):
                        yield Grant(group, resource, verb, namespace, name)


def _asked(rig: Rig) -> tuple[set[Grant], list[str]]:
    """Every request of the service account about a resource, and those that were refused."""
    asked: set[Grant] = set()
    refused: list[str] = []
    for line in rig.sandbox.audit_log.read_text().splitlines():
        event = json.loads(line)
        about = event.get("objectRef")
        if event["user"]["username"] != ACCOUNT or about is None:
            continue
        code = event.get("responseStatus", {}).get("code")
        if code == 403:
            refused.append(event["requestURI"])
        verbs = [event["verb"]]
        if event["verb"] == "patch" and code == 201:
            verbs.append("create")  # an apply that creates is authorised for both
        # The audit log gives a Namespace itself as its namespace; RBAC sees it the same way.
        for verb in verbs:
            asked.add(
                Grant(
                    about.get("apiGroup", ""),
                    "/".join(filter(None, (about["resource"], about.get("subresource")))),
                    verb,
                    about.get("namespace", ""),
                    about.get("name", ""),
                )
            )
    return asked, refused


def _needed(request: Grant, granted: set[Grant]) -> list[Grant]:
    """The narrowest grant that covers a request: what is wider was not needed for it."""
    covering = sorted((g for g in granted if g.covers(request)), key=lambda g: g.width)
    return covering[:1]


def _items(rig: Rig, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        rig.kubectl("get", kind, "--all-namespaces", "-o", "json")
    )["items"]
    return found


def _ready(rig: Rig, namespace: str, deployment: str) -> int:
    text = rig.kubectl("-n", namespace, "get", "deployment", deployment, "-o", "json")
    return int(json.loads(text)["status"].get("readyReplicas", 0))
