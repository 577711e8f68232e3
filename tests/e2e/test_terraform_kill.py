"""kill -9 of the controller, of the tool, and of both: nothing is applied twice, nothing is lost
unseen.

What really happened is judged by what the resources themselves wrote (a provisioner's file) and by
the state, never by our own records.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from gitops.web.client import Api
from tests.e2e.process import PATIENCE, Process, approve, delivered, request, token
from tests.e2e.root_rig import RootRig

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path, terraform: tuple[str, Path]) -> RootRig:
    name, path = terraform
    rig = RootRig(tmp_path, binary=name, path=path)
    rig.terraform["allow"] = {"provisioners": True}
    return rig


@pytest.fixture
def either(tmp_path: Path, a_terraform: tuple[str, Path]) -> RootRig:
    """A root of whichever tool is here: for what the tool has no part in."""
    name, path = a_terraform
    rig = RootRig(tmp_path, binary=name, path=path)
    rig.terraform["allow"] = {"provisioners": True}
    return rig


def steps(root: RootRig, *names: str, held: str = "") -> None:
    """Resources made one after the other; each writes its name where the test can see it. The one
    that is held waits for :func:`go_on` between the two times it does."""
    texts, before = [], ""
    for name in names:
        wait = f"while [ ! -e {root.folder}/go ]; do sleep 0.05; done" if name == held else ":"
        texts.append(
            f"""\
resource "terraform_data" "{name}" {{
  input      = "{name}"
  depends_on = [{before}]
  provisioner "local-exec" {{
    command = "echo {name} >> {root.folder}/side; {wait}; echo {name} >> {root.folder}/end"
  }}
}}
"""
        )
        before = f"terraform_data.{name}"
    root.write("infra/main.tf", "\n".join(texts))
    root.commit("steps")


def go_on(root: RootRig) -> None:
    (root.folder / "go").touch()


def lines(root: RootRig, name: str) -> list[str]:
    path = root.folder / name
    return path.read_text().split() if path.exists() else []


def until(holds: Any) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def tools(root: RootRig) -> list[int]:
    """Processes that apply in this test's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            cwd = str((entry / "cwd").readlink())
        except OSError:
            continue
        ours = cwd.startswith(str(root.folder / "state"))
        if ours and b"apply" in words and words[0].endswith(root.binary.encode()):
            found.append(int(entry.name))
    return found


def ended(api: Api) -> Any:
    rows = api.get("deliveries")["deliveries"]
    return rows[0] if rows and rows[0]["state"] in ("failed", "healthy") else None


def test_killed_at_every_step_before_the_question_it_is_asked_once_after_the_restart(
    either: RootRig,
) -> None:
    steps(either, "a")
    for step in ("render", "check", "plan", "ask"):
        Process(either, step).wait_killed()
        assert not either.state_json(), step
    process = Process(either)
    secret = token(process, "bob")
    process.until(request)
    assert not either.state_json()
    approve(process, secret)
    process.until(delivered)
    process.stop()
    assert lines(either, "side") == ["a"]


def test_killed_at_every_step_after_the_answer_it_is_applied_once_after_the_restart(
    either: RootRig,
) -> None:
    steps(either, "a", "b")
    process = Process(either, "claim")
    secret = token(process, "bob")
    approve(process, secret)
    process.wait_killed()
    for step in ("claimed", "executed", "verify"):
        Process(either, step).wait_killed()
    process = Process(either)
    process.until(delivered)
    process.stop()
    assert lines(either, "side") == ["a", "b"]
    assert set(either.resources()) == {"terraform_data.a", "terraform_data.b"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_tool_outlives_the_controller_and_is_waited_for_by_the_next(
    root: RootRig, how: signal.Signals
) -> None:
    steps(root, "a", "b", held="a")
    process = Process(root)
    secret = token(process, "bob")
    approve(process, secret)
    until(lambda: lines(root, "side"))
    (tool,) = tools(root)
    process.child.send_signal(how)
    process.child.wait(PATIENCE)
    assert tools(root) == [tool], "it goes on by itself"
    process = Process(root)
    process.until(lambda api: api.get("status")["ready"])
    assert tools(root) == [tool], "and is the only one"
    go_on(root)
    process.until(delivered)
    process.stop()
    assert lines(root, "side") == lines(root, "end") == ["a", "b"]
    assert set(root.resources()) == {"terraform_data.a", "terraform_data.b"}


def test_an_apply_that_ended_while_nobody_looked_is_told_of(root: RootRig) -> None:
    steps(root, "a", held="a")
    process = Process(root)
    secret = token(process, "bob")
    approve(process, secret)
    until(lambda: lines(root, "side"))
    process.child.kill()
    process.child.wait(PATIENCE)
    go_on(root)
    until(lambda: not tools(root))
    process = Process(root)
    process.until(delivered)
    process.stop()
    assert lines(root, "side") == ["a"]


@pytest.mark.parametrize("controller_too", [False, True])
def test_a_killed_tool_leaves_what_nobody_knows_named_and_is_not_run_again_by_itself(
    root: RootRig, controller_too: bool
) -> None:
    steps(root, "a", "b", "c", held="b")
    process = Process(root)
    secret = token(process, "bob")
    approve(process, secret)
    until(lambda: lines(root, "side") == ["a", "b"])
    (tool,) = tools(root)
    if controller_too:
        process.child.kill()
        process.child.wait(PATIENCE)
    os.kill(tool, signal.SIGKILL)
    if controller_too:
        process = Process(root)
    told = process.until(ended)
    assert told["state"] == "failed"
    assert "terraform_data.b" in told["reason"]
    time.sleep(1)
    assert lines(root, "side") == ["a", "b"], "nothing goes on by itself"
    go_on(root)
    with process.api(secret) as api:
        api.post("applications", "network", "again")
    approve(process, secret)
    process.until(delivered)
    process.stop()
    made = set(root.resources())
    assert made == {f"terraform_data.{name}" for name in "abc"}
    # What was under way is in no state, so it is made anew; so is what was done and never recorded
    # (OpenTofu writes the state at the end), and both were named. Nothing else is.
    again = [name for name in "abc" if lines(root, "side").count(name) > 1]
    assert set(again) <= {"a", "b"}
    for name in again:
        assert f"terraform_data.{name}:" in told["reason"]
