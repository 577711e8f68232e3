"""How the controller is observed, as the operator writes it.

Mirrors :mod:`gitops.model.observing`, whose values :mod:`gitops.config.observing` makes of
this. The texts under the fields become the published JSON Schema.
"""

# ruff: noqa: RUF012 - pydantic copies defaults; ruff cannot see that Shape is a model
from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gitops.config.base import SecretAt, Shape

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
ServiceName = Annotated[str, Field(min_length=1, max_length=100)]


class Metrics(Shape):
    """Where metrics are read."""

    listen: str = ""
    """ADDRESS:PORT of /metrics, /healthz and /readyz, such as 127.0.0.1:9464, or 0.0.0.0:9464 where
    Prometheus is another machine. What stands there is no secret, and nothing can be done there."""


class Tracing(Shape):
    """Where traces are sent: one for each delivery, with a span for each step."""

    endpoint: str = ""
    """OTLP receiver over HTTP, such as http://127.0.0.1:4318; /v1/traces is added."""
    headers: dict[HeaderName, SecretAt] = {}
    """Headers to send along, by reference: {authorization: {env: OTLP_AUTHORIZATION}}."""
    service: ServiceName = "gitops-controller"
    """The service's name in the traces."""
    plain_http: bool = False
    """Permit http:// to another machine, as a collector in the same network has it; not together
    with headers."""


class Log(Shape):
    """How the log is written."""

    format: Literal["console", "json"] = "console"
    """console for people, json for machines."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is said."""
