"""Programs of npm that tests run: pinned by a lock file each in ``tests/node``, kept in the cache.

``python -m tests.npm`` installs them all with the ordinary client, without running any script of
theirs; a test whose program is not there is skipped by name. Nothing that ships uses any of it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from gitops.sandbox.tools import user_cache
from tests.conftest import absent

FOLDERS = Path(__file__).parent / "node"


def place(name: str) -> Path:
    """Where ``tests/node/NAME`` is kept with what it needs; another place for every lock."""
    lock = (FOLDERS / name / "package-lock.json").read_bytes()
    return user_cache().parent / "node" / f"{name}-{hashlib.sha256(lock).hexdigest()[:16]}"


def installed(name: str) -> Path:
    """The folder, with the programs of ours in it as they are now; else skips the test."""
    found = place(name)
    if shutil.which("node") is None or not (found / "node_modules").is_dir():
        absent(f"{name} of npm is not here; run: python -m tests.npm (needs node and npm)")
    for program in (FOLDERS / name).glob("*.mjs"):
        there = found / program.name
        if not there.is_file() or there.read_bytes() != program.read_bytes():
            shutil.copyfile(program, there)
    return found


def install(name: str) -> None:
    """Raises CalledProcessError when npm does."""
    to = place(name)
    if (to / "node_modules").is_dir():
        return
    to.mkdir(parents=True, exist_ok=True)
    for file in (FOLDERS / name).iterdir():
        shutil.copyfile(file, to / file.name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        subprocess.run(command, cwd=to, check=True)
    except BaseException:
        shutil.rmtree(to, ignore_errors=True)
        raise


if __name__ == "__main__":
    if shutil.which("npm") is None:
        sys.exit(print("npm is not here: tests that need something of it are skipped"))
    for each in sys.argv[1:] or sorted(folder.name for folder in FOLDERS.iterdir()):
        install(each)
