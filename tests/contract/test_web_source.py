"""A web host as a source: what it says is believed as far as its bytes bear it out."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import hashlib
import io
import socket
import ssl
import struct
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from gitops.children import Runner
from gitops.clock import SystemClock
from gitops.errors import GitopsError, SourceProblem, SourceUnavailable
from gitops.model.fleet import GitCredentials
from gitops.model.ids import PersonName
from gitops.model.secret import SecretRef
from gitops.model.source import Grade, Revision, SourceState
from gitops.plugins import Services
from gitops.sources import web
from gitops.sources.fetched.kept import KEPT
from gitops.sources.web import WebSource
from tests.contract.lying_host import Host, Request, host
from tests.unit.check_cases import Keyed

PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


def archive(**files: str) -> bytes:
    """tar.gz; the same files give the same bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("__", "/") + ".yaml")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(raw.getvalue(), mtime=0)


ONE, TWO = archive(apps__one="kind: One\n"), archive(apps__one="kind: Uno\n", two="kind: Two\n")


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def served() -> Iterator[Host]:
    with host() as made:
        made.content["/config.tar.gz"] = ONE
        yield made


class Watched:
    """A source over a state folder, made anew as a restart makes it."""

    def __init__(self, folder: Path, url: str, **options: Any) -> None:
        self.folder = folder
        self.url = url
        self.options = {"stall": 1.0, **options}
        self.last: Revision | None = None
        self.restart()

    def restart(self) -> None:
        runner = Runner(self.folder, allow_unisolated=True)
        services = Services(
            runner, Keyed(), SystemClock(), self.folder / "state", self.folder / "cache"
        )
        given = web.Options(**{"name": "config", "url": self.url, **self.options})
        self.source: WebSource = web.build(given, services)

    async def look(self) -> str:
        found = await self.source.look(self.last)
        assert not found.rewritten
        self.last = found.revision
        return found.revision.id

    async def files(self) -> dict[str, str]:
        assert self.last is not None
        snapshot = await self.source.snapshot(self.last)
        return {entry.path: snapshot.read(entry).decode() for entry in snapshot.files("")}

    async def refused(self, state: SourceState = SourceState.INVALID) -> str:
        """What is said; what was good before is as good after."""
        with pytest.raises(SourceProblem) as caught:
            await self.source.look(self.last)
        assert caught.value.state is state, caught.value
        return await self._said(caught.value)

    async def away(self) -> SourceUnavailable:
        with pytest.raises(SourceUnavailable) as caught:
            await self.source.look(self.last)
        await self._said(caught.value)
        return caught.value

    async def _said(self, error: GitopsError) -> str:
        text = str(error)
        assert "Traceback" not in text
        assert "s3cret" not in text
        assert str(self.folder) not in text
        if self.last is not None:
            assert await self.files()
        return text


@pytest.fixture
def watched(tmp_path: Path, served: Host) -> Watched:
    return Watched(tmp_path, served.url())


# --- what is found ----------------------------------------------------------------------------


async def test_an_archive_is_a_revision_by_its_bytes(watched: Watched) -> None:
    assert await watched.look() == sha256(ONE)
    assert await watched.files() == {"apps/one.yaml": "kind: One\n"}


async def test_an_unchanged_archive_is_one_conditional_request(
    watched: Watched, served: Host
) -> None:
    await watched.look()
    assert await watched.look() == sha256(ONE)
    assert len(served.requests) == 2
    assert "If-None-Match" not in served.requests[0][1]
    assert "If-None-Match" in served.requests[1][1]


async def test_new_bytes_are_a_new_revision(watched: Watched, served: Host) -> None:
    await watched.look()
    served.content["/config.tar.gz"] = TWO
    assert await watched.look() == sha256(TWO)
    assert await watched.files() == {"apps/one.yaml": "kind: Uno\n", "two.yaml": "kind: Two\n"}


