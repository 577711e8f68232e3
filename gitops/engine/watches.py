"""Keeps looking at every source: a request for its head every interval, or at once when nudged.

A look that fails keeps the last good revision and says why; nothing is ever deleted because a
source could not be read. The engine is told only when the revision really moved.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from gitops.engine import bell
from gitops.engine.ledger import Ledger
from gitops.engine.rollbacks import went_before
from gitops.errors import SourceProblem, StoreUnavailable, Transient
from gitops.model.events import SourceLooked
from gitops.model.fleet import SourceSpec
from gitops.model.source import Revision, SourceState, SourceStatus
from gitops.ports import Clock, Look, Reading, Retaining, Snapshot, Source

_log = structlog.get_logger(__name__)

Moved = Callable[[Snapshot], Awaitable[None]]

LONGEST_PAUSE = 600.0
"""Seconds between two looks at a source that does not answer, unless it is asked less often anyway
or says itself when to come back."""


class SourceWatch:
    """One source's loop. ``status`` is always the truth of the last look."""

    def __init__(
        self, spec: SourceSpec, source: Source, ledger: Ledger, clock: Clock, moved: Moved
    ) -> None:
        self.spec = spec
        self.source = source
        self.status = SourceStatus(spec.name, SourceState.NEW)
        self.snapshot: Snapshot | None = None
        self.polls: Counter[str] = Counter()
        """Looks of this process by what they said: a state of a source."""
        self.answered_at: float | None = None
        """Wall clock of the last look that got an answer it could use."""
        self._ledger = ledger
        self._clock = clock
        self._moved = moved
        self._nudged = asyncio.Event()
        self._looked = asyncio.Condition()
        self._looks = 0
        self._looking = False
        self._failures = 0
        """Looks in a row that got no answer."""
        self._asked_to_wait = 0.0
        """Seconds, as the remote said with the last of them."""
        self._offered = ""
        """Id of the revision the engine was last told of: only then is it dealt with."""

    def nudge(self) -> None:
        """Look now. Nudges while a look is under way collapse into one more."""
        self._nudged.set()

    async def nudge_and_wait(self) -> SourceStatus:
        """Look now and return what that look said."""
        async with self._looked:
            # A look already under way may have asked the remote before the nudge's commit was
            # there, so only the one after it counts.
            wanted = self._looks + (2 if self._looking else 1)
            self._nudged.set()
            await self._looked.wait_for(lambda: self._looks >= wanted)
        return self.status

    async def run(self) -> None:
        """For ever; cancelled at shutdown. Starts with the last good revision of an earlier run, so
        that a remote that is away does not leave us without one."""
        await self._recall()
        while True:
            self._nudged.clear()
            await self.look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), self.pause())

    def pause(self) -> float:
        """Seconds until the next look, unless somebody nudges. Longer each time there is no answer.
        ±10 %, so that a hundred sources do not ask in step."""
        seconds = self.spec.interval.total_seconds()
        if self._failures:
            longer = min(seconds * 2 ** min(self._failures - 1, 20), LONGEST_PAUSE)
            seconds = max(seconds, longer, self._asked_to_wait)
        return seconds * random.uniform(0.9, 1.1)  # noqa: S311

    async def look(self) -> None:
        self._looking = True
        try:
            await self._look()
        except StoreUnavailable as error:
            _log.warning("source.unrecorded", source=self.spec.name, problem=error.message)
        finally:
            self._looking = False
            async with self._looked:
                self._looks += 1
                self._looked.notify_all()

    async def _look(self) -> None:
        last = self.status.revision
        try:
            found = await self.source.look(last)
            if self.snapshot is None or found.revision.id != self.snapshot.revision.id:
                self.snapshot = await self.source.snapshot(found.revision)
        except SourceProblem as error:
            await self._now(error.state, last, str(error))
        except Transient as error:
            self._failures += 1
            self._asked_to_wait = error.retry_after or 0.0
            await self._now(SourceState.UNREACHABLE, last, str(error))
            return
        else:
            await self._found(found, last)
        self._failures = 0

    async def _found(self, found: Look, last: Revision | None) -> None:
        moved = last is None or last.id != found.revision.id
        state = SourceState.REWRITTEN if found.rewritten else SourceState.READY
        message = ""
        if found.rewritten and last is not None:
            message = f"history was rewritten: {last.id[:12]} is no ancestor of the present head"
        elif not moved and self.status.state is SourceState.REWRITTEN:
            state, message = self.status.state, self.status.message
        try:
            await self._now(state, found.revision, message)
        finally:
            await self._offer()
        if moved and isinstance(self.source, Retaining):
            await self.source.retain(await self._ledger.read(self._wanted))

    def _wanted(self, reading: Reading) -> list[Revision]:
        """What is in force somewhere, about to be, or could be gone back to."""
        lanes = reading.lanes()
        found = [lane.delivered.revision for lane in lanes if lane.delivered]
        found += [lane.rollback.revision for lane in lanes if lane.rollback]
        found += [record.change.revision for record in reading.changes()]
        for lane in lanes:
            if lane.delivered and lane.delivered.revision.source == self.spec.name:
                found += went_before(reading, lane)
        return [revision for revision in found if revision.source == self.spec.name]

    async def _offer(self) -> None:
        """Tells the engine of a revision it has not been told of, also when recording failed."""
        if self.snapshot is not None and self.snapshot.revision.id != self._offered:
            await self._moved(self.snapshot)
            self._offered = self.snapshot.revision.id

    async def _now(self, state: SourceState, revision: Revision | None, message: str) -> None:
        before, now = self.status, self._clock.now()
        self.polls[state.value] += 1
        if state in (SourceState.READY, SourceState.REWRITTEN):
            self.answered_at = now
        moved = (before.revision.id if before.revision else "") != (revision.id if revision else "")
        self.status = SourceStatus(
            self.spec.name,
            state,
            revision,
            message,
            checked_at=now,
            changed_at=now if moved else before.changed_at,
        )
        self._ledger.bell.ring((bell.look(self.spec.name),))
        if moved or state is not before.state:
            log = _log.info if state is SourceState.READY else _log.warning
            log(
                "source",
                name=self.spec.name,
                state=state.value,
                revision=str(revision or "-"),
                message=message,
            )
            await self._ledger.append(SourceLooked(self.status))

    async def _recall(self) -> None:
        for status in await self._ledger.read(lambda reading: reading.sources()):
            if status.source == self.spec.name and status.revision is not None:
                self.status = replace(status, state=SourceState.NEW)
                with contextlib.suppress(SourceProblem, Transient):
                    self.snapshot = await self.source.snapshot(status.revision)
        await self._offer()
