"""Finds the terraform or tofu a root wants.

Looks where the operator says first, then on PATH, then, for tofu, where the project builds it.
Used by :mod:`gitops.terraform.workspace`; what a binary says of its version is remembered until
the file changes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gitops.errors import ConfigError, GitopsError, ToolMissing
from gitops.model.terraform import TerraformHost, TerraformSpec
from gitops.terraform.execution import Finished

KNOWN = ("terraform", "tofu")
Ask = Callable[[Path], Awaitable[Finished]]
"""Runs ``version -json``."""


@dataclass(frozen=True, slots=True)
class Binary:
    name: str
    path: Path
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Binaries:
    """Finds binaries and knows their versions."""

    def __init__(self, host: TerraformHost, tofu: Callable[[str], Path], ask: Ask) -> None:
        self._host = host
        self._tofu = tofu
        self._ask = ask
        self._versions: dict[tuple[str, int, int], str] = {}

    async def find(self, spec: TerraformSpec) -> Binary:
        """Raises ToolMissing, saying what was found where."""
        if spec.binary not in KNOWN:
            raise ConfigError(f"{spec.binary!r} is no tool", hint=f"use {' or '.join(KNOWN)}")
        seen: list[str] = []
        for path in self._candidates(spec):
            version = await self._version(path)
            if version and spec.version in {"", version}:
                return Binary(spec.binary, path, version)
            seen.append(f"{path} is {version or 'of no known version'}")
        raise _missing(spec, seen)

    def _candidates(self, spec: TerraformSpec) -> Iterator[Path]:
        name, version = spec.binary, spec.version
        for folder in self._host.folders:
            named = (folder / f"{name}-{version}", folder / version / name) if version else ()
            yield from filter(_runnable, (*named, folder / name))
        on_path = shutil.which(name)
        if on_path:
            yield Path(on_path).absolute()
        if name == "tofu":
            try:
                yield self._tofu(name)
            except GitopsError:
                return

    async def _version(self, path: Path) -> str:
        status = await asyncio.to_thread(path.stat)
        key = str(path), status.st_mtime_ns, status.st_ino
        if key not in self._versions:
            said = _said((await self._ask(path)).stdout)
            if said:
                self._versions[key] = said
            return said
        return self._versions[key]


def _said(output: bytes) -> str:
    try:
        said = json.loads(output)["terraform_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return said if isinstance(said, str) and len(said) < 80 else ""


def _runnable(path: Path) -> bool:
    return path.is_file() and bool(path.stat().st_mode & 0o111)


def _missing(spec: TerraformSpec, seen: list[str]) -> ToolMissing:
    wanted = f"{spec.binary} {spec.version}".strip()
    hint = (
        f"put it on PATH, or in a folder F of terraform.folders as F/{spec.binary}"
        f"-{spec.version or 'VERSION'}"
    )
    if spec.binary == "tofu":
        hint += "; or run: gitops sandbox tools tofu"
    if seen and spec.version:
        hint = f"found: {'; '.join(seen)}. Write one of these versions, or {hint}"
    elif seen:
        hint = f"found: {'; '.join(seen)}. {hint[0].upper()}{hint[1:]}"
    return ToolMissing(f"{wanted} is not here", hint=hint)
