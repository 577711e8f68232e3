"""What is installed is what was pinned: constraints, pyproject.toml and Makefile agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

_HERE = Path(__file__).parents[2]
_PROJECT: dict[str, Any] = tomllib.loads((_HERE / "pyproject.toml").read_text())
_FILES = ("build", "dev", "runtime")
_SKIPS = _HERE / ".ci/skips.py"


def _pins(name: str) -> dict[str, str]:
    """Distribution → version, as pinned in one constraints file."""
    text = (_HERE / f"constraints/{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", text, re.MULTILINE))


def _wanted(*lists: list[str]) -> dict[str, str]:
    """Distribution → oldest version asked for (empty: any)."""
    found = {}
    for requirement in (each for one in lists for each in one):
        match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?(?:>=([0-9.]+))?", requirement)
        assert match, f"write {requirement!r} as NAME>=VERSION"
        found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2] or ""
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


@pytest.mark.parametrize("name", _FILES)
def test_every_pin_is_checked_by_digest_and_no_index_is_named(name: str) -> None:
    text = (_HERE / f"constraints/{name}.txt").read_text()
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert blocks
    for block in blocks:
        head, *rest = block.splitlines()
        assert re.fullmatch(r"[a-z0-9._-]+==\S+( ; .+)? \\", head), head
        assert rest
        for line in rest:
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), line


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("build", _wanted(_PROJECT["build-system"]["requires"])),
        (
            "runtime",
            _wanted(
                _PROJECT["project"]["dependencies"],
                _PROJECT["project"]["optional-dependencies"]["postgres"],
            ),
        ),
        (
            "dev",
            _wanted(
                _PROJECT["project"]["dependencies"],
                *_PROJECT["project"]["optional-dependencies"].values(),
            ),
        ),
    ],
)
def test_the_pins_are_what_the_project_asks_for(name: str, wanted: dict[str, str]) -> None:
    pins = _pins(name)
    missing = {each for each in wanted if each not in pins}
    assert not missing, "run: make constraints"
    older = {n: pins[n] for n, least in wanted.items() if _numbers(pins[n]) < _numbers(least)}
    assert not older, "run: make constraints UVARGS=--upgrade"


def test_what_is_tested_is_what_is_released() -> None:
    released, tested = _pins("runtime"), _pins("dev")
    assert {name: tested.get(name) for name in released} == released
    assert not _pins("build").keys() & tested.keys(), "two files pin one thing"


def test_every_module_of_the_packages_is_in_the_released_package(tmp_path: Path) -> None:
    built = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--wheel-dir", tmp_path / "out", _copy(tmp_path / "src")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "out").iterdir()
    inside = set(_names(wheel))
    assert {f for f in _tracked() if f.split("/")[0] in _PACKAGES} <= inside
    assert not {name for name in inside if name.startswith("tests")}


def test_a_bare_make_names_every_target_it_documents() -> None:
    text = (_HERE / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    documented = re.findall(r"^([a-z]+):.* ## ", text, re.MULTILINE)
    assert sorted(phony) == sorted(documented)
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    said = subprocess.run(
        ["make"], cwd=_HERE, env=env, capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[0] for line in said.splitlines()] == documented


def test_every_step_of_the_image_is_a_target_of_the_makefile() -> None:
    text = (_HERE / "Dockerfile").read_text().replace("\\\n", "")
    steps = [line.removeprefix("RUN ") for line in text.splitlines() if line.startswith("RUN ")]
    own = [step for step in steps if not step.startswith("apt-get update")]
    assert [step.split()[:2] for step in own] == [["make", "binaries"], ["make", "install"]]
    assert re.search(r"^USER (\S+)$", text, re.MULTILINE)[1] == "65532:65532"  # type: ignore[index]
    assert "HEALTHCHECK" in text


def test_a_skip_nobody_agreed_to_fails_the_run(tmp_path: Path) -> None:
    report, allowed = tmp_path / "tests.xml", tmp_path / "allowed"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.unit.test_a" name="test_x">'
        '<skipped message="no such program"/></testcase></testsuite></testsuites>'
    )
    allowed.write_text("# nothing\n")
    refused = _skips(report, allowed)
    assert refused.returncode == 1
    assert "tests/unit/test_a::test_x: no such program" in refused.stderr
    allowed.write_text("tests/unit/test_a::test_*  # for a reason\n")
    assert _skips(report, allowed).returncode == 0
    report.write_text("<testsuites/>")
    assert _skips(report, allowed).returncode == 1, "a report without tests proves nothing"


_PACKAGES = ("gitops", "notifiers", "planners", "webhooks")


def _skips(report: Path, allowed: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, _SKIPS, report, allowed], capture_output=True, text=True, check=False
    )


def _tracked() -> list[str]:
    return subprocess.run(
        ["git", "-C", _HERE, "ls-files"], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def _copy(target: Path) -> Path:
    """The tracked files alone: what is built must not depend on what lies around."""
    for name in _tracked():
        if name.split("/")[0] in (*_PACKAGES, "pyproject.toml", "README.md", "LICENSE"):
            file = target / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if (_HERE / name).exists():
                file.write_bytes((_HERE / name).read_bytes())
    return target


def _names(wheel: Path) -> list[str]:
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()
