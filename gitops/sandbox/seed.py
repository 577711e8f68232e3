"""Waits until a fresh control plane is usable and furnishes it: fake nodes, volumes.

Called by :mod:`gitops.sandbox.lifecycle`. A dozen requests over the standard library: the real
transport must not be needed to start what tests it.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from gitops.errors import ClusterUnavailable
from gitops.sandbox.layout import SandboxInfo

NODES = ("sandbox-node-1", "sandbox-node-2")
VOLUMES = 16
"""Nothing provisions volumes here, so claims without a class find these."""
Alive = Callable[[], None]
"""Raises when waiting on has become pointless (a program has exited)."""

_PAUSE = 0.05


class Api:
    """JSON requests to one sandbox as its admin, past any proxy of the environment."""

    def __init__(self, info: SandboxInfo) -> None:
        self._info = info
        trusting = urllib.request.HTTPSHandler(
            context=ssl.create_default_context(cafile=str(info.ca_file))
        )
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trusting)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and decoded answer; 0 while nothing listens."""
        request = urllib.request.Request(  # noqa: S310 - https to our own loopback port
            self._info.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                "Authorization": f"Bearer {self._info.token}",
                "Content-Type": "application/json",
            },
        )
        try:
            with self._opener.open(request, timeout=5.0) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, _decoded(refusal.read())
        except (OSError, http.client.HTTPException):
            return 0, None


def wait_until_ready(info: SandboxInfo, alive: Alive, *, seconds: float) -> None:
    """Until ``/readyz`` says ok. Raises ClusterUnavailable at the deadline."""
    api = Api(info)
    _until(lambda: api.ask("GET", "/readyz")[0] == 200, alive, seconds, "become ready")


def furnish(info: SandboxInfo) -> None:
    """Creates the fake nodes and some volumes for claims; what is there already is fine."""
    api = Api(info)
    for name in NODES:
        _create(api, "nodes", _node(name))
    for number in range(VOLUMES):
        _create(api, "persistentvolumes", _volume(f"sandbox-volume-{number}"))


def _create(api: Api, plural: str, body: dict[str, object]) -> None:
    status, said = api.ask("POST", f"/api/v1/{plural}", body)
    if status not in {200, 201, 409}:
        raise ClusterUnavailable(f"cannot create one of the {plural}: {status} {said}")


def wait_until_usable(info: SandboxInfo, alive: Alive, *, seconds: float) -> None:
    """Until pods can be created (default service account) and scheduled (ready nodes)."""
    api = Api(info)

    def usable() -> bool:
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        return api.ask("GET", account)[0] == 200 and all(_up(api, name) for name in NODES)

    _until(usable, alive, seconds, "get its nodes and service accounts")


def _up(api: Api, name: str) -> bool:
    status, node = api.ask("GET", f"/api/v1/nodes/{name}")
    if status != 200 or node["spec"].get("taints"):
        return False
    conditions = node.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _until(done: Callable[[], bool], alive: Alive, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        alive()
        if time.monotonic() > deadline:
            raise ClusterUnavailable(f"the sandbox did not {what} within {seconds:.0f} s")
        time.sleep(_PAUSE)


def _node(name: str) -> dict[str, object]:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "type": "kwok",
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def _volume(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "100Gi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"],
            # Retain: with any other policy a controller would touch the path on this machine.
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/nonexistent/sandbox"},
        },
    }


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")
