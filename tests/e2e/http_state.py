"""A place for states as Terraform's ``http`` backend documents it, and what was done to it.

GET, POST and DELETE of the state; LOCK and UNLOCK with the lock's description as body. A held lock
is answered with 423 and the description of the one who holds it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class HttpState:
    """One state. Read its attributes from anywhere; they are replaced, never changed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.state = b""
        self.lock: dict[str, Any] | None = None
        self.unlocked: tuple[str, ...] = ()
        """Ids of locks that were let go of, by whoever."""
        self.taken: tuple[dict[str, Any], ...] = ()
        self._guard = threading.Lock()

    @property
    def backend(self) -> dict[str, Any]:
        """Settings for the fleet file."""
        lock = f"{self.url}/lock"
        return {
            "address": f"{self.url}/state",
            "lock_address": lock,
            "unlock_address": lock,
            "retry_max": 0,
        }

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.state or b"{}")
        return found

    def answer(self, method: str, query: str, body: bytes) -> tuple[int, bytes]:
        with self._guard:
            return getattr(self, f"_{method.lower()}")(query, body)  # type: ignore[no-any-return]

    def _get(self, query: str, body: bytes) -> tuple[int, bytes]:
        return (200, self.state) if self.state else (404, b"")

    def _post(self, query: str, body: bytes) -> tuple[int, bytes]:
        (by,) = parse_qs(query).get("ID", [""])
        if self.lock is not None and by != self.lock["ID"]:
            return 423, json.dumps(self.lock).encode()
        self.state = body
        return 200, b""

    def _delete(self, query: str, body: bytes) -> tuple[int, bytes]:
        self.state = b""
        return 200, b""

    def _lock(self, query: str, body: bytes) -> tuple[int, bytes]:
        if self.lock is not None:
            return 423, json.dumps(self.lock).encode()
        self.lock = json.loads(body)
        self.taken = (*self.taken, json.loads(body))
        return 200, b""

    def _unlock(self, query: str, body: bytes) -> tuple[int, bytes]:
        # `terraform force-unlock` sends no description, whatever id it was given, and means the
        # lock that is held; tofu sends the id. GitLab's server takes both, and so does this one.
        if self.lock is None or (body and json.loads(body)["ID"] != self.lock["ID"]):
            return 409, json.dumps(self.lock or {}).encode()
        self.unlocked = (*self.unlocked, str(self.lock["ID"]))
        self.lock = None
        return 200, b""


@contextlib.contextmanager
def serving() -> Iterator[HttpState]:
    """On loopback, for as long as the block lasts."""
    place: list[HttpState] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.body()
            status, answer = place[0].answer(self.command, urlsplit(self.path).query, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    for method in ("GET", "POST", "DELETE", "LOCK", "UNLOCK"):
        setattr(Handler, f"do_{method}", Handler.answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    place.append(HttpState(f"http://127.0.0.1:{server.server_port}"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield place[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
