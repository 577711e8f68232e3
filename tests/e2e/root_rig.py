"""A repository with Terraform roots, a controller on it, and the real tool to look with.

What is asserted is read from the state by the tool itself, never from our own records.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from tests.e2e.rig import PEOPLE, Rig, repository


@dataclass
class RootRig(Rig):
    """One root (``infra``), a local state of its own, nothing of Kubernetes."""

    sandbox: Any = None
    kubectl_path: Path = Path("/nonexistent")
    namespace: str = ""
    cluster: str = "default"
    _: KW_ONLY
    binary: str
    path: Path

    def __post_init__(self) -> None:
        self.work = self.folder / "work"
        self.remote = self.folder / "remote.git"
        self.state = self.folder / "network.tfstate"
        repository(self.remote, self.work)
        self.fleet = {
            "state_dir": str(self.folder / "state"),
            "sources": {"config": {"git": str(self.remote), "allow_local": True, "interval": "1h"}},
            "terraform": {"folders": [str(self.tool_folder())]},
            "applications": {
                self.application: {
                    "path": "infra",
                    "terraform": {
                        "binary": self.binary,
                        "backend": {"local": {"path": str(self.state)}},
                    },
                }
            },
            "people": PEOPLE,
        }

    @property
    def application(self) -> str:
        return "network"

    @property
    def terraform(self) -> dict[str, Any]:
        """The root's section of the fleet file, to be changed before the start."""
        section: dict[str, Any] = self.app["terraform"]
        return section

    def tool_folder(self) -> Path:
        """A folder with this one binary under its own name."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        link = folder / self.binary
        if not link.exists():
            link.symlink_to(self.path)
        return folder

    def state_json(self) -> dict[str, Any]:
        """The state file as it lies there; empty when there is none."""
        if not self.state.exists():
            return {}
        found: dict[str, Any] = json.loads(self.state.read_text())
        return found

    def resources(self) -> dict[str, Any]:
        """Address → attributes of every managed instance."""
        found = {}
        for resource in self.state_json().get("resources", []):
            if resource["mode"] != "managed":
                continue
            for instance in resource["instances"]:
                address = f"{resource['type']}.{resource['name']}"
                if "index_key" in instance:
                    address += f"[{json.dumps(instance['index_key'])}]"
                found[address] = instance["attributes"]
        return found

    def outputs(self) -> dict[str, Any]:
        return {k: v["value"] for k, v in self.state_json().get("outputs", {}).items()}

    def by_hand(self, *arguments: str, folder: Path) -> str:
        """The tool as a person runs it, on a folder and state of their own choosing."""
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            [self.path, *arguments],
            cwd=folder,
            env={"PATH": os.defpath, "HOME": str(folder), "CHECKPOINT_DISABLE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 2), done.stderr
        return done.stdout
