"""Names the failed tests that deserve a second look; called by `.ci/run` when a run failed.

Tests on real parts share two cores with forty programs: once in some runs a part is slower than
its story allows. Such a test is run again, alone, and the result says so by name; it has to pass
then. At most three: more than that is no coincidence. A test of one part alone has nothing to wait
for and gets no second look. Prints one node id a line, or nothing and why (exit code 1).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

MOST = 3
ON_PARTS_THAT_WAIT = ("e2e", "contract", "browser", "slack", "web")
"""Folders of tests that talk to other processes, or over sockets."""


def main(failed: Path) -> int:
    try:
        names = [_alone(name) for name in json.loads(failed.read_text())]
    except (OSError, ValueError):
        return _no("it is not known which tests failed")
    if not names:
        return _no("no test failed, yet the run did")
    if len(names) > MOST:
        return _no(f"{len(names)} tests failed: too many for a coincidence")
    if other := [name for name in names if name.split("/")[1] not in ON_PARTS_THAT_WAIT]:
        return _no(f"{other[0]} has nothing to wait for")
    sys.stdout.write("\n".join(names) + "\n")
    return 0


def _alone(name: str) -> str:
    """Without the group it ran in (``test_a@sandboxes``): that is no part of its id."""
    return name.rpartition("@")[0] if name.rfind("@") > name.rfind("]") else name


def _no(why: str) -> int:
    sys.stderr.write(f"no second look: {why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