async def test_a_single_file_has_its_own_name(tmp_path: Path, served: Host) -> None:
    served.content["/x/app%20one.yaml"] = b"kind: One\n"
    watched = Watched(tmp_path, served.url("/x/app%20one.yaml"))
    assert await watched.look() == sha256(b"kind: One\n")
    assert await watched.files() == {"app one.yaml": "kind: One\n"}


async def test_a_restart_keeps_the_last_state_and_asks_only_for_news(
    watched: Watched, served: Host
) -> None:
    await watched.look()
    watched.restart()
    assert await watched.files() == {"apps/one.yaml": "kind: One\n"}
    assert await watched.look() == sha256(ONE)
    assert "If-None-Match" in served.requests[-1][1]


async def test_a_lost_state_is_fetched_anew(watched: Watched, served: Host) -> None:
    await watched.look()
    for pack in watched.folder.rglob("*.pack"):
        pack.unlink()
    watched.restart()
    await watched.look()
    assert "If-None-Match" not in served.requests[-1][1]
    assert await watched.files() == {"apps/one.yaml": "kind: One\n"}


async def test_last_modified_is_asked_with_when_there_is_no_etag(
    watched: Watched, served: Host
) -> None:
    then = formatdate(1_700_000_000, usegmt=True)

    def answer(request: Request) -> None:
        same = request.headers.get("If-Modified-Since") == then
        request.reply(304 if same else 200, b"" if same else ONE, Last_Modified=then)

    served.answer = answer
    await watched.look()
    assert await watched.look() == sha256(ONE)
    assert served.requests[-1][1].get("If-Modified-Since") == then


async def test_a_file_modified_this_second_is_not_trusted_to_stay(
    watched: Watched, served: Host
) -> None:
    served.always(200, ONE, Last_Modified=formatdate(usegmt=True))
    await watched.look()
    await watched.look()
    assert "If-Modified-Since" not in served.requests[-1][1]


async def test_authors_come_from_the_fleet_file_or_are_unknown(
    tmp_path: Path, served: Host
) -> None:
    unknown = Watched(tmp_path / "a", served.url())
    await unknown.look()
    assert unknown.last is not None
    told = await unknown.source.authorship(None, unknown.last, ())
    assert not told.known
    assert "authors:" in told.note
    named = Watched(tmp_path / "b", served.url(), authors=(PersonName("ann"),))
    await named.look()
    assert (await named.source.authorship(None, unknown.last, ())).people == ("ann",)


async def test_old_states_go_and_delivered_ones_stay(watched: Watched, served: Host) -> None:
    seen = []
    for number in range(KEPT + 4):
        served.content["/config.tar.gz"] = archive(one=f"number: {number}\n")
        await watched.look()
        assert watched.last is not None
        seen.append(watched.last)
    await watched.source.retain([seen[0]])
    watched.restart()
    assert (await watched.source.snapshot(seen[0])).files("")
    assert (await watched.source.snapshot(seen[-1])).files("")
    with pytest.raises(SourceProblem, match="not kept any more") as caught:
        await watched.source.snapshot(seen[1])
    assert caught.value.state is SourceState.GONE


# --- hosts that lie ----------------------------------------------------------------------------


async def test_the_digest_decides_and_not_the_etag(watched: Watched, served: Host) -> None:
    served.always(200, ONE, ETag='"same"')
    await watched.look()
    served.always(200, TWO, ETag='"same"')
    assert await watched.look() == sha256(TWO)
    served.always(200, TWO, ETag='"other"')
    assert await watched.look() == sha256(TWO)


async def test_a_host_that_always_says_not_modified_is_found_out(
    tmp_path: Path, served: Host
) -> None:
    watched = Watched(tmp_path, served.url(), full_every=3)

    def answer(request: Request) -> None:
        if "If-None-Match" in request.headers:
            request.reply(304)
        else:
            request.reply(200, content, ETag='W/"weak"')

    served.answer = answer
    content = ONE
    await watched.look()
    content = TWO
    assert [await watched.look() for _ in range(3)] == [sha256(ONE), sha256(ONE), sha256(TWO)]


