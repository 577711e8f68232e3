"""Every way to get the fleet file wrong is answered with a place and what to write instead.

One file per problem in ``tests/golden/config``, and beside it what people are told. Run with
``GITOPS_UPDATE_GOLDEN=1`` to write the answers anew, then read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gitops.config import load
from gitops.errors import ConfigError

GOLDEN = Path(__file__).parent.parent / "golden" / "config"
CASES = sorted(path.stem for path in GOLDEN.glob("*.yaml"))
ENV = {"HOME": "/home/nobody-here", "PRESENT": "a-secret-value"}


def told(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(Path(f"{name}.yaml"), ENV)
    return "".join(f"{problem}\n" for problem in caught.value.problems)


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_told_as_agreed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    text = told(name).replace(str(GOLDEN.resolve()), "FOLDER")
    expected = GOLDEN / f"{name}.txt"
    if os.environ.get("GITOPS_UPDATE_GOLDEN") == "1":
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_a_place_and_no_secret(name: str) -> None:
    text = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith(" "):
            assert re.match(r"(included/)?[a-z-]+\.yaml:\d+:\d+: ", line), line
    assert "canary" not in text


def test_there_is_no_answer_without_a_question() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.txt")) == CASES
