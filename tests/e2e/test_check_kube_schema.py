"""The schema check against the real API server: what it refuses is flagged, the rest is not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gitops import yamlio
from gitops.clock import SystemClock
from gitops.kube.cluster import KubeCluster, connect
from gitops.model.finding import Severity
from gitops.model.fleet import ClusterSpec
from gitops.model.ids import TargetName
from gitops.sandbox.layout import SandboxInfo
from planners.checks.kube_schema import KubeSchema, Options
from tests.unit.check_cases import job

pytestmark = pytest.mark.e2e

POD = {"containers": [{"name": "c", "image": "i"}]}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "a"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD},
    },
}


def obj(kind: str, version: str = "v1", **rest: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, **rest}


def deployment(**container: Any) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(DEPLOYMENT))
    changed["spec"]["template"]["spec"]["containers"][0].update(container)
    return changed


def crd(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gauges.check.example.com"},
        "spec": {
            "group": "check.example.com",
            "scope": "Namespaced",
            "names": {"kind": "Gauge", "plural": "gauges", "singular": "gauge"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": spec}},
                }
            ],
        },
    }


GOOD = {
    "deployment": DEPLOYMENT,
    "nulls": {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicas": None, "strategy": None}},
    "quantities": deployment(resources={"limits": {"cpu": 1, "memory": "1.5Gi"}}),
    "probe by name": deployment(
        ports=[{"name": "http", "containerPort": 80}], readinessProbe={"httpGet": {"port": "http"}}
    ),
    "same port, two protocols": deployment(
        ports=[{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]
    ),
    "role binding without apiGroup": obj(
        "RoleBinding",
        "rbac.authorization.k8s.io/v1",
        roleRef={"kind": "Role", "name": "x"},
        subjects=[{"kind": "User", "name": "u"}],
    ),
    "secret": obj("Secret", data={"a": "aGk="}, stringData={"b": "x"}),
    "config map": obj("ConfigMap", data={"a": ""}, binaryData={"b": "aGk="}),
    "service": obj("Service", spec={"ports": [{"port": 80, "targetPort": "http"}]}),
    "headless": obj("Service", spec={"clusterIP": "None", "selector": {"a": "b"}}),
    "network policy": obj(
        "NetworkPolicy",
        "networking.k8s.io/v1",
        spec={"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]},
    ),
    "ingress": obj(
        "Ingress",
        "networking.k8s.io/v1",
        spec={
            "rules": [
                {
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "a", "port": {"number": 80}}},
                            }
                        ]
                    }
                }
            ]
        },
    ),
    "budget": obj(
        "PodDisruptionBudget",
        "policy/v1",
        spec={"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}},
    ),
    "claim": obj(
        "PersistentVolumeClaim",
        spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    ),
    "cron job": obj(
        "CronJob",
        "batch/v1",
        spec={
            "schedule": "* * * * *",
            "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
        },
    ),
    "autoscaler": obj(
        "HorizontalPodAutoscaler",
        "autoscaling/v2",
        spec={
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"},
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": 5},
                    },
                }
            ],
        },
    ),
    "definition": crd(
        spec={
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {
                "d": {"type": "string", "default": "x"},
                "e": {"type": "string", "enum": ["a"]},
            },
        }
    ),
    "webhook": obj(
        "ValidatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1",
        webhooks=[
            {
                "name": "a.b.c",
                "clientConfig": {"url": "https://example.com/x"},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    ),
    "limit range": obj(
        "LimitRange", spec={"limits": [{"type": "Container", "default": {"cpu": "1"}}]}
    ),
    "stateful set": obj(
        "StatefulSet",
        "apps/v1",
        spec={
            "selector": {"matchLabels": {"a": "b"}},
            "serviceName": "x",
            "template": DEPLOYMENT["spec"]["template"],
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "d"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": 1}},
                    },
                }
            ],
        },
    ),
    "storage class": obj("StorageClass", "storage.k8s.io/v1", provisioner="x"),
}

BAD = {
    "unknown field": {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replica": 1}},
    "unknown in metadata": {**DEPLOYMENT, "metadata": {"name": "a", "label": {}}},
    "text for a number": {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicas": "1"}},
    "fraction for a number": {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicas": 1.5}},
    "number for text": deployment(env=[{"name": "a", "value": 1}]),
    "truth for text": deployment(env=[{"name": "a", "value": True}]),
    "text for a list": deployment(command="sh"),
    "number for a label": {**DEPLOYMENT, "metadata": {"name": "a", "labels": {"v": 1}}},
    "quantity": deployment(resources={"limits": {"memory": "64Mib"}}),
    "same port twice": deployment(ports=[{"containerPort": 53}, {"containerPort": 53}]),
    "same container twice": {
        **DEPLOYMENT,
        "spec": {
            **DEPLOYMENT["spec"],
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": POD["containers"] * 2},
            },
        },
    },
    "enum": deployment(imagePullPolicy="Alway"),
    "no containers": obj("Pod", spec={}),
    "no name": obj("Pod", spec={"containers": [{"image": "i"}]}),
    "not base64": obj("Secret", data={"a": "hunter2!"}),
    "number in a secret": obj("Secret", stringData={"a": 12345678}),
    "too large": {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicas": 3_000_000_000}},
}


@pytest.fixture
async def cluster(sandbox: SandboxInfo) -> AsyncIterator[KubeCluster]:
    spec = ClusterSpec(TargetName("tests"), kubeconfig=sandbox.kubeconfig)
    connected = await connect(
        spec, clock=SystemClock(), sandbox_kubeconfig=lambda _: sandbox.kubeconfig
    )
    yield connected
    await connected.close()


def server_takes(body: dict[str, Any], tools: Any, kubeconfig: Path) -> tuple[bool, str]:
    """Server-side apply with strict validation, as the controller sends it, as a dry-run."""
    done = subprocess.run(
        [
            str(tools.path("kubectl")),
            f"--kubeconfig={kubeconfig}",
            "apply",
            "--server-side",
            "--dry-run=server",
            "--validate=strict",
            "-f",
            "-",
        ],
        input=json.dumps(body),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(GOOD))
async def test_what_the_server_takes_is_not_flagged(
    name: str, cluster: KubeCluster, sandbox: SandboxInfo, tools: Any
) -> None:
    took, why = server_takes(GOOD[name], tools, sandbox.kubeconfig)
    assert took, why
    text = yamlio.canonical(GOOD[name]).decode()
    found = await KubeSchema(Options()).run(job(text, catalogue=cluster))
    assert [f.message for f in found if f.severity is Severity.ERROR] == []


@pytest.mark.parametrize("name", sorted(BAD))
async def test_what_the_server_refuses_for_its_form_is_flagged_before(
    name: str, cluster: KubeCluster, sandbox: SandboxInfo, tools: Any
) -> None:
    took, _ = server_takes(BAD[name], tools, sandbox.kubeconfig)
    assert not took
    text = yamlio.canonical(BAD[name]).decode()
    found = await KubeSchema(Options()).run(job(text, catalogue=cluster))
    errors = [f for f in found if f.severity is Severity.ERROR]
    assert errors
    said = " ".join(f.message + f.hint for f in errors)
    assert not any(secret in said for secret in ("hunter2", "12345678"))
