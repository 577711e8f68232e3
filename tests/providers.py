"""A mirror with one real provider, laid out as ``terraform providers mirror`` would."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from gitops.sandbox.recipes import machine

_NAME = "terraform-provider-local"
_HOSTS = {"terraform": "registry.terraform.io", "tofu": "registry.opentofu.org"}
LOCK_FILE = ".terraform.lock.hcl"


@dataclass(frozen=True, slots=True)
class ProviderMirror:
    """Holds ``hashicorp/local`` for both tools' registries."""

    folder: Path
    version: str
    """``1.4.0``."""

    def fill(self, program: Path) -> None:
        """Lays it out around the built program."""
        for host in _HOSTS.values():
            place = self.folder / host / "hashicorp/local" / self.version / self.platform
            place.mkdir(parents=True)
            shutil.copy2(program, place / f"{_NAME}_v{self.version}")

    def packed(self, folder: Path) -> None:
        """The same as archives, which have to be unpacked into a cache, not linked to."""
        for program in self.folder.rglob(f"{_NAME}_v*"):
            place = folder / program.relative_to(self.folder).parents[2]
            place.mkdir(parents=True)
            archive = place / f"{_NAME}_{self.version}_{self.platform}.zip"
            with zipfile.ZipFile(archive, "w") as file:
                file.write(program, program.name)

    @property
    def platform(self) -> str:
        return f"linux_{machine()}"

    def address(self, tool: str, name: str = "local") -> str:
        """A provider's full address, as a lock file of ``tool`` writes it."""
        return f"{_HOSTS[tool]}/hashicorp/{name}"

    def lock(self, binary: Path, root: Path) -> str:
        """The lock file of that root, written into it by the real ``providers lock``."""
        where = [f"-fs-mirror={self.folder}", f"-platform={self.platform}"]
        subprocess.run(
            [binary, "providers", "lock", *where],
            cwd=root,
            env={"PATH": os.defpath, "HOME": str(root), "CHECKPOINT_DISABLE": "1"},
            check=True,
            capture_output=True,
        )
        shutil.rmtree(root / ".terraform", ignore_errors=True)
        return (root / LOCK_FILE).read_text()
