"""``gitops doctor`` tells what is missing, whether it matters, and how to get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops.cli.doctor import Examined, State, examine_machine
from gitops.sandbox.tools import Toolbox


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on PATH; returns the folder that is PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path / "bin"


def examined(tmp_path: Path) -> dict[str, Examined]:
    return {one.name: one for one in examine_machine(Toolbox(tmp_path / "cache"))}


def put(folder: Path, name: str, says: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


def test_what_every_delivery_needs_is_missing_and_the_rest_optional(
    bare: Path, tmp_path: Path
) -> None:
    found = examined(tmp_path)
    states = {name: found[name].state for name in ("git", "helm", "kustomize", "kwok", "kubectl")}
    assert states == {
        "git": State.MISSING,
        "helm": State.MISSING,
        "kustomize": State.MISSING,
        "kwok": State.OPTIONAL,
        "kubectl": State.OPTIONAL,
    }
    assert found["helm"].remedy == "gitops sandbox tools helm"


@pytest.mark.parametrize(
    ("says", "state"),
    [
        ("git version 2.31.0", State.OK),
        ("git version 2.30.9", State.MISSING),
        ("git version 3.0.0.windows.1", State.OK),
        ("gibberish", State.MISSING),
        ("", State.MISSING),
    ],
)
def test_git_has_to_be_new_enough(bare: Path, tmp_path: Path, says: str, state: State) -> None:
    put(bare, "git", says)
    assert examined(tmp_path)["git"].state is state


def test_a_tool_of_another_version_is_named_with_the_version_it_has(
    bare: Path, tmp_path: Path
) -> None:
    put(bare, "helm", 'version.BuildInfo{Version:"v3.19.0"}')
    found = examined(tmp_path)["helm"]
    assert found.state is State.MISSING
    assert f"{bare / 'helm'} is v3.19.0" in found.detail


def test_everything_missing_comes_with_a_line_that_gets_it(bare: Path, tmp_path: Path) -> None:
    lacking = [one for one in examined(tmp_path).values() if one.state is not State.OK]
    assert lacking
    assert [one.name for one in lacking if not one.remedy and one.name != "go"] == []
