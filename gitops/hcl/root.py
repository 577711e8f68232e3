"""From an application as rendered to a root as the tool's port takes it.

Called by the checks and the planner, so that all of them run on the very same files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.model.delivery import LaneId
from gitops.model.fleet import ApplicationSpec
from gitops.model.manifest import Desired
from gitops.model.sealed import SealedFile
from gitops.ports.terraform import Root

_NOTHING: Mapping[str, Any] = {}


def root_of(
    lane: LaneId,
    application: ApplicationSpec,
    desired: Desired,
    variables: Mapping[str, Any] = _NOTHING,
) -> Root:
    """``desired`` is what the ``terraform`` renderer made; ``variables`` are outputs of other
    applications."""
    files = (SealedFile(file.path, file.text, file.executable) for file in desired.files)
    return Root(lane, application, tuple(sorted(files, key=lambda file: file.path)), variables)
