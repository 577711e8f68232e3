"""A sandbox's folder holds only its own, and is refused honestly when it cannot be had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitops.errors import ConfigError, Permanent
from gitops.sandbox import control, layout, lifecycle
from gitops.sandbox.components import Ports, commands
from gitops.sandbox.recipes import CONTROL_PLANE


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a.b", "x" * 41, "a\n"])
def test_a_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a sandbox"):
        lifecycle.status(name)


def test_a_folder_with_other_peoples_files_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").write_text("years of work")
    with pytest.raises(Permanent, match=r"thesis\.txt does not belong to a sandbox"):
        lifecycle.stop("x", tmp_path)
    assert (tmp_path / "x" / "thesis.txt").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Permanent, match="cannot make the sandbox's folder") as caught:
        layout.prepare(tmp_path / "file" / "x", bodies=False)
    assert "--state" in caught.value.hint


def test_what_was_killed_is_dead_and_what_never_was_is_absent(tmp_path: Path) -> None:
    layout.prepare(tmp_path / "x", bodies=False)
    assert lifecycle.status("x", tmp_path).state == "dead"
    assert lifecycle.status("y", tmp_path).state == "absent"
    assert lifecycle.names(tmp_path) == ("x",)


def test_stopping_what_is_dead_removes_its_files(tmp_path: Path) -> None:
    layout.prepare(tmp_path / "x", bodies=False)
    assert lifecycle.stop("x", tmp_path)
    assert not (tmp_path / "x").exists()


def test_a_lock_file_nobody_holds_is_no_supervisor(tmp_path: Path) -> None:
    (tmp_path / "supervisor.lock").write_text("")
    assert not control.supervised(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "x"}', "null"])
def test_a_torn_record_is_no_sandbox(tmp_path: Path, content: str) -> None:
    (tmp_path / "sandbox.json").write_text(content)
    assert layout.load(tmp_path) is None


def test_every_token_is_another(tmp_path: Path) -> None:
    first = layout.prepare(tmp_path / "x", bodies=False)
    second = layout.prepare(tmp_path / "y", bodies=False)
    assert len({*first.values(), *second.values()}) == len(first) * 2


def test_a_shown_sandbox_does_not_show_its_tokens(tmp_path: Path) -> None:
    info = layout.SandboxInfo(
        name="x",
        folder=tmp_path,
        url="https://127.0.0.1:1",
        ca_file=tmp_path,
        token="t0ken",
        ordinary_token="other-t0ken",
        kubeconfig=tmp_path,
        audit_log=tmp_path,
    )
    assert "t0ken" not in repr(info)


def test_every_address_a_program_binds_is_loopback() -> None:
    tools = {name: Path("/bin") / name for name in CONTROL_PLANE}
    built = commands(Path("/s"), tools, Ports(1, 2, 3, 4), Path("/s/stages.yaml"))
    assert list(built) == list(CONTROL_PLANE)
    told = [a for argv in built.values() for a in argv if "-address=" in a or "-urls=" in a]
    assert told
    assert [a for a in told if "127.0.0.1" not in a] == []


def test_bodies_are_logged_only_when_asked_for(tmp_path: Path) -> None:
    layout.prepare(tmp_path / "x", bodies=False)
    layout.prepare(tmp_path / "y", bodies=True)
    levels = [
        json.loads((tmp_path / name / "audit-policy.yaml").read_text())["rules"][-1]["level"]
        for name in ("x", "y")
    ]
    assert levels == ["Metadata", "RequestResponse"]
