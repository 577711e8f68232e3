"""The example's root is what its README says, with either binary, and its chart takes what it puts
out."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.config import load
from gitops.model.ids import ApplicationName

EXAMPLE = Path(__file__).parents[2] / "examples" / "terraform-and-app"
SITE, WEB = ApplicationName("site"), ApplicationName("web")


@pytest.fixture
def run(terraform: tuple[str, Path], tmp_path: Path) -> Any:
    """Runs the binary in a copy of the root, with the fleet file's variables."""
    root = tmp_path / "site"
    shutil.copytree(EXAMPLE / "config" / "site", root)
    spec = load(EXAMPLE / "gitops.yaml").applications[SITE].terraform
    assert spec is not None
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "CHECKPOINT_DISABLE": "1"}
    environment |= {f"TF_VAR_{name}": str(value) for name, value in spec.variables.items()}

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [terraform[1], *arguments], cwd=root, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
        return done.stdout.decode()

    return call


def rendered(helm: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """The chart's objects by kind."""
    argv = [helm, "template", "web", EXAMPLE / "config" / "web", "--values", "-"]
    done = subprocess.run(argv, input=json.dumps(values).encode(), capture_output=True, check=True)
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}


def test_the_root_of_the_example_passes_its_own_checks_and_tests(run: Any) -> None:
    run("fmt", "-check", "-recursive")
    run("init", "-input=false", "-backend=false")
    run("validate")
    assert "2 passed, 0 failed" in run("test", "-no-color")


def test_one_output_is_known_while_planning_and_the_other_only_afterwards(run: Any) -> None:
    run("init", "-input=false")
    run("plan", "-input=false", "-out=saved")
    changes = json.loads(run("show", "-json", "saved"))["output_changes"]
    assert changes["replicas"]["after"] == 3
    assert changes["host"]["after_unknown"] is True


def test_the_chart_takes_what_the_root_puts_out(run: Any, tools: Any) -> None:
    run("init", "-input=false")
    run("apply", "-input=false", "-auto-approve")
    outputs = json.loads(run("output", "-json"))
    needs = load(EXAMPLE / "gitops.yaml").applications[WEB].needs
    taken = {name: outputs[need.output]["value"] for name, need in needs.items()}
    values = {"replicas": taken["replicas"], "settings": {"host": taken["settings.host"]}}
    objects = rendered(tools.path("helm"), values)
    assert objects["Deployment"]["spec"]["replicas"] == 3
    assert objects["ConfigMap"]["data"] == {"greeting": "hello", "host": "shop.example.com"}
