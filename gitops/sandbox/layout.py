"""The files of one sandbox, what a caller is told about it, and the files its programs read.

::

    <state>/<name>/
      sandbox.json     what `read` answers; written last: without it the sandbox never was ready
      spec.json        what the supervisor runs     control.sock, supervisor.lock
      kubeconfig       the admin's                  clients/<component>.kubeconfig
      pod-logs.yaml    which file is whose log  pods/        what containers "wrote"
      pki/             own CA, server keys          tokens.csv   audit-policy.yaml   audit.log
      logs/            one per program              etcd/        data

Called by :mod:`gitops.sandbox.lifecycle`. Everything is 0600 in a 0700 folder.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gitops.errors import ConfigError, Permanent
from gitops.sandbox.pki import issue_all, write_private

SERVICE_CIDR = "10.96.0.0/16"
SERVICE_IP = "10.96.0.1"
_FOLDERS = ("pki", "logs", "clients", "etcd", "pods")
_FILES = (
    "sandbox.json",
    "spec.json",
    "control.sock",
    "supervisor.lock",
    "kubeconfig",
    "tokens.csv",
    "audit-policy.yaml",
    "pod-logs.yaml",
    "stages.yaml",
)
_USERS = {
    "admin": ("sandbox-admin", "system:masters"),
    # system:masters is exempt from throttling and RBAC; tests of those need somebody who is not.
    "ordinary": ("sandbox-user", "sandbox-users"),
    # One identity for all its controllers, so it needs what they need between them.
    "kube-controller-manager": ("system:kube-controller-manager", "system:masters"),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kwok": ("sandbox:kwok", "system:masters"),
}
_LOGS = {
    "present.log": ("stdout F starting", "stdout F nothing runs here: this pod is a fake one"),
    "previous.log": ("stdout F starting", "stderr F cannot reach the database: giving up"),
}
_COMPONENTS = ("kube-controller-manager", "kube-scheduler", "kwok")


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """A running sandbox, as callers need it."""

    name: str
    folder: Path
    url: str
    ca_file: Path
    token: str = field(repr=False)
    """Bearer token of the admin (``system:masters``)."""
    ordinary_token: str = field(repr=False)
    """Bearer token of ``sandbox-user``, who may do what RBAC grants it: at first nothing."""
    kubeconfig: Path
    audit_log: Path
    """JSON lines; every request but those of the control plane itself."""
    pids: dict[str, int] = field(default_factory=dict)

    @property
    def context(self) -> str:
        return f"gitops-sandbox-{self.name}"


def checked_name(name: str) -> str:
    """The name itself; raises ConfigError if it could not be part of a file or context name."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name):
        raise ConfigError(
            f"{name!r} cannot name a sandbox",
            hint="use up to 40 lower-case letters, digits and inner dashes",
        )
    return name


def clean(folder: Path) -> None:
    """Removes a sandbox's own files; refuses a folder that holds anything else."""
    if not folder.exists():
        return
    known = {*_FOLDERS, *_FILES}
    for entry in folder.iterdir():
        if entry.name not in known and not entry.name.startswith("audit"):
            raise Permanent(
                f"{entry.name} does not belong to a sandbox; nothing was removed",
                place=str(folder),
                hint="choose another --state folder, or move it away",
            )
    shutil.rmtree(folder)


def prepare(folder: Path, *, bodies: bool) -> dict[str, str]:
    """Makes the folder with keys, tokens and policies; returns the token of each user."""
    try:
        folder.mkdir(parents=True, mode=0o700)
        for name in _FOLDERS:
            (folder / name).mkdir(mode=0o700)
    except OSError as problem:
        raise Permanent(
            f"cannot make the sandbox's folder: {problem.strerror}",
            place=str(folder),
            hint="give a writable folder with --state",
        ) from problem
    issue_all(folder / "pki", service_ip=SERVICE_IP)
    tokens = {who: secrets.token_urlsafe(32) for who in _USERS}
    rows = (f'{tokens[w]},{user},{user},"{group}"\n' for w, (user, group) in _USERS.items())
    write_private(folder / "tokens.csv", "".join(rows).encode())
    write_private(folder / "audit-policy.yaml", json.dumps(_audit_policy(bodies=bodies)).encode())
    _write_pod_logs(folder)
    return tokens


def _write_pod_logs(folder: Path) -> None:
    """Nothing runs in a fake pod, so all containers have one and the same log: this file, as a
    container runtime writes it (kubernetes.io/docs, "How nodes handle container logs")."""
    for name, lines in _LOGS.items():
        text = "".join(f"2026-01-01T00:00:0{n}Z {line}\n" for n, line in enumerate(lines))
        write_private(folder / "pods" / name, text.encode())
    files = {
        "logsFile": str(folder / "pods" / "present.log"),
        "previousLogsFile": str(folder / "pods" / "previous.log"),
    }
    config = {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterLogs",
        "metadata": {"name": "all"},
        "spec": {"logs": [files]},
    }
    write_private(folder / "pod-logs.yaml", json.dumps(config).encode())


def write_kubeconfigs(info: SandboxInfo, tokens: dict[str, str]) -> None:
    """The admin's (or anyone's) kubeconfig and one for each component."""
    write_private(info.kubeconfig, _kubeconfig(info, info.token))
    for component in _COMPONENTS:
        path = info.folder / "clients" / f"{component}.kubeconfig"
        write_private(path, _kubeconfig(info, tokens[component]))


def save(info: SandboxInfo) -> None:
    values = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(info).items()}
    del values["pids"]  # they change with every restart: the supervisor is asked instead
    write_private(info.folder / "sandbox.json", json.dumps(values, indent=2).encode())


def load(folder: Path) -> SandboxInfo | None:
    """None when there is none, or one that never became ready."""
    try:
        values = json.loads((folder / "sandbox.json").read_bytes())
        paths = {k: Path(values[k]) for k in ("folder", "ca_file", "kubeconfig", "audit_log")}
        return SandboxInfo(**{**values, **paths})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _kubeconfig(info: SandboxInfo, token: str) -> bytes:
    # JSON is YAML; the CA goes in as a file so that nothing is copied that could go stale.
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": info.context,
                "cluster": {"server": info.url, "certificate-authority": str(info.ca_file)},
            }
        ],
        "users": [{"name": info.context, "user": {"token": token}}],
        "contexts": [
            {"name": info.context, "context": {"cluster": info.context, "user": info.context}}
        ],
        "current-context": info.context,
    }
    return json.dumps(config, indent=2).encode()


def _audit_policy(*, bodies: bool) -> dict[str, object]:
    """Everything but the control plane's own traffic; one line a request, when it is complete."""
    own = [
        "system:apiserver",
        *(_USERS[component][0] for component in _COMPONENTS),
    ]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "None", "users": own},
            {"level": "RequestResponse" if bodies else "Metadata"},
        ],
    }