async def test_each_look_asks_for_the_whole_where_the_operator_wants_it(
    tmp_path: Path, served: Host
) -> None:
    watched = Watched(tmp_path, served.url(), full_every=1)
    await watched.look()
    await watched.look()
    assert all("If-None-Match" not in headers for _, headers in served.requests)


async def test_not_modified_with_a_body_brings_nothing_in(watched: Watched, served: Host) -> None:
    await watched.look()
    lie = b"HTTP/1.1 304 Not Modified\r\nContent-Length: %d\r\n\r\n%b" % (len(TWO), TWO)

    def answer(request: Request) -> None:
        if "If-None-Match" in request.headers:
            request.raw(lie)
        else:
            served.honest(request)

    served.answer = answer
    assert await watched.look() == sha256(ONE)


async def test_not_modified_for_who_has_nothing_is_asked_again_past_caches(
    watched: Watched, served: Host
) -> None:
    def answer(request: Request) -> None:
        fresh = request.headers.get("Cache-Control") == "no-cache"
        request.reply(200 if fresh else 304, ONE if fresh else b"")

    served.answer = answer
    assert await watched.look() == sha256(ONE)
    served.always(304)
    watched.restart()
    (watched.folder / "state" / "web" / "config" / "head.json").unlink()
    assert "not modified" in await watched.refused()


@pytest.mark.parametrize("path", ["/config.tar.gz", "/one.yaml"])
async def test_an_answer_cut_short_is_refused(tmp_path: Path, served: Host, path: str) -> None:
    whole = ONE if path.endswith("gz") else b"kind: One\n---\nkind: Two\n"
    served.content[path] = whole
    watched = Watched(tmp_path, served.url(path))
    await watched.look()
    head = b"HTTP/1.1 200 OK\r\n"
    half = whole[: len(whole) // 2]
    declared = head + b"Content-Length: %d\r\n\r\n%b" % (len(whole), half)
    served.answer = lambda request: request.raw(declared)
    assert "cut short" in (await watched.away()).message
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(half), half)
    served.answer = lambda request: request.raw(chunked)
    assert "cut short" in (await watched.away()).message
    served.answer = lambda request: request.raw(head + b"\r\n" + half)
    assert "does not say where its answer ends" in await watched.refused()
    served.answer = served.honest
    assert await watched.look() == sha256(whole)


async def test_what_failed_is_asked_for_again(watched: Watched, served: Host) -> None:
    """Marks of an answer that was refused would hide it at the next look."""
    await watched.look()
    served.always(200, PAGE, ETag='"page"')
    await watched.refused()
    served.answer = served.honest
    await watched.look()
    assert served.requests[-1][1].get("If-None-Match") not in (None, '"page"')


# --- what is never taken for deleted -----------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"", "application/gzip", "0 bytes"),
        (PAGE, "text/html", "HTML page"),
        (PAGE, "application/gzip", "HTML page"),
        (b"\xef\xbb\xbf  \n<HTML>", "text/plain", "HTML page"),
        (gzip.compress(bytes(10240), mtime=0), "application/gzip", "holds no file"),
        (b"not found", "text/plain", "no gzip file"),
    ],
)
async def test_a_page_or_nothing_is_an_error_and_the_last_state_stays(
    watched: Watched, served: Host, body: bytes, kind: str, words: str
) -> None:
    await watched.look()
    served.always(200, body, Content_Type=kind)
    assert words in await watched.refused()
    watched.restart()
    assert await watched.files() == {"apps/one.yaml": "kind: One\n"}


