"""The kinds a cluster serves, its schemas, its identity: read once, kept until something moves.

Plays the KindCatalogue role and gives ``facts``. It asks again when a kind is not found (as often
as a small bucket allows) and after :meth:`Discovery.forget`; an unchanged cluster answers 304. A
dead APIService makes its own kinds unknown and no others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitops.errors import ClusterUnavailable, NotFound
from gitops.kube.paths import base
from gitops.kube.standing import Standing
from gitops.kube.transport import Call, Reply, Transport
from gitops.model.cluster import ClusterFacts, Resource
from gitops.ports import Clock

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_DOCUMENTS_KEPT = 12
_LOOKS_AT_ONCE = 5
_SECONDS_PER_LOOK = 2.0


@dataclass(slots=True)
class _Kinds:
    """One answer of ``/api`` and ``/apis``."""

    by_kind: dict[tuple[str, str], list[Resource]] = field(default_factory=dict)
    """Per (group, kind) every version, preferred first."""
    versions: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    """Group versions whose API server does not answer at present."""


class Discovery:
    def __init__(self, transport: Transport, standing: Standing, clock: Clock) -> None:
        self._transport = transport
        self._standing = standing
        self._clock = clock
        self._kinds: _Kinds | None = None
        self._pages: dict[str, tuple[str, Reply]] = {}
        self._facts: ClusterFacts | None = None
        self._schemas: dict[str, str] | None = None
        self._documents: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = asyncio.Lock()
        self._generation = 0
        self._look_count = 0
        self._looks = float(_LOOKS_AT_ONCE)
        self._looked = clock.monotonic()

    def forget(self) -> None:
        """Something defines kinds and changed: the next question asks the server."""
        self._generation += 1
        self._kinds = None
        self._schemas = None
        self._facts = None

    async def resource(self, group: str, kind: str, version: str = "") -> Resource | None:
        kinds = await self._known()
        found = _pick(kinds, group, kind, version)
        if found is None and self._may_look():
            kinds = await self._known(fresh=True)
            found = _pick(kinds, group, kind, version)
        if found is None and _is_stale(kinds, group, version):
            raise ClusterUnavailable(
                f"the API of group {group} is served by an extension that does not answer",
                hint=f"`kubectl get apiservices` shows it; {kind} cannot be looked at until then",
            )
        return found

    async def now(self, resource: Resource) -> Resource | None:
        """How the cluster, asked now, serves the kind: the same, in another version, or not.

        A kind of an extension that does not answer at present counts as served as it was.
        """
        kinds = await self._known(fresh=True)
        if _is_stale(kinds, resource.group, ""):
            return resource
        same = _pick(kinds, resource.group, resource.kind, resource.version)
        return same or _pick(kinds, resource.group, resource.kind, "")

    async def facts(self) -> ClusterFacts:
        kinds = await self._known()
        if self._facts is None:
            told = (await self._transport.send(Call("GET", "/version"))).json()
            names = tuple(sorted(kinds.versions))
            self._facts = ClusterFacts(self._standing.uid, str(told.get("gitVersion", "")), names)
        return self._facts

    async def schema(self, group: str, version: str, kind: str) -> Mapping[str, Any] | None:
        document = await self.document(group, version)
        wanted = {"group": group, "version": version, "kind": kind}
        for schema in _schemas(document or {}):
            if wanted in (schema.get("x-kubernetes-group-version-kind") or []):
                return schema
        return None

    async def document(self, group: str, version: str) -> Mapping[str, Any] | None:
        address = await self._schema_address(base(group, version).lstrip("/"))
        if address is None:
            return None
        if address not in self._documents:
            told = (await self._transport.send(Call("GET", *_split(address)))).json()
            self._documents[address] = told
            while len(self._documents) > _DOCUMENTS_KEPT:
                self._documents.popitem(last=False)
        self._documents.move_to_end(address)
        return self._documents[address]

    async def _schema_address(self, key: str) -> str | None:
        """Path of a document with the hash of its content, so that a changed one is another."""
        if self._schemas is None or (key not in self._schemas and self._may_look()):
            told = (await self._transport.send(Call("GET", "/openapi/v3"))).json()
            self._schemas = {
                name: address
                for name, entry in (told.get("paths") or {}).items()
                if isinstance(entry, dict)
                and (address := str(entry.get("serverRelativeURL", ""))).startswith("/openapi/v3/")
            }
        return self._schemas.get(key)

    async def _known(self, *, fresh: bool = False) -> _Kinds:
        """``fresh``: as told by a look that began after this call did."""
        asked = self._look_count
        async with self._lock:
            if self._kinds is None or (fresh and self._look_count == asked):
                seen = self._generation
                self._look_count += 1
                kinds = await self._look()
                # What was forgotten while we looked stays forgotten.
                self._kinds = kinds if self._generation == seen else None
                return kinds
            return self._kinds

    async def _look(self) -> _Kinds:
        kinds = _Kinds()
        for path in ("/api", "/apis"):
            for group in await self._page(path):
                _add_group(kinds, group)
        self._facts = None
        return kinds

    async def _page(self, path: str) -> list[Any]:
        etag, known = self._pages.get(path, ("", None))
        try:
            reply = await self._transport.send(Call("GET", path, accept=AGGREGATED, etag=etag))
        except NotFound as missing:
            raise ClusterUnavailable(
                f"the API server does not answer {path}", place=missing.place
            ) from missing
        if reply.code == 304 and known is not None:
            reply = known
        told = reply.json()
        if told.get("kind") != "APIGroupDiscoveryList":
            raise ClusterUnavailable(
                "the API server does not offer aggregated discovery",
                hint="Kubernetes 1.30 or later is needed",
            )
        self._pages[path] = (reply.etag, reply)
        return told.get("items") or []

    def _may_look(self) -> bool:
        """Five looks at once, then one every two seconds: a wrong kind is no reason to hammer."""
        now = self._clock.monotonic()
        earned = (now - self._looked) / _SECONDS_PER_LOOK
        self._looks = min(_LOOKS_AT_ONCE, self._looks + earned)
        self._looked = now
        if self._looks < 1:
            return False
        self._looks -= 1
        return True


def _add_group(kinds: _Kinds, group: Mapping[str, Any]) -> None:
    name = (group.get("metadata") or {}).get("name", "")
    for served in group.get("versions") or []:
        version = served.get("version", "")
        group_version = f"{name}/{version}" if name else version
        kinds.versions.add(group_version)
        if served.get("freshness") == "Stale":
            kinds.stale.add(f"{name}/{version}")
        for resource in served.get("resources") or []:
            kind = (resource.get("responseKind") or {}).get("kind", "")
            if not kind:
                continue  # only subresources
            kinds.versions.add(f"{group_version}/{kind}")
            kinds.by_kind.setdefault((name, kind), []).append(
                Resource(
                    name, version, kind, resource["resource"], resource["scope"] == "Namespaced"
                )
            )


def _pick(kinds: _Kinds, group: str, kind: str, version: str) -> Resource | None:
    known = kinds.by_kind.get((group, kind), [])
    return next((r for r in known if version in ("", r.version)), None)


def _is_stale(kinds: _Kinds, group: str, version: str) -> bool:
    if version:
        return f"{group}/{version}" in kinds.stale
    return any(stale.startswith(f"{group}/") for stale in kinds.stale)


def _schemas(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from ((document.get("components") or {}).get("schemas") or {}).values()


def _split(address: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    path, _, query = address.partition("?")
    pairs = (part.partition("=") for part in query.split("&") if part)
    return path, tuple((name, value) for name, _, value in pairs)
