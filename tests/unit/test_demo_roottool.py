"""Which program runs the demo's root: a terraform that will do, else none of PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops.demo.roottool import RootTool, on_path

FOUND = '#!/bin/sh\necho \'{"terraform_version": "%s"}\'\n'


@pytest.mark.parametrize(
    ("script", "taken"),
    [
        (FOUND % "1.11.4", True),
        (FOUND % "1.4.0", True),
        (FOUND % "1.3.9", False),
        (FOUND % "0.12.31", False),
        ("#!/bin/sh\necho Terraform v1.11.4\n", False),
        ("#!/bin/sh\nexit 1\n", False),
        ("no program at all", False),
    ],
)
def test_only_a_terraform_that_runs_and_knows_what_the_root_needs_is_taken(
    script: str, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "terraform"
    file.write_text(script)
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert on_path() == (RootTool("terraform", file) if taken else None)


def test_without_a_state_there_is_nothing_in_it(tmp_path: Path) -> None:
    tool = RootTool("terraform", tmp_path / "never-run")
    assert tool.outputs(tmp_path / "none.tfstate") == {}
    assert tool.resources(tmp_path / "none.tfstate") == []
