"""Finds the terraform or tofu a root wants.

Used by :mod:`gitops.terraform.workspace`; what a binary says of its version is remembered until
the file changes. :func:`candidates` and :func:`version_said` serve ``gitops doctor`` too, which has
to look where the controller will.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gitops.errors import ConfigError, ToolMissing
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
        self._asking = asyncio.Lock()

    async def find(self, spec: TerraformSpec) -> Binary:
        """Raises ToolMissing, saying what was found where."""
        if spec.binary not in KNOWN:
            raise ConfigError(f"{spec.binary!r} is no tool", hint=f"use {' or '.join(KNOWN)}")
        seen: list[str] = []
        for path in candidates(self._host, spec.binary, spec.version, self._tofu):
            version = await self._version(path)
            if version and spec.version in {"", version}:
                return Binary(spec.binary, path, version)
            seen.append(f"{path} is {version or 'of no known version'}")
        raise _missing(spec, seen)

    async def _version(self, path: Path) -> str:
        status = await asyncio.to_thread(path.stat)
        key = str(path), status.st_mtime_ns, status.st_ino
        async with self._asking:  # roots come together: one asks for all
            if key not in self._versions:
                said = version_said((await self._ask(path)).stdout)
                if not said:
                    return said
                self._versions[key] = said
        return self._versions[key]


def candidates(
    host: TerraformHost, name: str, version: str, tofu: Callable[[str], Path]
) -> Iterator[Path]:
    """Every file a root of this binary could be run with, whatever version it turns out to be, in
    the order they are tried: the operator's folders, PATH, and of tofu the one the project builds
    (``tofu`` gives it or raises ToolMissing). ``version`` is empty where any will do."""
    return filter(_runnable, _places(host, name, version, tofu))


def _places(
    host: TerraformHost, name: str, version: str, tofu: Callable[[str], Path]
) -> Iterator[Path]:
    parts = (f"{name}-{version}", f"{version}/{name}", name) if version else (name,)
    yield from (folder / part for folder in host.folders for part in parts)
    found = shutil.which(name)
    on_path = Path(found).absolute() if found else None
    if on_path:
        yield on_path
    if name == "tofu":
        with contextlib.suppress(ToolMissing):
            if (built := tofu(name)) != on_path:
                yield built


def version_said(output: bytes) -> str:
    """``1.11.4`` from what ``version -json`` printed; empty where it says none."""
    try:
        said = json.loads(output)["terraform_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return said if isinstance(said, str) and len(said) < 80 else ""


def _runnable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


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
