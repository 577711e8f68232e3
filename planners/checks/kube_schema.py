"""Holds every object against the schema its target publishes, before anybody is asked.

Called by :mod:`planners.checks.run`. The schemas are the target's own, so what is checked is what
will be in force; a CustomResourceDefinition of the same change wins for the kinds it defines. What
the API server would refuse for its form is found here with file and line, for all objects at once
and without a request for each. Values are never part of a message (of a Secret least of all).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gitops import yamlio
from gitops.delta import gone_and_come
from gitops.errors import ConfigError
from gitops.model.delivery import LaneId
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec
from gitops.model.manifest import Manifest, RenderedFile
from gitops.plugins import Services
from gitops.ports import CheckJob, KindCatalogue, Scope
from planners.checks.definitions import Definition, Kind, defined, is_definition
from planners.checks.structural import Issue, Schema, Validator

NAME = "kube-schema"
VERSION = "1"

ISSUES_PER_OBJECT = 20
PLACES_PER_RUN = 50
"""Issues whose line is looked up; the rest carry the line their object begins at."""
KEPT_PER_KIND = 50_000
_NATIVE = ("io.k8s.api.", "io.k8s.kube-aggregator.", "io.k8s.apiextensions-apiserver.")
"""Names of the types Kubernetes itself is made of."""
_MOVED = {
    ("extensions", "DaemonSet"): "apps/v1",
    ("extensions", "Deployment"): "apps/v1",
    ("extensions", "Ingress"): "networking.k8s.io/v1",
    ("extensions", "NetworkPolicy"): "networking.k8s.io/v1",
    ("extensions", "ReplicaSet"): "apps/v1",
    ("policy", "PodSecurityPolicy"): "",
}
"""Where kinds of groups that are gone went; empty: nowhere."""
_DEPRECATED = {
    ("", "v1", "ComponentStatus"): "deprecated since Kubernetes 1.19",
    ("", "v1", "Endpoints"): "deprecated since Kubernetes 1.33; EndpointSlices take its place",
}
_COMMON = (
    "ConfigMap CronJob CustomResourceDefinition DaemonSet Deployment HorizontalPodAutoscaler "
    "Ingress Job LimitRange Namespace NetworkPolicy PersistentVolume PersistentVolumeClaim Pod "
    "PodDisruptionBudget ReplicaSet ResourceQuota Role RoleBinding ClusterRole "
    "ClusterRoleBinding Secret Service ServiceAccount StatefulSet StorageClass"
)
"""Guessed at for a misspelt kind when the target's list is not at hand."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to make of fields and kinds nobody knows."""

    unknown_fields: str = "error"
    """``error``: the API server refuses them under strict validation, which we ask for;
    ``warning`` or ``info`` to be told only (the dry-run still refuses)."""
    skip_kinds: tuple[str, ...] = ()
    """Kinds (``Kind`` or ``Kind.group``) that are not held against a schema."""


@dataclass(slots=True)
class _Rules:
    """The schema of one kind on one target, and what was already held against it."""

    schema: Schema
    validator: Validator
    known: dict[str, tuple[Issue, ...]] = field(default_factory=dict)
    """Issues by manifest digest: one changed object among thousands costs one validation."""

    def issues(self, manifest: Manifest) -> tuple[Issue, ...]:
        found = self.known.get(manifest.digest)
        if found is None:
            if len(self.known) >= KEPT_PER_KIND:
                self.known.clear()
            found = tuple(_take(self.validator.issues(orjson.loads(manifest.body), self.schema)))
            self.known[manifest.digest] = found
        return found


_Versioned = tuple[Kind, str]


@dataclass(slots=True)
class _Clean:
    """A set in which nothing was found: of the next one, only what is new is looked at."""

    manifests: tuple[Manifest, ...]
    own: Mapping[Kind, Definition]
    rules: dict[_Versioned, tuple[Manifest, _Rules | None]]
    """By kind, with one object of it; None: nothing to hold it against."""


