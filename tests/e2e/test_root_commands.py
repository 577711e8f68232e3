"""What ``gitops plan`` says of Terraform roots, as a process: no controller and no cluster."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import warm

pytestmark = pytest.mark.slow

NET = """\
resource "terraform_data" "net" {
  input = "10.0.0.0/16"
}

output "range" {
  value = "10.0.0.0/16"
}

output "id" {
  value = terraform_data.net.id
}
"""
HOSTS = """\
variable "range" {
  type = string
}

resource "terraform_data" "hosts" {
  input = var.range
}
"""


@dataclass
class Desk:
    """A fleet of two roots: ``hosts`` takes an output of ``net`` in."""

    folder: Path
    fleet: dict[str, Any]

    def write(self, application: str, text: str) -> None:
        place = self.folder / "config" / application
        place.mkdir(parents=True, exist_ok=True)
        (place / "main.tf").write_text(text)

    def plan(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "gitops.yaml").write_text(yaml.safe_dump(self.fleet))
        keep = {k: v for k, v in os.environ.items() if not k.startswith("GITOPS_")}
        done = warm.run(["plan", *arguments], cwd=self.folder, env={**keep, "NO_COLOR": "1"})
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture
def desk(tmp_path: Path, a_terraform: tuple[str, Path]) -> Desk:
    name, path = a_terraform
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / name).symlink_to(path)
    fleet = {
        "state_dir": "state",
        "terraform": {"folders": [str(folder)]},
        "sources": {"config": {"directory": "config", "authors": ["ada"]}},
        "applications": {
            "net": {"path": "net", "terraform": {"binary": name}},
            "hosts": {
                "path": "hosts",
                "terraform": {"binary": name},
                "needs": {"range": "net.range"},
            },
        },
        "people": {"ada": {"emails": ["ada@x.org"]}, "lin": {"emails": ["lin@x.org"]}},
    }
    made = Desk(tmp_path, fleet)
    made.write("net", NET)
    made.write("hosts", HOSTS)
    return made


def test_what_takes_an_output_in_is_planned_with_what_the_other_plan_gives_it(desk: Desk) -> None:
    done = desk.plan("hosts")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "hosts on default: 1 to create" in done.stdout
    assert "input: 10.0.0.0/16" in done.stdout
    assert "net on default" not in done.stdout, "planned for it, but nobody asked to see it"
    assert not list((desk.folder / "state").rglob("*.tfstate")), "nothing is applied"


def test_what_is_known_after_the_apply_only_is_waited_for_and_that_is_no_error(desk: Desk) -> None:
    desk.fleet["applications"]["hosts"]["needs"] = {"range": "net.id"}
    done = desk.plan()
    assert done.returncode == 2, done.stdout + done.stderr
    assert "net on default: 1 to create; 2 outputs change" in done.stdout
    waits = "hosts on default: waits: id of net@default is known once its change is applied"
    assert waits in done.stdout
    rows = json.loads(desk.plan("--output", "json", "hosts").stdout)
    assert [(row["plan"], bool(row["waits"]), row["error"]) for row in rows] == [(None, True, "")]


def test_where_there_is_no_plan_of_the_one_there_is_none_of_the_other(desk: Desk) -> None:
    desk.write("net", NET.replace("terraform_data.net.id", "terraform_data.nte.id"))
    done = desk.plan()
    assert done.returncode == 1, done.stdout + done.stderr
    assert "net on default: no plan, see below" in done.stdout
    assert "error: net/main.tf:10" in done.stdout
    assert "range comes from net@default, of which there is no plan" in done.stdout


def test_an_output_that_does_not_exist_is_named_with_the_nearest(desk: Desk) -> None:
    desk.fleet["applications"]["hosts"]["needs"] = {"range": "net.ranges"}
    done = desk.plan("hosts")
    assert done.returncode == 1
    assert "net@default has no output 'ranges'" in done.stdout
    assert "did you mean range?" in done.stdout


def test_a_version_that_is_not_here_is_said_with_what_was_found(desk: Desk) -> None:
    desk.fleet["applications"]["net"]["terraform"]["version"] = "0.0.1"
    done = desk.plan("net")
    assert done.returncode == 1
    assert "0.0.1 is not here" in done.stdout
    assert "found: " in done.stdout
    assert "the check itself failed" not in done.stdout
