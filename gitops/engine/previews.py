"""Pull requests that are open: previewed when they move, told on the forge, removed when they end.

A webhook only says which one to look at (:meth:`Previews.heard`); where none is configured, the
forge's list is looked at as often as the source. What a pull request is now, the forge is asked
itself; what is drawn, somebody else draws (:mod:`gitops.previewing`). A newer head puts an older
preview aside, a preview that fails says so in words where people look for it, and nothing here ever
keeps a delivery waiting: previews are few at a time and have a deadline.

What the reviews of a pull request may count for is remembered last: the digests of those plans that
were shown there whole, for the head they were shown for (:mod:`gitops.engine.reviews` reads them).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from gitops import preview_text as words
from gitops.engine.ledger import Ledger
from gitops.engine.meaning import PullWord
from gitops.engine.repositories import into_followed
from gitops.engine.reviews import SHOWN_FOR, shown, shown_to
from gitops.engine.tasks import Tasks
from gitops.errors import GitopsError, Permanent, StaleWrite, Transient, Unknown
from gitops.foreign import one_line
from gitops.model.fleet import Fleet, PullRequestsSpec, SourceSpec
from gitops.model.ids import SourceName, short
from gitops.model.preview import Depth, Preview
from gitops.ports import Clock, Digester, Reading, Transaction
from gitops.ports.forges import (
    CommitState,
    CommitStatus,
    Forge,
    PullRequest,
    PullState,
    Report,
)
from gitops.ports.inbound import CheckAgain, PullAction, PullMoved

_log = structlog.get_logger(__name__)

AT_ONCE = 2
DEADLINE = 900.0
"""Seconds one preview may take: a Terraform plan may need minutes."""
LOOK_LEAST = 30.0
"""Seconds between two looks at a forge's list where no webhook tells of pull requests."""
LOOK_ANYWAY = 600.0
"""The same where one does: for what was lost on the way."""
TRIES = 6
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
KEPT = 100
"""Previews kept to be shown in full; older ones can be drawn again."""
REPORTS = 50
"""Applications with a status of their own."""
MOST_REMEMBERED = 1_000

OVERALL = "gitops/preview"
"""The status to require at the forge: it is there whatever applications are concerned."""

Key = tuple[SourceName, int]
Draw = Callable[[SourceSpec, PullRequest, Depth], Awaitable[Preview]]


