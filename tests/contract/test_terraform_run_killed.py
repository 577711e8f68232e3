"""Applies whose controller, supervisor or tool is killed under way, taken up by the next one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops.errors import StateLocked, Transient
from gitops.model.sealed import StateFacts
from gitops.model.terraform import Backend
from gitops.terraform.outcomes import UNRECORDED
from gitops.terraform.runs import Run
from tests.conftest import absent
from tests.contract.terraform_rig import ONE, Host, find, no_zombie, until

CONTROLLER = """
import asyncio, sys
from pathlib import Path
from tests.contract.terraform_rig import Host

async def main():
    state, tool, binary, signs = sys.argv[1:]
    host = Host(Path(state), tool, Path(binary))
    workspaces, root = host.workspaces(), host.slow(Path(signs))
    plan = await workspaces.plan(root)
    Path(signs, "plan").write_bytes(plan.plan_file)
    await workspaces.apply(root, plan.plan_file, "run-1")

asyncio.run(main())
"""


@pytest.fixture(params=["terraform", "tofu"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    binary = find(request.param)
    if binary is None:
        absent(f"{request.param} is not here; run: gitops sandbox tools {request.param}")
    return Host(tmp_path / "state", request.param, binary)


@pytest.fixture
def signs(tmp_path: Path) -> Path:
    folder = tmp_path / "signs"
    folder.mkdir()
    return folder


async def killed_controller(host: Host, signs: Path) -> bytes:
    """A controller is killed in the middle of an apply. The plan it applied."""
    arguments = [str(host.state_dir), host.tool, str(host.binary), str(signs)]
    controller = subprocess.Popen([sys.executable, "-c", CONTROLLER, *arguments])
    try:
        await until((signs / "begun").exists)
    finally:
        controller.kill()
        controller.wait()
    return (signs / "plan").read_bytes()


async def test_an_apply_outlives_its_controller_and_is_awaited_by_the_next(
    host: Host, signs: Path
) -> None:
    plan = await killed_controller(host, signs)
    tool = host.started().tool.pid
    assert not no_zombie(tool)
    applying = asyncio.create_task(host.workspaces().apply(host.slow(signs), plan, "run-1"))
    await asyncio.sleep(0.3)
    assert not applying.done()
    (signs / "go").touch()
    applied = await applying
    assert applied.done
    assert [each.done for each in applied.outcomes] == [True, True]
    assert host.started().tool.pid == tool


async def test_an_apply_that_ended_while_nobody_was_there_is_told(host: Host, signs: Path) -> None:
    plan = await killed_controller(host, signs)
    supervisor = host.started().supervisor.pid
    (signs / "go").touch()
    await until(lambda: no_zombie(supervisor))
    assert not list(host.state_dir.rglob("*.tfplan"))  # whether or not anybody comes
    applied = await host.workspaces().apply(host.slow(signs), plan, "run-1")
    assert applied.done
    assert applied.state is not None
    assert applied.state.serial > 0


async def test_a_killed_tool_leaves_what_it_began_as_unknown(host: Host, signs: Path) -> None:
    workspaces, root = host.workspaces(), host.slow(signs)
    plan = await workspaces.plan(root)
    applying = asyncio.create_task(workspaces.apply(root, plan.plan_file, "run-1"))
    await until((signs / "begun").exists)
    os.kill(host.started().tool.pid, signal.SIGKILL)
    applied = await applying
    (signs / "go").touch()
    assert not applied.done
    first, slow = applied.outcomes
    assert (slow.address, slow.done) == ("terraform_data.slow", False)
    # Terraform records each resource as it is done, OpenTofu all of them at the end.
    recorded = (await workspaces.state(root)) != plan.state
    assert (first.address, first.done) == ("terraform_data.first", recorded)
    assert recorded or first.message == UNRECORDED
    assert f"{host.tool} was killed by signal 9" in applied.message
    assert "nobody knows how it ended: terraform_data.slow" in applied.message
    assert await workspaces.apply(root, plan.plan_file, "run-1") == applied


async def test_when_all_are_killed_the_next_one_says_what_is_not_known(
    host: Host, signs: Path
) -> None:
    plan = await killed_controller(host, signs)
    started = host.started()
    os.kill(started.supervisor.pid, signal.SIGKILL)
    os.kill(started.tool.pid, signal.SIGKILL)
    await until(lambda: no_zombie(started.tool.pid))
    (signs / "go").touch()
    applied = await host.workspaces().apply(host.slow(signs), plan, "run-1")
    assert not applied.done
    assert f"{host.tool} and its supervisor were killed" in applied.message
    assert applied.outcomes[-1].address == "terraform_data.slow"
    assert not applied.outcomes[-1].done
    assert not list(host.state_dir.rglob("*.tfplan"))
    assert not list(host.state_dir.rglob(".gitops-reserve-*"))


async def test_a_tool_whose_supervisor_was_killed_is_awaited_too(host: Host, signs: Path) -> None:
    workspaces = host.workspaces()
    root = host.slow(signs, "for i in $(seq 200); do echo line $i; done; ")
    plan = await workspaces.plan(root)
    applying = asyncio.create_task(workspaces.apply(root, plan.plan_file, "run-1"))
    await until((signs / "begun").exists)
    os.kill(host.started().supervisor.pid, signal.SIGKILL)
    await asyncio.sleep(0.2)
    assert not applying.done()
    (signs / "go").touch()
    applied = await applying
    assert applied.done, applied.message
    assert [each.done for each in applied.outcomes] == [True, True]


@pytest.mark.slow
async def test_a_run_of_another_machine_is_known_by_its_lock(host: Host, signs: Path) -> None:
    workspaces, root = host.workspaces(), host.slow(signs)
    plan = await workspaces.plan(root)
    applying = asyncio.create_task(workspaces.apply(root, plan.plan_file, "run-1"))
    await until((signs / "begun").exists)
    (record,) = host.state_dir.glob("terraform/*/*/runs/*/*/apply/started")
    ours = record.read_text()
    elsewhere = json.dumps({**json.loads(ours), "host": "elsewhere"})
    record.write_text(elsewhere)
    with pytest.raises(StateLocked):
        await host.workspaces().apply(root, plan.plan_file, "run-1")
    record.write_text(ours)
    (signs / "go").touch()
    try:
        applied = await applying
    except StateLocked:  # on a slow machine the first one reads the record only now
        applied = await workspaces.apply(root, plan.plan_file, "run-1")
    assert applied.done
    record.write_text(elsewhere)
    assert await host.workspaces().apply(root, plan.plan_file, "run-1") == applied


async def test_a_run_that_ended_unseen_on_another_machine_is_told_as_unknown(
    host: Host, signs: Path
) -> None:
    plan = await killed_controller(host, signs)
    started = host.started()
    os.kill(started.supervisor.pid, signal.SIGKILL)
    os.kill(started.tool.pid, signal.SIGKILL)
    (signs / "go").touch()
    (record,) = host.state_dir.glob("terraform/*/*/runs/*/*/apply/started")
    known = {**json.loads(record.read_text()), "host": "elsewhere"}
    record.write_text(json.dumps(known))
    with pytest.raises(Transient, match="moments ago"):
        await host.workspaces().apply(host.slow(signs), plan, "run-1")
    record.write_text(json.dumps({**known, "began": known["began"] - 3600}))
    applied = await host.workspaces().apply(host.slow(signs), plan, "run-1")
    assert not applied.done
    assert "on another machine, and nobody there wrote down how it ended" in applied.message
    assert not applied.outcomes[-1].done


async def test_a_run_that_was_never_started_is_started_afresh(host: Host) -> None:
    workspaces, root = host.workspaces(), host.root(ONE)
    plan = await workspaces.plan(root)
    left = host.state_dir / "terraform/net/default/runs/run-1/left-by-a-killed-controller"
    (left / "tree").mkdir(parents=True)
    (left / "plan.tfplan").write_bytes(plan.plan_file)
    assert (await workspaces.apply(root, plan.plan_file, "run-1")).done
    assert not left.exists()


async def test_what_a_killed_controller_was_planning_is_removed(host: Host, tmp_path: Path) -> None:
    left = host.state_dir / "terraform/.calls/killed/call"
    left.mkdir(parents=True)
    (left / "plan.tfplan").write_bytes(b"secret")
    other = host.workspaces()
    await other.plan(host.root(ONE))
    assert not left.exists()
    assert len(list(host.state_dir.glob("terraform/.calls/*"))) == 1
    await host.workspaces().plan(host.root(ONE))
    assert len(list(host.state_dir.glob("terraform/.calls/*"))) == 2  # both still live


async def test_a_plan_ends_with_its_controller(host: Host, signs: Path) -> None:
    code = CONTROLLER.replace(
        "host.slow(Path(signs))", "host.root(Path(signs, 'text').read_text())"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (signs / "text").write_text(
            'data "terraform_remote_state" "other" {\n  backend = "http"\n'
            f'  config = {{\n    address = "{url}"\n  }}\n}}\n'
        )
        arguments = [str(host.state_dir), host.tool, str(host.binary), str(signs)]
        controller = subprocess.Popen([sys.executable, "-c", code, *arguments])
        pattern = "terraform/.calls/*/*/run-*-plan/started"
        try:
            await until(lambda: list(host.state_dir.glob(pattern)))
            (record,) = host.state_dir.glob(pattern)
            started = Run(record.parent).started()
        finally:
            controller.kill()
            controller.wait()
        assert started is not None
        await until(lambda: no_zombie(started.tool.pid))
        await until(lambda: not list(host.state_dir.glob("terraform/.calls/*/*")))


async def test_a_cancelled_apply_goes_on(host: Host, signs: Path) -> None:
    workspaces, root = host.workspaces(), host.slow(signs)
    plan = await workspaces.plan(root)
    applying = asyncio.create_task(workspaces.apply(root, plan.plan_file, "run-1"))
    await until((signs / "begun").exists)
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    assert workspaces.queue() == ()
    again = asyncio.create_task(workspaces.apply(root, plan.plan_file, "run-1"))
    (signs / "go").touch()
    assert (await again).done


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if subprocess.run(line, check=False, capture_output=True).returncode:
        absent("a small file system cannot be mounted here; run as root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


async def test_the_reserve_makes_room_for_the_state_on_a_full_disk(
    host: Host, small: Path, signs: Path
) -> None:
    tight = Host(small / "state", host.tool, host.binary)
    workspaces, root = tight.workspaces(reserve=4 << 20), tight.slow(signs, size=1000)
    plan = await workspaces.plan(root)
    applying = asyncio.create_task(workspaces.apply(root, plan.plan_file, "run-1"))
    await until((signs / "begun").exists)
    assert len(list(small.rglob(".gitops-reserve-*"))) == 1
    fill(small / "somebody-elses")
    await until(lambda: not list(small.rglob(".gitops-reserve-*")))
    (signs / "go").touch()
    applied = await applying
    assert applied.done, applied.message
    assert applied.state is not None
    assert applied.state == await workspaces.state(root)


async def test_a_state_that_could_not_be_written_is_kept_and_named(
    host: Host, small: Path, signs: Path
) -> None:
    workspaces = host.workspaces(reserve=0)
    path = str(small / "terraform.tfstate")
    root = host.slow(signs, size=1000, backend=Backend("local", {"path": path}))
    plan = await workspaces.plan(root)
    applying = asyncio.create_task(workspaces.apply(root, plan.plan_file, "run-1"))
    await until((signs / "begun").exists)
    fill(small / "somebody-elses")
    (signs / "go").touch()
    applied = await applying
    assert not applied.done
    (kept,) = host.state_dir.rglob("errored.tfstate")
    assert f"kept in {kept}" in applied.message
    assert kept.stat().st_mode & 0o777 == 0o600
    assert await workspaces.apply(root, plan.plan_file, "run-1") == applied
    assert kept.exists()


def fill(path: Path) -> None:
    """Takes all the room there is, to the last byte."""
    for size in (1 << 16, 1):
        with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(size))


async def test_an_empty_state_folder_has_an_empty_state(host: Host) -> None:
    assert await host.workspaces().state(host.root(ONE)) == StateFacts()
