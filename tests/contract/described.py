"""Has Schemathesis hold a running API to its description. What is sent is the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
)


def held_to_its_description(base: str, token: str, folder: Path, config: str, *options: str) -> str:
    """What it printed. ``config`` gives parameters no generator would guess. Fails with the cases
    that went wrong."""
    (folder / "schemathesis.toml").write_text(config)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"{base}/api/v1/openapi.json", "--no-color"),
            *("--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS)),
            *("--seed", "7", "--generation-deterministic", *options),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    return done.stdout