@pytest.mark.parametrize(
    ("body", "words"), [(PAGE, "HTML page"), (b"", "0 bytes"), (b"\0\1\xff", "no text")]
)
async def test_a_single_file_has_to_be_one(
    tmp_path: Path, served: Host, body: bytes, words: str
) -> None:
    served.content["/one.yaml"] = b"kind: One\n"
    watched = Watched(tmp_path, served.url("/one.yaml"))
    await watched.look()
    served.content["/one.yaml"] = body
    assert words in await watched.refused()


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (401, SourceState.REFUSED, "credentials"),
        (403, SourceState.REFUSED, "refuses"),
        (404, SourceState.GONE, "nothing is deleted"),
        (410, SourceState.GONE, "nothing is deleted"),
        (206, SourceState.INVALID, "206"),
        (204, SourceState.INVALID, "204"),
    ],
)
async def test_what_the_host_says_is_told(
    watched: Watched, served: Host, status: int, state: SourceState, words: str
) -> None:
    await watched.look()
    served.always(status, b"" if status == 204 else b"half")
    assert words in await watched.refused(state)


# --- hosts that are away -----------------------------------------------------------------------


async def test_a_host_that_asks_for_a_pause_is_heard(watched: Watched, served: Host) -> None:
    await watched.look()
    served.always(429, Retry_After="120")
    assert (await watched.away()).retry_after == 120
    served.always(503, Retry_After="Thu, 01 Jan 2099 00:00:00 GMT")
    assert (await watched.away()).retry_after == 3600
    served.always(502, PAGE)
    error = await watched.away()
    assert error.retry_after is None
    assert "502" in error.message


async def test_a_host_that_drips_is_given_up(watched: Watched, served: Host) -> None:
    await watched.look()
    stopped = threading.Event()

    def drip(request: Request) -> None:
        request.send_response_only(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x")
            request.wfile.flush()
            if stopped.wait(0.1):
                return

    served.answer = drip
    assert "too slow" in (await watched.away()).message
    stopped.set()


async def test_a_host_that_says_nothing_hangs_up_or_talks_nonsense_is_away(
    watched: Watched, served: Host
) -> None:
    await watched.look()
    released = threading.Event()
    served.answer = lambda request: (released.wait(10), None)[1]
    assert "too slow" in (await watched.away()).message
    released.set()
    served.answer = lambda request: request.raw(b"")
    assert "hung up" in (await watched.away()).message
    served.answer = reset
    assert "hung up" in (await watched.away()).message
    served.answer = lambda request: request.raw(b"SSH-2.0-OpenSSH_9.6\r\n")
    assert "does not answer as a web host does" in (await watched.away()).message
    served.answer = lambda request: request.raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000)
    await watched.away()


