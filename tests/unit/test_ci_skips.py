"""A skip in CI is agreed to by name, or by name and reason; any other fails the run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "skips.py"
REPORT = """<testsuites><testsuite>
<testcase classname="tests.contract.test_a" name="test_it[terraform]">
<skipped message="terraform is not on PATH; install it"/></testcase>
<testcase classname="tests.unit.test_b" name="test_passes"/>
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def skips() -> object:
    spec = importlib.util.spec_from_file_location("skips", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("allowed", "code"),
    [
        ("# nothing", 1),
        ("tests/contract/test_a::*  # why", 0),
        ("tests/contract/test_b::*", 1),
        ("tests/* because terraform is not on PATH  # why", 0),
        ("tests/* because PostgreSQL", 1),
        ("tests/unit/* because terraform is not on PATH", 1),
    ],
)
def test_only_what_is_agreed_to_may_be_skipped(
    skips: object, tmp_path: Path, allowed: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    (tmp_path / "allowed").write_text(allowed)
    assert skips.main(tmp_path / "report.xml", tmp_path / "allowed") == code  # type: ignore[attr-defined]
    assert ("terraform is not on PATH" in capsys.readouterr().err) is bool(code)


def test_a_run_without_any_test_fails(skips: object, tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text("<testsuites/>")
    (tmp_path / "allowed").write_text("")
    assert skips.main(tmp_path / "report.xml", tmp_path / "allowed") == 1  # type: ignore[attr-defined]
