"""A short way to a folder, for sockets.

A provider listens on a Unix socket in its temporary folder, and the kernel has room for 107 bytes
of a socket's path: below a state folder, an application and a run there is none left, and the tool
says no more than that the provider cannot be started. So the temporary folder is named by a link in
the machine's own. Used by :mod:`gitops.terraform.session`; whoever removes a folder removes its
link. Nothing of value ever lies outside the folder itself.
"""

from __future__ import annotations

import os
import tempfile
from hashlib import sha256
from pathlib import Path

_ROOM = 107
_SOCKET = "/plugin-dir1234567890/plugin1234567890"
"""What the tool and a provider put behind it, at their longest."""


def link_of(folder: Path) -> Path:
    """Where a folder's link is: not to be guessed where the folder's name is not."""
    name = f"gitops-{sha256(os.fsencode(folder)).hexdigest()[:20]}"
    short = Path(tempfile.gettempdir(), name)
    return short if len(os.fsencode(short)) + len(_SOCKET) <= _ROOM else Path("/tmp", name)  # noqa: S108


def shorten(folder: Path) -> None:
    """Makes the link. Raises OSError, also when somebody has put something there."""
    link_of(folder).symlink_to(folder)


def forget(folder: Path) -> None:
    """Removes the link; the folder need not be there any more."""
    link = link_of(folder)
    if link.is_symlink():
        link.unlink(missing_ok=True)