def reset(request: Request) -> None:
    """Ends the connection as a crashed host's kernel does."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()
    request.close_connection = True


async def test_a_closed_port_and_an_unknown_name_are_told_apart(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    closed = Watched(tmp_path / "a", f"http://127.0.0.1:{port}/a.yaml")
    assert "127.0.0.1 does not answer" in (await closed.away()).message
    unknown = Watched(tmp_path / "b", "https://no-such-host.invalid/a.yaml")
    assert "the name no-such-host.invalid cannot be looked up" in (await unknown.away()).message


async def test_an_answer_over_the_limit_is_not_held(tmp_path: Path, served: Host) -> None:
    watched = Watched(tmp_path, served.url("/one.yaml"), max_fetched=1 << 20)
    served.content["/one.yaml"] = b"x" * ((1 << 20) + 1)
    assert "over 1 MiB" in await watched.refused()
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    def answer(request: Request) -> None:
        request.wfile.write(endless)
        for _ in range(100):
            request.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")

    served.answer = answer
    assert "over 1 MiB" in await watched.refused()


# --- where it may lead -------------------------------------------------------------------------


async def test_a_redirect_on_the_same_host_is_followed(watched: Watched, served: Host) -> None:
    def answer(request: Request) -> None:
        if request.path == "/config.tar.gz":
            request.reply(302, Location="/real.tar.gz")
        else:
            served.honest(request)

    served.content["/real.tar.gz"] = TWO
    served.answer = answer
    assert await watched.look() == sha256(TWO)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254"),
        ("http://localhost:{port}/config.tar.gz", "localhost"),
        ("https://127.0.0.1:{port}/config.tar.gz", "https://127.0.0.1"),
        ("//evil.example/config.tar.gz", "evil.example"),
        ("http://127.0.0.1:1/", "127.0.0.1"),
        ("file:///etc/passwd", "no address"),
        ("", "no address"),
        ("/config.tar.gz", "without end"),
    ],
)
async def test_a_redirect_elsewhere_is_never_followed(
    watched: Watched, served: Host, location: str, words: str
) -> None:
    served.always(302, Location=location.format(port=served.port))
    with pytest.raises(SourceProblem, match=words):
        await watched.source.look(None)
    assert set(served.paths) == {"/config.tar.gz"}


@pytest.mark.parametrize(
    ("address", "local", "words"),
    [
        ("127.0.0.1", False, "this machine itself"),
        ("::ffff:127.0.0.1", False, "this machine itself"),
        ("10.1.2.3", False, "private network"),
        ("fd00::1", False, "private network"),
        ("100.64.0.1", False, "private network"),
        ("169.254.169.254", True, "link-local"),
        ("fe80::1", True, "link-local"),
        ("64:ff9b::a9fe:a9fe", True, "link-local"),
        ("::", True, "no web host has"),
        ("224.0.0.1", True, "no web host has"),
    ],
)
async def test_a_name_that_leads_inside_is_not_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, local: bool, words: str
) -> None:
    asked = resolving(monkeypatch, address)
    url = "https://config.example:8443/config.tar.gz"
    watched = Watched(tmp_path, url, allow_local=local)
    assert words in await watched.refused(SourceState.REFUSED)
    assert asked == ["config.example"]


async def test_a_name_for_this_machine_leads_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "192.0.2.1")
    watched = Watched(tmp_path, "http://localhost:8080/a.yaml")
    await watched.refused(SourceState.REFUSED)


async def test_a_host_of_ones_own_network_is_asked_with_leave(
    tmp_path: Path, served: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "127.0.0.1")
    url = f"https://config.example:{served.port}/config.tar.gz"
    watched = Watched(tmp_path, url, allow_local=True)
    await watched.away()  # it is reached, and speaks no TLS
    assert served.connections == 1


def resolving(monkeypatch: pytest.MonkeyPatch, address: str) -> list[str]:
    """Every name leads to ``address``; returns the names that were asked for."""
    asked: list[str] = []
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    rest = (0, 0) if ":" in address else ()

    def getaddrinfo(name: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(name)
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, *rest))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


async def test_no_proxy_of_the_environment_is_asked(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await watched.look() == sha256(ONE)


# --- credentials -------------------------------------------------------------------------------


async def test_credentials_go_to_this_host_alone(
    tmp_path: Path, served: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    token = SecretRef(env="TOKEN")
    bearer = Watched(tmp_path / "a", served.url(), credentials=GitCredentials(token=token))
    await bearer.look()
    assert served.requests[-1][1]["Authorization"] == "Bearer s3cret"
    basic = GitCredentials(username="ann", token=token)
    await Watched(tmp_path / "b", served.url(), credentials=basic).look()
    assert served.requests[-1][1]["Authorization"] == "Basic YW5uOnMzY3JldA=="
    with host() as other:
        served.always(302, Location=other.url())
        await bearer.refused(SourceState.REFUSED)
        assert other.connections == 0
    monkeypatch.setenv("TOKEN", "n3w")
    served.answer = served.honest
    await bearer.look()
    assert served.requests[-1][1]["Authorization"] == "Bearer n3w"
    monkeypatch.delenv("TOKEN")
    assert "TOKEN is not set" in await bearer.refused(SourceState.REFUSED)


# --- certificates ------------------------------------------------------------------------------


def certificate(folder: Path, name: str, days: int) -> ssl.SSLContext:
    """A server certificate that is its own authority, for ``name``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize(
    ("name", "days", "trusted", "words"),
    [
        ("localhost", 1, False, "self-signed certificate"),
        ("localhost", -1, True, "expired"),
        ("other.example", 1, True, "not valid for 'localhost'"),
        ("localhost", 1, True, ""),
    ],
)
async def test_a_certificate_has_to_be_right(
    tmp_path: Path, name: str, days: int, trusted: bool, words: str
) -> None:
    tls = certificate(tmp_path, name, days)
    with host(tls) as served:
        served.content["/config.tar.gz"] = ONE
        credentials = GitCredentials(ca_file=tmp_path / "cert.pem" if trusted else None)
        url = served.url(host="localhost")
        watched = Watched(tmp_path / "s", url, credentials=credentials)
        if words:
            assert words in await watched.refused(SourceState.REFUSED)
        else:
            assert await watched.look() == sha256(ONE)


