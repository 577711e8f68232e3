"""Only a few tests that wait for other parts get a second look in CI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

AGAIN = Path(__file__).parents[2] / ".ci" / "again.py"


def again(folder: Path, *failed: str) -> subprocess.CompletedProcess[str]:
    (folder / "lastfailed").write_text(json.dumps(dict.fromkeys(failed, True)))
    return subprocess.run(
        [sys.executable, str(AGAIN), str(folder / "lastfailed")],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_what_failed_is_named_without_the_group_it_ran_in(tmp_path: Path) -> None:
    done = again(tmp_path, "tests/e2e/test_a.py::test_x[a@b]@sandboxes", "tests/web/test_b.py::y")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "tests/e2e/test_a.py::test_x[a@b]",
        "tests/web/test_b.py::y",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failed", "why"),
    [
        ((), "no test failed"),
        (("tests/unit/test_a.py::test_x",), "has nothing to wait for"),
        (tuple(f"tests/e2e/test_a.py::test_{n}" for n in range(4)), "too many for a coincidence"),
    ],
)
def test_anything_else_fails_the_run(tmp_path: Path, failed: tuple[str, ...], why: str) -> None:
    done = again(tmp_path, *failed)
    assert done.returncode == 1
    assert done.stdout == ""
    assert why in done.stderr
