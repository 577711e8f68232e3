"""Fails when a test was skipped that `.ci/allowed-skips` does not name.

Called by `.ci/run` with pytest's JUnit report: a skip nobody agreed to means that something goes
untested without anybody noticing. A line is ``PATTERN`` or ``PATTERN because WORDS``: the latter
agrees only to a skip whose reason holds those words.
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree


def main(report: Path, allowed: Path) -> int:
    cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - written by our pytest
    lines = [line.partition("#")[0].strip() for line in allowed.read_text().splitlines()]
    agreed = [line.partition(" because ")[::2] for line in lines if line]
    refused = [
        (name, why)
        for name, why in _skipped(cases)
        if not any(fnmatch.fnmatchcase(name, pattern) and words in why for pattern, words in agreed)
    ]
    for name, why in refused:
        sys.stderr.write(f"skipped, and not allowed to be: {name}: {why}\n")
    if not cases:
        sys.stderr.write("not one test ran\n")
    return 1 if refused or not cases else 0


def _skipped(cases: list[ElementTree.Element]) -> Iterator[tuple[str, str]]:
    for case in cases:
        skipped = case.find("skipped")
        if skipped is not None:
            name = f"{case.get('classname', '').replace('.', '/')}::{case.get('name')}"
            yield name, skipped.get("message", "")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
