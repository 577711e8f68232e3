"""How a controller lets itself be observed: metrics, traces, its log.

Part of the operator's fleet file, like everything in :mod:`gitops.model.fleet`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gitops.model.secret import SecretRef


@dataclass(frozen=True, slots=True)
class MetricsSpec:
    listen: str = ""
    """``ADDRESS:PORT`` of ``/metrics``, ``/healthz`` and ``/readyz``; empty: nowhere. It may be
    beyond loopback: there is no secret in what it says, and nothing can be done there."""


@dataclass(frozen=True, slots=True)
class TracingSpec:
    endpoint: str = ""
    """Of an OTLP receiver over HTTP, without ``/v1/traces``; empty: no traces."""
    headers: Mapping[str, SecretRef] = field(default_factory=lambda: MappingProxyType({}))
    """Sent along, such as ``authorization``."""
    service: str = "gitops-controller"


@dataclass(frozen=True, slots=True)
class LogSpec:
    format: str = "console"
    """``console`` or ``json``."""
    level: str = "info"
