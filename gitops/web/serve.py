"""Runs the controller and its API in one process until it is told to stop.

SIGTERM and SIGINT end it cleanly, SIGHUP reloads the fleet file (a bad one keeps the old in force,
loudly). The socket is made by us, 0600 from its first instant: the server's own would be open to
everybody on the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp

from gitops.config.reload import changes, reload
from gitops.controller import Controller
from gitops.errors import ConfigError
from gitops.model.serving import ApiSpec
from gitops.web import observing
from gitops.web.api import build
from gitops.web.connections import PATIENCE, Door, PatientProtocol
from gitops.web.hooks import Hooks
from gitops.web.request_ids import RequestIds
from gitops.web.tls import Certificate

_log = structlog.get_logger(__name__)

LONGEST_PATH = 100
"""Bytes; a Unix socket's path is limited to 108 by the kernel (unix(7))."""


def socket_path(controller: Controller) -> Path:
    fleet = controller.fleet
    return fleet.api.socket or fleet.state_dir / "api.sock"


async def serve(controller: Controller) -> None:
    """Until a signal or a lost lease. Raises what ended the controller, if anything did."""
    _spare_the_collector()
    api, path = controller.fleet.api, socket_path(controller)
    certificate = Certificate(api.tls) if api.tls else None
    doors = [(_server(controller, trusted=True), _unix(path))]
    if api.listen:
        doors.append((_server(controller, trusted=False, certificate=certificate), _bound(api)))
    if metrics := controller.fleet.metrics.listen:
        doors.append((_observed(controller), observing.bound(metrics)))
    running = asyncio.ensure_future(controller.run())
    tasks = [running, *(asyncio.ensure_future(one.serve(sockets=[at])) for one, at in doors)]
    keeping = [asyncio.ensure_future(certificate.keep())] if certificate else []
    _signals(controller, running)
    _log.info("controller.started", socket=str(path), **_told(api), metrics=metrics)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for server, _ in doors:
            server.should_exit = True
        for task in (running, *keeping):
            task.cancel()
        await asyncio.gather(*tasks, *keeping, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    _log.info("controller.stopped")
    if not running.cancelled():
        running.result()


def _told(api: ApiSpec) -> dict[str, str | bool]:
    """What is open to whom, for the log: ``url`` is what to open in a browser."""
    here = f"{'https' if api.tls else 'http'}://{api.listen}" if api.listen else ""
    return {"listen": api.listen, "url": api.url or here, "tls": api.tls is not None}


def _spare_the_collector() -> None:
    """The controller holds millions of small values for as long as it lives, nearly all of them
    without cycles. Looking through all of them costs a tenth of a second in the middle of a
    delivery, so it is done a hundred times less often than by default."""
    gc.set_threshold(50_000, 20, 100)


class _Server(uvicorn.Server):
    """Leaves signals to us: two servers would fight over them."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's own for sockets that are given, except that whoever opens a connection and
        does not say hello in TLS is not waited for a minute."""
        if self.config.ssl is None:
            await super().startup(sockets)
            return
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                partial(self._protocol, at),
                sock=at,
                ssl=self.config.ssl,
                ssl_handshake_timeout=PATIENCE,
            )
            for at in sockets or ()
        ]
        self.started = True

    def _protocol(self, at: socket.socket) -> PatientProtocol:
        made = PatientProtocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        made.door = at if isinstance(at, Door) else None
        return made


def _server(
    controller: Controller, *, trusted: bool, certificate: Certificate | None = None
) -> uvicorn.Server:
    def context(_config: object, _default: object) -> ssl.SSLContext:
        assert certificate is not None
        return certificate.context

    return _Server(
        uvicorn.Config(
            _application(controller, trusted),
            ssl_context_factory=context if certificate else None,
            forwarded_allow_ips=["127.0.0.1", "::1", *controller.fleet.api.proxies],
            http=PatientProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            h11_max_incomplete_event_size=32 << 10,
            timeout_graceful_shutdown=2,
        )
    )


def _observed(controller: Controller) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            observing.application(controller),
            http=PatientProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            h11_max_incomplete_event_size=8 << 10,
            timeout_graceful_shutdown=2,
        )
    )


def _application(controller: Controller, trusted: bool) -> ASGIApp:
    """Webhooks come in where strangers can reach us, never through the operator's socket."""
    application = build(controller, trusted=trusted)
    return RequestIds(application if trusted else Hooks(application, controller))


def _unix(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ConfigError(
            f"the API socket's path is longer than {LONGEST_PATH} bytes: {path}",
            hint="set a shorter one: api: {socket: /run/gitops/api.sock}",
        )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if somebody_listens(path):
        raise ConfigError(
            f"another controller already listens on {path}",
            hint="stop it, or give this one a `state_dir` of its own",
        )
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


def somebody_listens(path: Path) -> bool:
    """Does a process accept connections on this Unix socket?"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _bound(api: ApiSpec) -> socket.socket:
    host, _, port = api.listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off where a socket says that it is TCP. With it on, an answer
    # waits 40 ms for the acknowledgement of its head.
    tcp = socket.IPPROTO_TCP
    listener = (Door if api.tls else socket.socket)(family, socket.SOCK_STREAM, tcp)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {api.listen}: {error.strerror}",
            hint="choose another `api: {listen:}`",
        ) from error
    listener.listen(128)
    return listener


def _signals(controller: Controller, running: asyncio.Future[None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    hup = _reloader(controller)
    loop.add_signal_handler(signal.SIGHUP, lambda: asyncio.ensure_future(hup()))


def _reloader(controller: Controller) -> Callable[[], Awaitable[None]]:
    async def again() -> None:
        old = controller.fleet
        new, problems = await asyncio.to_thread(reload, old, old.path)
        for problem in problems:
            _log.error("fleet.refused", problem=str(problem))
        if problems:
            _log.error("fleet.kept", why="the old fleet file stays in force")
            return
        for sentence in changes(old, new):
            _log.warning("fleet.changed", what=sentence)
        await controller.reload(new)
        _log.info("fleet.reloaded", path=str(new.path))

    return again
