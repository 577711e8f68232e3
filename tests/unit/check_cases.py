"""Jobs for checks, made from YAML text as the plain renderer would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gitops import yamlio
from gitops.model.cluster import ClusterFacts, Resource
from gitops.model.delivery import LaneId
from gitops.model.fleet import NOTHING, ApplicationSpec
from gitops.model.ids import ApplicationName, Digest, SourceName, TargetName, combine
from gitops.model.manifest import Desired, Manifest, ObjectId, Origin, RenderedFile
from gitops.model.source import Closure
from gitops.plugins import Services
from gitops.ports import CheckJob, Command, Completed, KindCatalogue

FACTS = ClusterFacts("uid", "v1.35.4", ("apps/v1", "apps/v1/Deployment", "v1", "v1/Service"))


class Keyed:
    def of(self, data: bytes) -> Digest:
        return combine(data.hex())


class NoChildren:
    """For checks that must manage without a child process."""

    async def run(self, command: Command) -> Completed:
        raise AssertionError("no child was expected")


class Frozen:
    def now(self) -> float:
        return 1000.0

    def monotonic(self) -> float:
        return 10.0


def services(folder: Path, children: Any = None) -> Services:
    return Services(children or NoChildren(), Keyed(), Frozen(), folder / "state", folder / "cache")


class Catalogue:
    """A target that knows these kinds, of one schema document."""

    def __init__(
        self, resources: Sequence[Resource], components: Mapping[str, Any] = NOTHING
    ) -> None:
        self._resources = resources
        self._document = {"components": {"schemas": dict(components)}}

    async def resource(self, group: str, kind: str, version: str = "") -> Resource | None:
        for known in self._resources:
            if (known.group, known.kind) == (group, kind) and version in ("", known.version):
                return known
        return None

    async def schema(self, group: str, version: str, kind: str) -> Mapping[str, Any] | None:
        wanted = {"group": group, "version": version, "kind": kind}
        for schema in self._document["components"]["schemas"].values():
            if wanted in schema.get("x-kubernetes-group-version-kind", ()):
                return schema  # type: ignore[no-any-return]
        return None

    async def document(self, group: str, version: str) -> Mapping[str, Any] | None:
        return self._document

    async def facts(self) -> ClusterFacts:
        return FACTS


def file(text: str, path: str = "a.yaml", *, rendered: bool = False) -> RenderedFile:
    raw = text.encode()
    return RenderedFile(path, raw, combine(text), rendered)


def manifests(text: str, path: str = "a.yaml") -> tuple[Manifest, ...]:
    found = []
    for document in yamlio.documents(text.encode(), path):
        body = document.value
        group, _, version = str(body["apiVersion"]).rpartition("/")
        metadata = body["metadata"]
        id = ObjectId(group, body["kind"], metadata.get("namespace", ""), metadata["name"])
        raw = yamlio.canonical(body)
        found.append(Manifest(id, version, raw, Keyed().of(raw), Origin(path, document.line)))
    return tuple(found)


def job(
    text: str = "",
    *,
    application: str = "shop",
    target: str = "prod",
    namespace: str = "default",
    catalogue: KindCatalogue | None = None,
    files: Sequence[RenderedFile] | None = None,
    made: tuple[Manifest, ...] | None = None,
    path: str = "a.yaml",
    checks: Mapping[str, Mapping[str, Any]] = NOTHING,
) -> CheckJob:
    objects = manifests(text, path) if made is None else made
    shown = (file(text, path),) if files is None else tuple(files)
    digest = combine(*(m.digest for m in objects))
    spec = ApplicationSpec(
        ApplicationName(application),
        SourceName("repo"),
        "",
        namespace=namespace,
        checks=checks,
    )
    desired = Desired(objects, Closure(()), digest, "plain 1", shown)
    lane = LaneId(spec.name, TargetName(target))
    facts = FACTS if catalogue is not None else None
    return CheckJob(lane, spec, desired, shown, catalogue, facts)
