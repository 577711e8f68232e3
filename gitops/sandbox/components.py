"""The command lines of the control plane: loopback only, RBAC on, audit on, nothing durable.

Called by :mod:`gitops.sandbox.lifecycle`. Pure: paths and ports in, argument lists out. Must never
put a secret in an argument (tokens and keys are files).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gitops.sandbox.layout import SERVICE_CIDR

LOOPBACK = "127.0.0.1"
CORE = ("etcd", "kube-apiserver")
CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "kwok")
_ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Ports:
    apiserver: int
    etcd: int
    etcd_peer: int
    kubelet: int
    """Of all fake nodes: here the API server reads logs."""


def commands(
    folder: Path, tools: Mapping[str, Path], ports: Ports, stages: Path
) -> dict[str, list[str]]:
    """Name → argv, in the order of starting."""
    built = {
        "etcd": _etcd(folder, ports),
        "kube-apiserver": _apiserver(folder, ports),
        "kube-controller-manager": _controllers(folder),
        "kube-scheduler": _scheduler(folder),
        "kwok": _kwok(folder, ports, stages),
    }
    return {name: [str(tools[name]), *arguments] for name, arguments in built.items()}


def _etcd(folder: Path, ports: Ports) -> list[str]:
    client, peer = f"https://{LOOPBACK}:{ports.etcd}", f"https://{LOOPBACK}:{ports.etcd_peer}"
    pki = folder / "pki"
    return [
        "--name=sandbox",
        f"--data-dir={folder / 'etcd' / 'data'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=sandbox={peer}",
        f"--cert-file={pki / 'etcd.crt'}",
        f"--key-file={pki / 'etcd.key'}",
        f"--peer-cert-file={pki / 'etcd.crt'}",
        f"--peer-key-file={pki / 'etcd.key'}",
        f"--trusted-ca-file={pki / 'ca.crt'}",
        f"--peer-trusted-ca-file={pki / 'ca.crt'}",
        "--client-cert-auth",
        "--peer-client-cert-auth",
        "--unsafe-no-fsync",  # thrown away with the sandbox
        "--log-level=warn",
    ]


def _apiserver(folder: Path, ports: Ports) -> list[str]:
    pki = folder / "pki"
    return [
        f"--etcd-servers=https://{LOOPBACK}:{ports.etcd}",
        f"--etcd-cafile={pki / 'ca.crt'}",
        f"--etcd-certfile={pki / 'etcd.crt'}",
        f"--etcd-keyfile={pki / 'etcd.key'}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        # Endpoints may not hold loopback addresses, and no pod runs here that would use them.
        "--endpoint-reconciler-type=none",
        "--kubelet-preferred-address-types=InternalIP",  # names of fake nodes resolve nowhere
        f"--secure-port={ports.apiserver}",
        f"--cert-dir={pki}",
        f"--tls-cert-file={pki / 'server.crt'}",
        f"--tls-private-key-file={pki / 'server.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={pki / 'sa.key'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--audit-policy-file={folder / 'audit-policy.yaml'}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--audit-log-maxsize=2000",  # MB: the log is evidence, it must not rotate away
        "--allow-privileged=true",
        "--profiling=false",
    ]


def _controllers(folder: Path) -> list[str]:
    kubeconfig = folder / "clients" / "kube-controller-manager.kubeconfig"
    pki = folder / "pki"
    return [
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--service-account-private-key-file={pki / 'sa.key'}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--use-service-account-credentials=false",
        # There is no machine to be careful of: roll-outs should take milliseconds.
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--profiling=false",
    ]


def _scheduler(folder: Path) -> list[str]:
    return [
        f"--kubeconfig={folder / 'clients' / 'kube-scheduler.kubeconfig'}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--profiling=false",
    ]


def _kwok(folder: Path, ports: Ports, stages: Path) -> list[str]:
    pki = folder / "pki"
    return [
        f"--kubeconfig={folder / 'clients' / 'kwok.kubeconfig'}",
        f"--config={stages}",
        f"--config={folder / 'pod-logs.yaml'}",
        f"--node-port={ports.kubelet}",
        f"--server-address={LOOPBACK}:{ports.kubelet}",
        f"--tls-cert-file={pki / 'server.crt'}",
        f"--tls-private-key-file={pki / 'server.key'}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=40",
        f"--node-ip={LOOPBACK}",
        "--cidr=10.244.0.0/16",
    ]
