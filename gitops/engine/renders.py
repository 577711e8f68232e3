"""What every application is at the newest revision, rendered at most once per closure.

Wraps the renderers: remembers the last result per application (and per target for renderers that
look at its capabilities) together with what it read, so that a commit outside the closure costs a
few look-ups. A rendering that fails is a result too: a finding under the closure it got to read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gitops.closures import Recorder, moved
from gitops.engine.supplies import NONE, Supplies
from gitops.errors import RenderError
from gitops.model.cluster import ClusterFacts
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, Digest, combine
from gitops.model.manifest import Desired
from gitops.model.source import Closure, Revision
from gitops.needs import substituted
from gitops.ports import Renderer, RenderJob, Snapshot

_Key = tuple[ApplicationName, str]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One application at one closure: a desired set, or why there is none."""

    closure: Closure
    revision: Revision
    desired: Desired | None
    findings: tuple[Finding, ...] = ()


@dataclass(slots=True)
class _Memo:
    spec: ApplicationSpec
    supplies: Digest
    rendered: Rendered


class Renders:
    """Offered to the steps as ``kit.renders``."""

    def __init__(
        self,
        pick: Callable[[ApplicationSpec, Snapshot], Renderer],
        digest: Callable[[bytes], Digest],
    ) -> None:
        self._pick = pick
        self._digest = digest
        self._memos: dict[_Key, _Memo] = {}
        self._older: dict[_Key, _Memo] = {}
        self._locks: dict[_Key, asyncio.Lock] = {}

    async def of(
        self,
        application: ApplicationSpec,
        snapshot: Snapshot,
        facts: ClusterFacts | None,
        supplies: Supplies = NONE,
        *,
        gone: bool = False,
    ) -> Rendered:
        """``gone``: the application was delivered before, so a missing folder means the empty
        set (a delete plan that is asked), not a mistake in the fleet file."""
        key = (application.name, capabilities(facts))
        # Two targets of one application ask at the same time after every commit.
        async with self._locks.setdefault(key, asyncio.Lock()):
            memo = self._memos.get(key)
            same = memo and (memo.spec, memo.supplies) == (application, supplies.digest)
            if memo and same and not moved(memo.rendered.closure, snapshot):
                return memo.rendered
            rendered = await self._render(application, snapshot, facts, supplies, gone)
            self._memos[key] = _Memo(application, supplies.digest, rendered)
            return rendered

    async def once(
        self,
        application: ApplicationSpec,
        snapshot: Snapshot,
        facts: ClusterFacts | None,
        supplies: Supplies = NONE,
    ) -> Rendered:
        """An older revision, without forgetting the newest. The last one is remembered: a lane
        that was rolled back is looked at with it every time."""
        key = (application.name, capabilities(facts))
        memo, revision = self._older.get(key), snapshot.revision
        same = memo and (memo.spec, memo.supplies) == (application, supplies.digest)
        if memo and same and memo.rendered.revision.id == revision.id:
            return memo.rendered
        rendered = await self._render(application, snapshot, facts, supplies, gone=True)
        self._older[key] = _Memo(application, supplies.digest, rendered)
        return rendered

    def concerned(self, application: ApplicationName, snapshot: Snapshot) -> bool:
        """Does this revision change anything the application's renderings read?"""
        memos = [memo for key, memo in self._memos.items() if key[0] == application]
        return not memos or any(moved(memo.rendered.closure, snapshot) for memo in memos)

    def known(self, application: ApplicationName) -> bool:
        """Was it rendered at all since the start?"""
        return any(name == application for name, _ in self._memos)

    def forget(self, application: ApplicationName) -> None:
        for memos in (self._memos, self._older):
            for key in [key for key in memos if key[0] == application]:
                del memos[key]

    async def _render(
        self,
        application: ApplicationSpec,
        snapshot: Snapshot,
        facts: ClusterFacts | None,
        supplies: Supplies,
        gone: bool,
    ) -> Rendered:
        recorder = Recorder(snapshot)
        if recorder.entry(application.path) is None:
            return self._absent(application, recorder, gone)
        try:
            renderer = self._pick(application, recorder)
            job = RenderJob(application, recorder, facts, supplies.values)
            desired = substituted(await renderer.render(job), supplies.values, self._digest)
        except RenderError as error:
            finding = Finding("render", Severity.ERROR, error.message, error.hint, error.place)
            closure = recorder.closure(outside=("unrenderable", error.message))
            return Rendered(closure, snapshot.revision, None, (finding,))
        warnings = tuple(
            Finding("render", Severity.WARNING, text, path=application.path)
            for text in desired.warnings
        )
        return Rendered(desired.closure, snapshot.revision, desired, warnings)

    def _absent(self, application: ApplicationSpec, recorder: Recorder, gone: bool) -> Rendered:
        closure = recorder.closure(outside=("absent", str(gone)))
        revision = recorder.revision
        if gone:
            desired = Desired((), closure, self._digest(b""), "nothing")
            return Rendered(closure, revision, desired)
        finding = Finding(
            "render",
            Severity.ERROR,
            f"there is no {application.path!r} in {revision}",
            f"correct `path` of application {application.name!r} in the fleet file",
            application.path,
        )
        return Rendered(closure, revision, None, (finding,))


def capabilities(facts: ClusterFacts | None) -> Digest:
    """What of a target a renderer may look at, as one digest."""
    return combine(facts.version, *facts.api_versions) if facts else combine()
