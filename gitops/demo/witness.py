"""What the API server itself says, asked with kubectl: the only proof the demo accepts.

Called by the story. Reads, and once plays the somebody who changes a live object by hand.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitops.errors import Permanent
from gitops.model.cluster import OWNER_LABEL

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Rollout:
    """One Deployment as the server has it."""

    name: str
    application: str
    image: str
    wanted: int
    ready: int
    current: bool
    """The controllers have seen the newest spec and every pod is of it."""
    version: str
    """resourceVersion: moves with every write."""


@dataclass(frozen=True, slots=True)
class Witness:
    kubectl: Path
    kubeconfig: Path
    namespace: str
    home: Path
    """Where kubectl may keep what it discovered."""

    def rollouts(self) -> dict[str, Rollout]:
        """Every Deployment of the namespace by name."""
        items = self._json("get", "deployments")["items"]
        return {one.name: one for one in map(_rollout, items)}

    def owned(self) -> dict[str, int]:
        """How many objects each application has there, by its label."""
        kinds = "deployments,services,configmaps"
        counts: dict[str, int] = {}
        for item in self._json("get", kinds, f"--selector={OWNER_LABEL}")["items"]:
            owner = item["metadata"]["labels"][OWNER_LABEL]
            counts[owner] = counts.get(owner, 0) + 1
        return counts

    def settings(self) -> dict[str, dict[str, str]]:
        """What every ConfigMap of an application holds, by name."""
        items = self._json("get", "configmaps", f"--selector={OWNER_LABEL}")["items"]
        return {item["metadata"]["name"]: item.get("data", {}) for item in items}

    def make_namespace(self) -> None:
        self._run("create", "namespace", self.namespace)

    def scale(self, name: str, replicas: int) -> None:
        """What somebody does by hand."""
        self._run("scale", f"deployment/{name}", f"--replicas={replicas}")

    def _json(self, *arguments: str) -> Any:
        return json.loads(self._run(*arguments, "--output=json"))

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [
                *(self.kubectl, "--kubeconfig", self.kubeconfig),
                *("--namespace", self.namespace, *arguments),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            env={"HOME": str(self.home), "PATH": os.defpath},
        )
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise Permanent(f"kubectl {arguments[0]}: {said}")
        return done.stdout


def _rollout(item: Any) -> Rollout:
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    seen = status.get("observedGeneration", 0) >= metadata["generation"]
    return Rollout(
        name=metadata["name"],
        application=metadata.get("labels", {}).get(OWNER_LABEL, ""),
        image=spec["template"]["spec"]["containers"][0]["image"],
        wanted=spec["replicas"],
        ready=status.get("readyReplicas", 0),
        current=seen and status.get("updatedReplicas", 0) == spec["replicas"],
        version=metadata["resourceVersion"],
    )
