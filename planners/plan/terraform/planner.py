"""Plays :class:`gitops.ports.terraform.RootPlanner`: draws plans of roots, carries them out.

Called by the workspace target. A plan file that was kept is used again while everything it was
made from stands, so a restart asks nobody twice. Nothing is applied but the file of the seal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gitops.errors import GitopsError, Permanent, SealBroken, StalePlan, ToolMissing
from gitops.foreign import one_line
from gitops.masking import Masker
from gitops.model.delivery import LaneId, ObjectOutcome
from gitops.model.finding import Finding
from gitops.model.fleet import ApplicationSpec
from gitops.model.plan import Plan
from gitops.model.sealed import SealedRun
from gitops.ports import Digester, Drawn, Executed
from gitops.ports.terraform import ApplyRun, PlanRun, Root, RootDrift, RootJob, Workspace
from planners.plan.terraform.document import Json
from planners.plan.terraform.inputs import artifact_of, inputs_of, sha256_of, unlike
from planners.plan.terraform.outputs import known_outputs
from planners.plan.terraform.reading import Reading, read, read_drift
from planners.plan.terraform.veil import Secret, Veil, secrets_of
from planners.plan.terraform.versions import versions_of

_LONGEST = 1_000
"""Characters of the tool's words about one resource."""
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class _Last:
    """What was read of a lane's newest plan: rounds come often, and running the tool again only
    to read the same is slow."""

    sha256: str
    application: ApplicationSpec
    reading: Reading
    versions: tuple[tuple[str, str], ...]
    outputs: Mapping[str, Any]
    secrets: frozenset[Secret] = field(repr=False)

    def of(self, sealed: SealedRun, root: Root) -> bool:
        return self.sha256 == sealed.sha256 and self.application == root.application