@dataclass(slots=True)
class _Open:
    """One pull request somebody spoke of."""

    wanted: bool = False
    forced: bool = False
    """Draw it again although nothing seems to have moved."""
    word: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody spoke of it while it was being drawn."""
    task: asyncio.Task[None] | None = None
    waiters: list[asyncio.Future[Preview | None]] = field(default_factory=list)


class _Overtaken(Exception):
    """The pull request is no longer what is being drawn."""


class Previews:
    """One controller's. ``run`` is its life; before and after it nothing is drawn."""

    def __init__(
        self,
        fleet: Callable[[], Fleet],
        forge: Callable[[SourceName], Forge | None],
        draw: Draw,
        ledger: Ledger,
        digester: Digester,
        clock: Clock,
        mask: Callable[[str], str] = str,
        page: Callable[[SourceName, int], str] = lambda _source, _number: "",
        deadline: float = DEADLINE,
    ) -> None:
        """``page`` gives the address where people find more; empty where there is none."""
        self._fleet = fleet
        self._forge = forge
        self._draw = draw
        self._ledger = ledger
        self._clock = clock
        self._mask = mask
        self._page = page
        self._deadline = deadline
        # Stable for as long as the vault's key is, and another controller's is another.
        self._name = short(digester.of(b"preview comments"))
        self._open: dict[Key, _Open] = {}
        self._drawn: OrderedDict[Key, Preview] = OrderedDict()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._looking: dict[SourceName, SourceSpec] = {}
        self._tasks = Tasks()
        self._errands: set[asyncio.Task[None]] = set()
        self._alive = False

    # --- hearing ------------------------------------------------------------------------------

    def heard(self, source: SourceName, word: PullWord) -> None:
        """For the inbox: returns at once."""
        if not self._alive or self._policy(source) is None:
            return
        if isinstance(word, PullMoved):
            if word.action is not PullAction.REVIEWED:
                asked = word.action is PullAction.ASKED
                self._want((source, word.number), forced=asked)
        elif isinstance(word, CheckAgain):
            task = asyncio.create_task(self._again_at(source, word.commit))
            self._errands.add(task)
            task.add_done_callback(self._errands.discard)

    async def again(self, source: SourceName, number: int) -> Preview | None:
        """Draws and posts it anew; None when it is not open, or not into the branch followed.
        Raises Unknown for a source without previews."""
        if self._policy(source) is None or not self._alive:
            known = [name for name in self._fleet().sources if self._policy(name)]
            raise Unknown(
                f"source {one_line(source, 80)!r} has no previews",
                hint=f"sources with `pull_requests:`: {', '.join(sorted(known)) or 'none'}",
            )
        done: asyncio.Future[Preview | None] = asyncio.get_running_loop().create_future()
        self._want((source, number), forced=True).waiters.append(done)
        return await done

    def drawn(self) -> tuple[Preview, ...]:
        """Those of open pull requests that are still at hand, newest first."""
        return tuple(reversed(self._drawn.values()))

    def of(self, source: SourceName, number: int) -> Preview | None:
        return self._drawn.get((source, number))

    def busy(self, source: SourceName, number: int) -> bool:
        """Is it being drawn or posted, or about to be?"""
        return (source, number) in self._open

    def _policy(self, source: SourceName) -> PullRequestsSpec | None:
        spec = self._fleet().sources.get(source)
        told = spec.pull_requests if spec else None
        return told if told and told.preview and self._forge(source) is not None else None

    async def _again_at(self, source: SourceName, commit: str) -> None:
        """A check was asked for again: of whichever pull request has that head."""
        forge = self._forge(source)
        if forge is None:
            return
        try:
            pulls = await forge.open_pulls()
        except GitopsError as error:
            _log.warning("preview.unlisted", source=source, problem=error.message)
            return
        for pull in pulls:
            if pull.head == commit:
                self._want((source, pull.number), forced=True)

    # --- looking ------------------------------------------------------------------------------

    async def run(self) -> None:
        """For ever; ends whatever is being drawn when cancelled."""
        self._alive = True
        try:
            await self._tidy()
            while True:
                self._adjust()
                await asyncio.sleep(1.0)
        finally:
            self._alive = False
            tasks = [each.task for each in self._open.values() if each.task]
            tasks += self._errands
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in self._open.values():
                _answer(each, None)
            self._open.clear()
            self._looking.clear()
            await self._tasks.close()

    def _adjust(self) -> None:
        """A look for each source the present fleet file has previews for."""
        wanted = {name: s for name, s in self._fleet().sources.items() if self._policy(name)}
        for name in [name for name, spec in self._looking.items() if wanted.get(name) != spec]:
            self._tasks.end(f"pulls of {name}")
            del self._looking[name]
        for name, spec in wanted.items():
            if name not in self._looking:
                self._looking[name] = spec
                self._tasks.start(f"pulls of {name}", partial(self._look, spec))

    async def _look(self, spec: SourceSpec) -> None:
        while True:
            try:
                await self.look(spec.name)
            except GitopsError as error:
                _log.warning("preview.unlisted", source=spec.name, problem=error.message)
            await asyncio.sleep(self._pause(spec))

    def _pause(self, spec: SourceSpec) -> float:
        told = any(
            spec.forge is not None
            and hook.kind == spec.forge.kind
            and (not hook.sources or spec.name in hook.sources)
            for hook in self._fleet().webhooks
        )
        return LOOK_ANYWAY if told else max(LOOK_LEAST, spec.interval.total_seconds())

    async def look(self, source: SourceName) -> None:
        """Compares the forge's list with what was posted: whatever moved is wanted, and whatever
        is open no longer is removed. Raises what the forge raises."""
        forge, spec = self._forge(source), self._fleet().sources[source]
        if forge is None:
            return
        pulls = {p.number: p for p in await forge.open_pulls() if into(p, spec)}
        posted = await self._ledger.read(lambda reading: _posted(reading, source))
        for number, pull in pulls.items():
            if posted.get(number) != pull.head or self._worth_another_try((source, number)):
                self._want((source, number))
        for number in posted.keys() - pulls.keys():
            self._want((source, number))

    def _worth_another_try(self, key: Key) -> bool:
        """What kept it from being drawn may have passed."""
        known = self._drawn.get(key)
        if known is None or not known.problem:
            return False
        return self._clock.now() - known.at > LOOK_ANYWAY

    async def _tidy(self) -> None:
        before = self._clock.now() - SHOWN_FOR

        def work(tx: Transaction) -> None:
            for source in self._fleet().sources:
                tx.forget_memos(shown_to(source), before)

        with contextlib.suppress(Transient, StaleWrite):
            await self._ledger.write(work)

    # --- one at a time ------------------------------------------------------------------------

    def _want(self, key: Key, *, forced: bool = False) -> _Open:
        entry = self._open.setdefault(key, _Open())
        entry.wanted, entry.forced = True, entry.forced or forced
        entry.word.set()
        if entry.task is None:
            entry.task = asyncio.create_task(self._tend(key, entry), name=f"preview {key}")
        return entry

    async def _tend(self, key: Key, entry: _Open) -> None:
        preview: Preview | None = None
        try:
            while entry.wanted:
                preview = await self._attempts(key, entry)
        except Exception:
            # A defect of ours must not take the others down.
            _log.exception("preview.defect", source=key[0], number=key[1])
        finally:
            self._open.pop(key, None)
            _answer(entry, preview)

    async def _attempts(self, key: Key, entry: _Open) -> Preview | None:
        """Until it is told, or given up; somebody's word ends a pause."""
        pause = FIRST_PAUSE
        for attempt in range(TRIES):
            entry.wanted = False
            entry.word.clear()
            try:
                async with self._turns:
                    return await self._once(key, entry)
            except _Overtaken:
                return None
            except GitopsError as error:
                _log.warning("preview.untold", source=key[0], number=key[1], problem=str(error))
                if not isinstance(error, Transient) or attempt + 1 == TRIES:
                    return None
                wait = min(max(error.retry_after or 0.0, pause), LONGEST_PAUSE)
            pause *= 2
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(entry.word.wait(), wait)
        return None

    async def _once(self, key: Key, entry: _Open) -> Preview | None:
        """Raises what the forge raises, and _Overtaken."""
        source, number = key
        spec, forge = self._fleet().sources.get(source), self._forge(source)
        policy = self._policy(source)
        if spec is None or policy is None or forge is None:
            return None
        posted = await self._ledger.read(lambda reading: _posted(reading, source).get(number))
        pull = await _present(forge, number)
        if pull is None or pull.state is not PullState.OPEN or not into(pull, spec):
            await self._remove(key, forge, posted is not None)
            return None
        preview = self._drawn.get(key)
        if entry.forced or preview is None or preview.head != pull.head or preview.problem:
            await self._begin(forge, source, pull)
            preview = await self._drawing(spec, pull, depth_of(pull, policy), forge, entry)
            if preview is None:
                raise _Overtaken
            entry.forced = False
            self._keep(key, preview)
        elif posted == pull.head:
            return preview
        await self._tell(forge, policy, pull, preview)
        return preview

    async def _begin(self, forge: Forge, source: SourceName, pull: PullRequest) -> None:
        """From here on something of ours may be on the forge: after a crash it is made good."""
        await self._remember(source, pull.number, "")
        status = _status(pull, OVERALL, CommitState.RUNNING, "being previewed")
        await _said(forge.tell(status), "status")

    async def _remember(self, source: SourceName, number: int, head: str) -> None:
        value = json.dumps({"head": head})
        await self._ledger.write(lambda tx: tx.memorise(posted_by(source), str(number), value))

    async def _drawing(
        self, spec: SourceSpec, pull: PullRequest, depth: Depth, forge: Forge, entry: _Open
    ) -> Preview | None:
        """None when the pull request moves meanwhile; whatever else goes wrong is a preview that
        says so."""
        drawing = asyncio.ensure_future(self._draw(spec, pull, depth))
        watching = asyncio.ensure_future(self._until_moved(pull, forge, entry))
        began = self._clock.monotonic()
        try:
            await asyncio.wait(
                {drawing, watching}, timeout=self._deadline, return_when=asyncio.FIRST_COMPLETED
            )
            if drawing.done():
                seconds = self._clock.monotonic() - began
                return replace(drawing.result(), at=self._clock.now(), seconds=seconds)
            if watching.done():
                return None
            return self._failed(
                spec, pull, f"it took longer than {self._deadline / 60:.0f} minutes"
            )
        except GitopsError as error:
            return self._failed(spec, pull, str(error))
        except Exception:
            _log.exception("preview.defect", source=spec.name, number=pull.number)
            return self._failed(spec, pull, "an internal error, see the controller's log")
        finally:
            for task in (drawing, watching):
                task.cancel()
            await asyncio.gather(drawing, watching, return_exceptions=True)

    async def _until_moved(self, pull: PullRequest, forge: Forge, entry: _Open) -> None:
        """Returns when the pull request is another; a forge that does not answer says nothing."""
        while True:
            await entry.word.wait()
            entry.word.clear()
            with contextlib.suppress(GitopsError):
                now = await _present(forge, pull.number)
                same = now and (now.head, now.base, now.state) == (pull.head, pull.base, pull.state)
                if not same:
                    return

    def _failed(self, spec: SourceSpec, pull: PullRequest, why: str) -> Preview:
        return Preview(
            spec.name,
            pull.number,
            pull.head,
            None,
            one_line(pull.title, 200),
            pull.author,
            pull.fork,
            problem=why,
            at=self._clock.now(),
        )

    def _keep(self, key: Key, preview: Preview) -> None:
        self._drawn.pop(key, None)
        self._drawn[key] = preview
        while len(self._drawn) > KEPT:
            self._drawn.popitem(last=False)

    # --- telling ------------------------------------------------------------------------------

    async def _tell(
        self, forge: Forge, policy: PullRequestsSpec, pull: PullRequest, preview: Preview
    ) -> None:
        """Reports first, the comment next, the whole last: a check that is required turns green
        once there is something to read."""
        page = self._page(preview.source, preview.number)
        names = list(dict.fromkeys(each.lane.application for each in preview.lanes))
        for name in names[:REPORTS]:
            told = words.report(preview, name, self._mask)
            status = _status(pull, f"{OVERALL}/{name}", told.state, told.description, page)
            await _said(forge.report(Report(status, told.summary, told.remarks)), "report")
        if policy.comment:
            await self._comment(forge, preview, page)
        told = words.overall(preview)
        text = self._mask(told.description)
        await _said(forge.tell(_status(pull, OVERALL, told.state, text, page)), "status")
        await self._remember(preview.source, preview.number, pull.head)

    async def _comment(self, forge: Forge, preview: Preview, page: str) -> None:
        """What was shown before counts no longer once something else is to be shown."""
        dialect = words.dialect(forge.kind)
        mark = words.marker(f"{preview.source} {self._name}", dialect)
        made = words.comment(preview, dialect, mark, page=page, mask=self._mask)
        plans = {
            each.lane: each.plan.digest
            for each in preview.lanes
            if each.lane in made.whole and each.plan is not None and not each.plan.blocked_by
        }
        value = shown(preview.head, plans)
        owner, key = shown_to(preview.source), str(preview.number)
        before = await self._ledger.read(lambda reading: reading.memo(owner, key))
        if before != value and before is not None:
            await self._ledger.write(lambda tx: tx.memorise(owner, key, None))
        there = await _said(forge.comment(preview.number, mark, made.text), "comment")
        if there and before != value:
            await self._ledger.write(lambda tx: tx.memorise(owner, key, value))

    async def _remove(self, key: Key, forge: Forge, posted: bool) -> None:
        """What plans it was shown stays remembered: it may just have been merged."""
        source, number = key
        self._drawn.pop(key, None)
        if not posted:
            return
        dialect = words.dialect(forge.kind)
        with contextlib.suppress(Unknown):
            await forge.uncomment(number, words.marker(f"{source} {self._name}", dialect))
        await self._ledger.write(lambda tx: tx.memorise(posted_by(source), str(number), None))


