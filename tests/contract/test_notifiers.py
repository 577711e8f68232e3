"""Webhook, e-mail, Teams and Discord: what really arrives, and what becomes of what does not."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLContext
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from gitops.clock import SystemClock
from gitops.errors import ConfigError, NotifierRefused, NotifierUnavailable
from gitops.model.events import Notice
from gitops.model.secret import SecretRef
from gitops.plugins import Services
from notifiers import apprise as ears
from notifiers import webhook
from notifiers.apprise import Ears
from notifiers.webhook import Webhook
from tests.contract.test_web_source import certificate

HOSTILE = "boom <!channel> @everyone <@U1>\r\nBcc: evil@example.com\nhttps://evil.example/x {{7*7}}"
NOTICE = Notice(
    "000000000007-abc",
    "ops",
    "failed",
    "c" * 64,
    {
        "lane": "shop@prod",
        "application": "shop",
        "target": "prod",
        "project": "default",
        "labels": {"team": "shop"},
        "environment": {"env": "prod"},
        "cause": "commit",
        "source": "config",
        "revision": "1a2b3c4d5e6f7890",
        "severity": "error",
        "reason": f"{HOSTILE} hunter22",
        "secret_of_ours": "never",
    },
    1_780_272_000.0,
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def hide(text: str) -> str:
    return text.replace("hunter22", "<hidden>")


@pytest.fixture
def services(tmp_path: Path) -> Services:
    # Neither starts children nor digests.
    return Services(None, None, SystemClock(), tmp_path, tmp_path, mask=hide)  # type: ignore[arg-type]


@dataclass
class Heard:
    """A receiver that records, and answers as it is told."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    until: threading.Event | None = None
    """Answers nothing before."""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.requests[-1][2])
        return found


@contextmanager
def receiver(tls: SSLContext | None = None) -> Iterator[Heard]:
    heard = Heard()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            told = {name.lower(): value for name, value in self.headers.items()}
            heard.requests.append((self.path, told, self.rfile.read(length)))
            if heard.until is not None:
                heard.until.wait(30)
            self.send_response_only(heard.status)
            for name, value in {**heard.headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self) -> None:
            heard.requests.append((self.path, {}, b"GET"))
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    heard.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def heard() -> Iterator[Heard]:
    with receiver() as found:
        yield found


def inert(text: str) -> None:
    """Nothing foreign in it acts."""
    for active in ("@everyone", "<@U1>", "<!channel>", "https://evil", "hunter22", "\nBcc"):
        assert active not in text, active
    assert "<hidden>" in text or "‹hidden›" in text


# --- webhook ----------------------------------------------------------------------------------


def hook(heard: Heard, services: Services, **more: Any) -> Webhook:
    return webhook.build(webhook.Options(heard.url + "/in?room=1", **more), services)


async def test_a_webhook_is_told_every_fact_and_the_words(heard: Heard, services: Services) -> None:
    await hook(heard, services, channel="ops").send(NOTICE)
    path, headers, _ = heard.requests[0]
    assert (path, headers["content-type"]) == ("/in?room=1", "application/json")
    assert headers["webhook-id"] == NOTICE.id
    body = heard.body
    told = {
        "id": NOTICE.id,
        "kind": "failed",
        "severity": "error",
        "at": "2026-06-01T00:00:00+00:00",
        "channel": "ops",
        "change": "c" * 64,
        "application": "shop",
        "target": "prod",
        "labels": {"team": "shop"},
        "environment": {"env": "prod"},
        "subject": "Failed: shop on prod",
    }
    assert told.items() <= body.items()
    inert(body["text"])
    assert "hunter22" not in json.dumps(body)
    assert "secret_of_ours" not in body
    await hook(heard, services).send(replace(NOTICE, channel="#prod"))
    assert heard.body["channel"] == "#prod"


