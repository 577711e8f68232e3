"""Runs the checks of one application and remembers what need not be asked twice.

Called by the check step through the composition root. A check sees as little as its scope allows,
and its findings are kept for as long as that does not change: a file's content id, a desired set's
digest on one state of a target. A check that crashes says so in a finding and takes nobody along.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from gitops.delta import gone_and_come
from gitops.errors import GitopsError, ToolMissing
from gitops.foreign import one_line
from gitops.jsonable import to_json
from gitops.model.cluster import ClusterFacts
from gitops.model.delivery import LaneId
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import combine
from gitops.model.manifest import RenderedFile
from gitops.plugins import Plugin, Services
from gitops.ports import Check, CheckJob, Scope
from planners.checks.cache import FilesSeen, FindingCache, Findings

FINDINGS_PER_CHECK = 200


@dataclass(frozen=True, slots=True)
class Configured:
    """A check as one application has it. ``key`` names it with its version and options: findings
    of another version or of other options are never taken for its own."""

    check: Check
    key: str


class Checkup:
    """Every check of a fleet, built once per set of options.

    Checks of scope FLEET are built once for all, for they hold what they saw of every application.
    """

    def __init__(self, plugins: Mapping[str, Plugin], services: Services) -> None:
        self._plugins = plugins
        self._services = services
        self._built: dict[str, Configured] = {}
        self._cache = FindingCache(services.cache_dir)

    def of(self, application: ApplicationSpec) -> tuple[Configured, ...]:
        """The checks that are on, in order of name. Raises ConfigError for options a check
        refuses; names that no check has were refused with the fleet file."""
        found = []
        for name in sorted(self._plugins):
            options = dict(application.checks.get(name, {}))
            if options.pop("enabled", True):
                found.append(self._configured(self._plugins[name], options))
        return tuple(found)

    def names(self, application: ApplicationSpec) -> tuple[str, ...]:
        """Of those that are on and look at applications of this kind."""
        return tuple(
            configured.check.name
            for configured in self.of(application)
            if not isinstance(configured.check, _Concerned)
            or configured.check.concerns(application)
        )

    def _configured(self, plugin: Plugin, options: Mapping[str, Any]) -> Configured:
        text = json.dumps(to_json(options), sort_keys=True)
        key = f"{plugin.name} {plugin.version} {combine(text)}"
        if key not in self._built:
            self._built[key] = Configured(plugin.build(options, self._services), key)
        return self._built[key]

    async def run(self, job: CheckJob) -> tuple[Finding, ...]:
        """All findings about one application on one target; see :func:`run_checks`. A target that
        can tell its facts is asked for them (it keeps them: no request)."""
        target: Any = job.catalogue
        if job.facts is None and isinstance(target, _KnowsFacts):
            job = dataclasses.replace(job, facts=await target.facts())
        return await run_checks(job, self.of(job.application), self._cache)

    def forget(self, lane: LaneId) -> None:
        """The application left the fleet or the target: what is remembered of it goes."""
        self._cache.seen.pop(lane, None)
        for configured in self._built.values():
            check: Any = configured.check
            if isinstance(check, _Remembers):
                check.forget(lane)

    def aside(self) -> Checkup:
        """The same checks, to look at what may never come to be: whatever they are shown, nobody
        who asks here hears of it."""
        return _Aside(self._plugins, self._services, self, self._cache.aside())

    def fleet_checks(self) -> tuple[Check, ...]:
        """Those that look across applications, as far as they were needed so far."""
        built = (configured.check for configured in self._built.values())
        return tuple(check for check in built if check.scope is Scope.FLEET)


class _Aside(Checkup):
    """See :meth:`Checkup.aside`. A check across applications that cannot be set aside is left
    out."""

    def __init__(
        self,
        plugins: Mapping[str, Plugin],
        services: Services,
        real: Checkup,
        cache: FindingCache,
    ) -> None:
        super().__init__(plugins, services)
        self._real = real
        self._cache = cache
        self._memo: dict[int, Any] = {}

    def of(self, application: ApplicationSpec) -> tuple[Configured, ...]:
        found = super().of(application)
        return tuple(
            each
            for each in found
            if each.check.scope is not Scope.FLEET or isinstance(each.check, _SetAside)
        )

    def _configured(self, plugin: Plugin, options: Mapping[str, Any]) -> Configured:
        known = self._real._configured(plugin, options)
        if known.key not in self._built:
            check: Any = known.check
            if known.check.scope is Scope.FLEET and isinstance(check, _SetAside):
                check = check.aside(self._memo)
            self._built[known.key] = dataclasses.replace(known, check=check)
        return self._built[known.key]


@runtime_checkable
class _SetAside(Protocol):
    """A check across applications that can give an equal one which goes on by itself."""

    def aside(self, memo: dict[int, Any]) -> Check: ...


@runtime_checkable
class _Remembers(Protocol):
    """A check that keeps something per lane."""

    def forget(self, lane: LaneId) -> None: ...


@runtime_checkable
class _Concerned(Protocol):
    """A check that looks at one kind of application only: without it, every kind."""

    def concerns(self, application: ApplicationSpec) -> bool: ...


@runtime_checkable
class _KnowsFacts(Protocol):
    async def facts(self) -> ClusterFacts: ...


async def run_checks(
    job: CheckJob, checks: Sequence[Configured], cache: FindingCache
) -> tuple[Finding, ...]:
    """Findings in order of check, then the worst first, then by place."""
    found = await asyncio.gather(*(_run_one(job, each, cache) for each in checks))
    return tuple(finding for findings in found for finding in findings)


async def _run_one(job: CheckJob, configured: Configured, cache: FindingCache) -> Findings:
    if configured.check.scope is Scope.FILE:
        findings = await _of_files(job, configured, cache)
    elif configured.check.scope is Scope.APPLICATION:
        findings = await _of_application(job, configured, cache)
    else:
        findings, _ = await _asked(job, configured)
    return _capped(configured.check.name, findings)


async def _of_application(job: CheckJob, configured: Configured, cache: FindingCache) -> Findings:
    """Kept per desired set and state of the target, but never an error: it blocks a delivery, and
    asking again must be able to lift it (a definition may have been delivered meanwhile). Of a
    root, whose target has no facts, only that nothing was found: the tool says a good deal that
    does not last."""
    spec = job.application
    key: tuple[str, ...] = (
        *(configured.key, spec.name, spec.namespace),
        *(job.lane.target, job.desired.digest),
    )
    if spec.terraform is not None:
        key = (*key, spec.path, repr(spec.terraform), *sorted(spec.needs))
    known = cache.get((*key, job.facts))
    if known is not None:
        return known
    findings, sound = await _asked(job, configured)
    blocked = any(finding.severity is Severity.ERROR for finding in findings)
    lasts = not findings if spec.terraform is not None else job.facts is not None and not blocked
    if sound and lasts:
        cache.put((*key, job.facts), findings)
    return findings


async def _of_files(job: CheckJob, configured: Configured, cache: FindingCache) -> Findings:
    """Files of one path (a template may render to several) are one unit: findings name a path.
    Only paths whose files are others than last time are looked at."""
    if cache.get((configured.key, "", "")) is None:
        await asyncio.to_thread(cache.recall, configured.key)
        cache.put((configured.key, "", ""), ())
    seen = cache.seen.setdefault(job.lane, {})
    last = seen.get(configured.key, FilesSeen())
    gone, come = gone_and_come(last.files, job.files)
    paths = {file.path for file in (*gone, *come)}
    units = _units([file for file in job.files if file.path in paths])
    found = {path: cache.get((configured.key, path, oid)) for path, (oid, _) in units.items()}
    missing = [path for path, known in found.items() if known is None]
    sound = not missing or await _ask_about(missing, units, found, job, configured, cache)
    kept = {path: each for path, each in last.found.items() if path not in paths}
    now = {path: each for path, each in found.items() if each}
    if sound:
        theirs = {path: each for path, each in now.items() if path in units}
        seen[configured.key] = FilesSeen(tuple(job.files), kept | theirs)
    return tuple(finding for findings in (kept | now).values() for finding in findings)


async def _ask_about(
    missing: Sequence[str],
    units: Mapping[str, tuple[str, list[RenderedFile]]],
    found: dict[str, Findings | None],
    job: CheckJob,
    configured: Configured,
    cache: FindingCache,
) -> bool:
    """Fills in what is found in these paths; False when the check failed on any."""
    files = [file for path in missing for file in units[path][1]]
    findings, sound = await _asked(dataclasses.replace(job, files=files), configured)
    if not sound:
        findings = await _one_by_one(job, files, configured)
    _sort_out(missing, findings, found)
    if sound:
        _remember(configured.key, missing, units, found, cache)
    return sound


def _units(files: Sequence[RenderedFile]) -> dict[str, tuple[str, list[RenderedFile]]]:
    units: dict[str, tuple[str, list[RenderedFile]]] = {}
    for file in files:
        oid, same = units.get(file.path, ("", []))
        mark = f"{file.oid}*" if file.rendered else file.oid
        units[file.path] = (f"{oid} {mark}" if oid else mark, [*same, file])
    return units


def _sort_out(paths: Sequence[str], findings: Findings, found: dict[str, Findings | None]) -> None:
    by_path: dict[str, list[Finding]] = {path: [] for path in paths}
    for finding in findings:
        by_path.setdefault(finding.path, []).append(finding)
    found.update({path: tuple(each) for path, each in by_path.items()})


def _remember(
    key: str,
    paths: Sequence[str],
    units: Mapping[str, tuple[str, list[RenderedFile]]],
    found: Mapping[str, Findings | None],
    cache: FindingCache,
) -> None:
    entries = [(path, units[path][0], found[path] or ()) for path in paths]
    for path, oid, findings in entries:
        cache.put((key, path, oid), findings)
    cache.keep(key, entries)


async def _one_by_one(
    job: CheckJob, files: Sequence[RenderedFile], configured: Configured
) -> Findings:
    """One file made the check fail for all: find out which, the others are checked."""
    found: list[Finding] = []
    for file in files:
        findings, sound = await _asked(dataclasses.replace(job, files=[file]), configured)
        found += findings if sound else [dataclasses.replace(f, path=file.path) for f in findings]
    return tuple(found)


async def _asked(job: CheckJob, configured: Configured) -> tuple[Findings, bool]:
    """The check's findings and True, or what became of it and False."""
    try:
        findings = await configured.check.run(job)
    except Exception as error:  # a check is foreign code: it must not stop others
        return (_crash(configured.check.name, error),), False
    return tuple(findings), True


def _crash(check: str, error: Exception) -> Finding:
    """The type alone of what is not ours: its text may hold a value."""
    if isinstance(error, ToolMissing):  # nothing about the check, and its hint says what to do
        return Finding(check, Severity.ERROR, one_line(error.message, 300), hint=error.hint)
    known = one_line(error.message, 300) if isinstance(error, GitopsError) else ""
    return Finding(
        check,
        Severity.ERROR,
        f"the check itself failed: {known or type(error).__name__}",
        hint="nothing is known about what it would have found; see the controller's log, or switch "
        "it off for this application with `enabled: false`",
    )


def _capped(check: str, findings: Findings) -> Findings:
    ordered = sorted(findings, key=lambda f: (f.severity.rank, f.path, f.line, f.column, f.message))
    kept = tuple(ordered[:FINDINGS_PER_CHECK])
    if len(ordered) == len(kept):
        return kept
    more = len(ordered) - len(kept)
    return (*kept, Finding(check, Severity.INFO, f"and {more} more, the worst are shown"))
