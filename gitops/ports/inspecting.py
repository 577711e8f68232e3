"""A look into what a cluster made of what was delivered: played by a cluster's adapter, asked by
pages and API when a person looks at one object.

Nothing here is kept current or decides anything; every answer is bounded in size and time, and the
same question asked again at once is not asked of the cluster again. All text is foreign and may
hold secrets: whoever shows it masks and escapes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gitops.model.cluster import LiveObject
from gitops.model.manifest import ObjectId

LINES = 100
"""Of a log, the last ones."""
MOST_EVENTS = 25
"""Of one object, the newest ones."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One Event of Kubernetes: something that happened to an object, perhaps often."""

    warning: bool
    reason: str
    message: str
    source: str
    """The component that tells of it."""
    times: int
    last: float | None
    """Seconds since the epoch; None where it does not say."""


@dataclass(frozen=True, slots=True)
class Happenings:
    newest: tuple[Happening, ...]
    """The newest first, at most :data:`MOST_EVENTS`."""
    more: bool = False
    """There are more of them."""


@dataclass(frozen=True, slots=True)
class Log:
    """The end of what a container wrote."""

    text: str
    cut: bool = False
    """The lines were so long that not all of the last :data:`LINES` are here."""


class Inspector(Protocol):
    """Errors: ClusterRefused (403 names the missing right), NotFound, ClusterUnavailable."""

    async def made_by(self, id: ObjectId, uid: str) -> Sequence[LiveObject]:
        """The Jobs of a CronJob, the Pods of a Job, the newest first; of other kinds nothing."""

    async def events(self, about: ObjectId, uid: str) -> Happenings: ...

    async def log(self, pod: ObjectId, container: str, *, previous: bool = False) -> Log:
        """``previous``: of the container before its last restart."""


@runtime_checkable
class Inspecting(Protocol):
    """A cluster that can be looked into."""

    @property
    def inspector(self) -> Inspector: ...
