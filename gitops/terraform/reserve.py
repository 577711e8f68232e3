"""Room on the disk, kept for the state while an apply runs.

A full disk in the middle of an apply leaves resources that no state knows of, and a rescue file
without a byte in it. So an apply begins only after this much is really allocated,
and the supervisor gives it back when the disk gets short. Used by
:mod:`gitops.terraform.applying`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from gitops.errors import Transient


def allocate(folders: Iterable[Path], name: str, size: int) -> tuple[Path, ...]:
    """Files of that many bytes, one for each file system the folders are on.

    Raises Transient, with nothing left behind, when one of them has no such room.
    """
    made: list[Path] = []
    seen: set[int] = set()
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            device = folder.stat().st_dev
            if device not in seen:
                seen.add(device)
                made.append(place(folder, name))
                _fill(made[-1], size)
        except OSError as error:
            release(made)
            raise Transient(
                f"no apply begins: {size} bytes cannot be reserved in {folder}: {error.strerror}",
                hint="free space there, or lower terraform.reserve: without room for the state "
                "an apply can leave resources nobody knows of",
            ) from error
    return tuple(made)


def release(files: Iterable[Path]) -> None:
    """Gives the room back."""
    for file in files:
        file.unlink(missing_ok=True)


def place(folder: Path, name: str) -> Path:
    """Where the reserve ``name`` lies in a folder, for whoever comes after a crash too."""
    return folder / f".gitops-reserve-{name}"


def _fill(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if size:
            os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)
