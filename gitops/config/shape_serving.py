"""Where the controller listens, as the operator writes it.

Mirrors :mod:`gitops.model.serving`, whose values :mod:`gitops.config.serving` makes of this. The
texts under the fields become the published JSON Schema.
"""

# ruff: noqa: RUF012 - pydantic copies defaults; ruff cannot see that Shape is a model
from __future__ import annotations

from gitops.config.base import Shape
from gitops.config.scalars import Texts


class Tls(Shape):
    """What the controller proves itself with; both files are read again when they change."""

    certificate: str
    """File with the certificate and what leads to its root (PEM)."""
    key: str
    """File with its private key (PEM, no pass phrase) that not everybody may read."""


class Api(Shape):
    """Where the controller's own API listens."""

    socket: str | None = None
    """Unix socket; default: api.sock in state_dir."""
    listen: str = ""
    """127.0.0.1:PORT to listen on loopback as well; another ADDRESS:PORT needs `url`, and `tls` or
    `behind_proxy`."""
    url: str = ""
    """Public address, such as https://gitops.example.com: what people and forges call."""
    tls: Tls | None = None
    """Speak TLS with this certificate."""
    behind_proxy: bool = False
    """A proxy speaks TLS to the world and passes on; nobody else reaches the address."""
    proxies: Texts = []
    """Addresses or networks of proxies whose X-Forwarded-For is believed, besides this machine."""
