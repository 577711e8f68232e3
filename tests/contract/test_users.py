"""``gitops user`` against a real server: a password, a browser's session, and their end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from gitops.web.auth.passwords import FAILURES, FREE
from tests import warm
from tests.contract.listening import Listening, free_port

PASSWORD = "correct horse battery"


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    folder, port = tmp_path_factory.mktemp("users"), free_port()
    (folder / "config").mkdir()
    more = {
        "sources": {"config": {"directory": "config", "interval": "1h"}},
        "api": {"listen": f"127.0.0.1:{port}", "sign_in": {"local": True}},
    }
    found = Listening(folder, "", port=port, more=more)
    yield found
    if found.child.poll() is None:
        found.stop()


def gitops(running: Listening, *arguments: str, typed: str = "") -> tuple[int, Any, str]:
    done = warm.run(["-c", str(running.file), "--output", "json", "user", *arguments], input=typed)
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


def sign_in(running: Listening, client: httpx.Client, password: str = PASSWORD) -> int:
    form = {"name": "ada", "password": password}
    return client.post("/sign-in", data=form, headers={"origin": running.base}).status_code


def test_a_person_signs_in_with_a_password_until_they_are_signed_out(running: Listening) -> None:
    code, _, told = gitops(running, "add", "ada", typed="short\n")
    assert code == 1
    assert "12 to 256 characters" in told
    assert "short" not in told
    assert gitops(running, "add", "eve", typed=PASSWORD + "\n")[0] == 1
    assert gitops(running, "add", "ada", typed=PASSWORD + "\n")[0] == 0
    with httpx.Client(base_url=running.base, trust_env=False) as client:
        assert sign_in(running, client, "wrong") == 401
        assert sign_in(running, client) == 303
        assert client.get("/api/v1/status").status_code == 200
        [session] = gitops(running, "sessions")[1]["sessions"]
        assert session["person"] == "ada"
        assert [row["person"] for row in gitops(running, "list")[1]["users"]] == ["ada"]

        running.child.kill()
        running.child.wait()
        running.start()
        assert client.get("/api/v1/status").status_code == 200, "sessions outlive a restart"

        assert gitops(running, "sign-out", "ada")[1] == {"ended": 1}
        assert client.get("/api/v1/status").status_code == 401
        assert sign_in(running, client) == 303
        assert gitops(running, "remove", "ada")[1]["ended"] == 1
        assert client.get("/api/v1/status").status_code == 401
        assert sign_in(running, client) == 401
    log = (running.folder / "controller.log").read_text()
    assert "session.begun" in log
    assert PASSWORD not in log


def test_killing_the_controller_between_two_guesses_forgets_none(running: Listening) -> None:
    assert gitops(running, "add", "ada", typed=PASSWORD + "\n")[0] == 0
    with httpx.Client(base_url=running.base, trust_env=False) as client:
        for guess in range(1, FREE + 1):
            assert sign_in(running, client, f"guess {guess}") == 401
            if guess == 3:
                running.child.kill()
                running.child.wait()
                running.start()
    running.stop()
    database = running.folder / "state" / "store" / "gitops.db"
    with closing(sqlite3.connect(database)) as store:
        rows = store.execute("SELECT value FROM memo WHERE owner = ?", (FAILURES,)).fetchall()
    assert [json.loads(value)["count"] for (value,) in rows] == [FREE]
