"""What the pages show is in the API too, and answers as described where there is something to tell.

``tests/contract/test_api_described.py`` sends every route all it allows, of a fleet where nothing
ever happened; here the routes that look are sent names that are there. What is generated is the
same each time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.showcase import SHOWCASE, Showcase
from tests.contract.test_api_described import CHECKS

pytestmark = [*SHOWCASE, pytest.mark.slow]

THERE = """
[parameters]
"path.application" = "search"
"query.application" = "search"
"query.target" = "production"
"query.container" = "search"
"query.before" = ""
"path.id" = "{0}"
"path.key" = "{2}"

[[operations]]
include-path = "/api/v1/requests/{{id}}"
parameters = {{ "path.id" = "{1}" }}
"""


def test_every_route_that_looks_answers_as_described_about_what_is_there(
    showcase: Showcase, tmp_path: Path
) -> None:
    [(change, request)] = showcase.query(
        "SELECT id, request FROM change WHERE application = 'payments' AND state = 'asking'"
    )
    with showcase.as_person("ada") as api:
        objects = api.get("applications", "search", "objects")["objects"]
    pod = objects[0]["made"][0]["made"][0]
    assert pod["id"]["kind"] == "Pod"
    (tmp_path / "schemathesis.toml").write_text(THERE.format(change, request, pod["key"]))
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"{showcase.base}/api/v1/openapi.json", "--no-color"),
            *("--header", f"Authorization: Bearer {showcase.token('ada')}"),
            *("--exclude-method", "POST", "--exclude-method", "DELETE"),
            *("--include-path-regex", "/(applications|changes|show|why|requests|events|deliver)"),
            *("--checks", ",".join(CHECKS), "--max-examples", "2", "--phases", "fuzzing"),
            *("--seed", "7", "--generation-deterministic"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert "404 Not Found" not in done.stdout, "there was something to tell"
    assert "Traceback" not in (showcase.rig.folder / "controller.log").read_text()