async def test_an_unusable_ca_file_is_told(tmp_path: Path, served: Host) -> None:
    (tmp_path / "ca").write_text("no certificate")
    credentials = GitCredentials(ca_file=tmp_path / "ca")
    watched = Watched(tmp_path / "s", served.url(), credentials=credentials)
    with pytest.raises(SourceProblem, match="cannot be used"):
        await watched.look()


# --- pins and signatures -----------------------------------------------------------------------


async def test_a_pinned_source_takes_nothing_else_and_asks_no_more(
    tmp_path: Path, served: Host
) -> None:
    watched = Watched(tmp_path, served.url(), sha256=sha256(ONE).removeprefix("sha256:"))
    served.content["/config.tar.gz"] = TWO
    assert "not the pinned one" in await watched.refused()
    served.content["/config.tar.gz"] = ONE
    await watched.look()
    served.requests.clear()
    assert await watched.look() == sha256(ONE)
    assert served.requests == []


class MinisignKey:
    """Signs in the documented format (there is no minisign here to do it)."""

    def __init__(self) -> None:
        from base64 import b64encode

        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._encode = b64encode
        self._key = Ed25519PrivateKey.generate()
        self.id = b"\1\2\3\4\5\6\7\x08"
        self.public = b64encode(b"Ed" + self.id + self._key.public_key().public_bytes_raw())

    def sign(self, data: bytes, *, prehashed: bool = True, comment: bytes = b"by a test") -> bytes:
        message = hashlib.blake2b(data).digest() if prehashed else data
        signed = self._key.sign(message)
        over_all = self._key.sign(signed + comment)
        lines = [
            b"untrusted comment: whatever",
            self._encode((b"ED" if prehashed else b"Ed") + self.id + signed),
            b"trusted comment: " + comment,
            self._encode(over_all),
        ]
        return b"\n".join(lines) + b"\n"


@pytest.mark.parametrize("prehashed", [True, False])
async def test_content_signed_with_minisign_is_taken(
    tmp_path: Path, served: Host, prehashed: bool
) -> None:
    key = MinisignKey()
    watched = Watched(tmp_path, served.url(), minisign=key.public.decode())
    served.content["/config.tar.gz.minisig"] = key.sign(ONE, prehashed=prehashed)
    assert await watched.look() == sha256(ONE)
    assert watched.last is not None
    told = await watched.source.authorship(None, watched.last, ())
    assert told.grade is Grade.SIGNED
    assert "minisign key 0807060504030201" in told.note


async def test_the_published_example_of_minisign_verifies() -> None:
    """Key and signature as minisign's own page and its Rust reader's tests publish them."""
    from gitops.sources.web.signatures import Minisign

    key = Minisign.parse("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3")
    legacy = (
        b"untrusted comment: signature from minisign secret key\n"
        b"RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351v"
        b"wIasSSbXxwA=\n"
        b"trusted comment: timestamp:1555779966\tfile:test\n"
        b"QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA=="
    )
    assert "minisign key" in await key.verify(b"test", legacy, "here")
    prehashed = (
        b"untrusted comment: signature from minisign secret key\n"
        b"RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOo"
        b"crCo8KLzZwo=\n"
        b"trusted comment: timestamp:1556193335\tfile:test\n"
        b"y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg=="
    )
    assert "minisign key" in await key.verify(b"test", prehashed, "here")
    with pytest.raises(SourceProblem, match="does not fit"):
        await key.verify(b"Test", prehashed, "here")


