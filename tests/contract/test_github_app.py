"""Signing in as a GitHub App, against a server that checks what GitHub documents and records."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gitops.errors import GitopsError, SourceProblem, SourceUnavailable
from gitops.forges.github_app import AppTokens, app_signer
from gitops.forges.settings import Options
from gitops.model.fleet import GitCredentials, GitHubApp
from gitops.model.secret import SecretRef
from gitops.model.source import SourceState
from tests.contract.git_servers import Repo, http_git, latest, source

APP, INSTALLATION = 12345, 678
NOW = 1_800_000_000.0


@dataclass
class Hands:
    """A clock that is set by hand."""

    wall: float = NOW
    ticks: float = 1000.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds


@dataclass
class GitHub:
    """POST /app/installations/ID/access_tokens as documented, and what goes wrong with it."""

    public: Any
    clock: Hands
    answer: tuple[int, dict[str, str], bytes] | None = None
    """Given instead of the documented one."""
    ahead: float = 0.0
    """Seconds its clock is ahead of ours."""
    seconds: float = 3600.0
    requests: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    url: str = ""

    def reply(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self.requests.append(headers | {"path": path})
        now = self.clock.wall + self.ahead
        date = {"Date": formatdate(now, usegmt=True)}
        if self.answer is not None:
            status, more, body = self.answer
            return status, date | more, body
        problem = self._problem(headers.get("Authorization", ""), now)
        if problem:
            return 401, date, json.dumps({"message": problem}).encode()
        if path != f"/app/installations/{INSTALLATION}/access_tokens":
            return 404, date, b'{"message": "Not Found"}'
        self.tokens.append(f"ghs_{len(self.tokens)}" + "x" * 36)
        ends = datetime.fromtimestamp(now + self.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = {"token": self.tokens[-1], "expires_at": ends, "permissions": {"contents": "read"}}
        return 201, date, json.dumps(said).encode()

    def _problem(self, authorization: str, now: float) -> str:
        scheme, _, text = authorization.partition(" ")
        try:
            skip = {"verify_exp": False, "verify_iat": False}
            claims = jwt.decode(text, self.public, algorithms=["RS256"], options=skip)
        except jwt.PyJWTError:
            return "A JSON web token could not be decoded"
        if scheme != "Bearer" or claims["iss"] != str(APP):
            return "Integration not found"
        if claims["iat"] > now:
            return "'Issued at' claim ('iat') must be in the past"
        if not now < claims["exp"] <= now + 600:
            return "'Expiration time' claim ('exp') is too far in the future"
        return ""


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def written(path: Path, key: Any, passphrase: bytes = b"") -> Path:
    cipher = pem.BestAvailableEncryption(passphrase) if passphrase else pem.NoEncryption()
    form = pem.PrivateFormat.PKCS8 if passphrase else pem.PrivateFormat.TraditionalOpenSSL
    path.touch(0o600)
    path.write_bytes(key.private_bytes(pem.Encoding.PEM, form, cipher))
    return path


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def github(key: rsa.RSAPrivateKey, clock: Hands) -> Iterator[GitHub]:
    made = GitHub(key.public_key(), clock)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def send_response(self, code: int, message: str | None = None) -> None:
            self.send_response_only(code, message)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, body = made.reply(self.path, dict(self.headers))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def app(github: GitHub, key: rsa.RSAPrivateKey, tmp_path: Path) -> GitHubApp:
    path = written(tmp_path / "app.pem", key)
    return GitHubApp(APP, INSTALLATION, SecretRef(file=path), github.url)


@dataclass
class Told:
    """Secret values that were reported as such."""

    values: list[str] = field(default_factory=list)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def tokens(clock: Hands, told: Told) -> AppTokens:
    return AppTokens(clock, told.values.append)


def trouble(work: Callable[[], object]) -> GitopsError:
    with pytest.raises(GitopsError) as caught:
        work()
    return caught.value


# --- what works -----------------------------------------------------------------------------------


def test_a_token_is_made_as_github_documents_and_is_known_to_be_secret(
    tokens: AppTokens, app: GitHubApp, github: GitHub, told: Told
) -> None:
    assert tokens.token(app) == github.tokens[0]
    (request,) = github.requests
    assert request["Accept"] == "application/vnd.github+json"
    assert request["X-GitHub-Api-Version"] == "2022-11-28"
    assert request["User-Agent"]
    assert told.values == github.tokens


def test_a_token_is_kept_until_five_minutes_before_its_end(
    tokens: AppTokens, app: GitHubApp, github: GitHub, clock: Hands
) -> None:
    first = tokens.token(app)
    clock.pass_(3600 - 301)
    assert tokens.token(app) == first
    clock.pass_(2)
    assert tokens.token(app) == github.tokens[1] != first


def test_many_at_once_cause_one_request(tokens: AppTokens, app: GitHubApp, github: GitHub) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: tokens.token(app), range(24)))
    assert (found, len(github.requests)) == ({github.tokens[0]}, 1)


def test_a_refused_token_is_replaced_once_for_everybody_and_not_while_it_is_new(
    tokens: AppTokens, app: GitHubApp, github: GitHub, clock: Hands
) -> None:
    first = tokens.token(app)
    assert tokens.token(app, refused=first) == first
    clock.pass_(61)
    second = tokens.token(app, refused=first)
    assert second != first
    assert tokens.token(app, refused=first) == second
    assert len(github.requests) == 2


def test_the_end_of_a_token_is_told_by_githubs_clock(
    tokens: AppTokens, app: GitHubApp, github: GitHub, clock: Hands
) -> None:
    github.ahead = -50.0
    first = tokens.token(app)
    clock.pass_(3600 - 301)
    assert tokens.token(app) == first
    clock.pass_(2)
    assert tokens.token(app) != first


@pytest.mark.parametrize(("seconds", "kept"), [(10**7, 3300), (200, 0), (-10, 0)])
def test_an_unlikely_end_of_a_token_is_not_believed(
    tokens: AppTokens, app: GitHubApp, github: GitHub, clock: Hands, seconds: int, kept: int
) -> None:
    github.seconds = seconds
    first = tokens.token(app)
    clock.pass_(kept)
    assert tokens.token(app) != first


def test_another_key_in_the_file_is_used_for_the_next_token(
    tokens: AppTokens, app: GitHubApp, github: GitHub, clock: Hands
) -> None:
    tokens.token(app)
    other = rsa.generate_private_key(65537, 2048)
    assert app.private_key.file is not None
    written(app.private_key.file, other)
    github.public = other.public_key()
    clock.pass_(3600)
    assert tokens.token(app) == github.tokens[1]


async def test_a_forges_client_signs_with_it_unless_it_was_given_a_token(
    tokens: AppTokens, app: GitHubApp, github: GitHub
) -> None:
    credentials = GitCredentials(github_app=app)
    sign = app_signer(Options("", credentials), tokens.token)
    assert sign is not None
    assert await sign() == {"Authorization": f"Bearer {github.tokens[0]}"}
    assert app_signer(Options("", credentials, token=app.private_key), tokens.token) is None
    assert app_signer(Options(), tokens.token) is None


# --- what does not --------------------------------------------------------------------------------

REFUSED, INVALID = SourceState.REFUSED, SourceState.INVALID
ANSWERS = {
    "unknown": ((404, {}, b'{"message":"Not Found"}'), REFUSED, "no installation 678"),
    "suspended": (
        (403, {}, b'{"message":"This installation has been suspended"}'),
        REFUSED,
        "is suspended",
    ),
    "forbidden": ((403, {}, b"canary"), REFUSED, "refuses a token"),
    "unprocessable": ((422, {}, b"canary"), INVALID, "answered 422"),
    "login page": ((200, {}, b"<html>canary"), INVALID, "answered 200"),
    "no json": ((201, {}, b"<html>canary"), INVALID, "not what GitHub documents"),
    "a list": ((201, {}, b"[]"), INVALID, "not what GitHub documents"),
    "no token": ((201, {}, b'{"expires_at":"2030-01-01T00:00:00Z"}'), INVALID, "not what GitHub"),
    "a number": (
        (201, {}, b'{"token":1,"expires_at":"2030-01-01T00:00:00Z"}'),
        INVALID,
        "not what GitHub",
    ),
    "a header in it": (
        (201, {}, b'{"token":"ghs_canary\\r\\nX-Evil: 1","expires_at":"2030-01-01T00:00:00Z"}'),
        INVALID,
        "not what GitHub",
    ),
    "no zone": (
        (201, {}, b'{"token":"ghs_canarycanary","expires_at":"2030-01-01T00:00:00"}'),
        INVALID,
        "not what GitHub",
    ),
    "too much": ((201, {}, b" " * 70_000), INVALID, "is over 64 KiB"),
    "elsewhere": ((302, {"Location": "https://evil.example/"}, b""), INVALID, "a write elsewhere"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_no_token_is_said_in_words(
    tokens: AppTokens, app: GitHubApp, github: GitHub, name: str
) -> None:
    github.answer, state, words = ANSWERS[name]
    error = trouble(lambda: tokens.token(app))
    assert isinstance(error, SourceProblem)
    assert error.state is state
    assert words in error.message
    assert "canary" not in str(error)
    assert "Bearer" not in str(error)
    github.answer = None
    assert tokens.token(app) == github.tokens[0]


@pytest.mark.parametrize(
    ("status", "headers", "after"),
    [
        (429, {"Retry-After": "17"}, 17.0),
        (403, {"Retry-After": "17"}, 17.0),
        (403, {"X-RateLimit-Remaining": "0"}, None),
        (500, {}, None),
        (503, {"Retry-After": "9"}, 9.0),
    ],
)
def test_what_passes_is_said_to_pass(
    tokens: AppTokens,
    app: GitHubApp,
    github: GitHub,
    status: int,
    headers: dict[str, str],
    after: float | None,
) -> None:
    github.answer = (status, headers, b"no")
    error = trouble(lambda: tokens.token(app))
    assert isinstance(error, SourceUnavailable)
    assert error.retry_after == after


@pytest.mark.parametrize(("ahead", "words"), [(-900, "900 s ahead of"), (900, "900 s behind")])
def test_a_wrong_clock_is_named(
    tokens: AppTokens, app: GitHubApp, github: GitHub, ahead: float, words: str
) -> None:
    github.ahead = ahead
    error = trouble(lambda: tokens.token(app))
    assert words in error.message
    assert "clock" in error.hint


def test_a_key_of_another_app_is_named(tokens: AppTokens, app: GitHubApp, github: GitHub) -> None:
    github.public = rsa.generate_private_key(65537, 2048).public_key()
    error = trouble(lambda: tokens.token(app))
    assert f"not one of app {APP}" in error.message


def test_a_key_that_cannot_be_used_is_said_and_never_shown(
    tokens: AppTokens, app: GitHubApp, github: GitHub, tmp_path: Path, key: rsa.RSAPrivateKey
) -> None:
    assert app.private_key.file is not None
    path = app.private_key.file
    for spoil in (
        lambda: path.write_text("canary"),
        lambda: path.write_text("-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END"),
        lambda: written(path, key, b"passphrase"),
        lambda: written(path, ec.generate_private_key(ec.SECP256R1())),
    ):
        spoil()
        error = trouble(lambda: tokens.token(app))
        assert "private key of the GitHub App" in error.message
        assert "canary" not in str(error)
    path.unlink()
    assert "cannot be read" in trouble(lambda: tokens.token(app)).message
    assert github.requests == []


def test_a_host_that_does_not_answer_is_away(app: GitHubApp, tokens: AppTokens) -> None:
    gone = GitHubApp(APP, INSTALLATION, app.private_key, "http://127.0.0.1:1")
    assert isinstance(trouble(lambda: tokens.token(gone)), SourceUnavailable)


# --- git ------------------------------------------------------------------------------------------


async def test_git_fetches_with_it_and_gets_another_when_it_is_refused(
    tokens: AppTokens, app: GitHubApp, github: GitHub, clock: Hands, tmp_path: Path
) -> None:
    repo = Repo(tmp_path / "remote")
    repo.deliver({"a": "1"})
    with http_git(repo.bare.parent) as server:
        credentials = GitCredentials(github_app=app)
        url = server.url(repo)
        made = source(tmp_path / "state", url, app_token=tokens.token, credentials=credentials)
        server.faults.token = await asyncio.to_thread(tokens.token, app)
        first = await latest(made)
        assert first.id == repo.head
        clock.pass_(120)
        server.faults.token = "ghs_1" + "x" * 36
        new = repo.deliver({"a": "2"})
        assert (await latest(made, first)).id == new
        assert len(github.requests) == 2
        clock.pass_(120)
        server.faults.token = "revoked-for-good"
        for _ in range(3):
            with pytest.raises(SourceProblem, match="credentials were refused") as caught:
                await made.look(first)
            assert caught.value.state is SourceState.REFUSED
        assert len(github.requests) == 3, "a new token that is refused is not replaced again"
        leaked = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
        assert not any(b"ghs_" in path.read_bytes() for path in leaked)


async def test_an_installation_that_was_suspended_meanwhile_is_said(
    tokens: AppTokens, app: GitHubApp, github: GitHub, clock: Hands, tmp_path: Path
) -> None:
    repo = Repo(tmp_path / "remote")
    repo.deliver({"a": "1"})
    with http_git(repo.bare.parent) as server:
        credentials = GitCredentials(github_app=app)
        url = server.url(repo)
        made = source(tmp_path / "state", url, app_token=tokens.token, credentials=credentials)
        server.faults.token = await asyncio.to_thread(tokens.token, app)
        first = await latest(made)
        clock.pass_(120)
        server.faults.token = "another"
        github.answer = (403, {}, b'{"message":"This installation has been suspended"}')
        with pytest.raises(SourceProblem, match="is suspended"):
            await made.look(first)


async def test_a_github_that_is_silent_keeps_nothing_else_waiting(app: GitHubApp) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    begun, over = threading.Event(), threading.Event()

    def token(_app: GitHubApp, _ca: Path | None = None, _refused: str = "") -> str:
        begun.set()
        over.wait(20)
        return "ghs_" + "x" * 36

    sign = app_signer(Options("", GitCredentials(github_app=app)), token)
    assert sign is not None
    waiting = [asyncio.ensure_future(sign()) for _ in range(6)]
    try:
        while not begun.is_set():
            await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(lambda: "done") == "done"
    finally:
        over.set()
        await asyncio.gather(*waiting)
