"""The ``metrics:``, ``tracing:`` and ``log:`` of the fleet file. Called by
:mod:`gitops.config.build`."""

from __future__ import annotations

from types import MappingProxyType
from urllib.parse import urlsplit

from gitops.config import shape_observing as shape
from gitops.config.addresses import Refused, check_api
from gitops.config.problems import Draft
from gitops.config.values import judge, secret
from gitops.egress.addresses import is_loopback
from gitops.model.observing import LogSpec, MetricsSpec, TracingSpec


def metrics(draft: Draft, given: shape.Metrics) -> MetricsSpec:
    if given.listen:
        judge(draft, _check_listen, given.listen, ("metrics", "listen"))
    return MetricsSpec(given.listen)


def tracing(draft: Draft, given: shape.Tracing) -> TracingSpec:
    loc = ("tracing", "endpoint")
    if given.endpoint and not _plain(given):
        judge(draft, check_api, given.endpoint, loc)
    if given.headers and _plain(given):
        hint = "use https://, or send no headers"
        draft.refuse(loc, "headers would be sent in clear to another machine", hint)
    found = {
        name: ref
        for name, at in given.headers.items()
        if (ref := secret(draft, at, ("tracing", "headers", name))) is not None
    }
    return TracingSpec(given.endpoint.rstrip("/"), MappingProxyType(found), given.service)


def _plain(given: shape.Tracing) -> bool:
    """Plain HTTP to another machine, and permitted."""
    try:
        parts = urlsplit(given.endpoint)
        host = parts.hostname or ""
    except ValueError:
        return False
    clear = parts.scheme == "http" and host != "" and not is_loopback(host)
    return given.plain_http and clear and parts.username is None and parts.password is None


def log(given: shape.Log) -> LogSpec:
    return LogSpec(given.format, given.level)


def _check_listen(text: str) -> None:
    try:
        parts = urlsplit(f"//{text}")
        port, host = parts.port, parts.hostname
    except ValueError:
        port = host = None
    if not port or not host or parts.username is not None or parts.path or parts.query:
        raise Refused("is not ADDRESS:PORT", "write 127.0.0.1:9464, or 0.0.0.0:9464 for all")
