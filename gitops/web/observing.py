"""The address that Prometheus and probes ask: ``/metrics``, ``/healthz``, ``/readyz``, no more.

Started by :mod:`gitops.web.serve` where the fleet file names one. It may be reached by more than
this machine, so it shows no secret, takes no body and changes nothing.
"""

from __future__ import annotations

import socket

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gitops.controller import Controller
from gitops.errors import ConfigError, Transient
from gitops.web.health import Probes
from gitops.web.metrics import Scrapes

_log = structlog.get_logger(__name__)


def application(controller: Controller) -> Starlette:
    scrapes, probes = Scrapes(controller), Probes(controller)

    async def metrics(request: Request) -> Response:
        try:
            body, content_type = await scrapes.text(request.headers.get("accept", ""))
        except Transient as error:
            _log.warning("metrics.unread", problem=error.message)
            return PlainTextResponse("the store does not answer\n", 503)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return Response(body, media_type=content_type, headers=headers)

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/healthz", probes.healthz),
            Route("/readyz", probes.readyz),
        ]
    )


def bound(listen: str) -> socket.socket:
    """Raises ConfigError when the address cannot be had."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {listen}: {error.strerror}",
            hint="choose another `metrics: {listen:}`",
        ) from error
    listener.listen(128)
    return listener
