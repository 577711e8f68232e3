"""A web host on loopback that answers as it is told, honestly or not, and remembers what it got."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answerer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; ``raw`` writes whatever bytes as the answer."""

    protocol_version = "HTTP/1.1"
    timeout = 20
    server: Any

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError, ssl.SSLError):
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        host: Host = self.server.host
        host.requests.append((self.path, dict(self.headers.items())))
        host.answer(self)

    def raw(self, data: bytes) -> None:
        self.close_connection = True
        self.wfile.write(data)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response_only(status)
        self.send_header("Date", formatdate(usegmt=True))
        if status != 304 or body:
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@dataclass
class Host:
    """What it serves by path, and what it was asked."""

    scheme: str = "http"
    port: int = 0
    content: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    answer: Answerer = field(init=False)
    connections: int = 0

    def __post_init__(self) -> None:
        self.answer = self.honest

    def url(self, path: str = "/config.tar.gz", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def honest(self, request: Request) -> None:
        """As a well-behaved host: a strong ETag, and 304 for who has it."""
        body = self.content.get(request.path)
        if body is None:
            request.reply(404, b"nothing here")
            return
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            request.reply(304, ETag=etag)
        else:
            request.reply(200, body, ETag=etag)

    def always(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.answer = lambda request: request.reply(status, body, **headers)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    host: Host

    def get_request(self) -> tuple[socket.socket, Any]:
        found = super().get_request()
        self.host.connections += 1
        return found

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is what some tests are about."""


@contextmanager
def host(tls: ssl.SSLContext | None = None) -> Iterator[Host]:
    server = _Server(("127.0.0.1", 0), Request)
    server.host = Host("https" if tls else "http", server.server_port)
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