class TerraformPlanner:
    """One a process."""

    version = "1"

    def __init__(
        self,
        workspace: Workspace,
        digester: Digester,
        masker: Masker,
        also: Callable[[Root, Json], Sequence[Finding]] = lambda _root, _shown: (),
    ) -> None:
        """``also`` is shown every plan once, in clear, and gives the findings of checks that look
        at planned values (ranges of addresses that overlap); its words must hold no secret."""
        self._also = also
        self._workspace = workspace
        self._digester = digester
        self._masker = masker
        self._last: dict[LaneId, _Last] = {}

    # --- drawing ------------------------------------------------------------------------------

    async def draw(self, job: RootJob) -> Drawn:
        """The plan, and the seal over its file. Raises what the workspace raises, and RenderError
        for a plan nobody can read."""
        sealed = await self._reusable(job)
        last = self._last.get(job.root.lane)
        if sealed is None:
            run = await self._workspace.plan(job.root)
            sealed = self._sealed(job.root, run)
            last = await self._read(job.root, sealed, run.shown)
        elif last is None or not last.of(sealed, job.root):
            shown = await self._workspace.show(job.root, sealed.plan_file)
            last = await self._read(job.root, sealed, shown)
        plan = _plan(job, last)
        artifact = artifact_of(sealed, self._digester)
        return Drawn(plan, sealed, artifact, settled={}, outputs=last.outputs)

    async def _read(self, root: Root, sealed: SealedRun, shown: Json) -> _Last:
        secrets = await asyncio.to_thread(secrets_of, shown)
        veil = await self._veil(root, secrets)
        reading = await asyncio.to_thread(read, shown, root.application, veil, self._digester)
        reading = replace(reading, findings=(*reading.findings, *self._also(root, shown)))
        versions = versions_of(shown, sealed.tool, sealed.providers)
        outputs = known_outputs(shown)
        last = _Last(sealed.sha256, root.application, reading, versions, outputs, secrets)
        self._last[root.lane] = last
        return last

    async def _reusable(self, job: RootJob) -> SealedRun | None:
        """The kept seal if a new plan would start from the very same."""
        root, kept = job.root, job.kept
        if kept is None or unlike(kept, root, self._workspace.identity(root)):
            return None
        if kept.inputs != inputs_of(root, self._digester):
            return None
        same = kept.tool == await self._workspace.tool(root)
        return kept if same and kept.state == await self._workspace.state(root) else None

    def _sealed(self, root: Root, run: PlanRun) -> SealedRun:
        return SealedRun(
            lane=root.lane,
            path=root.application.path,
            files=root.files,
            plan_file=run.plan_file,
            sha256=sha256_of(run.plan_file),
            lock_sha256=run.lock_sha256,
            tool=run.tool,
            providers=tuple(sorted(run.providers)),
            state=run.state,
            target=self._workspace.identity(root),
            inputs=inputs_of(root, self._digester),
        )

    async def _veil(self, root: Root, secrets: frozenset[Secret]) -> Veil:
        """What is secret is told to the masker on the loop's own thread, a few at a time:
        everybody shares it."""
        masker = self._masker.scope(root.lane.application)
        for index, secret in enumerate(secrets):
            masker.taint(secret.text, live=secret.live)
            if index % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return await asyncio.to_thread(Veil, masker, self._digester, secrets)

    # --- drift --------------------------------------------------------------------------------

    async def drift(self, root: Root) -> RootDrift | None:
        """What a refresh-only plan finds. A configuration that moved on is no drift."""
        run = await self._workspace.plan(root, refresh_only=True)
        veil = await self._veil(root, await asyncio.to_thread(secrets_of, run.shown))
        rows, digest = await asyncio.to_thread(read_drift, run.shown, veil, self._digester)
        return RootDrift(digest, rows) if rows else None

    # --- carrying out -------------------------------------------------------------------------

    async def execute(self, root: Root, sealed: SealedRun, run: str) -> Executed:
        """Applies exactly the sealed plan file. Where something moved since it was approved,
        nothing is begun and the result is void. Called again under the same name it goes on where
        it was. Raises Transient errors (StateLocked): to be called again."""
        begun = await self._workspace.begun(root, run)
        try:
            _require(unlike(sealed, root, self._workspace.identity(root)))
            veil = await self._veil_of(root, sealed)
            if not begun:
                _require([reason async for reason in self._moved(root, sealed)])
            applied = await self._workspace.apply(root, sealed.plan_file, run)
        except StalePlan as refused:
            return Executed((), {}, self._words(root, refused))
        except (SealBroken, ToolMissing) as refused:
            if not begun:
                return Executed((), {}, self._words(root, refused))
            return self._refused(root, refused, "it was begun before a restart: ")
        except Permanent as refused:
            return self._refused(root, refused, "")
        return Executed(tuple(self._outcomes(root, applied, veil)), {})

    def _refused(self, root: Root, error: Permanent, begin: str) -> Executed:
        words = f"{begin}{self._words(root, error)}"
        return Executed((_outcome(_name(root), False, words),), {})

    def _words(self, root: Root, error: Permanent) -> str:
        text = f"{error.message} ({error.hint})" if error.hint else error.message
        return self._masker.scope(root.lane.application).text(text)

    def _outcomes(
        self, root: Root, applied: ApplyRun, veil: Veil | None
    ) -> Iterator[ObjectOutcome]:
        addresses = veil or self._masker.scope(root.lane.application)
        for each in applied.outcomes:
            yield _outcome(addresses.text(each.address), each.done, _said(each.message, veil))
        failed = not all(each.done for each in applied.outcomes)
        if not applied.done and (applied.message or not failed):
            yield _outcome(
                _name(root), False, _said(applied.message or "it did not end well", veil)
            )
        elif not applied.outcomes:
            yield _outcome(_name(root), True, "")

    async def _veil_of(self, root: Root, sealed: SealedRun) -> Veil | None:
        """After a restart nobody here knows yet which values of this plan are secret. None where
        that cannot be found out: then the tool's words are not passed on."""
        last = self._last.get(root.lane)
        if last is not None and last.of(sealed, root):
            return await self._veil(root, last.secrets)
        with contextlib.suppress(GitopsError):
            shown = await self._workspace.show(root, sealed.plan_file)
            return await self._veil(root, await asyncio.to_thread(secrets_of, shown))
        return None

    async def _moved(self, root: Root, sealed: SealedRun) -> AsyncIterator[str]:
        tool = await self._workspace.tool(root)
        if tool != sealed.tool:
            yield f"it was planned by {sealed.tool}, and {tool} is what is here now"
            return
        state = await self._workspace.state(root)
        if state != sealed.state:
            yield f"the state moved: it was planned on {sealed.state}, and now it is {state}"


def _require(reasons: list[str]) -> None:
    if reasons:
        raise SealBroken("; ".join(reasons), hint="it has to be planned and asked about again")


def _plan(job: RootJob, last: _Last) -> Plan:
    lane, reading = job.root.lane, last.reading
    return Plan(
        job.change.id,
        lane.application,
        lane.target,
        reading.changes,
        reading.digest,
        reading.unchanged,
        (*job.findings, *reading.findings),
        reading.over_budget,
        last.versions,
        hides=reading.hides,
    )


def _said(text: str, veil: Veil | None) -> str:
    if not text:
        return ""
    return veil.text(text) if veil else "its words are not shown: they may hold secrets"


def _outcome(address: str, done: bool, message: str) -> ObjectOutcome:
    return ObjectOutcome(one_line(address, _LONGEST), done, one_line(message, _LONGEST))


def _name(root: Root) -> str:
    return f"workspace {root.lane.target} of {root.lane.application}"
