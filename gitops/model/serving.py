"""Where the controller listens and under which address people and forges reach it.

Part of the operator's fleet file, like everything in :mod:`gitops.model.fleet`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsSpec:
    """Files, read again whenever they change: certificates are renewed while we run."""

    certificate: Path
    """PEM: our certificate and what leads to its root."""
    key: Path
    """PEM, without a pass phrase."""


@dataclass(frozen=True, slots=True)
class ApiSpec:
    """Where the controller's own API listens."""

    socket: Path | None = None
    """Unix socket, 0600; default ``api.sock`` in the state folder."""
    listen: str = ""
    """``ADDRESS:PORT`` to listen there as well. Beyond loopback only with ``url`` and either
    ``tls`` or ``behind_proxy``."""
    url: str = ""
    """The public address, ``https://HOST`` without a path; empty where there is none."""
    tls: TlsSpec | None = None
    behind_proxy: bool = False
    """A proxy in front speaks TLS to the world, and nobody else reaches the address."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks whose ``X-Forwarded-For`` is believed, besides this machine."""
