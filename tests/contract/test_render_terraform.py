"""A root is read as far as the tool will see it, byte for byte, and no further."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitops.closures import moved
from gitops.errors import RenderError
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, SourceName
from gitops.model.manifest import Desired
from gitops.model.terraform import TerraformSpec
from gitops.ports import RenderJob
from planners.render import terraform
from tests.contract.render_rig import Rig

CODE = 'resource "terraform_data" "x" {}\n'


@pytest.fixture
def rig(tmp_path: Path, tools: Any) -> Rig:
    return Rig(tmp_path, tools)


async def render(rig: Rig, path: str = "root", **spec: Any) -> Desired:
    application = ApplicationSpec(
        ApplicationName("net"), SourceName("s"), path, terraform=TerraformSpec(**spec)
    )
    renderer = terraform.build(terraform.Options(), rig.services)
    return await renderer.render(RenderJob(application, rig.snapshot))


async def refused(rig: Rig, path: str = "root", **spec: Any) -> RenderError:
    with pytest.raises(RenderError) as caught:
        await render(rig, path, **spec)
    assert str(rig.root) not in str(caught.value)
    return caught.value


def paths(made: Desired) -> list[str]:
    return [file.path for file in made.files]


async def test_the_root_its_modules_and_its_variable_files_are_read_and_nothing_else(
    rig: Rig,
) -> None:
    rig.write(
        {
            "root/main.tf": CODE + 'module "m" {\n  source = "../modules/a"\n}\n',
            "root/deep/er/data.bin": b"\x00\xff",
            "root/.terraform.lock.hcl": "",
            "root/inner/.terraform/providers/x": "x",
            "modules/a/main.tf": 'module "b" {\n  source = "../b/c"\n}\n',
            "modules/a/t.tpl": "t",
            "modules/b/c/main.tf.json": "{}",
            "modules/b/other.tf": CODE,
            "vars/prod.tfvars": "a = 1\n",
            "else/main.tf": CODE,
        }
    )
    made = await render(rig, variable_files=("../vars/prod.tfvars",))
    assert paths(made) == [
        "modules/a/main.tf",
        "modules/a/t.tpl",
        "modules/b/c/main.tf.json",
        "root/.terraform.lock.hcl",
        "root/deep/er/data.bin",
        "root/main.tf",
        "vars/prod.tfvars",
    ]
    assert made.manifests == ()
    rig.write({"else/main.tf": "", "modules/b/other.tf": ""})
    assert moved(made.closure, rig.snapshot) == ()
    rig.write({"modules/b/c/new.tf": "", "vars/prod.tfvars": ""})
    assert moved(made.closure, rig.snapshot) == ("modules/b/c", "vars/prod.tfvars")


async def test_a_module_that_appears_concerns_the_root(rig: Rig) -> None:
    rig.write({"root/main.tf": 'module "m" {\n  source = "../m"\n}\n'})
    made = await render(rig)
    rig.write({"m/main.tf": CODE})
    assert moved(made.closure, rig.snapshot) == ("m",)


async def test_the_digest_is_that_of_every_name_byte_and_mode(rig: Rig) -> None:
    rig.write({"root/main.tf": CODE, "root/run.sh": "#!/bin/sh\n"})
    seen = [(await render(rig)).digest]
    assert (await render(rig)).digest == seen[0]
    (rig.root / "root/run.sh").chmod(0o755)
    made = await render(rig)
    assert [file.executable for file in made.files] == [False, True]
    seen.append(made.digest)
    rig.write({"root/main.tf": CODE + "# x\n"})
    seen.append((await render(rig)).digest)
    (rig.root / "root/run.sh").rename(rig.root / "root/run")
    seen.append((await render(rig)).digest)
    assert len(set(seen)) == 4


async def test_a_link_is_refused_by_name(rig: Rig) -> None:
    rig.write({"root/main.tf": CODE, "other/x.tf": CODE})
    (rig.root / "root/x.tf").symlink_to("../other/x.tf")
    assert (await refused(rig)).place == "root/x.tf"


async def test_a_link_in_place_of_a_module_is_refused(rig: Rig) -> None:
    rig.write({"root/main.tf": 'module "m" {\n  source = "./m"\n}\n', "m/x.tf": CODE})
    (rig.root / "root/m").symlink_to("../m")
    assert (await refused(rig)).place == "root/m"


async def test_what_init_once_fetched_is_refused(rig: Rig) -> None:
    rig.write({"root/main.tf": CODE, "root/.terraform/modules/modules.json": "{}"})
    error = await refused(rig)
    assert error.place == "root/.terraform/modules/modules.json"
    assert "git rm" in error.hint


@pytest.mark.parametrize("path", ["../../x.tfvars", "/etc/passwd", "missing.tfvars"])
async def test_a_variable_file_outside_or_missing_is_refused(rig: Rig, path: str) -> None:
    rig.write({"root/main.tf": CODE})
    assert await refused(rig, variable_files=(path,))


async def test_a_module_outside_the_source_is_left_to_the_rules(rig: Rig) -> None:
    rig.write({"root/main.tf": 'module "m" {\n  source = "../../m"\n}\n'})
    assert paths(await render(rig)) == ["root/main.tf"]


async def test_code_that_cannot_be_read_is_left_to_the_rules(rig: Rig) -> None:
    rig.write({"root/main.tf": 'module "m" {\n'})
    assert paths(await render(rig)) == ["root/main.tf"]


async def test_a_root_that_is_not_there_is_refused(rig: Rig) -> None:
    rig.write({"other/main.tf": CODE})
    assert "there is no folder" in (await refused(rig)).message


async def test_too_many_files_are_refused(rig: Rig) -> None:
    rig.write({"root/main.tf": CODE, **{f"root/f/{number}": "" for number in range(10_001)}})
    assert "limits" in (await refused(rig)).message


def test_a_folder_with_code_looks_like_a_root(rig: Rig) -> None:
    rig.write({"a/main.tf": "", "b/main.tofu": "", "c/x.yaml": "", "d/e/main.tf": ""})
    renderer = terraform.build(terraform.Options(), rig.services)
    assert [renderer.detects(rig.snapshot, each) for each in "abcd"] == [True, True, False, False]
