"""What each application owns in one cluster, kept in that cluster as a ConfigMap of its own.

Plays the Inventory role. The engine reads it to know what left the set, and writes it around a
delivery. A lost or unreadable one is None, which switches prune off until it is rebuilt; it must
never be taken for an empty one.
"""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from gitops.errors import NotFound, ObjectMoved
from gitops.kube.held import HeldObject
from gitops.model.cluster import FIELD_MANAGER, Resource
from gitops.model.ids import combine, short
from gitops.model.manifest import ObjectId

INVENTORY_LABEL = "gitops-controller.dev/inventory"
CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)
NAMESPACE = Resource("", "v1", "Namespace", "namespaces", False)
_KEY = "objects.json.gz"
_LARGEST = 64 << 20
"""Bytes unpacked; 20,000 objects need about one million."""

Request = Callable[[str, Resource, ObjectId, bytes], Awaitable[HeldObject]]
"""(method, kind, object, body) → what is stored now."""


class Inventories:
    def __init__(
        self,
        namespace: str,
        get: Callable[[Resource, ObjectId], Awaitable[HeldObject | None]],
        store: Request,
    ) -> None:
        self._namespace = namespace
        self._get = get
        self._store = store
        self._known: dict[str, tuple[frozenset[ObjectId], HeldObject]] = {}
        self.warnings: list[str] = []
        """Inventories found unreadable, in words."""

    async def read(self, application: str) -> frozenset[ObjectId] | None:
        if application in self._known:
            return self._known[application][0]
        found = await self._get(CONFIG_MAP, self._id(application))
        if found is None:
            return None
        owns = _unpack(found, application)
        if owns is None:
            self.warnings.append(f"{found.id} is unreadable: prune is off until it is rebuilt")
            return None
        self._known[application] = (owns, found)
        return owns

    async def write(self, application: str, owns: frozenset[ObjectId]) -> None:
        """Raises ObjectMoved when somebody else wrote it since it was read: another controller
        takes care of an application of this name."""
        if application not in self._known:
            await self.read(application)
        known = self._known.get(application)
        if known is not None and known[0] == owns:
            return
        previous = known[1] if known else await self._get(CONFIG_MAP, self._id(application))
        try:
            stored = await self._save(application, owns, previous)
        except ObjectMoved as moved:
            self._known.pop(application, None)
            raise ObjectMoved(
                "the inventory was written by somebody else",
                hint="does another controller deliver an application of the same name here?",
                place=moved.place,
            ) from moved
        except BaseException:
            self._known.pop(application, None)  # unknown now: read before believing anything
            raise
        self._known[application] = (owns, stored)

    async def _save(
        self, application: str, owns: frozenset[ObjectId], previous: HeldObject | None
    ) -> HeldObject:
        id = self._id(application)
        body = _body(id, application, owns, previous)
        if previous is not None:
            return await self._store("PUT", CONFIG_MAP, id, body)
        try:
            return await self._store("POST", CONFIG_MAP, id, body)
        except NotFound:
            await self._make_namespace()
            return await self._store("POST", CONFIG_MAP, id, body)

    async def _make_namespace(self) -> None:
        id = ObjectId("", "Namespace", "", self._namespace)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace}}
        try:
            await self._store("POST", NAMESPACE, id, orjson.dumps(body))
        except ObjectMoved:
            return  # somebody made it in the same moment

    def _id(self, application: str) -> ObjectId:
        return ObjectId("", "ConfigMap", self._namespace, inventory_name(application))


def inventory_name(application: str) -> str:
    """``inventory-shop``; a name that is no Kubernetes name is made one, with its digest."""
    if re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,200}[a-z0-9])?", application):
        return f"inventory-{application}"
    plain = re.sub(r"[^a-z0-9]+", "-", application.lower()).strip("-")[:150]
    return f"inventory-{plain}-{short(combine(application))}".replace("--", "-")


def pack(owns: frozenset[ObjectId]) -> bytes:
    """Equal sets give equal bytes: names grouped by group, kind and namespace, sorted, gzip
    without a time."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for id in sorted(owns):
        groups.setdefault((id.group, id.kind, id.namespace), []).append(id.name)
    rows = [[*key, names] for key, names in groups.items()]
    return gzip.compress(orjson.dumps({"v": 1, "objects": rows}), mtime=0)


def unpack(packed: bytes) -> frozenset[ObjectId]:
    """Raises ValueError for anything :func:`pack` did not make."""
    try:
        plain = zlib.decompressobj(wbits=31)
        data = plain.decompress(packed, _LARGEST)
        if plain.unconsumed_tail or not plain.eof:
            raise ValueError("too large or cut off")
        told = orjson.loads(data)
        if told["v"] != 1:
            raise ValueError("of a later version")
        return frozenset(
            _checked(ObjectId(group, kind, namespace, name))
            for group, kind, namespace, names in told["objects"]
            for name in names
        )
    except (zlib.error, orjson.JSONDecodeError, KeyError, TypeError) as broken:
        raise ValueError("not an inventory") from broken


def _checked(id: ObjectId) -> ObjectId:
    if not all(isinstance(part, str) for part in (id.group, id.kind, id.namespace, id.name)):
        raise ValueError("not an inventory")
    return id


def _unpack(found: HeldObject, application: str) -> frozenset[ObjectId] | None:
    metadata: Any = found.body["metadata"]
    if (metadata.get("annotations") or {}).get(INVENTORY_LABEL, "") != application:
        return None
    try:
        packed = base64.b64decode((found.body.get("binaryData") or {})[_KEY], validate=True)
        return unpack(packed)
    except (KeyError, ValueError, TypeError):
        return None


def _body(
    id: ObjectId, application: str, owns: frozenset[ObjectId], previous: HeldObject | None
) -> bytes:
    metadata: dict[str, Any] = {
        "name": id.name,
        "namespace": id.namespace,
        "labels": {
            INVENTORY_LABEL: id.name.removeprefix("inventory-")[:63].rstrip("-."),
            "app.kubernetes.io/managed-by": FIELD_MANAGER,
        },
        "annotations": {INVENTORY_LABEL: application},
    }
    if previous is not None:
        metadata |= {"uid": previous.uid, "resourceVersion": previous.resource_version}
    packed = base64.b64encode(pack(owns)).decode("ascii")
    return orjson.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "binaryData": {_KEY: packed},
        }
    )
