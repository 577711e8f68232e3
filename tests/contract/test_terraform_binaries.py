"""The binaries roots are run with are real, say what they are, and need no provider to be tried."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gitops.sandbox.tools import Toolbox

ROOT = """
variable "name" { type = string }
resource "terraform_data" "greeting" { input = "hello ${var.name}" }
output "greeting" { value = terraform_data.greeting.output }
"""


def run(binary: Path, folder: Path, *arguments: str) -> str:
    """Its standard output; nothing of our environment reaches it."""
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "CHECKPOINT_DISABLE": "1"}
    done = subprocess.run(
        [binary, *arguments], cwd=folder, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_a_root_is_planned_saved_and_applied(terraform: tuple[str, Path], tmp_path: Path) -> None:
    _, binary = terraform
    (tmp_path / "main.tf").write_text(ROOT)
    run(binary, tmp_path, "init", "-input=false")
    run(binary, tmp_path, "plan", "-input=false", "-out=saved", "-var=name=ada")
    run(binary, tmp_path, "apply", "-input=false", "saved")
    outputs = json.loads(run(binary, tmp_path, "output", "-json"))
    assert outputs["greeting"]["value"] == "hello ada"


def test_the_built_one_is_the_release_it_is_pinned_to(
    terraform_binaries: dict[str, Path], tmp_path: Path
) -> None:
    said = json.loads(run(terraform_binaries["tofu"], tmp_path, "version", "-json"))
    assert f"v{said['terraform_version']}" == Toolbox().version("tofu")


def test_a_machine_without_terraform_skips_what_needs_it_and_names_the_line(
    terraform_binaries: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITOPS_TEST_REQUIRE", "1")
    without = type(terraform_binaries)({})
    with pytest.raises(pytest.skip.Exception, match=r"not on PATH; install it: \S+"):
        without["terraform"]
    with pytest.raises(pytest.fail.Exception, match="run: gitops sandbox tools tofu"):
        without["tofu"]