@pytest.mark.parametrize("secret", ["a long enough secret", "whsec_" + "c2VjcmV0c2VjcmV0c2VjcmV0"])
async def test_it_is_signed_as_standard_webhooks_are(
    heard: Heard, services: Services, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("HOOK", secret)
    before = int(time.time())
    await hook(heard, services, secret=SecretRef(env="HOOK")).send(NOTICE)
    _, headers, body = heard.requests[0]
    assert before <= int(headers["webhook-timestamp"]) <= int(time.time())
    coded = secret.startswith("whsec_")
    key = base64.b64decode(secret.removeprefix("whsec_")) if coded else secret.encode()
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("secret", ["short", "whsec_not base64 at all!", None])
async def test_without_a_secret_that_is_one_nothing_is_sent(
    heard: Heard, services: Services, monkeypatch: pytest.MonkeyPatch, secret: str | None
) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    if secret is not None:
        monkeypatch.setenv("HOOK", secret)
    with pytest.raises(NotifierUnavailable):
        await hook(heard, services, secret=SecretRef(env="HOOK")).send(NOTICE)
    assert heard.requests == []


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 503])
async def test_what_somebody_can_mend_is_tried_again(
    heard: Heard, services: Services, status: int
) -> None:
    heard.status, heard.headers = status, {"Retry-After": "7"}
    with pytest.raises(NotifierUnavailable) as raised:
        await hook(heard, services).send(NOTICE)
    assert raised.value.retry_after == 7.0
    assert str(status) in raised.value.message


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_content_that_is_refused_is_not_the_same_as_being_away(
    heard: Heard, services: Services, status: int
) -> None:
    heard.status = status
    with pytest.raises(NotifierRefused):
        await hook(heard, services).send(NOTICE)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_it_is_sent_nowhere_else(heard: Heard, services: Services, status: int) -> None:
    with receiver() as elsewhere:
        heard.status, heard.headers = status, {"Location": elsewhere.url}
        with pytest.raises(NotifierUnavailable):
            await hook(heard, services).send(NOTICE)
        assert elsewhere.requests == []


