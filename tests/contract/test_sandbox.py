"""The sandbox behaves like the clusters it stands for: what tests rely on it to be."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.seed import Api

pytestmark = pytest.mark.e2e
_PATIENCE = 30.0


@pytest.fixture
def api(sandbox: SandboxInfo) -> Api:
    return Api(sandbox)


@pytest.fixture
def home(api: Api, namespace: str) -> str:
    """A namespace of this test alone, usable."""
    api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    eventually(lambda: api.ask("GET", account)[0] == 200)
    return namespace


def eventually(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not done():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def as_other(info: SandboxInfo, token: str, path: str, **headers: str) -> tuple[int, bytes]:
    """A GET by somebody who is not the admin."""
    context = ssl.create_default_context(cafile=str(info.ca_file))
    said = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(info.url + path, headers={**said, **headers})
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()


def pod_template(**annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "x"}, "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "example.invalid/x:1"}]},
    }


def deployment(**annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "x"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "x"}},
            "template": pod_template(**annotations),
        },
    }


def job(**annotations: str) -> dict[str, Any]:
    template = pod_template(**annotations)
    template["spec"]["restartPolicy"] = "Never"
    return {"metadata": {"name": "x"}, "spec": {"backoffLimit": 0, "template": template}}


class TestWhoMayWhat:
    def test_the_admin_is_answered_over_verified_tls(self, api: Api) -> None:
        status, version = api.ask("GET", "/version")
        assert (status, version["gitVersion"]) == (200, "v1.35.4")

    def test_a_client_that_does_not_know_its_ca_refuses_it(self, sandbox: SandboxInfo) -> None:
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(sandbox.url, context=ssl.create_default_context(), timeout=10)

    def test_nobody_gets_in_without_a_token(self, sandbox: SandboxInfo) -> None:
        assert as_other(sandbox, "", "/api/v1/namespaces")[0] == 401
        assert as_other(sandbox, "guess", "/api/v1/namespaces")[0] == 401

    def test_an_ordinary_user_may_nothing_until_rbac_grants_it(
        self, api: Api, sandbox: SandboxInfo, home: str
    ) -> None:
        path = f"/api/v1/namespaces/{home}/configmaps"
        assert as_other(sandbox, sandbox.ordinary_token, path)[0] == 403
        api.ask(
            "POST",
            f"/apis/rbac.authorization.k8s.io/v1/namespaces/{home}/rolebindings",
            {
                "metadata": {"name": "reads"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "view",
                },
                "subjects": [{"kind": "User", "name": "sandbox-user"}],
            },
        )
        eventually(lambda: as_other(sandbox, sandbox.ordinary_token, path)[0] == 200)

    def test_the_admin_can_act_as_somebody_else(self, sandbox: SandboxInfo, home: str) -> None:
        path = f"/api/v1/namespaces/{home}/secrets"
        whom = {"Impersonate-User": f"system:serviceaccount:{home}:default"}
        assert as_other(sandbox, sandbox.token, path, **whom)[0] == 403

    def test_a_service_account_token_is_its_service_account(
        self, api: Api, sandbox: SandboxInfo, home: str
    ) -> None:
        status, answer = api.ask(
            "POST", f"/api/v1/namespaces/{home}/serviceaccounts/default/token", {"spec": {}}
        )
        assert status == 201
        code, body = as_other(
            sandbox, answer["status"]["token"], f"/api/v1/namespaces/{home}/secrets"
        )
        assert code == 403
        assert f"system:serviceaccount:{home}:default" in json.loads(body)["message"]

    def test_discovery_is_aggregated_for_who_asks(self, sandbox: SandboxInfo) -> None:
        wanted = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        _, body = as_other(sandbox, sandbox.token, "/apis", Accept=wanted)
        groups = {item["metadata"]["name"] for item in json.loads(body)["items"]}
        assert {"apps", "batch"} <= groups


class TestWorkloads:
    def test_a_deployment_rolls_out(self, api: Api, home: str) -> None:
        path = f"/apis/apps/v1/namespaces/{home}/deployments"
        assert api.ask("POST", path, deployment())[0] == 201
        eventually(lambda: api.ask("GET", f"{path}/x")[1]["status"].get("readyReplicas") == 3)

    @pytest.mark.parametrize(
        ("how", "reason"), [("true", "CrashLoopBackOff"), ("image", "ImagePullBackOff")]
    )
    def test_a_pod_fails_when_asked_to(self, api: Api, home: str, how: str, reason: str) -> None:
        asked = {"sandbox.gitops-controller.dev/fail": how}
        api.ask("POST", f"/apis/apps/v1/namespaces/{home}/deployments", deployment(**asked))

        def reasons() -> list[str]:
            pods = api.ask("GET", f"/api/v1/namespaces/{home}/pods")[1]["items"]
            seen = (c for p in pods for c in p["status"].get("containerStatuses", []))
            return [c["state"].get("waiting", {}).get("reason", "") for c in seen]

        eventually(lambda: reasons() == [reason] * 3)
        found = api.ask("GET", f"/apis/apps/v1/namespaces/{home}/deployments/x")[1]
        assert not found["status"].get("readyReplicas")

    def test_a_job_completes(self, api: Api, home: str) -> None:
        path = f"/apis/batch/v1/namespaces/{home}/jobs"
        api.ask("POST", path, job())
        eventually(lambda: _condition(api, f"{path}/x") == "Complete")

    def test_a_job_fails_when_asked_to(self, api: Api, home: str) -> None:
        path = f"/apis/batch/v1/namespaces/{home}/jobs"
        api.ask("POST", path, job(**{"sandbox.gitops-controller.dev/fail": "true"}))
        eventually(lambda: _condition(api, f"{path}/x") == "Failed")

    def test_a_claim_is_bound(self, api: Api, home: str) -> None:
        path = f"/api/v1/namespaces/{home}/persistentvolumeclaims"
        asked = {"requests": {"storage": "1Gi"}}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": asked}
        api.ask("POST", path, {"metadata": {"name": "x"}, "spec": spec})
        eventually(lambda: api.ask("GET", f"{path}/x")[1]["status"].get("phase") == "Bound")

    def test_a_load_balancer_gets_an_address(self, api: Api, home: str) -> None:
        path = f"/api/v1/namespaces/{home}/services"
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
        api.ask("POST", path, {"metadata": {"name": "x"}, "spec": spec})
        eventually(lambda: bool(api.ask("GET", f"{path}/x")[1]["status"]["loadBalancer"]))

    def test_a_deleted_namespace_goes(self, api: Api, home: str) -> None:
        api.ask("POST", f"/apis/apps/v1/namespaces/{home}/deployments", deployment())
        api.ask("DELETE", f"/api/v1/namespaces/{home}")
        eventually(lambda: api.ask("GET", f"/api/v1/namespaces/{home}")[0] == 404)


def _condition(api: Api, path: str) -> str:
    conditions = api.ask("GET", path)[1].get("status", {}).get("conditions", [])
    met = [c["type"] for c in conditions if c["status"] == "True"]
    return met[-1] if met else ""


class TestEvidence:
    def test_the_audit_log_has_every_request_of_a_user_once(
        self, api: Api, sandbox: SandboxInfo, home: str
    ) -> None:
        path = f"/api/v1/namespaces/{home}/configmaps/nothing"
        for _ in range(3):
            api.ask("GET", path)
        lines = [json.loads(line) for line in sandbox.audit_log.read_text().splitlines()]
        assert [line["requestURI"] for line in lines].count(path) == 3

    def test_the_audit_log_is_silent_about_the_control_plane_itself(
        self, api: Api, sandbox: SandboxInfo, home: str
    ) -> None:
        api.ask("GET", f"/api/v1/namespaces/{home}")
        users = {
            json.loads(line)["user"]["username"]
            for line in sandbox.audit_log.read_text().splitlines()
        }
        assert not {u for u in users if u.startswith("system:kube-") or u == "sandbox:kwok"}

    def test_nothing_listens_beyond_loopback(self, sandbox: SandboxInfo) -> None:
        addresses = {a for pid in sandbox.pids.values() for a in listening(pid)}
        assert addresses
        assert addresses == {"127.0.0.1"}

    def test_its_files_are_its_users_alone(self, sandbox: SandboxInfo) -> None:
        assert sandbox.folder.stat().st_mode & 0o077 == 0
        private = [sandbox.kubeconfig, sandbox.folder / "tokens.csv"]
        private += sandbox.folder.glob("pki/*.key")
        assert [p for p in private if p.stat().st_mode & 0o077] == []

    def test_no_secret_is_in_a_command_line(self, sandbox: SandboxInfo) -> None:
        lines = b" ".join(Path(f"/proc/{p}/cmdline").read_bytes() for p in sandbox.pids.values())
        assert sandbox.token.encode() not in lines
        assert sandbox.ordinary_token.encode() not in lines


def listening(pid: int) -> set[str]:
    """Addresses of the TCP sockets a process listens on, from the kernel."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(str(link.readlink()))
        except FileNotFoundError:
            continue
    found = set()
    for table, length in (("tcp", 8), ("tcp6", 32)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                found.add(_address(fields[1].split(":")[0], length))
    return found


def _address(hexadecimal: str, length: int) -> str:
    if length == 32:
        return hexadecimal
    return ".".join(str(b) for b in reversed(bytes.fromhex(hexadecimal)))
