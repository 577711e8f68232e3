"""The API does what its description says, whatever it is sent: Schemathesis against a real server.

What is generated is the same each time, so that a run can be repeated.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.listening import Listening, free_port

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
CONFIG = """
[parameters]
"path.application" = "shop"
"path.source" = "config"
"query.application" = "shop"
"""
"""Names that are there, since no generator would guess them."""
EXAMPLES = 3
"""Requests a route in the random part; the limits of every value are tried one by one besides."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    folder, port = tmp_path_factory.mktemp("described"), free_port()
    (folder / "config" / "shop").mkdir(parents=True)
    (folder / "config" / "shop" / "cm.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    )
    more = {
        "sources": {"config": {"directory": "config", "interval": "1h"}},
        "people": {"ada": {"emails": ["ada@example.com"]}, "bob": {"emails": ["b@example.com"]}},
        "clusters": {"here": {"in_cluster": True}},
        "applications": {"shop": {"path": "shop"}},
        "api": {
            "listen": f"127.0.0.1:{port}",
            "roles": [{"role": "admin", "people": ["ada"]}],
        },
    }
    found = Listening(folder, "", port=port, more=more)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def token(running: Listening) -> str:
    with running.api() as api:
        return str(api.post("tokens", body={"person": "ada"})["token"])


@pytest.mark.slow
def test_no_request_breaks_it_and_every_answer_is_as_described(
    running: Listening, token: str, tmp_path: Path
) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"{running.base}/api/v1/openapi.json", "--no-color"),
            *("--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS)),
            *("--max-examples", str(EXAMPLES), "--seed", "7", "--generation-deterministic"),
            *("--phases", "examples,coverage,fuzzing", "--request-timeout", "30"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert "Traceback" not in (running.folder / "controller.log").read_text()


def test_every_answer_has_a_shape_and_every_error_is_a_problem(
    running: Listening, token: str
) -> None:
    headers = {"authorization": f"Bearer {token}"}
    url = f"{running.base}/api/v1/openapi.json"
    assert httpx.get(url, trust_env=False).status_code == 401
    tree = httpx.get(url, headers=headers, trust_env=False).json()
    assert tree["openapi"].startswith("3.1")
    shapeless = []
    for path, methods in tree["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            content = operation["responses"]["200"]["content"]
            schema = content.get("application/json", {}).get("schema")
            if schema == {"type": "object"}:
                shapeless.append((method, path))
            for code in ("401", "403", "404", "409", "422", "503"):
                assert "application/problem+json" in operation["responses"][code]["content"]
    assert [path for _, path in shapeless if "/stats" not in path] == []
    assert "$defs" not in json.dumps(tree)