class KubeSchema:
    """The check, as configured."""

    name = NAME
    version = VERSION
    scope = Scope.APPLICATION

    def __init__(self, options: Options) -> None:
        self._options = options
        self._rules: dict[tuple[str, str, str, str], _Rules] = {}
        self._clean: dict[LaneId, _Clean] = {}

    def concerns(self, application: ApplicationSpec) -> bool:
        return application.terraform is None

    async def run(self, job: CheckJob) -> Sequence[Finding]:
        last = self._clean.pop(job.lane, None)
        if last is not None and job.catalogue is not None and await self._still_clean(job, last):
            self._clean[job.lane] = last
            return []
        return await self._look_at_all(job)

    def forget(self, lane: LaneId) -> None:
        """The application left the fleet or the target."""
        self._clean.pop(lane, None)

    async def _still_clean(self, job: CheckJob, last: _Clean) -> bool:
        """Carries ``last`` on to this set. False where there may be something to find, or where
        more than single objects changed: then all are looked at."""
        gone, come = gone_and_come(last.manifests, job.desired.manifests)
        if any(map(is_definition, (*gone, *come))):
            return False
        fresh = set(map(id, come))
        for manifest in come:
            last.rules.setdefault(_versioned(manifest), (manifest, None))
        for key, (manifest, before) in list(last.rules.items()):
            rules = await self._rules_of(job, manifest, last.own)
            new = id(manifest) in fresh
            if isinstance(rules, Finding) or (rules is not before and not new):
                return False
            if new and _deprecation(*key, last.own):
                return False
            last.rules[key] = (manifest, rules)
        for manifest in come:
            _, rules = last.rules[_versioned(manifest)]
            if rules is not None and rules.issues(manifest):
                return False
        last.manifests = job.desired.manifests
        return True

    async def _look_at_all(self, job: CheckJob) -> Sequence[Finding]:
        own = defined(job.desired.manifests)
        files = {file.path: file for file in job.files if not file.rendered}
        apart = job.catalogue is None and job.application.terraform is None
        findings = [_offline()] if apart else []
        rules: dict[_Versioned, tuple[Manifest, _Rules | Finding | None]] = {}
        placed = 0
        for manifest in job.desired.manifests:
            key = _versioned(manifest)
            if key not in rules:
                rules[key] = manifest, await self._rules_of(job, manifest, own)
            _, found = rules[key]
            if isinstance(found, _Rules):
                for issue in found.issues(manifest):
                    placed += 1
                    findings.append(self._finding(manifest, issue, files, placed))
            elif found is not None:
                findings.append(_at(found, manifest))
        old = {key: text for key in rules if (text := _deprecation(*key, own))}
        findings += _deprecations(job.desired.manifests if old else (), old)
        if not findings:
            sound = {k: (m, r) for k, (m, r) in rules.items() if not isinstance(r, Finding)}
            self._clean[job.lane] = _Clean(job.desired.manifests, own, sound)
        return findings

    async def _rules_of(
        self, job: CheckJob, manifest: Manifest, own: Mapping[Kind, Definition]
    ) -> _Rules | Finding | None:
        """None: there is nothing to hold it against, and that is in order."""
        id = manifest.id
        if {id.kind, f"{id.kind}.{id.group}"} & set(self._options.skip_kinds):
            return None
        definition = own.get((id.group, id.kind))
        if definition is not None:
            return await self._custom(job, manifest, definition)
        if job.catalogue is None:
            return None
        if await job.catalogue.resource(id.group, id.kind, manifest.version) is None:
            return await _no_such_kind(job, manifest, own)
        schema = await job.catalogue.schema(id.group, manifest.version, id.kind)
        document = await job.catalogue.document(id.group, manifest.version)
        if schema is None or document is None:
            text = f"{manifest.api_version} {id.kind} has no published schema: not checked"
            return Finding(NAME, Severity.INFO, text)
        return self._kept(job, manifest, schema, _components(document), None)

    async def _custom(
        self, job: CheckJob, manifest: Manifest, definition: Definition
    ) -> _Rules | Finding:
        schema = definition.schemas.get(manifest.version)
        if schema is None:
            served = ", ".join(definition.schemas) or "none"
            return Finding(
                NAME,
                Severity.ERROR,
                f"the definition of {manifest.id.kind} in this change does not serve version "
                f"{manifest.version!r}",
                hint=f"it serves: {served}",
            )
        metadata, components = await _object_meta(job.catalogue)
        return self._kept(job, manifest, schema, components, metadata)

    def _kept(
        self,
        job: CheckJob,
        manifest: Manifest,
        schema: Schema,
        components: Mapping[str, Schema],
        metadata: Schema | None,
    ) -> _Rules:
        key = (job.lane.target, manifest.id.group, manifest.version, manifest.id.kind)
        kept = self._rules.get(key)
        if kept is None or kept.schema is not schema:
            native = metadata is None and _is_native(schema, components)
            validator = Validator(components, native, metadata)
            kept = self._rules[key] = _Rules(schema, validator)
        return kept

    def _finding(
        self, manifest: Manifest, issue: Issue, files: Mapping[str, RenderedFile], placed: int
    ) -> Finding:
        unknown = issue.message == "is unknown here"
        severity = Severity(self._options.unknown_fields) if unknown else Severity.ERROR
        line, column = manifest.origin.line, manifest.origin.column
        file = files.get(manifest.origin.path)
        if line and file is not None and placed <= PLACES_PER_RUN:
            line, column = yamlio.locate(file.text, line, issue.path, file.path)
        return Finding(
            NAME,
            severity,
            f"{manifest.id}: {issue.field} {issue.message}",
            hint=issue.hint,
            path=manifest.origin.path,
            line=line,
            column=column,
            object=manifest.id,
        )