def posted_by(source: SourceName) -> str:
    """Whose memo it is which head a pull request's comment is of."""
    return f"preview-posted/{source}"


def into(pull: PullRequest, spec: SourceSpec) -> bool:
    """Is it to be merged into the branch the source follows?"""
    return into_followed(pull.base, spec.ref)


def depth_of(pull: PullRequest, policy: PullRequestsSpec) -> Depth:
    """How far it is looked into: what a stranger proposes is not planned, unless the operator says
    otherwise."""
    return Depth.LINT if pull.fork and policy.forks == "lint" else Depth.PLAN


async def _present(forge: Forge, number: int) -> PullRequest | None:
    try:
        return await forge.pull(number)
    except Unknown:
        return None


async def _said(telling: Awaitable[None], what: str) -> bool:
    """A token may be allowed to write comments and no statuses, or the other way round: one does
    not keep the other back. Raises Transient."""
    try:
        await telling
    except Permanent as error:
        _log.warning("preview.refused", what=what, problem=str(error))
        return False
    return True


def _posted(reading: Reading, source: SourceName) -> dict[int, str]:
    """Number → head of what was told last."""
    found: dict[int, str] = {}
    for memo in reading.memos(posted_by(source), limit=MOST_REMEMBERED):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found[int(memo.key)] = str(json.loads(memo.value)["head"])
    return found


def _status(
    pull: PullRequest, context: str, state: CommitState, text: str, url: str = ""
) -> CommitStatus:
    return CommitStatus(pull.head, context, state, text, url)


def _answer(entry: _Open, preview: Preview | None) -> None:
    for waiter in entry.waiters:
        if not waiter.done():
            waiter.set_result(preview)
    entry.waiters.clear()
