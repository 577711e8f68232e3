"""The command line's side of the API, against a real server on a Unix socket."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gitops.errors import (
    ConfigError,
    GitopsError,
    NotAllowed,
    Outdated,
    Permanent,
    Transient,
    Unknown,
)
from gitops.model.fleet import Fleet
from gitops.model.serving import ApiSpec
from gitops.web.client import Address, Api, address_of

TOKEN = "gitops_0123456789"


class Handler(BaseHTTPRequestHandler):
    """Answers what the test put into ``answers``; remembers what it was asked."""

    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}
    asked: ClassVar[list[tuple[str, str, str, bytes]]] = []

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None: ...

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = self.headers.get("Authorization", "")
        Handler.asked.append((self.command, self.path, token, body))
        code, content = Handler.answers.get(self.path, (404, b"{}"))
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        if code == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 — the server's names


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "api.sock"
    Handler.answers, Handler.asked = {}, []
    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield path
        server.shutdown()
        thread.join()


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "gitops.yaml", tmp_path)


def test_it_asks_over_the_socket_as_the_person_of_the_token(socket: Path, fleet: Fleet) -> None:
    Handler.answers["/api/v1/show/a%2Fb?x=1"] = (200, b'{"ok": true}')
    with Api.of(fleet, {"GITOPS_TOKEN": TOKEN}) as api:
        assert api.get("show", "a/b", x=1) == {"ok": True}
        Handler.answers["/api/v1/requests/r/answer"] = (200, b"{}")
        api.post("requests", "r", "answer", body={"root": "f"})
    assert Handler.asked[0][2] == f"Bearer {TOKEN}"
    assert json.loads(Handler.asked[1][3]) == {"root": "f"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [(401, NotAllowed), (403, NotAllowed), (404, Unknown), (409, Outdated), (503, Transient)],
)
def test_a_problem_becomes_the_error_it_stands_for(
    code: int, kind: type[GitopsError], socket: Path
) -> None:
    told = {"title": "you \x1b[31mwrote it", "hint": "ask bob", "place": "shop"}
    Handler.answers["/api/v1/status"] = (code, json.dumps(told).encode())
    with Api(Address(socket)) as api, pytest.raises(kind) as raised:
        api.get("status")
    assert (raised.value.message, raised.value.hint) == ("you wrote it", "ask bob")


def test_no_controller_is_said_with_the_line_that_starts_one(tmp_path: Path) -> None:
    with Api(Address(tmp_path / "none.sock")) as api, pytest.raises(Transient) as raised:
        api.get("status")
    assert "gitops run" in raised.value.hint


def test_something_else_that_answers_is_not_believed(socket: Path) -> None:
    Handler.answers["/api/v1/status"] = (200, b"<html>")
    with Api(Address(socket)) as api, pytest.raises(Permanent, match="not a gitops controller"):
        api.get("status")


def test_redirects_are_not_followed(socket: Path) -> None:
    Handler.answers["/api/v1/status"] = (302, b"")
    with Api(Address(socket, token=TOKEN)) as api, pytest.raises(Permanent, match="302"):
        api.get("status")
    assert len(Handler.asked) == 1


def test_the_environment_may_name_another_controller(fleet: Fleet) -> None:
    assert address_of(fleet, {}).socket == fleet.state_dir / "api.sock"
    assert address_of(fleet, {"GITOPS_API": "unix:/x.sock"}).socket == Path("/x.sock")
    found = address_of(fleet, {"GITOPS_API": "http://127.0.0.1:8080/"})
    assert (found.socket, found.url) == (None, "http://127.0.0.1:8080")
    listening = replace(fleet, api=ApiSpec(listen="127.0.0.1:9"))
    assert address_of(listening, {}).url == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "url",
    ["http://example.com", "http://ada:pw@127.0.0.1", "ftp://x", "http://127.0.0.1.evil.com", "x"],
)
def test_a_token_is_never_sent_in_the_clear_to_another_machine(url: str, fleet: Fleet) -> None:
    with pytest.raises(ConfigError) as refused:
        address_of(fleet, {"GITOPS_API": url, "GITOPS_TOKEN": TOKEN})
    assert "pw" not in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_the_token_may_be_in_a_file_and_is_never_shown(tmp_path: Path, fleet: Fleet) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    found = address_of(fleet, {"GITOPS_TOKEN_FILE": str(file)})
    assert found.token == TOKEN
    assert TOKEN not in repr(found)
    assert TOKEN not in str(found)


@pytest.mark.parametrize("text", ["two words", "line\r\nX-Other: 1", "short"])
def test_what_cannot_be_a_token_is_refused_without_showing_it(text: str, fleet: Fleet) -> None:
    with pytest.raises(ConfigError) as refused:
        address_of(fleet, {"GITOPS_TOKEN": text})
    assert text not in str(refused.value)


@pytest.mark.parametrize(
    ("api", "url"),
    [
        (ApiSpec(listen="127.0.0.1:8080"), "http://127.0.0.1:8080"),
        (ApiSpec(listen="[::1]:8080", url="https://gitops.example"), "http://[::1]:8080"),
        (ApiSpec(listen="0.0.0.0:8443", url="https://gitops.example"), "https://gitops.example"),
    ],
)
def test_a_controller_elsewhere_is_called_by_its_public_address(
    tmp_path: Path, api: ApiSpec, url: str
) -> None:
    fleet = Fleet(tmp_path / "gitops.yaml", tmp_path, api=api)
    assert address_of(fleet, {}) == Address(url=url)
