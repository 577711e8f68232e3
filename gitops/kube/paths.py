"""Where things are in the API: the path of a kind, of an object, of an object's collection.

Pure. Names come from repositories, so what could leave its path segment is refused here.
"""

from __future__ import annotations

from urllib.parse import quote

from gitops.errors import ClusterRefused
from gitops.model.cluster import Resource
from gitops.model.manifest import ObjectId


def base(group: str, version: str) -> str:
    """``/api/v1`` or ``/apis/apps/v1``."""
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def collection(resource: Resource, namespace: str = "") -> str:
    """Every object of a kind, or those of one namespace."""
    root = base(resource.group, resource.version)
    if resource.namespaced and namespace:
        return f"{root}/namespaces/{_segment(namespace)}/{resource.plural}"
    return f"{root}/{resource.plural}"


def single(resource: Resource, id: ObjectId) -> str:
    """One object. Raises ClusterRefused (400) for a name that is no path segment."""
    if resource.namespaced and not id.namespace:
        raise ClusterRefused(
            f"{id.kind} {id.name!r} lives in a namespace and none is named",
            code=400,
            hint="set metadata.namespace, or `namespace:` of the application",
            place=str(id),
        )
    return f"{collection(resource, id.namespace)}/{_segment(id.name)}"


def _segment(name: str) -> str:
    """What the API server itself calls a valid path segment name: not ``.``, ``..``, no slash
    and no percent sign."""
    if name in {"", ".", ".."} or "/" in name or "%" in name or len(name) > 253:
        raise ClusterRefused(
            f"{name[:80]!r} cannot be the name of an object",
            code=400,
            hint="names hold at most 253 characters, no slash and no percent sign",
        )
    return quote(name, safe="")
