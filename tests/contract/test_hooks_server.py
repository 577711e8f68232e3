"""The real server process on loopback, spoken to as forges and as strangers would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from gitops.web.connections import PATIENCE, PatientProtocol
from tests.contract.git_servers import HttpGit, Repo
from tests.contract.listening import SECRETS, Listening, about
from tests.unit.test_webhooks import standard
from tests.web.hook_cases import Case, case, signature

PUSHES = ["github", "gitlab", "gitea", "bitbucket-cloud", "bitbucket-dc"]


@pytest.fixture(scope="module")
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HttpGit, Repo]]:
    folder = tmp_path_factory.mktemp("hooks")
    repo = Repo(folder)
    repo.deliver({"app/cm.yaml": "v: 1\n"})
    server = HttpGit(folder)
    yield server, repo
    server.close()


@pytest.fixture(scope="module")
def running(
    git_server: tuple[HttpGit, Repo], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Listening]:
    server, repo = git_server
    found = Listening(tmp_path_factory.mktemp("controller"), server.url(repo))
    found.until(found.revision)
    yield found
    found.stop()


@pytest.mark.parametrize("kind", PUSHES)
def test_a_push_is_noticed_through_the_forges_webhook(
    running: Listening, git_server: tuple[HttpGit, Repo], kind: str
) -> None:
    server, repo = git_server
    commit = repo.deliver({"app/cm.yaml": f"by: {kind}\n"})
    answer = running.send(about(case(f"{kind}-push"), server.url(repo)))
    assert (answer.status_code, answer.text) == (200, "ok\n")
    running.until(lambda: running.revision() == commit)
    found = next(each for each in running.deliveries() if each["webhook"] == kind)
    assert (found["outcome"], found["sources"]) == ("accepted", ["config"])


def test_a_push_is_noticed_through_gitlabs_signature_and_through_anything_that_signs(
    running: Listening, git_server: tuple[HttpGit, Repo]
) -> None:
    server, repo = git_server
    commit = repo.deliver({"app/cm.yaml": "by: signature\n"})
    letter = standard(about(case("gitlab-push"), server.url(repo)), int(time.time()))
    headers = {name: values[0] for name, values in letter.headers.items()}
    assert running.post("signed", letter.body, headers).status_code == 200
    running.until(lambda: running.revision() == commit)
    commit = repo.deliver({"app/cm.yaml": "by: anything\n"})
    body = b"\x00 whatever"
    assert running.post("any", body, signature("generic", body)).status_code == 200
    running.until(lambda: running.revision() == commit)


def test_w6_w7_fifty_at_once_shuffled_and_repeated_have_one_effect_each(
    running: Listening, git_server: tuple[HttpGit, Repo]
) -> None:
    server, repo = git_server
    url, before = server.url(repo), running.hook("github")
    newest = repo.deliver({"app/cm.yaml": "v: newest\n"})
    looks = server.looks
    one = about(case("github-push"), url, after="1" * 40)
    older = [about(case("github-push"), url, after=f"{n:040x}") for n in range(2, 12)]
    crowd = [one] * 50 + older * 3
    random.Random(1).shuffle(crowd)
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda each: running.send(each).status_code, crowd))
    assert statuses == [200] * len(crowd)
    after = running.hook("github")
    assert after["accepted"] - before["accepted"] == 11
    assert after["repeated"] - before["repeated"] == len(crowd) - 11
    running.until(lambda: running.revision() == newest)
    assert server.looks - looks < len(older)


def test_w1_w2_w11_strangers_and_other_events_get_their_answers(running: Listening) -> None:
    push, ping = case("github-push"), case("github-ping")
    assert running.send(push, **{"x-hub-signature-256": "sha256=0"}).status_code == 401
    assert running.post("github", b"{", {"x-hub-signature-256": ""}).status_code == 401
    assert running.send(ping).status_code == 200
    odd = Case("github", push.headers | {"x-github-event": "star"}, {"action": "created"})
    assert running.send(odd).status_code == 200
    assert running.send(Case("github", push.headers, {"ref": None})).status_code == 400
    assert running.send(push, "nobody").status_code == 404
    assert running.send(push, **{"content-encoding": "gzip"}).status_code == 415
    assert httpx.get(f"{running.base}/hooks/github", trust_env=False).status_code == 405
    through_socket = httpx.HTTPTransport(uds=str(running.socket))
    with httpx.Client(transport=through_socket, base_url="http://controller") as client:
        assert client.post("/hooks/github").status_code == 404


def test_w2_a_header_that_is_no_text_is_401(running: Listening) -> None:
    for lines in (b"x-hub-signature-256: \xff\xfe\xc3\xbc", b"x-hub-signature-256: a\r\n" * 2):
        request = b"POST /hooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n"
        with connection(running) as wire:
            wire.sendall(request + lines.strip() + b"\r\n\r\n{}")
            assert wire.recv(4_096).startswith(b"HTTP/1.1 401")


@contextlib.contextmanager
def connection(running: Listening) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", running.port), timeout=40) as wire:
        yield wire


def test_w3_a_body_without_end_is_cut_and_takes_no_memory(running: Listening) -> None:
    before, sent = running.memory(), 0
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with connection(running) as wire:
        wire.sendall(
            b"POST /hooks/github HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            for _ in range(5 << 30 >> 16):
                wire.sendall(chunk)
                sent += len(chunk)
    assert sent < 64 << 20
    assert running.memory() - before < 32 << 20
    with connection(running) as wire:
        wire.sendall(
            b"POST /hooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 5368709120\r\n\r\n"
        )
        assert wire.recv(4_096).startswith(b"HTTP/1.1 413")


@pytest.mark.slow
def test_w4_whoever_sends_slowly_is_cut_and_keeps_nobody_waiting(running: Listening) -> None:
    """450 at once, more than are let in: half in the middle of a header, half of a body."""
    head = b"POST /hooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n"
    before = running.memory()
    with contextlib.ExitStack() as stack:
        wires = []
        for number in range(450):
            wire = stack.enter_context(connection(running))
            wire.sendall(head if number % 2 else head + b"\r\nx")
            wires.append(wire)
        assert running.send(case("github-ping")).status_code == 200
        assert httpx.get(f"{running.base}/readyz", trust_env=False).status_code == 200
        drip = threading.Event()
        threading.Thread(target=_drip, args=(wires, drip), daemon=True).start()
        ends = [_ending(wire) for wire in wires]
        drip.set()
    assert set(ends) <= {b"", b"HTTP/1.1 408"}
    assert b"HTTP/1.1 408" in ends
    assert running.memory() - before < 32 << 20


async def test_a_flood_of_connections_stays_within_what_there_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All in one turn of the loop, as they come when many wait to be let in."""
    monkeypatch.setattr("gitops.web.connections.MOST", 5)
    config = uvicorn.Config(lambda _scope: None, http=PatientProtocol, log_config=None)
    config.load()
    state = ServerState()

    def one() -> PatientProtocol:
        return PatientProtocol(config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(one, "127.0.0.1", 0)
    with contextlib.ExitStack() as stack:
        for _ in range(60):  # the kernel takes them; the loop has not turned yet
            stack.enter_context(socket.create_connection(server.sockets[0].getsockname()))
        for _ in range(200):
            await asyncio.sleep(0.005)
        assert len(state.connections) == 5
    server.close()


def _drip(wires: list[socket.socket], stop: threading.Event) -> None:
    """A byte a second does not buy any time."""
    for _ in range(int(PATIENCE)):
        for wire in wires:
            with contextlib.suppress(OSError):
                wire.send(b"x")
        if stop.wait(1):
            return


def _ending(wire: socket.socket) -> bytes:
    """What came before the connection was closed; a time-out fails the test."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while part := wire.recv(4_096):
            found += part
    return found[:12]


def test_the_command_line_tries_a_webhook_and_explains_each_step(
    running: Listening, git_server: tuple[HttpGit, Repo]
) -> None:
    _, repo = git_server
    commit = repo.deliver({"app/cm.yaml": "v: tried\n"})
    told = gitops(running, "webhook", "test", "gitea")
    assert [step["ok"] for step in told["steps"]] == [True] * 4
    # A look that an earlier delivery asked for may have found it a moment before.
    assert commit[:12] in told["steps"][-1]["says"]
    [delivery, *_] = gitops(running, "webhook", "deliveries")["deliveries"]
    assert delivery["webhook"] == "gitea"
    again = gitops(running, "webhook", "replay", delivery["id"][:12])
    assert again["delivery"]["sources"] == ["config"]


def gitops(running: Listening, *arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "gitops.cli",
            "-c",
            str(running.file),
            "--output",
            "json",
            *list(arguments),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_controller_killed_between_a_deliverys_commit_and_its_nudge_looks_when_it_is_back(
    git_server: tuple[HttpGit, Repo], tmp_path: Path
) -> None:
    server, repo = git_server
    url = server.url(repo)
    controller = Listening(tmp_path, url, kill_at="heard")
    controller.until(controller.revision)
    commit = repo.deliver({"app/cm.yaml": "v: after the kill\n"})
    push = about(case("github-push"), url)
    with pytest.raises(httpx.HTTPError):
        controller.send(push)
    controller.killed()
    controller.kill_at = ""
    controller.start()
    controller.until(lambda: controller.revision() == commit)
    assert [each["sources"] for each in controller.deliveries()] == [["config"]]
    assert controller.send(push).status_code == 200
    assert controller.hook("github")["repeated"] == 1
    controller.stop()


def test_secrets_are_in_no_log(running: Listening) -> None:
    assert running.send(case("github-ping")).status_code == 200
    assert running.send(case("gitlab-push")).status_code == 200
    log = (running.folder / "controller.log").read_text()
    assert "webhook.ignored" in log
    assert not any(secret in log for secret in SECRETS.values())
