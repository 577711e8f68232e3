"""Folders of calls, which must not outlive the process that made them.

Used by :mod:`gitops.terraform.workspace`. Plan files and variables lie there while a call lasts;
a killed process removes nothing, so the next one does. Never touches the folder of a live process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from gitops.errors import Transient
from gitops.terraform.sockets import forget


@contextlib.contextmanager
def on_disk() -> Iterator[None]:
    """What the file system refuses is an error people can read."""
    try:
        yield
    except OSError as error:
        raise Transient(
            f"a folder to run in could not be used: {error.strerror}",
            hint="look at the disk of the controller's state folder",
        ) from error


def hold(calls: Path) -> int:
    """Makes the folder of this process's calls and holds it; removes those nobody holds any more:
    their processes were killed, and secrets may lie in them."""
    calls.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = _made(calls)
    for other in calls.parent.iterdir():
        if other == calls:
            continue
        try:
            descriptor = _lock(other)
        except OSError:
            continue
        for call in other.iterdir():
            forget(call / "home")
        shutil.rmtree(other, ignore_errors=True)
        os.close(descriptor)
    return held


def _made(calls: Path) -> int:
    """The folder, held. Another process may sweep it away between the two."""
    while True:
        calls.mkdir(mode=0o700, parents=True, exist_ok=True)  # its name is nobody else's
        with contextlib.suppress(OSError):
            held = _lock(calls)
            if calls.is_dir():
                return held
            os.close(held)


def _lock(folder: Path) -> int:
    """A descriptor that holds it; raises OSError when another process does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
