"""Real git served on loopback for tests: repositories, smart HTTP with faults, and OpenSSH."""

from __future__ import annotations

import base64
import contextlib
import getpass
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitops.model.fleet import GitCredentials
from gitops.model.secret import SecretRef
from gitops.model.source import Revision
from gitops.plugins import AppToken, no_app
from gitops.sources import git as plugin
from gitops.sources.git import GitSource

BACKEND = (
    Path(
        subprocess.run(
            ["git", "--exec-path"], check=True, capture_output=True, text=True
        ).stdout.strip()
    )
    / "git-http-backend"
)
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
TOKEN = "tok-5f0c1e77a9"


def git(*argv: str, cwd: Path, person: str = "Ann", input: str | None = None, **env: str) -> str:
    done = subprocess.run(
        ["git", *argv],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
        input=input,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(cwd),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": person,
            "GIT_AUTHOR_EMAIL": f"{person.lower()}@example.org",
            "GIT_COMMITTER_NAME": person,
            "GIT_COMMITTER_EMAIL": f"{person.lower()}@example.org",
            "LC_ALL": "C",
            **env,
        },
    )
    return done.stdout.strip()


class Repo:
    """A bare repository as the remote, and a working tree that pushes to it."""

    def __init__(self, base: Path, name: str = "config") -> None:
        self.bare = base / f"{name}.git"
        self.work = base / f"{name}.work"
        self.bare.mkdir(parents=True)
        self.work.mkdir()
        git("init", "-q", "--bare", "-b", "main", cwd=self.bare)
        git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=self.bare)
        git("config", "receive.denyDeleteCurrent", "ignore", cwd=self.bare)
        git("init", "-q", "-b", "main", cwd=self.work)
        git("remote", "add", "origin", str(self.bare), cwd=self.work)

    def git(self, *argv: str, person: str = "Ann", **env: str) -> str:
        return git(*argv, cwd=self.work, person=person, **env)

    def write(self, files: dict[str, str | bytes | None]) -> None:
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(
        self,
        files: dict[str, str | bytes | None],
        message: str = "change",
        person: str = "Ann",
        **env: str,
    ) -> str:
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, person=person, **env)
        return self.git("rev-parse", "HEAD")

    def push(self, *argv: str) -> None:
        self.git("push", "-q", *(argv or ("origin", "HEAD")))

    def deliver(self, files: dict[str, str | bytes | None], **kwargs: str) -> str:
        """Commit and push."""
        oid = self.commit(files, **kwargs)
        self.push()
        return oid

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")


@dataclass
class Faults:
    """What the HTTP server does wrong; all off: it is a good server."""

    token: str = ""
    """Ask for this password."""
    status: int = 0
    """Answer everything with this status."""
    location: str = ""
    hang: bool = False
    """Take the request and never answer."""
    trickle: bool = False
    """One byte a second."""
    half: bool = False
    """Close in the middle of a pack."""
    garbage: bool = False
    """Flip bytes inside a pack."""
    headers: dict[str, str] = field(default_factory=dict)
    no_ids: bool = False
    """Give nothing by its id, only what a ref was asked for, in the words of JGit."""


