"""How often the real tools are initialised, and what of a root is kept for the next call on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gitops.model.secret import SecretRef
from gitops.model.terraform import Backend, Environment
from gitops.ports.terraform import Root
from gitops.terraform.workspace import Workspaces
from tests.contract.terraform_rig import FOLDER, ONE, Host, root_of, settings

MODULE = """module "inner" {
  source = "./inner"
}

output "one" {
  value = module.inner.one
}
"""


class Told:
    """Stands before the real tool and writes down what it is told to do."""

    def __init__(self, folder: Path, host: Host) -> None:
        folder.mkdir()
        self.host = replace(host, binary=folder / host.tool)
        self._log = folder / "log"
        self.host.binary.write_text(
            f'#!/bin/sh\necho "$1" >> {self._log}\nexec {host.binary} "$@"\n'
        )
        self.host.binary.chmod(0o700)

    def workspaces(self) -> Workspaces:
        return self.host.workspaces(folders=(self.host.binary.parent,))

    def since(self) -> list[str]:
        """The commands since this was last asked."""
        said = self._log.read_text().split()
        self._log.write_text("")
        return [each for each in said if each != "version"]


@pytest.fixture
def told(tmp_path: Path, terraform: tuple[str, Path]) -> Told:
    return Told(tmp_path / "bin", Host(tmp_path / "state", *terraform))


@pytest.fixture
def one_told(tmp_path: Path, a_terraform: tuple[str, Path]) -> Told:
    return Told(tmp_path / "bin", Host(tmp_path / "state", *a_terraform))


def nested(told: Told) -> Root:
    """A root with a module, so that there is something to fetch."""
    return root_of({"main.tf": MODULE, "inner/one.tf": ONE}, binary=told.host.tool)


def kept(host: Host) -> list[Path]:
    return list((host.state_dir / "terraform" / ".calls").glob("*/*"))


async def test_a_delivery_initialises_three_times_whatever_is_asked_meanwhile(told: Told) -> None:
    workspaces, root = told.workspaces(), nested(told)
    assert await workspaces.validate(root) == []
    plan = await workspaces.plan(root)
    await workspaces.state(root)
    await workspaces.plan(root, locking=False)
    assert told.since() == [
        *("init", "validate"),
        *("init", "plan", "show"),
        "state",
        *("plan", "show"),
    ]
    applied = await workspaces.apply(root, plan.plan_file, "run-1")
    assert applied.done
    assert applied.state == (await workspaces.reached(root))[1] == await workspaces.state(root)
    assert (await workspaces.outputs(root))["one"].value == "x"
    assert told.since() == ["init", "apply", "state", "state", "state", "output"]


async def test_what_is_kept_holds_no_file_no_value_and_no_plan_and_goes_in_the_end(
    one_told: Told,
) -> None:
    workspaces, host = one_told.workspaces(), one_told.host
    text = 'variable "pin" {\n  type = string\n}\n' + ONE.replace('"x"', "var.pin")
    root = replace(host.root(text), variables={"pin": "canary-pin-42"})
    plan = await workspaces.plan(root)
    await workspaces.state(root)
    (folder,) = kept(host)
    assert [path.name for path in folder.iterdir()] == ["data"]
    assert b"canary-pin-42" not in host.everything()
    assert plan.plan_file not in host.everything()
    workspaces.close()
    assert kept(host) == []


async def test_what_differs_in_anything_is_initialised_by_itself(one_told: Told) -> None:
    workspaces, root = one_told.workspaces(), nested(one_told)
    state = Backend("local", {"path": str(one_told.host.state_dir / "elsewhere")})
    credentials = Environment(plan={"PASSWORD": "known to its backend"})
    others = [
        root_of({"main.tf": MODULE, "inner/one.tf": f"{ONE}\n"}, binary=one_told.host.tool),
        replace(root, variables={"pin": "another"}),
        settings(root, environment=credentials),
        settings(root, backend=state),
        settings(root, workspace="other"),
    ]
    for each in (root, *others):
        await workspaces.state(each)
        assert one_told.since().count("init") == 1
    for each in (root, *others):
        await workspaces.state(each)
    assert set(one_told.since()) == {"state"}


@pytest.mark.parametrize(
    "lose",
    [
        shutil.rmtree,
        lambda folder: (folder / "data/modules/modules.json").unlink(),
    ],
)
async def test_a_kept_folder_that_lost_something_is_made_anew(
    one_told: Told, lose: Callable[[Path], None]
) -> None:
    workspaces, root = one_told.workspaces(), nested(one_told)
    await workspaces.plan(root)
    one_told.since()
    lose(*kept(one_told.host))
    plan = await workspaces.plan(root)
    assert plan.shown["resource_changes"][0]["address"] == "module.inner.terraform_data.one"
    assert one_told.since()[-3:] == ["init", "plan", "show"]
    await workspaces.plan(root)
    assert one_told.since() == ["plan", "show"]


async def test_files_a_plan_leaves_are_not_there_for_the_next(one_told: Told) -> None:
    """The folder that is kept is the tool's; the root's own is written anew."""
    workspaces, root = one_told.workspaces(), nested(one_told)
    await workspaces.plan(root)
    (folder,) = kept(one_told.host)
    (folder / "tree" / FOLDER).mkdir(parents=True)
    (folder / "tree" / FOLDER / "more.tf").write_text('resource "terraform_data" "more" {\n}\n')
    plan = await workspaces.plan(root)
    assert len(plan.shown["resource_changes"]) == 1


async def test_an_apply_has_a_folder_and_credentials_of_its_own(
    one_told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspaces = one_told.workspaces()
    monkeypatch.setenv("THE_SECRET", "canary-password")
    secret = SecretRef(env="THE_SECRET")
    root = settings(nested(one_told), environment=Environment(apply={"PASSWORD": secret}))
    plan = await workspaces.plan(root)
    one_told.since()
    for folder in kept(one_told.host):  # whatever the code that was planned may have done there
        shutil.rmtree(folder / "data")
        (folder / "data").write_text("spoilt")
    assert (await workspaces.apply(root, plan.plan_file, "run-1")).done
    assert one_told.since() == ["init", "apply", "state"]