async def test_content_unsigned_or_signed_otherwise_is_refused(
    tmp_path: Path, served: Host
) -> None:
    key, other = MinisignKey(), MinisignKey()
    watched = Watched(tmp_path, served.url(), minisign=key.public.decode())
    assert "is not signed" in await watched.refused()
    good = key.sign(ONE)
    swapped = good.replace(b"by a test", b"by anyone")
    for signature, words in (
        (PAGE, "no minisign signature"),
        (b"", "no minisign signature"),
        (key.sign(TWO), "does not fit"),
        (other.sign(ONE), "does not fit"),
        (swapped, "does not fit"),
        (b"\n".join([b"x", b"!!", b"trusted comment: x", b"!!"]), "no minisign signature"),
    ):
        served.content["/config.tar.gz.minisig"] = signature
        assert words in await watched.refused()
    other.id = b"87654321"
    served.content["/config.tar.gz.minisig"] = other.sign(ONE)
    assert "another minisign key" in await watched.refused()
    served.content["/config.tar.gz.minisig"] = good
    assert await watched.look() == sha256(ONE)


async def test_what_was_taken_unsigned_is_not_believed_once_a_signature_is_wanted(
    tmp_path: Path, served: Host
) -> None:
    key = MinisignKey()
    watched = Watched(tmp_path, served.url())
    await watched.look()
    watched.options["minisign"] = key.public.decode()
    watched.restart()
    assert "is not signed" in await watched.refused()
    served.content["/config.tar.gz.minisig"] = key.sign(ONE)
    await watched.look()
    watched.options["sha256"] = sha256(TWO)
    watched.restart()
    assert "not the pinned one" in await watched.refused()


