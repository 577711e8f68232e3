"""``--server``: a controller elsewhere, without its fleet file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gitops.errors import ConfigError
from gitops.web.client import Address, Api, address_named
from tests.web.test_web_client import TOKEN, Handler, socket

__all__ = ["socket"]
pytestmark = pytest.mark.slow  # each command is a process


def gitops(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gitops.cli", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "NO_COLOR": "1", **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_asked_with_the_token_and_no_fleet_file(tmp_path: Path, socket: Path) -> None:
    Handler.answers["/api/v1/tokens"] = (200, json.dumps({"tokens": []}).encode())
    at = f"unix:{socket}"
    for arguments, env in (
        (("token", "list", "--server", at), {}),
        (("--server", at, "token", "list"), {}),
        (("token", "list"), {"GITOPS_API": at}),
        (("token", "list", "--server", at), {"GITOPS_API": "https://elsewhere.example"}),
    ):
        done = gitops(tmp_path, *arguments, GITOPS_TOKEN=TOKEN, **env)
        assert done.returncode == 0, done.stderr
        assert "no tokens" in done.stdout
    assert [asked[2] for asked in Handler.asked] == [f"Bearer {TOKEN}"] * 4


def test_a_token_is_never_sent_in_the_clear(tmp_path: Path) -> None:
    done = gitops(tmp_path, "status", "--server", "http://gitops.example.com", GITOPS_TOKEN=TOKEN)
    assert done.returncode == 1
    assert "https:" in done.stderr
    assert TOKEN not in done.stderr
    assert "Traceback" not in done.stderr


def test_certificates_of_ones_own_are_read_or_refused(tmp_path: Path) -> None:
    url = "https://gitops.example.com"
    found = address_named(url, {"GITOPS_CA_FILE": "/gone.pem", "GITOPS_TOKEN": TOKEN})
    assert found == Address(url=url, token=TOKEN, ca_file="/gone.pem")
    with pytest.raises(ConfigError, match="GITOPS_CA_FILE cannot be read"):
        Api(found)
    Api(address_named(url, {})).close()
