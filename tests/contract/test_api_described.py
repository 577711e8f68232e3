"""The API does what its description says, whatever it is sent: Schemathesis against a real server.

What is generated is the same each time, so that a run can be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.described import held_to_its_description
from tests.contract.listening import Listening, free_port

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
    held_to_its_description(
        running.base,
        token,
        tmp_path,
        CONFIG,
        *("--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing"),
        *("--request-timeout", "30"),
    )
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
