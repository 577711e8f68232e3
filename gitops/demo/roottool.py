"""Which program runs the demo's Terraform root, and what that program says of the state.

Called by the stage, which names the program to the controller, and by the story: that a root was
applied is proven by the tool itself on the state, not by anything the controller says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitops.errors import Permanent

TERRAFORM, TOFU = "terraform", "tofu"
OLDEST = (1, 4)
"""Terraform knows ``terraform_data``, a resource without a provider, since 1.4."""
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RootTool:
    """``name`` is what the fleet file calls it."""

    name: str
    path: Path

    @property
    def title(self) -> str:
        return "Terraform" if self.name == TERRAFORM else "OpenTofu"

    def version(self) -> str:
        """``1.11.4``; empty for what does not say."""
        try:
            said = json.loads(self._run("version", "-json"))["terraform_version"]
        except (OSError, ValueError, KeyError, TypeError, Permanent, subprocess.TimeoutExpired):
            return ""
        return said if isinstance(said, str) else ""

    def outputs(self, state: Path) -> dict[str, Any]:
        """What the state holds as outputs; nothing where there is no state."""
        if not state.exists():
            return {}
        found = json.loads(self._run("output", "-json", f"-state={state}"))
        return {name: output["value"] for name, output in found.items()}

    def resources(self, state: Path) -> list[str]:
        """Addresses of what the state says was made."""
        return self._run("state", "list", f"-state={state}").split() if state.exists() else []

    def _run(self, *arguments: str) -> str:
        """In a folder without any configuration, with nothing of the user's environment."""
        done = subprocess.run(
            [self.path, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            cwd="/",
            stdin=subprocess.DEVNULL,
            env={"HOME": "/nonexistent", "PATH": os.defpath, "CHECKPOINT_DISABLE": "1"},
        )
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise Permanent(f"{self.name} {arguments[0]}: {said}")
        return done.stdout


def on_path() -> RootTool | None:
    """The terraform that is found on PATH, if it runs and is new enough."""
    found = shutil.which(TERRAFORM)
    if found is None:
        return None
    tool = RootTool(TERRAFORM, Path(found).absolute())
    number = re.match(r"(\d+)\.(\d+)\.", tool.version())
    return tool if number and (int(number[1]), int(number[2])) >= OLDEST else None
