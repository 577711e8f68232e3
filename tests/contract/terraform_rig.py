"""Roots, a host to run them on, and processes to kill, for the tests with the real tools."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gitops.model.delivery import LaneId
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, SourceName, TargetName
from gitops.model.sealed import SealedFile
from gitops.model.terraform import TerraformHost, TerraformSpec
from gitops.ports.terraform import Root
from gitops.sandbox.tools import Toolbox
from gitops.terraform.runs import Run, Started
from gitops.terraform.workspace import Workspaces

FOLDER = "roots/net"
ONE = """resource "terraform_data" "one" {
  input = "x"
}

output "one" {
  value = terraform_data.one.output
}
"""


def find(name: str) -> Path | None:
    """A terraform or tofu of this machine."""
    on_path = shutil.which(name)
    return Path(on_path) if on_path else (Toolbox().find(name) if name == "tofu" else None)


def root(text: str, name: str = "net", **settings: Any) -> Root:
    """A root of one file."""
    return root_of({"main.tf": text}, name, **settings)


def root_of(files: Mapping[str, str], name: str = "net", **settings: Any) -> Root:
    spec = TerraformSpec(**settings)
    application = ApplicationSpec(
        ApplicationName(name), SourceName("config"), FOLDER, terraform=spec
    )
    sealed = (SealedFile(f"{FOLDER}/{path}", text.encode()) for path, text in files.items())
    return Root(
        LaneId(application.name, TargetName(spec.workspace)),
        application,
        tuple(sorted(sealed, key=lambda file: file.path)),
    )


def settings(root: Root, **changed: Any) -> Root:
    """The same root with other settings."""
    spec = root.application.terraform
    assert spec is not None
    application = replace(root.application, terraform=replace(spec, **changed))
    return replace(root, application=application)


def slow(signs: Path, after: str = "", size: int = 1) -> str:
    """A root whose second resource says that it is under way and waits for a word to go on."""
    return f"""resource "terraform_data" "first" {{
  input = "x"
}}

resource "terraform_data" "slow" {{
  depends_on = [terraform_data.first]
  input      = join("", [for i in range({size}) : "0123456789012345678901234567890123456789"])
  provisioner "local-exec" {{
    command = "touch {signs}/begun; while [ ! -e {signs}/go ]; do sleep 0.05; done; {after}:"
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Host:
    """A controller's share of the machine."""

    state_dir: Path
    tool: str
    binary: Path

    def workspaces(self, mask: Callable[[str], str] = str, **host: Any) -> Workspaces:
        def tofu(name: str) -> Path:
            return self.binary

        return Workspaces(TerraformHost(**host), self.state_dir, tofu=tofu, mask=mask)

    def root(self, text: str, name: str = "net", **settings: Any) -> Root:
        return root(text, name, binary=self.tool, **settings)

    def slow(self, signs: Path, after: str = "", size: int = 1, **settings: Any) -> Root:
        signs.mkdir(exist_ok=True)
        return self.root(slow(signs, after, size), **settings)

    def started(self) -> Started:
        """The one apply that was started here."""
        (found,) = self.state_dir.glob("terraform/*/*/runs/*/*/apply/started")
        started = Run(found.parent).started()
        assert started is not None
        return started

    def everything(self) -> bytes:
        """All bytes on disk below the state folder."""
        files = (path for path in self.state_dir.rglob("*") if path.is_file())
        return b"\n".join(path.read_bytes() for path in files)


async def until(condition: Callable[[], object]) -> None:
    """Waits for something another process does; the test's own time-out is the bound."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def no_zombie(pid: int) -> bool:
    """Ended, and not merely unburied."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
