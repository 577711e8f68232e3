"""The real process: what it listens on, what it says of itself there, and what its log is like."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.git_servers import HttpGit, Repo
from tests.contract.listening import Listening, free_port


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, metrics_port: int) -> Iterator[Listening]:
    folder = tmp_path_factory.mktemp("observed")
    repo = Repo(folder)
    repo.deliver({"app/cm.yaml": "v: 1\n"})
    server = HttpGit(folder)
    more = {
        "metrics": {"listen": f"127.0.0.1:{metrics_port}"},
        # Nobody is there: it has to get on all the same.
        "tracing": {"endpoint": f"http://127.0.0.1:{free_port()}"},
        "log": {"format": "json", "level": "debug"},
    }
    found = Listening(folder, server.url(repo), more=more)
    found.until(found.revision)
    yield found
    found.stop()
    server.close()


@pytest.fixture
def http(running: Listening, metrics_port: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{metrics_port}", trust_env=False) as client:
        yield client


def listening_ports(pid: int) -> set[int]:
    """TCP ports a process listens on, by proc(5)."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            inodes.add(str(fd.readlink()).removeprefix("socket:[").removesuffix("]"))
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return {
        int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes
    }


def test_nothing_listens_that_the_fleet_file_does_not_name(
    running: Listening, metrics_port: int
) -> None:
    assert listening_ports(running.child.pid) == {running.port, metrics_port}


def test_metrics_tell_of_the_source_the_store_and_the_process(http: httpx.Client) -> None:
    text = http.get("/metrics").text
    assert 'gitops_source_ready{source="config"} 1.0' in text
    assert 'gitops_source_polls_total{result="ready",source="config"}' in text
    assert re.search(r"gitops_store_write_duration_seconds_count [1-9]", text)
    assert "gitops_lease_held 1.0" in text
    assert "process_resident_memory_bytes" in text


def test_probes_are_answered_without_a_credential(http: httpx.Client, running: Listening) -> None:
    for base in ("", running.base):
        assert http.get(f"{base}/healthz").text == "process: ok\n"
        assert http.get(f"{base}/readyz").text.splitlines() == [
            "lease: ok",
            "start: ok",
            "store: ok",
            "loop: ok",
        ]


def test_the_metrics_address_has_no_api_and_no_webhooks(http: httpx.Client) -> None:
    for path in ("/api/v1/status", "/hooks/github", "/", "/api/v1/openapi.json"):
        assert http.get(path).status_code == 404
        assert http.post(path).status_code == 404


def test_metrics_are_not_on_the_address_of_the_api(running: Listening) -> None:
    assert httpx.get(f"{running.base}/metrics", trust_env=False).status_code in {401, 404}


def test_every_line_of_the_log_is_json_and_a_request_can_be_found_in_it(
    running: Listening,
) -> None:
    name = "look-for-me.1"
    with httpx.Client(trust_env=False) as client:
        answer = client.post(
            f"{running.base}/hooks/github", content=b"{}", headers={"X-Request-Id": name}
        )
    assert answer.headers["x-request-id"] == name
    lines = (running.folder / "controller.log").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert {"event", "level", "timestamp"} <= entries[0].keys()
    assert name in {entry.get("request_id") for entry in entries}


@pytest.mark.parametrize("noise", [b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 5_000, b"\x16\x03"])
def test_strange_senders_do_not_end_it(http: httpx.Client, metrics_port: int, noise: bytes) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", metrics_port), timeout=20) as stranger:
        stranger.sendall(noise)
        stranger.shutdown(socket.SHUT_WR)
        while stranger.recv(4_096):
            pass
    assert http.get("/healthz").status_code == 200


def test_it_ends_at_once_although_nobody_takes_its_traces(running: Listening) -> None:
    """Last in this file: it ends the process."""
    running.child.send_signal(signal.SIGTERM)
    assert running.child.wait(20) == 0
    running.start()
