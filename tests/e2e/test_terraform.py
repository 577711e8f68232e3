"""Terraform roots carried through the whole sentence, on real terraform and OpenTofu."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import pytest

from gitops.errors import NotAllowed
from gitops.model.delivery import ChangeState
from gitops.model.plan import Action, Plan
from tests.e2e.root_rig import RootRig

pytestmark = pytest.mark.slow

ONE = """\
    resource "terraform_data" "one" {
      input = "first"
    }

    output "one" {
      value = terraform_data.one.output
    }
    """


@pytest.fixture
def bare(tmp_path: Path, terraform: tuple[str, Path]) -> RootRig:
    """Nothing is committed yet."""
    name, path = terraform
    return RootRig(tmp_path, binary=name, path=path)


@pytest.fixture
def root(bare: RootRig) -> RootRig:
    """One resource and its output."""
    return first(bare)


@pytest.fixture
def bare_either(tmp_path: Path, a_terraform: tuple[str, Path]) -> RootRig:
    """With whichever tool is here: for what it has no part in."""
    name, path = a_terraform
    return RootRig(tmp_path, binary=name, path=path)


@pytest.fixture
def either(bare_either: RootRig) -> RootRig:
    return first(bare_either)


def first(bare: RootRig) -> RootRig:
    bare.write("infra/main.tf", ONE)
    bare.commit("the first")
    return bare


def rows(plan: Plan) -> dict[str, Action]:
    return {change.address: change.action for change in plan.changes}


def notes(plan: Plan) -> str:
    return " ".join(note for change in plan.changes for note in change.notes)


async def test_a_root_is_planned_asked_about_applied_and_kept(root: RootRig) -> None:
    async with root.controller() as system:
        await system.nudge()
        plan = await system.plan()
        assert rows(plan) == {"terraform_data.one": Action.CREATE, "output.one": Action.CREATE}
        assert not root.state_json(), "nothing before the answer"
        record = await system.approve("bob")
        assert record.state is ChangeState.HEALTHY, record.reason
        assert root.outputs() == {"one": "first"}
        serial = root.state_json()["serial"]

        root.write("README.md", "no concern of the root's")
        root.commit("elsewhere")
        await system.nudge()
        assert len(await system.changes()) == 1

        root.write("infra/main.tf", ONE.replace("first", "second"))
        root.commit("the second")
        await system.nudge()
        assert rows(await system.plan())["terraform_data.one"] is Action.UPDATE
        assert (await system.approve("bob")).state is ChangeState.HEALTHY
        assert root.outputs() == {"one": "second"}
        assert root.state_json()["serial"] > serial


async def test_a_plan_without_changes_asks_nobody(either: RootRig) -> None:
    async with either.controller() as system:
        await system.deliver()
        either.write("infra/main.tf", textwrap.dedent(ONE) + "\n# a remark\n")
        either.commit("a remark")
        await system.nudge()
        assert not await system.requests()
        assert (await system.last()).state is ChangeState.UNCHANGED


async def test_a_replacement_names_what_forces_it_and_a_destroy_is_shown(bare: RootRig) -> None:
    two = ONE + '\n    resource "terraform_data" "two" {\n      triggers_replace = ["a"]\n    }\n'
    bare.write("infra/main.tf", two)
    bare.commit("two")
    async with bare.controller() as system:
        await system.deliver()
        bare.write("infra/main.tf", two.replace('["a"]', '["b"]'))
        bare.commit("another trigger")
        await system.nudge()
        plan = await system.plan()
        assert rows(plan)["terraform_data.two"] is Action.REPLACE
        assert "forces replacement: triggers_replace" in notes(plan)
        confirmation = "delete 1" if plan.over_budget else ""
        assert (await system.approve("bob", confirmation=confirmation)).state is ChangeState.HEALTHY
        bare.write("infra/main.tf", ONE)
        bare.commit("one again")
        await system.nudge()
        plan = await system.plan()
        assert rows(plan) == {"terraform_data.two": Action.DELETE}
        confirmation = "delete 1" if plan.over_budget else ""
        assert (await system.approve("bob", confirmation=confirmation)).state is ChangeState.HEALTHY
        assert set(bare.resources()) == {"terraform_data.one"}


async def test_the_author_may_not_approve_and_a_denial_holds(either: RootRig) -> None:
    async with either.controller() as system:
        await system.nudge()
        with pytest.raises(NotAllowed):
            await system.answer("ada")
        await system.deny("bob", "not before the freeze")
        await system.nudge()
        assert not await system.requests()
        assert not either.state_json()


async def test_a_state_that_moved_after_the_question_is_planned_and_asked_about_again(
    either: RootRig,
) -> None:
    async with either.controller() as system:
        await system.deliver()
        either.write("infra/main.tf", ONE.replace("first", "second"))
        either.commit("the second")
        await system.nudge()
        asked = await system.request()
        _apply_by_hand(either, ONE.replace("first", "by hand"))
        await system.answer("bob", request=asked)
        await system.quiet()
        assert either.outputs() == {"one": "by hand"}, "what was approved did not fit any more"
        plan = await system.plan()
        shown = [f for c in plan.changes for f in c.fields if c.address == "terraform_data.one"]
        assert any(field.before == "by hand" for field in shown), shown
        assert (await system.approve("bob")).state is ChangeState.HEALTHY
        assert either.outputs() == {"one": "second"}


async def test_a_restart_asks_nobody_twice_and_applies_the_very_file(bare_either: RootRig) -> None:
    bare_either.write(
        "infra/main.tf", ONE + '\n    output "when" {\n      value = timestamp()\n    }\n'
    )
    bare_either.commit("a plan that no second run would repeat")
    async with bare_either.controller() as system:
        await system.nudge()
        asked = await system.request()
        (member,) = asked.members
    async with bare_either.controller() as system:
        await system.nudge()
        again = await system.request()
        assert (again.id, again.root) == (asked.id, asked.root)
        assert [m.seal for m in again.members] == [member.seal]
        assert (await system.approve("bob")).state is ChangeState.HEALTHY


async def test_a_lost_plan_file_is_planned_and_asked_about_anew(either: RootRig) -> None:
    async with either.controller() as system:
        await system.nudge()
        await system.request()
    shutil.rmtree(either.folder / "state" / "vault")
    async with either.controller() as system:
        await system.nudge()
        assert (await system.approve("bob")).state is ChangeState.HEALTHY
    assert either.outputs() == {"one": "first"}


async def test_a_tampered_plan_file_is_never_applied(either: RootRig) -> None:
    async with either.controller() as system:
        await system.nudge()
        asked = await system.request()
    (kept,) = [p for p in (either.folder / "state" / "vault").rglob("*") if p.is_file()]
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    async with either.controller() as system:
        await system.nudge()
        fresh = await system.request()
        assert [m.seal for m in fresh.members] != [m.seal for m in asked.members]
        assert not either.state_json()


async def test_two_roots_are_planned_side_by_side(bare_either: RootRig) -> None:
    other = dict(bare_either.app)
    other["path"] = "other"
    other["terraform"] = {
        **bare_either.terraform,
        "backend": {"local": {"path": str(bare_either.folder / "other.tfstate")}},
    }
    bare_either.fleet["applications"]["other"] = other
    bare_either.write("infra/main.tf", ONE)
    bare_either.write("other/main.tf", ONE.replace("first", "other"))
    bare_either.commit("two roots")
    async with bare_either.controller() as system:
        await system.nudge()
        await system.until_asking(2)
        request = (await system.requests())[0]
        assert len(request.members) == 2, "one commit, one question"
        await system.answer("bob", request=request)
        await system.quiet()
        states = [r.state for r in await system.changes()]
        assert states == [ChangeState.HEALTHY]
    assert bare_either.outputs() == {"one": "first"}
    assert '"other"' in (bare_either.folder / "other.tfstate").read_text()


async def test_what_unapproved_code_may_not_do_blocks_before_any_init(bare_either: RootRig) -> None:
    bare_either.write(
        "infra/main.tf", 'data "external" "x" {\n  program = ["touch", "/tmp/never"]\n}\n'
    )
    bare_either.commit("runs a program")
    async with bare_either.controller() as system:
        await system.nudge()
        record = await system.last()
        assert record.state is ChangeState.BLOCKED
        assert "infra/main.tf:1" in record.reason
        assert not await system.requests()


async def test_a_syntax_error_is_named_at_its_line(bare: RootRig) -> None:
    bare.write("infra/main.tf", 'resource "terraform_data" "one" {\n  input = \n}\n')
    bare.commit("half a thought")
    async with bare.controller() as system:
        await system.nudge()
        record = await system.last()
        assert record.state is ChangeState.BLOCKED
        assert "infra/main.tf:2" in record.reason or "infra/main.tf:3" in record.reason


def _apply_by_hand(root: RootRig, text: str) -> None:
    folder = root.folder / "by-hand"
    folder.mkdir(exist_ok=True)
    backend = f'terraform {{\n  backend "local" {{ path = "{root.state}" }}\n}}\n'
    (folder / "main.tf").write_text(backend + textwrap.dedent(text))
    root.by_hand("init", "-input=false", folder=folder)
    root.by_hand("apply", "-auto-approve", "-input=false", folder=folder)