def build(options: Options, services: Services) -> KubeSchema:
    """Raises ConfigError for a severity that does not exist."""
    if options.unknown_fields not in set(Severity):
        raise ConfigError(
            f"unknown_fields {options.unknown_fields!r} of check {NAME!r} is unknown",
            hint=f"write one of: {', '.join(Severity)}",
        )
    return KubeSchema(options)


def _versioned(manifest: Manifest) -> _Versioned:
    return (manifest.id.group, manifest.id.kind), manifest.version


def _take(issues: Iterator[Issue]) -> Iterator[Issue]:
    for count, issue in enumerate(issues, start=1):
        if count > ISSUES_PER_OBJECT:
            yield Issue((), "has more that does not fit")
            return
        yield issue


def _components(document: Mapping[str, Any]) -> Mapping[str, Schema]:
    return (document.get("components") or {}).get("schemas") or {}


def _is_native(schema: Schema, components: Mapping[str, Schema]) -> bool:
    """Custom kinds are published in one piece, types written in Go refer to one another."""
    name = next((name for name, each in components.items() if each is schema), "")
    if name.startswith(_NATIVE):
        return True
    parts = {k: v for k, v in (schema.get("properties") or {}).items() if k != "metadata"}
    return '"$ref"' in orjson.dumps(parts).decode()


async def _object_meta(
    catalogue: KindCatalogue | None,
) -> tuple[Schema, Mapping[str, Schema]]:
    document = await catalogue.document("", "v1") if catalogue is not None else None
    components = _components(document or {})
    return components.get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", {}), components


def _offline() -> Finding:
    return Finding(
        NAME,
        Severity.INFO,
        "no cluster is at hand: only objects of kinds defined in this change were checked",
        hint="`gitops plan` checks against the target's own schemas",
    )


async def _no_such_kind(
    job: CheckJob, manifest: Manifest, own: Mapping[Kind, Definition]
) -> Finding:
    id, catalogue = manifest.id, job.catalogue
    other = await catalogue.resource(id.group, id.kind) if catalogue else None
    moved = _MOVED.get((id.group, id.kind))
    if other is not None:
        group = f"{other.group}/" if other.group else ""
        hint = f"the target serves it as {group}{other.version}"
    elif moved is not None:
        hint = f"it is now in {moved}" if moved else "it was removed from Kubernetes"
    else:
        hint = _nearest(manifest, job, own)
    return Finding(
        NAME,
        Severity.ERROR,
        f"the target knows no kind {id.kind} in {manifest.api_version}",
        hint=hint,
    )


def _nearest(manifest: Manifest, job: CheckJob, own: Mapping[Kind, Definition]) -> str:
    """Whole names are compared (``apps/v1/Deployment``), then the kind alone: a wrong group is as
    common a slip as a wrong letter."""
    wanted = f"{manifest.api_version}/{manifest.id.kind}"
    served = [name for name in (job.facts.api_versions if job.facts else ()) if _is_kind(name)]
    by_kind: dict[str, list[str]] = {kind: [] for kind in _COMMON.split()} if not served else {}
    for name in served:
        by_kind.setdefault(name.rpartition("/")[2], []).append(name)
    for group, kind in own:
        by_kind.setdefault(kind, []).append(f"{group}/{'|'.join(own[group, kind].schemas)}/{kind}")
    near = difflib.get_close_matches(manifest.id.kind, list(by_kind), n=1)
    if not near:
        return "add its CustomResourceDefinition to this application, or deliver it before"
    full = difflib.get_close_matches(wanted, by_kind[near[0]], n=1, cutoff=0) or near
    return f"did you mean {full[0]}? Else add its CustomResourceDefinition first"


def _is_kind(name: str) -> bool:
    return name.rpartition("/")[2][:1].isupper()


def _at(finding: Finding, manifest: Manifest) -> Finding:
    return Finding(
        finding.check,
        finding.severity,
        f"{manifest.id}: {finding.message}",
        finding.hint,
        manifest.origin.path,
        manifest.origin.line,
        manifest.origin.column,
        manifest.id,
    )


def _deprecation(kind: Kind, version: str, own: Mapping[Kind, Definition]) -> str:
    """Others are told by the server itself, as warnings of the dry-run."""
    if kind in own:
        return own[kind].deprecated.get(version, "")
    return _DEPRECATED.get((kind[0], version, kind[1]), "")


def _deprecations(
    manifests: Sequence[Manifest], old: Mapping[tuple[Kind, str], str]
) -> Iterator[Finding]:
    for manifest in manifests:
        text = old.get(((manifest.id.group, manifest.id.kind), manifest.version))
        if text:
            where = f"{manifest.api_version} {manifest.id.kind}: {text}"
            yield _at(Finding(NAME, Severity.WARNING, where), manifest)
