"""Live objects as we keep them: the server's bytes, parsed when somebody looks.

A parsed Deployment takes ten times the memory of its JSON, and a pass over an unchanged
application only compares resource versions. Everything in this package that hands out a
LiveObject makes it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from gitops import snug
from gitops.errors import ClusterUnavailable
from gitops.model.cluster import OWNER_LABEL, LiveObject, Resource
from gitops.model.manifest import ObjectId


class HeldObject(LiveObject):
    """A LiveObject whose ``body`` is parsed on demand; a few recent ones stay parsed."""

    __slots__ = ("_application", "_raw", "_terminating")
    _application: str
    _raw: bytes
    _terminating: bool

    def __init__(
        self, id: ObjectId, version: str, uid: str, resource_version: str, body: Mapping[str, Any]
    ) -> None:
        keep = object.__setattr__
        keep(self, "id", id)
        keep(self, "version", version)
        keep(self, "uid", uid)
        keep(self, "resource_version", resource_version)
        metadata = body["metadata"]
        keep(self, "_application", str((metadata.get("labels") or {}).get(OWNER_LABEL, "")))
        keep(self, "_terminating", "deletionTimestamp" in metadata)
        keep(self, "_raw", snug.dumps(body))

    @property
    def body(self) -> Mapping[str, Any]:
        body: Mapping[str, Any] = _parsed(self._raw)
        return body

    def __repr__(self) -> str:
        """Without the body: it may be a Secret, and a repr ends up in logs."""
        return f"<{self.id} {self.version} uid={self.uid} at={self.resource_version}>"

    @property
    def application(self) -> str:
        return self._application

    @property
    def terminating(self) -> bool:
        return self._terminating


@lru_cache(maxsize=64)
def _parsed(raw: bytes) -> Any:
    return orjson.loads(raw)


def hold(resource: Resource, body: dict[str, Any]) -> HeldObject:
    """An object from an answer. Raises ClusterUnavailable for what is not an object.

    Items of a LIST come without kind and apiVersion; they are put back, so that ``body`` always is
    a whole object.
    """
    version = f"{resource.group}/{resource.version}" if resource.group else resource.version
    try:
        body.setdefault("kind", resource.kind)
        body.setdefault("apiVersion", version)
        metadata = body["metadata"]
        namespace = metadata.get("namespace", "") if resource.namespaced else ""
        return HeldObject(
            ObjectId(resource.group, resource.kind, namespace, metadata["name"]),
            resource.version,
            metadata.get("uid", ""),
            metadata.get("resourceVersion", ""),
            body,
        )
    except (KeyError, TypeError, AttributeError) as broken:
        raise ClusterUnavailable(
            f"the API server answered something that is no {resource.kind}"
        ) from broken


def revision(resource_version: str) -> int:
    """A resourceVersion as the number it is comparable as (Kubernetes 1.35 API conventions);
    -1 for what an aggregated API made up."""
    return int(resource_version) if resource_version.isdigit() else -1
