"""The checks on Terraform roots: the rules first, the tool only on what keeps to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gitops import hcl
from gitops.children import Runner
from gitops.closures import Closure
from gitops.errors import ConfigError, RenderError
from gitops.model.delivery import LaneId
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, SourceName, TargetName, combine
from gitops.model.manifest import Desired, RenderedFile
from gitops.model.secret import SecretRef
from gitops.model.terraform import Environment, TerraformSpec
from gitops.plugins import Services
from gitops.ports import CheckJob
from gitops.ports.terraform import Root
from gitops.roots import root_of
from planners.checks import (
    kube_schema,
    overlap,
    terraform_fmt,
    terraform_policy,
    terraform_validate,
    yaml_lint,
)
from tests.unit.check_cases import services
from tests.unit.hcl_cases import CLEAN

LANE = LaneId(ApplicationName("net"), TargetName("default"))
HOSTILE = 'data "external" "x" {}\n'
PLANS = 'run "a" {\n  command = plan\n}\n'
REAL = 'provider "terraform" {}\nrun "b" {\n}\n'


@dataclass
class Recorded:
    """Stands in for the tool: remembers what it was asked, answers what it was given."""

    diffs: Sequence[tuple[str, str]] = ()
    invalid: Sequence[Finding] = ()
    broken: str = ""
    asked: list[tuple[str, Any]] = field(default_factory=list)

    async def fmt(self, root: Root) -> Sequence[tuple[str, str]]:
        self.asked.append(("fmt", root))
        if self.broken:
            raise RenderError(self.broken)
        return self.diffs

    async def validate(self, root: Root) -> Sequence[Finding]:
        self.asked.append(("validate", root))
        return self.invalid

    async def test(self, root: Root, files: Sequence[str]) -> Sequence[Finding]:
        self.asked.append(("test", tuple(files)))
        return ()

    @property
    def calls(self) -> list[str]:
        return [name for name, _ in self.asked]


SPEC = TerraformSpec()


def job(files: dict[str, str], spec: TerraformSpec | None = SPEC) -> CheckJob:
    rendered = tuple(RenderedFile(p, t.encode(), p) for p, t in sorted(files.items()))
    digest = combine(*(part for each in sorted(files.items()) for part in each))
    desired = Desired((), Closure(()), digest, "terraform 1", rendered)
    application = ApplicationSpec(ApplicationName("net"), SourceName("s"), "root", terraform=spec)
    return CheckJob(LANE, application, desired, rendered, None)


def lent(folder: Path, tool: Recorded | None, children: Any = None) -> Services:
    return replace(services(folder, children), terraform=tool)  # type: ignore[arg-type]


async def run(
    module: Any, tool: Recorded | None, asked: CheckJob, folder: Path, **options: Any
) -> list[Finding]:
    check = module.build(module.Options(**options), lent(folder, tool))
    return list(await check.run(asked))


async def test_an_application_that_is_no_root_is_nobodys_business(tmp_path: Path) -> None:
    tool = Recorded(diffs=[("a", "b")])
    for module in (terraform_fmt, terraform_policy, terraform_validate):
        assert await run(module, tool, job({"root/main.tf": HOSTILE}, None), tmp_path) == []
    assert tool.asked == []


async def test_the_rules_errors_block(tmp_path: Path) -> None:
    found = await run(terraform_policy, None, job({"root/main.tf": HOSTILE}), tmp_path)
    assert {(each.severity, each.place) for each in found} == {(Severity.ERROR, "root/main.tf:1:1")}


@pytest.mark.slow
async def test_many_files_are_read_by_a_child_and_judged_the_same(tmp_path: Path) -> None:
    secret = SecretRef(env="NOBODYS_BUSINESS")
    spec = TerraformSpec(variables={"n": [1, "a"]}, environment=Environment(plan={"A": secret}))
    long = "#" * terraform_policy.APART + "\n"
    asked = job({"root/main.tf": long + HOSTILE + 'locals {\n  x = file("/y")\n}\n'}, spec)
    runner = Runner(tmp_path, allow_unisolated=True)
    check = terraform_policy.build(terraform_policy.Options(), lent(tmp_path, None, runner))
    found = list(await check.run(asked))
    assert [each.line for each in found] == [2, 2, 4]
    root = root_of(LANE, asked.application, asked.desired)
    assert found == list(hcl.policy(root.files, "root", spec))


async def test_nothing_of_the_tool_runs_on_code_that_breaks_a_rule(tmp_path: Path) -> None:
    tool = Recorded()
    assert await run(terraform_validate, tool, job({"root/main.tf": HOSTILE}), tmp_path) == []
    assert tool.asked == []


async def test_the_tool_gets_exactly_the_files_that_were_rendered(tmp_path: Path) -> None:
    tool = Recorded()
    files = {"root/main.tf": CLEAN, "root/b/x.yaml": "a: b"}
    assert await run(terraform_validate, tool, job(files), tmp_path) == []
    ((_, root),) = tool.asked
    assert {each.path: each.content.decode() for each in root.files} == files
    assert root.lane == LANE


async def test_tests_that_only_plan_are_run_and_others_named(tmp_path: Path) -> None:
    tool = Recorded()
    files = {
        "root/main.tf": CLEAN,
        "root/a.tftest.hcl": PLANS,
        "root/tests/b.tftest.hcl": PLANS,
        "root/tests/c.tftest.hcl": REAL,
        "root/deep/d.tftest.hcl": REAL,
        "root/d.tftest.json": '{"run": {"x": {"command": "plan"}}}',
    }
    (found,) = await run(terraform_validate, tool, job(files), tmp_path)
    assert (found.severity, found.place) == (Severity.WARNING, "root/tests/c.tftest.hcl:2:1")
    assert tool.asked[1] == (
        "test",
        ("root/a.tftest.hcl", "root/d.tftest.json", "root/tests/b.tftest.hcl"),
    )


async def test_an_invalid_root_is_not_tested(tmp_path: Path) -> None:
    wrong = Finding("terraform-validate", Severity.ERROR, "no such argument", path="root/main.tf")
    tool = Recorded(invalid=[wrong])
    files = {"root/main.tf": CLEAN, "root/a.tftest.hcl": PLANS}
    assert await run(terraform_validate, tool, job(files), tmp_path) == [wrong]
    assert tool.calls == ["validate"]


async def test_tests_can_be_switched_off(tmp_path: Path) -> None:
    tool = Recorded()
    files = {"root/main.tf": CLEAN, "root/a.tftest.hcl": PLANS}
    await run(terraform_validate, tool, job(files), tmp_path, tests=False)
    assert tool.calls == ["validate"]


async def test_without_a_tool_the_code_is_said_to_be_unvalidated(tmp_path: Path) -> None:
    (found,) = await run(terraform_validate, None, job({"root/main.tf": CLEAN}), tmp_path)
    assert found.severity is Severity.INFO


DIFF = "--- old/main.tf\n+++ new/main.tf\n@@ -3,2 +3,2 @@\n-a=1\n+a = 1\n"


async def test_a_file_out_of_form_is_a_warning_with_the_diff(tmp_path: Path) -> None:
    tool = Recorded(diffs=[("root/main.tf", DIFF)])
    (found,) = await run(terraform_fmt, tool, job({"root/main.tf": "a=1"}), tmp_path)
    assert (found.severity, found.place) == (Severity.WARNING, "root/main.tf:3")
    assert "-a=1\n+a = 1" in found.hint
    assert "old/" not in found.hint
    assert "terraform fmt root/main.tf" in found.hint


async def test_the_operator_makes_it_block(tmp_path: Path) -> None:
    tool = Recorded(diffs=[("root/main.tf", DIFF)])
    asked = job({"root/main.tf": "a=1"})
    (found,) = await run(terraform_fmt, tool, asked, tmp_path, severity="error")
    assert found.severity is Severity.ERROR
    with pytest.raises(ConfigError, match="unknown"):
        terraform_fmt.build(terraform_fmt.Options(severity="bad"), lent(tmp_path, tool))


async def test_a_diff_without_end_is_cut_and_cannot_draw_on_the_terminal(tmp_path: Path) -> None:
    tool = Recorded(diffs=[("root/main.tf", DIFF + "+\x1b[2J" + "x" * 500_000 + "\n+y" * 10_000)])
    (found,) = await run(terraform_fmt, tool, job({"root/main.tf": "a=1"}), tmp_path)
    assert len(found.hint) < 20_000
    assert "\x1b" not in found.hint


async def test_fmt_that_fails_does_not_hide_why(tmp_path: Path) -> None:
    tool = Recorded(broken="Argument or block definition required")
    (found,) = await run(terraform_fmt, tool, job({"root/main.tf": "a"}), tmp_path)
    assert "Argument or block definition required" in found.message


async def test_other_checks_are_quiet_on_code_and_still_read_yaml(tmp_path: Path) -> None:
    asked = job({"root/main.tf": "a {{\n", "root/x.yaml": "a: [\n", "root/y.tf.json": "{"})
    assert await run(kube_schema, None, asked, tmp_path) == []
    assert await run(overlap, None, asked, tmp_path) == []
    assert {each.path for each in await run(yaml_lint, None, asked, tmp_path)} == {"root/x.yaml"}
