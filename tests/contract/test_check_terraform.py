"""The checks on real roots, with the real tools: form, validity, and tests that apply nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitops.model.delivery import LaneId
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, SourceName, TargetName
from gitops.model.terraform import TerraformHost, TerraformSpec
from gitops.ports import CheckJob, RenderJob
from gitops.terraform.workspace import Workspaces
from planners.checks import terraform_fmt, terraform_policy, terraform_validate
from planners.render import terraform as renderer
from tests.contract.render_rig import Rig

NAME = ApplicationName("net")
CODE = """variable "name" {
  type    = string
  default = "a"
}

resource "terraform_data" "x" {
  input = var.name
}

output "name" {
  value = terraform_data.x.input
}
"""


class Stage:
    """One source, the renderer, the checks and a real tool."""

    def __init__(self, folder: Path, tools: Any, terraform: tuple[str, Path]) -> None:
        self.rig = Rig(folder, tools)
        self.binary, path = terraform
        host = TerraformHost(folders=(path.parent,))
        workspaces = Workspaces(host, folder / "state", tofu=lambda _: path, mask=str)
        self.services = replace(self.rig.services, terraform=workspaces)

    async def check(self, module: Any, files: Mapping[str, str]) -> Sequence[Finding]:
        self.rig.write(files)
        spec = TerraformSpec(binary=self.binary)
        application = ApplicationSpec(NAME, SourceName("s"), "root", terraform=spec)
        made = await renderer.build(renderer.Options(), self.services).render(
            RenderJob(application, self.rig.snapshot)
        )
        lane = LaneId(NAME, TargetName("default"))
        job = CheckJob(lane, application, made, made.files, None)
        found = await module.build(module.Options(), self.services).run(job)
        assert str(self.rig.root.parent) not in repr(found)
        return list(found)


@pytest.fixture
def stage(tmp_path: Path, tools: Any, terraform: tuple[str, Path]) -> Stage:
    return Stage(tmp_path, tools, terraform)


async def test_code_in_form_that_is_valid_says_nothing(stage: Stage) -> None:
    files = {"root/main.tf": CODE}
    for module in (terraform_fmt, terraform_policy, terraform_validate):
        assert await stage.check(module, files) == []


async def test_a_file_out_of_form_is_named_with_the_diff(stage: Stage) -> None:
    files = {"root/main.tf": CODE, "root/b.tf": "locals {\n  a=1\n}\n"}
    (found,) = await stage.check(terraform_fmt, files)
    assert (found.severity, found.path) == (Severity.WARNING, "root/b.tf")
    assert "-  a=1\n+  a = 1" in found.hint


async def test_what_validate_says_is_at_file_and_line(stage: Stage) -> None:
    files = {"root/main.tf": CODE.replace("input =", "imput =")}
    found = await stage.check(terraform_validate, files)
    assert any(each.path == "root/main.tf" and each.line == 7 for each in found), found
    assert any(each.severity is Severity.ERROR for each in found)


async def test_tests_that_plan_are_run_and_what_fails_is_named(stage: Stage) -> None:
    test = (
        'run "name" {\n  command = plan\n\n  assert {\n    condition     = var.name == "%s"\n'
        '    error_message = "another name"\n  }\n}\n'
    )
    files = {"root/main.tf": CODE, "root/a.tftest.hcl": test % "a"}
    assert await stage.check(terraform_validate, files) == []
    found = await stage.check(terraform_validate, {"root/a.tftest.hcl": test % "b"})
    assert any("another name" in each.message + each.hint for each in found), found


async def test_a_test_that_would_apply_is_never_run(stage: Stage) -> None:
    test = 'provider "terraform" {}\nrun "x" {\n  variables {\n    name = "b"\n  }\n}\n'
    files = {"root/main.tf": CODE, "root/a.tftest.hcl": test}
    (found,) = await stage.check(terraform_validate, files)
    assert (found.severity, found.place) == (Severity.WARNING, "root/a.tftest.hcl:2:1")


async def test_a_program_hidden_from_another_reader_does_not_run(
    stage: Stage, tmp_path: Path
) -> None:
    proof = tmp_path / "ran"
    hidden = (
        'locals {\n  a = "$${"\n}\n'
        'resource "terraform_data" "y" {\n  provisioner "local-exec" {\n'
        f'    command = "touch {proof}"\n  }}\n}}\n'
        'locals {\n  b = "}"\n}\n'
    )
    files = {"root/main.tf": CODE + hidden, "root/a.tftest.hcl": 'run "x" {}\n'}
    assert await stage.check(terraform_policy, files)
    assert await stage.check(terraform_validate, files) == []
    assert not proof.exists()