@pytest.fixture(scope="module")
def ssh_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("key", "stranger"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
        subprocess.run(argv, check=True)
    public = (folder / "key.pub").read_text()
    (folder / "allowed").write_text(f'ann@example.com namespaces="file" {public}')
    return folder


def ssh_signed(key: Path, data: bytes, namespace: str = "file") -> bytes:
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", key]
    return subprocess.run(argv, input=data, check=True, capture_output=True).stdout


async def test_content_signed_with_ssh_is_taken_from_allowed_signers_alone(
    tmp_path: Path, served: Host, ssh_key: Path
) -> None:
    allowed = ssh_key / "allowed"
    watched = Watched(tmp_path / "a", served.url(), allowed_signers=allowed)
    assert "is not signed" in await watched.refused()
    for signature in (
        ssh_signed(ssh_key / "stranger", ONE),
        ssh_signed(ssh_key / "key", TWO),
        ssh_signed(ssh_key / "key", ONE, "git"),
        PAGE,
    ):
        served.content["/config.tar.gz.sig"] = signature
        assert "no allowed signer" in await watched.refused()
    served.content["/config.tar.gz.sig"] = ssh_signed(ssh_key / "key", ONE)
    assert await watched.look() == sha256(ONE)
    assert watched.last is not None
    assert "ann@example.com" in (await watched.source.authorship(None, watched.last, ())).note
    bob = Watched(tmp_path / "b", served.url(), allowed_signers=allowed, signer="bob@example.com")
    assert "no allowed signer" in await bob.refused()


# --- folders -----------------------------------------------------------------------------------


def listed(served: Host, **files: str) -> None:
    """A folder as somebody uploads it: files, then their sums."""
    lines = []
    for name, text in files.items():
        path = name.replace("__", "/") + ".yaml"
        served.content[f"/dir/{path}"] = text.encode()
        lines.append(f"{hashlib.sha256(text.encode()).hexdigest()}  ./{path}\n")
    served.content["/dir/SHA256SUMS"] = "".join(lines).encode()


async def test_a_folder_is_read_by_its_sums_and_only_what_changed_is_fetched(
    tmp_path: Path, served: Host
) -> None:
    listed(served, apps__one="kind: One\n", two="kind: Two\n")
    watched = Watched(tmp_path, served.url("/dir/"))
    first = await watched.look()
    assert sorted(served.paths) == ["/dir/SHA256SUMS", "/dir/apps/one.yaml", "/dir/two.yaml"]
    served.requests.clear()
    assert await watched.look() == first
    assert served.paths == ["/dir/SHA256SUMS"]
    listed(served, apps__one="kind: Uno\n", two="kind: Two\n")
    served.requests.clear()
    assert await watched.look() != first
    assert served.paths == ["/dir/SHA256SUMS", "/dir/apps/one.yaml"]
    assert await watched.files() == {"apps/one.yaml": "kind: Uno\n", "two.yaml": "kind: Two\n"}
    listed(served, apps__one="kind: One\n", two="kind: Two\n")
    assert await watched.look() == first, "the same tree is the same revision"


async def test_an_empty_file_in_a_folder_stays_when_another_changes(
    tmp_path: Path, served: Host
) -> None:
    listed(served, one="kind: One\n", keep="")
    watched = Watched(tmp_path, served.url("/dir/"))
    await watched.look()
    listed(served, one="kind: Uno\n", keep="")
    await watched.look()
    assert await watched.files() == {"keep.yaml": "", "one.yaml": "kind: Uno\n"}


async def test_a_folder_half_uploaded_is_refused_whole(tmp_path: Path, served: Host) -> None:
    listed(served, one="kind: One\n", two="kind: Two\n")
    watched = Watched(tmp_path, served.url("/dir/"))
    await watched.look()
    served.content["/dir/one.yaml"] = b"kind: Uno\n"
    listing = served.content["/dir/SHA256SUMS"]
    listed(served, one="kind: Eins\n", two="kind: Zwei\n")
    served.content["/dir/two.yaml"] = b"kind: Two\n"
    assert "not the one SHA256SUMS lists" in await watched.refused()
    del served.content["/dir/two.yaml"]
    assert "no such file" in await watched.refused(SourceState.GONE)
    served.content["/dir/SHA256SUMS"] = listing
    await watched.look()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 bytes"),
        ("\n\n", "names no file"),
        (PAGE.decode(), "HTML page"),
        ("please log in\n", ":1: not a line"),
        (f"{'0' * 64}  a.yaml\nxyz\n", ":2: not a line"),
        (f"{'0' * 64}  ../a.yaml\n", "no path inside"),
        (f"{'0' * 64}  /etc/passwd\n", "is absolute"),
        (f"{'0' * 64}  a.yaml\n{'1' * 64}  a.yaml\n", "occurs twice"),
        (f"\\{'0' * 64}  a\\nb\n", ":1: not a line"),
        (f"{'0' * 64}  SHA256SUMS\n", "names no file"),
        ("\n" * 60_000, "over 50,000 lines"),
        (f"{'0' * 64}  a.yaml\r\n{'1' * 64}  a.yaml\r\n", "occurs twice"),
    ],
)
async def test_a_list_that_is_none_is_refused(
    tmp_path: Path, served: Host, text: str, words: str
) -> None:
    served.content["/dir/SHA256SUMS"] = text.encode()
    watched = Watched(tmp_path, served.url("/dir/"))
    assert words in await watched.refused()


async def test_a_signed_folder_is_signed_by_its_sums(tmp_path: Path, served: Host) -> None:
    key = MinisignKey()
    listed(served, one="kind: One\n")
    watched = Watched(tmp_path, served.url("/dir/"), minisign=key.public.decode())
    assert "is not signed" in await watched.refused()
    served.content["/dir/SHA256SUMS.minisig"] = key.sign(served.content["/dir/SHA256SUMS"])
    await watched.look()
    assert await watched.files() == {"one.yaml": "kind: One\n"}


# --- two at once -------------------------------------------------------------------------------


async def test_looks_at_once_do_not_disturb_one_another(watched: Watched, served: Host) -> None:
    looks = await asyncio.gather(*(watched.source.look(None) for _ in range(5)))
    assert {look.revision.id for look in looks} == {sha256(ONE)}
    assert len([1 for _, headers in served.requests if "If-None-Match" not in headers]) == 1
