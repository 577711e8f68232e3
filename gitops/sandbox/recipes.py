"""What each tool is called, which Go module builds it, and which version counts as right.

The pinned module files under ``tools/`` are the only place a version is written down; everything
here is read from them. Called by :mod:`gitops.sandbox.tools` and :mod:`gitops.sandbox.build`.
Must never start a process or touch the network.
"""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MODULES = Path(__file__).parent / "tools"

_LINKER = {
    # Without these stamps the Kubernetes programs report v0.0.0-master and clients misjudge them.
    "controlplane": (
        "-X k8s.io/component-base/version.gitVersion={version}",
        "-X k8s.io/component-base/version.gitMajor={major}",
        "-X k8s.io/component-base/version.gitMinor={minor}",
        "-X k8s.io/component-base/version.gitCommit=unknown",
        "-X k8s.io/component-base/version.gitTreeState=clean",
        "-X k8s.io/client-go/pkg/version.gitVersion={version}",
    ),
    "kwok": ("-X sigs.k8s.io/kwok/pkg/consts.Version={version}",),
    "kustomize": ("-X sigs.k8s.io/kustomize/api/provenance.version={version}",),
    "helm": ("-X helm.sh/helm/v4/internal/version.version={version}",),
    "registry": ("-X github.com/distribution/distribution/v3/version.version={version}",),
    # It knows its version; without the stamp it calls itself a "-dev" build of it.
    "tofu": ("-X github.com/opentofu/opentofu/version.dev=no",),
    "terraform-provider-local": (),
    "promtool": ("-X github.com/prometheus/common/version.Version={version}",),
}
_TAGS = {
    # Without the clients of all the clouds Prometheus can find machines in: half the time.
    "promtool": ("remove_all_sd",),
}


@dataclass(frozen=True, slots=True)
class Tool:
    """One program: the package that is its ``main`` and how it says its version."""

    name: str
    module: str
    package: str
    source: str
    """The Go module whose required version is the tool's version."""
    asks: tuple[str, ...]
    """Arguments that make it print its version."""

    @property
    def version(self) -> str:
        """The pinned version, ``v1.35.4``."""
        return required(self.module)[self.source]


_KUBERNETES = "k8s.io/kubernetes"
_ETCD = "go.etcd.io/etcd/server/v3"
_REGISTRY = "github.com/distribution/distribution/v3"
_TOFU = "github.com/opentofu/opentofu"
_PROMETHEUS = "github.com/prometheus/prometheus"
_LOCAL = "github.com/terraform-providers/terraform-provider-local"


def _kubernetes(name: str, *asks: str) -> Tool:
    return Tool(name, "controlplane", f"{_KUBERNETES}/cmd/{name}", _KUBERNETES, asks)


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("etcd", "controlplane", _ETCD, _ETCD, ("--version",)),
        _kubernetes("kube-apiserver", "--version"),
        _kubernetes("kube-controller-manager", "--version"),
        _kubernetes("kube-scheduler", "--version"),
        _kubernetes("kubectl", "version", "--client"),
        Tool("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok", ("--version",)),
        Tool(
            "kustomize",
            "kustomize",
            "sigs.k8s.io/kustomize/kustomize/v5",
            "sigs.k8s.io/kustomize/kustomize/v5",
            ("version",),
        ),
        Tool("helm", "helm", "helm.sh/helm/v4/cmd/helm", "helm.sh/helm/v4", ("version",)),
        Tool("registry", "registry", f"{_REGISTRY}/cmd/registry", _REGISTRY, ("--version",)),
        Tool("tofu", "tofu", f"{_TOFU}/cmd/tofu", _TOFU, ("version",)),
        Tool("promtool", "promtool", f"{_PROMETHEUS}/cmd/promtool", _PROMETHEUS, ("--version",)),
        # It says no version to anybody but a terraform, so only a built one counts.
        Tool("terraform-provider-local", "terraform-provider-local", _LOCAL, _LOCAL, ()),
    )
}
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
RENDERING = ("kustomize", "helm")
TESTING = ("registry", "tofu", "terraform-provider-local", "promtool")
"""Built only when asked for: nobody waits for them who does not run the tests. A fleet, or the
demo, asks for tofu where there is no terraform."""


@cache
def required(module: str) -> dict[str, str]:
    """Module path → version, from the ``require`` lines of ``tools/<module>/go.mod``."""
    text = (MODULES / module / "go.mod").read_text("utf-8")
    return dict(re.findall(r"^\s*(?:require\s+)?([\w.\-/]+\.[\w.\-/]+)\s+(v[\w.\-+]+)", text, re.M))


def machine() -> str:
    """Go's name of this processor: part of the cache key, so a shared home folder works."""
    known = {"x86_64": "amd64", "aarch64": "arm64"}
    return known.get(platform.machine(), platform.machine())


def linker_flags(module: str) -> str:
    version = next(t.version for t in TOOLS.values() if t.module == module and t.name != "etcd")
    major, minor = version.removeprefix("v").split(".")[:2]
    stamps = (s.format(version=version, major=major, minor=minor) for s in _LINKER[module])
    return " ".join(("-s -w", *stamps))


def tags(module: str) -> str:
    """Go's build tags of a module, as its ``-tags`` takes them; empty for none."""
    return ",".join(_TAGS.get(module, ()))


@cache
def digest(module: str) -> str:
    """Changes whenever a built binary could: module files, stamps, processor."""
    content = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        content.update((MODULES / module / name).read_bytes())
    content.update(f"{linker_flags(module)} {machine()}".encode())
    content.update(tags(module).encode())
    return content.hexdigest()[:16]


def members(module: str) -> tuple[Tool, ...]:
    return tuple(tool for tool in TOOLS.values() if tool.module == module)


def version_in(text: str) -> str:
    """The first ``1.2.3``-like number a program prints about itself; empty if there is none.

    The first one is the program's own in every tool we run: later numbers are Go's or a library's.
    """
    found = re.search(r"(?<![\w.])v?(\d+\.\d+\.\d+(?:-[\w.]+)?)", text)
    return found.group(1) if found else ""