class HttpGit:
    """``git http-backend`` behind a small server on loopback."""

    def __init__(self, root: Path, tls: ssl.SSLContext | None = None) -> None:
        self.root = root
        self.faults = Faults()
        self.requests: list[str] = []
        self.watch: Callable[[], None] = lambda: None
        """Called while the client waits for an answer."""
        self.listed = False
        """Did the last request ask for refs?"""
        self.released = threading.Event()
        self.arrived = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.scheme = "http"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, repo: Repo, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}/{repo.bare.name}"

    @property
    def looks(self) -> int:
        """Head requests: each begins with one advertisement."""
        return sum("info/refs" in line for line in self.requests)

    @property
    def packs(self) -> int:
        return self.requests.count("fetch")

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    owner: HttpGit
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hanging up in the middle is what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._serve(body)

    def _serve(self, body: bytes) -> None:
        owner, faults = self.server.owner, self.server.owner.faults
        owner.requests.append(self.path)
        if b"command=fetch" in body:
            owner.requests.append("fetch")
        by_id = b"command=fetch" in body and not owner.listed
        owner.listed = b"command=ls-refs" in body
        owner.watch()
        owner.arrived.set()
        if faults.hang:
            owner.released.wait(60)
            self.close_connection = True
            return
        if faults.token and not self._allowed(faults.token):
            self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        elif faults.no_ids and by_id:
            wanted = body.partition(b"want ")[2][:40].decode()
            text = f"ERR want {wanted} not valid\n"
            kind = {"Content-Type": "application/x-git-upload-pack-result"}
            self._answer(200, kind, f"{len(text) + 4:04x}{text}".encode())
        elif faults.status:
            location = {"Location": faults.location} if faults.location else {}
            self._answer(faults.status, {**location, **faults.headers}, b"no\n")
        else:
            self._backend(body)

    def _allowed(self, token: str) -> bool:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        return scheme == "Basic" and base64.b64decode(value).decode().endswith(f":{token}")

    def _backend(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            [str(BACKEND)],
            input=body,
            capture_output=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.server.owner.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "HOME": str(self.server.owner.root),
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "REMOTE_ADDR": "127.0.0.1",
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        status = int(headers.pop("Status", "200").split()[0])
        is_pack = b"command=fetch" in body and b"PACK" in content
        self._answer(status, headers, content, is_pack=is_pack)

    def _answer(
        self, status: int, headers: dict[str, str], content: bytes, *, is_pack: bool = False
    ) -> None:
        faults = self.server.owner.faults
        if is_pack and faults.garbage:
            middle = len(content) * 3 // 4
            content = content[:middle] + bytes(b ^ 0x55 for b in content[middle:-8]) + content[-8:]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if faults.trickle:
            for byte in content:
                if self.server.owner.released.wait(1):
                    return
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
        elif is_pack and faults.half:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            self.wfile.write(content)


class SshGit:
    """An OpenSSH server on loopback that lets one key in, as the user who runs the tests."""

    def __init__(self, base: Path) -> None:
        if SSHD is None:
            absent = pytest.fail if os.environ.get("GITOPS_TEST_REQUIRE") == "1" else pytest.skip
            absent("sshd is missing; install it: apt-get install openssh-server")
        base.mkdir(parents=True, exist_ok=True)
        base.chmod(0o700)
        self.base = base
        for name in ("host", "other_host", "user", "stranger"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(base / name)], check=True
            )
        shutil.copy(base / "user.pub", base / "authorized_keys")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self.known_hosts = self.knows("host")
        self._process = self._start()

    def knows(self, key: str) -> Path:
        """A known_hosts file that expects this key of the server."""
        path = self.base / f"known_{key}"
        words = (self.base / f"{key}.pub").read_text().split()
        path.write_text(f"[127.0.0.1]:{self.port} {words[0]} {words[1]}\n")
        return path

    def url(self, repo: Repo) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{repo.bare}"

    def credentials(self, key: str = "user", known: Path | None = None) -> GitCredentials:
        return GitCredentials(
            ssh_key=SecretRef(file=self.base / key), known_hosts=known or self.known_hosts
        )

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        config = self.base / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.base}/host\n"
            f"AuthorizedKeysFile {self.base}/authorized_keys\nPidFile none\nStrictModes no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
            "PermitRootLogin prohibit-password\nAcceptEnv GIT_PROTOCOL\nLogLevel ERROR\n"
        )
        assert SSHD is not None
        with (self.base / "log").open("wb") as log:
            process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log)
        for _ in range(200):
            if process.poll() is not None:
                pytest.fail(f"sshd ended: {(self.base / 'log').read_text()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return process
            time.sleep(0.02)
        pytest.fail("sshd does not listen")


@contextlib.contextmanager
def http_git(root: Path, tls: ssl.SSLContext | None = None) -> Iterator[HttpGit]:
    server = HttpGit(root, tls)
    try:
        yield server
    finally:
        server.close()


def source(
    state: Path,
    url: str | Path,
    name: str = "config",
    app_token: AppToken = no_app,
    **options: Any,
) -> GitSource:
    """A source as ``app.py`` would build it."""
    services = SimpleNamespace(state_dir=state, app_token=app_token)
    made: GitSource = plugin.build(
        plugin.Options(name=name, url=str(url), **options),
        services,  # type: ignore[arg-type]
    )
    return made


async def latest(made: GitSource, last: Revision | None = None) -> Revision:
    return (await made.look(last)).revision
