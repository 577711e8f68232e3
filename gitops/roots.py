"""From what was read of a source to a root that can be run. Pure.

Called by the checks and by the workspace's target, so that what is checked is what is planned.
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
    """The root with every file of ``desired``, sorted by path; ``variables`` are outputs of other
    applications."""
    files = (SealedFile(file.path, file.text, file.executable) for file in desired.files)
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return Root(lane, application, ordered, dict(variables))
