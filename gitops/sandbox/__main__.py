"""``python -m gitops.sandbox DIR NAME…``: tools for an image, copied into one folder.

Called by the Makefile while a container image is built, where nothing but Python is installed yet:
it must run on the standard library alone.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from gitops.errors import GitopsError
from gitops.sandbox.tools import Progress, Toolbox


def main(arguments: list[str]) -> int:
    if len(arguments) < 2:
        sys.stderr.write("usage: python -m gitops.sandbox DIR NAME…\n")
        return 1
    folder, names = Path(arguments[0]), arguments[1:]
    said: set[tuple[str, int]] = set()

    def report(progress: Progress) -> None:
        tenth = progress.done * 10 // progress.total if progress.total else 0
        if (progress.module, tenth) not in said:
            said.add((progress.module, tenth))
            sys.stderr.write(f"building {progress.module}: {tenth * 10} %\n")

    try:
        found = Toolbox().ensure(names, report)
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in found.items():
            shutil.copy2(path, folder / name)
    except GitopsError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    except OSError as problem:
        sys.stderr.write(f"error: cannot write {folder}: {problem.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
