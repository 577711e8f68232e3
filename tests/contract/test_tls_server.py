"""The real server process with a certificate, spoken to in TLS and otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from gitops.web.connections import Door, PatientProtocol
from tests.contract.git_servers import Repo
from tests.contract.listening import Listening, free_port
from tests.unit.test_tls import write_pair

NAME = "gitops.example.com"


class Encrypted(Listening):
    @property
    def base(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def ready(self) -> bool:
        return (self.folder / "state" / "api.sock").exists() and bool(self.call("/readyz"))

    def call(self, path: str) -> str:
        """The first line of the answer to a GET whose sender checks the certificate's name."""
        trusting = ssl.create_default_context(cafile=str(self.folder / "tls.crt"))
        request = f"GET {path} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n"
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port), timeout=20) as plain,
                trusting.wrap_socket(plain, server_hostname=NAME) as wire,
            ):
                wire.sendall(request.encode())
                return wire.recv(4_096).decode().splitlines()[0]
        except ConnectionRefusedError:
            return ""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    folder = tmp_path_factory.mktemp("encrypted")
    write_pair(folder, NAME)
    repo, port = Repo(folder), free_port()
    repo.deliver({"app/cm.yaml": "v: 1\n"})
    tls = {"certificate": "tls.crt", "key": "tls.key"}
    api = {"listen": f"127.0.0.1:{port}", "url": f"https://{NAME}", "tls": tls}
    source = {"git": str(repo.bare), "allow_local": True, "interval": "1h"}
    more = {"api": api, "sources": {"config": source}}
    found = Encrypted(folder, "", port=port, more=more)
    yield found
    found.stop()


def test_with_a_certificate_it_speaks_tls_and_nothing_else(running: Encrypted) -> None:
    assert running.call("/healthz") == "HTTP/1.1 200 OK"
    assert running.call("/api/v1/status").startswith("HTTP/1.1 401")
    assert running.call("/hooks/github").startswith("HTTP/1.1 405")
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{running.port}/healthz", trust_env=False)


def test_old_versions_of_tls_are_refused(running: Encrypted) -> None:
    old = ssl.create_default_context(cafile=str(running.folder / "tls.crt"))
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", running.port), timeout=20) as plain,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(plain, server_hostname=NAME)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_strangers_who_say_no_hello_use_up_no_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.web.connections.KNOCKING", 5)
    spec = write_pair(tmp_path, NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(spec.certificate, spec.key)
    state, door = ServerState(), Door(socket.AF_INET, socket.SOCK_STREAM)
    door.bind(("127.0.0.1", 0))
    config = uvicorn.Config(lambda _scope: None, http=PatientProtocol, log_config=None)
    config.load()

    def one() -> PatientProtocol:
        made = PatientProtocol(config=config, server_state=state, app_state={})
        made.door = door
        return made

    server = await asyncio.get_running_loop().create_server(one, sock=door, ssl=context)
    trusting = ssl.create_default_context(cafile=str(spec.certificate))
    before = descriptors()
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection(door.getsockname()))
        for _ in range(200):
            await asyncio.sleep(0.005)
        assert descriptors() <= before + 60 + 5
        _, writer = await asyncio.open_connection(
            *door.getsockname(), ssl=trusting, server_hostname=NAME
        )
        while not state.connections:
            await asyncio.sleep(0.005)
        assert len(door.knocking) == 4, "whoever says hello is let in, and counted elsewhere"
        writer.close()
    server.close()
