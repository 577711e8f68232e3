"""What a cluster tells: its identity, its kinds, its live objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gitops.model.manifest import ObjectId

FIELD_MANAGER = "gitops-controller"
"""Constant for ever: the server keeps ownership of fields under this name."""
OWNER_LABEL = "gitops-controller.dev/application"
"""On every object we apply; its value is the application's name. Watches select by it."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Identity and version of a target, and what Helm calls its capabilities."""

    uid: str
    """uid of the ``kube-system`` namespace: two entries with one uid are one cluster."""
    version: str
    """``v1.35.4``."""
    api_versions: tuple[str, ...] = ()
    """Sorted ``group/version`` and ``group/version/Kind``."""


@dataclass(frozen=True, slots=True)
class Resource:
    """How a kind is reached."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool


@dataclass(frozen=True, slots=True)
class LiveObject:
    """An object as the server last told it. ``body`` is shared and must not be changed."""

    id: ObjectId
    version: str
    uid: str
    resource_version: str
    body: Mapping[str, Any]

    @property
    def application(self) -> str:
        labels = self.body["metadata"].get("labels") or {}
        return str(labels.get(OWNER_LABEL, ""))

    @property
    def terminating(self) -> bool:
        """F10: server-side apply onto a vanishing object answers 200."""
        return "deletionTimestamp" in self.body["metadata"]


@dataclass(frozen=True, slots=True)
class Written:
    """The server's answer to an apply or its dry-run."""

    object: LiveObject
    created: bool
    warnings: tuple[str, ...] = ()
    """``Warning`` response headers: deprecations and admission remarks."""


class LiveEventKind(StrEnum):
    CHANGED = "changed"
    DELETED = "deleted"
    """Confirmed by a GET that answered 404."""


@dataclass(frozen=True, slots=True)
class LiveEvent:
    kind: LiveEventKind
    object: LiveObject
    """The present object, or the last known one of a deleted."""


class ClusterState(StrEnum):
    CONNECTING = "connecting"
    READY = "ready"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    CHANGED = "changed"
    """Another cluster answers at this address: everything stops."""


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    state: ClusterState
    message: str = ""
    since: float = 0.0
