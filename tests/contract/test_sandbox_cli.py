"""``gitops sandbox`` and ``gitops doctor`` as people and scripts use them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitops.sandbox import lifecycle
from gitops.sandbox.recipes import CONTROL_PLANE

# One worker for all of these: each control plane takes its share of the machine.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("sandboxes")]
_GITOPS = [sys.executable, "-c", "from gitops.cli import main; main()"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tools: object, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A user who keeps sandboxes in a folder of this test."""
    for name in CONTROL_PLANE:
        tools.path(name)  # type: ignore[attr-defined]
    yield {**os.environ, "XDG_STATE_HOME": str(tmp_path), "NO_COLOR": "1"}
    for name in lifecycle.names(_root(tmp_path)):
        lifecycle.stop(name, _root(tmp_path))


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    def gitops(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_GITOPS, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return gitops


def _root(tmp_path: Path) -> Path:
    return tmp_path / "gitops-controller" / "sandbox"


def test_a_day_in_its_life(run: Run, tmp_path: Path, tools: object) -> None:
    assert run("sandbox", "status").returncode == 1
    assert run("sandbox", "kubeconfig").stderr.splitlines() == [
        "error: sandbox default is not running (absent)",
        "  gitops sandbox up --name default",
    ]

    up = run("sandbox", "up", "--output", "json")
    assert up.returncode == 0, up.stderr
    assert json.loads(up.stdout)["context"] == "gitops-sandbox-default"

    shown = json.loads(run("sandbox", "status", "--output", "json").stdout)
    assert [one["state"] for one in shown] == ["running"]
    assert set(shown[0]["components"]) == set(CONTROL_PLANE)

    config = run("sandbox", "kubeconfig").stdout.strip()
    asked = subprocess.run(
        [tools.path("kubectl"), "get", "nodes", "-o", "name"],  # type: ignore[attr-defined]
        env={"KUBECONFIG": config, "HOME": str(tmp_path), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.split() == ["node/sandbox-node-1", "node/sandbox-node-2"]

    (tmp_path / "gitops.yaml").write_text(
        "clusters:\n  here: {sandbox: default}\n  gone: {sandbox: other}\n"
    )
    examined = run("doctor", "--output", "json")
    states = {one["name"]: one for one in json.loads(examined.stdout)["checks"]}
    assert states["cluster here"]["state"] == "ok"
    assert states["cluster gone"]["remedy"] == "gitops sandbox up --name other"
    assert examined.returncode == 1

    assert run("sandbox", "down").stdout == "sandbox default is gone\n"
    again = run("sandbox", "down")
    assert (again.returncode, again.stdout) == (0, "there was no sandbox default\n")


def test_in_the_foreground_it_ends_with_the_command(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with subprocess.Popen(
        [*_GITOPS, "sandbox", "up", "--foreground"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline().startswith("sandbox default runs at https://127.0.0.1:")
        command.send_signal(signal.SIGTERM)
        command.stdout.read()
    assert command.returncode == 0
    assert lifecycle.status("default", _root(tmp_path)).state == "absent"


def test_a_taken_port_is_one_clear_error(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = run("sandbox", "up", "--port", port)
    assert refused.returncode == 1
    assert f"port {port} cannot be used: Address already in use" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_state_folder_that_cannot_be_written_is_one_clear_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run("sandbox", "up", "--state", str(tmp_path / "file"))
    assert refused.returncode == 1
    assert "cannot write to the sandboxes' folder" in refused.stderr
    assert "--state" in refused.stderr
    assert "Traceback" not in refused.stderr
