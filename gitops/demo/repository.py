"""The sample repository: a bare remote, and the folder in which somebody works.

Called by the story. Runs git with none of the user's own configuration, so that a signing key or a
hook of theirs has no part in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gitops.errors import Permanent

SAMPLE = Path(__file__).parent / "sample"
AUTHOR = ("Ada", "ada@example.com")


@dataclass(frozen=True, slots=True)
class Repository:
    """``work`` is a clone of ``remote``; ada commits there."""

    remote: Path
    work: Path

    @classmethod
    def create(cls, folder: Path) -> Repository:
        """Both, with a first commit that holds a README and no application."""
        made = cls(folder / "shop-config.git", folder / "work")
        _git("init", "--quiet", "--bare", "--initial-branch=main", str(made.remote))
        _git("init", "--quiet", "--initial-branch=main", str(made.work))
        made.git("remote", "add", "origin", str(made.remote))
        made.git("config", "user.name", AUTHOR[0])
        made.git("config", "user.email", AUTHOR[1])
        shutil.copy(SAMPLE / "README.md", made.work)
        made.commit("Say what this is")
        made.push()
        return made

    def furnish(self, *folders: str) -> None:
        """Puts these folders of the sample into the working folder."""
        for name in folders:
            shutil.copytree(SAMPLE / name, self.work / name)

    def replace(self, path: str, before: str, after: str) -> None:
        file = self.work / path
        file.write_text(file.read_text("utf-8").replace(before, after), "utf-8")

    def commit(self, message: str) -> str:
        """Commits everything as ada; returns the commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={message}")
        return self.git("rev-parse", "HEAD")

    def push(self) -> None:
        self.git("push", "--quiet", "--set-upstream", "origin", "main")

    def git(self, *arguments: str) -> str:
        return _git("-C", str(self.work), *arguments)


def _git(*arguments: str) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**clean, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        )
    except FileNotFoundError:
        raise Permanent("git is not installed", hint="install git, then try again") from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Permanent(f"git {arguments[2] if arguments[0] == '-C' else arguments[0]}: {said}")
    return done.stdout.strip()