async def test_a_name_that_leads_into_a_network_of_ones_own_is_not_connected_to(
    heard: Heard, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(heard.url.rpartition(":")[2])
    found = lambda *_given, **_more: [(2, 1, 6, "", ("127.0.0.1", port))]  # noqa: E731
    monkeypatch.setattr("socket.getaddrinfo", found)
    for private in (False, True):
        options = webhook.Options(f"https://hooks.example.com:{port}/x", allow_private=private)
        with pytest.raises(NotifierUnavailable, match="this machine itself"):
            await webhook.build(options, services).send(NOTICE)
    assert heard.requests == []


async def test_one_that_answers_nothing_is_given_up_in_time(
    heard: Heard, services: Services
) -> None:
    heard.until = threading.Event()
    with pytest.raises(NotifierUnavailable):
        await hook(heard, services, timeout=timedelta(seconds=0.3)).send(NOTICE)
    assert not heard.until.is_set()
    heard.until.set()


async def test_what_was_held_up_comes_as_one_request(heard: Heard, services: Services) -> None:
    kinds = ("healthy", "asked", "failed")
    held = [replace(NOTICE, id=f"{n}-x", kind=kind) for n, kind in enumerate(kinds)]
    await hook(heard, services).send_together(held)
    await hook(heard, services).send_together(held)
    first, second = (headers["webhook-id"] for _, headers, _ in heard.requests)
    assert first == second, "the same again is the same"
    assert heard.body["kind"] == "digest"
    assert [each["id"] for each in heard.body["notices"]] == ["0-x", "1-x", "2-x"]
    inert(heard.body["text"])


# --- apprise ----------------------------------------------------------------------------------


@dataclass
class Mailbox:
    """A real SMTP server."""

    port: int = field(default_factory=free_port)
    got: list[Envelope] = field(default_factory=list)
    answer: str = "250 OK"

    async def handle_DATA(  # noqa: N802 - what the server calls
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.got.append(envelope)
        return self.answer

    def message(self) -> Any:
        content = self.got[-1].content
        assert isinstance(content, bytes)
        return email.message_from_bytes(content, policy=email.policy.default)


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    box = Mailbox()
    server = Controller(box, hostname="127.0.0.1", port=box.port)
    server.start()
    address = f"mailto://127.0.0.1:{box.port}?from=gitops@example.com&to=ops@example.com"
    monkeypatch.setenv("EARS", f"{address}&mode=insecure\n")
    yield box
    server.stop()


def told_by(services: Services, seconds: float = 10.0) -> Ears:
    return ears.build(ears.Options(SecretRef(env="EARS"), timedelta(seconds=seconds)), services)


async def test_an_e_mail_arrives_with_nothing_in_it_that_acts(
    mailbox: Mailbox, services: Services
) -> None:
    await told_by(services).send(NOTICE)
    (envelope,) = mailbox.got
    assert envelope.rcpt_tos == ["ops@example.com"], "and nobody else"
    message = mailbox.message()
    assert message["Subject"] == "Failed: shop on prod"
    assert message["Bcc"] is None
    body = message.get_body(("plain", "html")).get_content()
    inert(body)
    assert "{{7*7}}" in body, "nothing is a template"
    assert "config at 1a2b3c4d5e6f" in body


async def test_what_was_held_up_is_one_e_mail(mailbox: Mailbox, services: Services) -> None:
    held = [replace(NOTICE, id=f"{n}-x", kind=k) for n, k in enumerate(("healthy", "failed"))]
    await told_by(services).send_together(held)
    assert len(mailbox.got) == 1
    assert mailbox.message()["Subject"] == "While you were away: 1 × Healthy, 1 × Failed"


async def test_a_mail_server_that_refuses_or_is_away_is_tried_again_and_named_by_nothing_secret(
    mailbox: Mailbox,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    mailbox.answer = "451 not now"
    with pytest.raises(NotifierUnavailable, match="did not take the message"):
        await told_by(services).send(NOTICE)
    closed = f"mailto://us3r:hunter22@127.0.0.1:{free_port()}?from=a@example.com&to=b@example.com"
    monkeypatch.setenv("EARS", f"{closed}&mode=insecure")
    with pytest.raises(NotifierUnavailable) as raised:
        await told_by(services).send(NOTICE)
    out, err = capfd.readouterr()
    for sink in (str(raised.value), caplog.text, out, err):
        assert "hunter22" not in sink
        assert "us3r" not in sink


async def test_teams_gets_a_card(
    services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with receiver(certificate(tmp_path, "localhost", days=5)) as teams:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
        port = teams.url.rpartition(":")[2]
        monkeypatch.setenv("EARS", f"workflows://localhost:{port}/4d5e6f/signature")
        await told_by(services).send(NOTICE)
        (path, _, body) = teams.requests[0]
        assert path.startswith("/workflows/4d5e6f/triggers/manual/paths/invoke")
        card = json.dumps(json.loads(body), ensure_ascii=False)
        assert "AdaptiveCard" in card
        assert "Failed: shop on prod" in card
        inert(card)


async def test_discord_gets_a_message_that_mentions_nobody(
    heard: Heard, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apprise.plugins.discord import NotifyDiscord

    monkeypatch.setattr(NotifyDiscord, "notify_url", f"{heard.url}/api/webhooks")
    monkeypatch.setenv("EARS", "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js")
    await told_by(services).send(NOTICE)
    path, _, body = heard.requests[0]
    assert path.startswith("/api/webhooks/4174216298/")
    inert(json.dumps(json.loads(body), ensure_ascii=False))


@pytest.mark.parametrize("status", [302, 400, 429, 503])
async def test_a_service_that_does_not_take_it_is_tried_again_and_sent_nowhere_else(
    heard: Heard, services: Services, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with receiver() as elsewhere:
        heard.status, heard.headers = status, {"Location": elsewhere.url}
        monkeypatch.setenv("EARS", heard.url.replace("http", "json", 1))
        with pytest.raises(NotifierUnavailable) as raised:
            await told_by(services).send(NOTICE)
        assert elsewhere.requests == []
    assert heard.url not in str(raised.value)


async def test_a_service_that_hangs_is_given_up_in_time(
    heard: Heard, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard.until = threading.Event()
    monkeypatch.setenv("EARS", heard.url.replace("http", "json", 1))
    with pytest.raises(NotifierUnavailable):
        await told_by(services, seconds=0.5).send(NOTICE)
    assert not heard.until.is_set()
    heard.until.set()


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "bogus://host",
        "json://127.0.0.1:1 json://127.0.0.1:2",
        "syslog://",
        "file:///etc/passwd",
        "include http://127.0.0.1/x",
    ],
)
async def test_what_is_not_one_service_is_refused_without_repeating_it(
    services: Services, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("EARS", address)
    with pytest.raises(NotifierUnavailable) as raised:
        await told_by(services).send(NOTICE)
    assert isinstance(raised.value.__cause__, ConfigError)
    assert address not in str(raised.value)


async def test_nothing_is_kept_on_disk(
    mailbox: Mailbox, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    await told_by(services).send(NOTICE)
    assert len(mailbox.got) == 1
    assert list(home.rglob("*")) == []
