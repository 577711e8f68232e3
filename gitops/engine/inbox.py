"""What becomes of a verified webhook: it acts once, is remembered, and nudges what we watch.

Called by :mod:`gitops.web.hooks` with what a receiver heard. A delivery is committed before it is
answered and acts after, so that one repeated, in parallel or after a crash, has one effect; work is
never waited for. The order of deliveries means nothing: a nudge looks at what the source is now. No
text of a payload leaves this module but as text: names are compared, never used.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from gitops.engine.ledger import Ledger
from gitops.engine.meaning import HEARSAY, Effect, PullWord, meaning, pushes_of
from gitops.engine.provenance import pulls_of
from gitops.engine.spacing import SPACING, Spaced
from gitops.engine.tallies import Tallies
from gitops.errors import StaleWrite, Transient, Unknown
from gitops.foreign import one_line
from gitops.jsonable import from_json, to_json
from gitops.model.fleet import Fleet, WebhookSpec
from gitops.model.hooks import HookDelivery, HookOutcome
from gitops.model.ids import SourceName
from gitops.ports import Clock, Digester, Memo, Reading, Transaction
from gitops.ports.inbound import Heard, LookAgain, Pushed, Repository, Word

_log = structlog.get_logger(__name__)

KEPT = 30 * 86_400.0
"""Seconds a delivery is remembered: as long as it cannot act again."""
FACTS_KEPT = 400 * 86_400.0
"""Seconds it is remembered who pushed a commit, and which pull requests brought it."""
MOST_WAITING = 500
"""Requests that may wait for the store at once; more are told to come again."""
PATIENCE = 8.0
"""Seconds a request waits for the store. Forges give up after ten."""
TIDY_EVERY = 3_600.0
SHORTEST_ID = 4
_NAME = 300
OnPull = Callable[[SourceName, PullWord], None]


class Busy(Transient):
    """Nothing was kept: the sender should come again."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    key: str
    delivery: HookDelivery
    words: tuple[Word, ...]
    effect: Effect
    done: asyncio.Future[bool]

    @property
    def kept(self) -> str:
        return json.dumps(to_json({"delivery": self.delivery, "words": self.words}))


class Inbox:
    """One controller's. ``run`` is its life; without it every delivery is turned away."""

    def __init__(
        self,
        fleet: Callable[[], Fleet],
        ledger: Ledger,
        digester: Digester,
        clock: Clock,
        nudge: Callable[[SourceName], None],
        reached: Callable[[str, Any], None] = lambda _step, _record: None,
        spacing: float = SPACING,
    ) -> None:
        """``nudge`` has a source looked at and returns at once. ``reached`` is told ``heard``
        between a delivery's commit and its effect."""
        self._fleet = fleet
        self._ledger = ledger
        self._digester = digester
        self._clock = clock
        self._reached = reached
        self._nudges = Spaced(nudge, spacing)
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self.open = False
        """Is somebody there to commit what comes in?"""
        self.tallies = Tallies(fleet, clock)
        self.on_pull: OnPull | None = None
        """Told of what pull requests do; returns at once. None: dropped and counted."""

    # --- taking -------------------------------------------------------------------------------

    async def take(self, webhook: str, heard: Heard, body: bytes) -> bool:
        """Remembered and acted on when it returns; False when it had been before. Raises Busy
        when nothing could be kept."""
        spec = self.spec(webhook)
        if spec is None or not self.open or len(self._waiting) >= MOST_WAITING:
            self.tallies.limited(webhook)
            raise Busy("deliveries cannot be kept at the moment", retry_after=10)
        waiting = self._considered(spec, heard, body)
        self._waiting.append(waiting)
        self._arrived.set()
        try:
            async with asyncio.timeout(PATIENCE):
                new = await asyncio.shield(waiting.done)
        except (TimeoutError, Transient, StaleWrite):
            self.tallies.limited(webhook)
            raise Busy("the store does not answer", retry_after=10) from None
        self.tallies.told(waiting.delivery, new)
        return new

    def spec(self, webhook: str) -> WebhookSpec | None:
        return next((each for each in self._fleet().webhooks if each.name == webhook), None)

    def _considered(self, spec: WebhookSpec, heard: Heard, body: bytes) -> _Waiting:
        words = tuple(_bounded(word) for word in heard.words)
        effect = meaning(heard.words, spec, self._fleet().sources)
        id = str(uuid.uuid4()) if heard.repeatable else heard.delivery
        key = self._digester.of(b"\0".join((id.encode(), body)))
        delivery = HookDelivery(
            id=key,
            webhook=spec.name,
            at=self._clock.now(),
            outcome=HookOutcome.ACCEPTED if effect.sources else HookOutcome.IGNORED,
            event=heard.event,
            delivery=heard.delivery,
            sources=effect.sources,
            note=heard.note or effect.note,
        )
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        return _Waiting(key, delivery, words, effect, done)

    # --- remembering --------------------------------------------------------------------------

    async def run(self) -> None:
        """For ever. Everything that waits is committed together, so that a burst costs the store
        a few transactions and not one each."""
        await self._recall()
        self.open = True
        try:
            while True:
                await self.tidy()
                end = self._clock.monotonic() + TIDY_EVERY
                while (left := end - self._clock.monotonic()) > 0:
                    try:
                        await asyncio.wait_for(self._arrived.wait(), left)
                    except TimeoutError:
                        break
                    await self._commit()
        finally:
            self.open = False
            self._nudges.close()
            self._turn_away(self._waiting, StaleWrite("this controller is stopping"))
            self._waiting = []

    async def _commit(self) -> None:
        self._arrived.clear()
        batch, self._waiting = self._waiting, []
        try:
            new = await self._ledger.write(lambda tx: _keep(tx, batch))
        except (Transient, StaleWrite) as error:
            self._turn_away(batch, error)
            return
        except BaseException:
            self._turn_away(batch, StaleWrite("nothing was kept"))
            raise
        self._reached("heard", batch)
        for waiting in batch:
            if waiting.key in new and not waiting.done.done():
                self._act(waiting.effect)
            if not waiting.done.done():
                waiting.done.set_result(waiting.key in new)
            new.discard(waiting.key)

    @staticmethod
    def _turn_away(batch: Sequence[_Waiting], error: Exception) -> None:
        for waiting in batch:
            if not waiting.done.done():
                waiting.done.set_exception(error)
                waiting.done.exception()  # nobody may be waiting any more

    def _act(self, effect: Effect) -> None:
        self.tallies.heard(effect.sources, self._clock.now())
        for source in effect.nudges:
            self._nudges.ask(source)
        for source, word in effect.pulls:
            if self.on_pull is None:
                self.tallies.undelivered += 1
            else:
                self._pass_on(self.on_pull, source, word)

    @staticmethod
    def _pass_on(on_pull: OnPull, source: SourceName, word: PullWord) -> None:
        try:
            on_pull(source, word)
        except Exception:  # a defect there must not keep deliveries from being answered here
            _log.exception("webhook.defect", source=source)

    async def _recall(self) -> None:
        """When each webhook and source was last heard of, of earlier runs."""

        def query(reading: Reading) -> list[HookDelivery]:
            return [found for found, _ in self._log(reading, 50)]

        for found in reversed(await self._ledger.read(query)):
            self.tallies.recalled(found)

    async def tidy(self) -> None:
        """Forgets what is past its time."""
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            for spec in self._fleet().webhooks:
                tx.forget_memos(owner(spec.name), now - KEPT)
            for source in self._fleet().sources:
                tx.forget_memos(pushes_of(source), now - FACTS_KEPT)
                tx.forget_memos(pulls_of(source), now - FACTS_KEPT)

        try:
            await self._ledger.write(work)
        except (Transient, StaleWrite) as error:
            _log.warning("webhook.not-tidied", problem=error.message)

    # --- looking back -------------------------------------------------------------------------

    def _log(self, reading: Reading, limit: int) -> list[tuple[HookDelivery, tuple[Word, ...]]]:
        found = [
            entry
            for spec in self._fleet().webhooks
            for memo in reading.memos(owner(spec.name), limit=limit)
            if (entry := _read(memo)) is not None
        ]
        return sorted(found, key=lambda entry: entry[0].at, reverse=True)[:limit]

    async def deliveries(self, limit: int = 50) -> Sequence[HookDelivery]:
        """Newest first, of all webhooks of the fleet file."""
        return await self._ledger.read(lambda r: [found for found, _ in self._log(r, limit)])

    async def replay(self, prefix: str) -> HookDelivery:
        """Has what a delivery said done once more, by the present fleet file. Raises Unknown."""
        found = await self._ledger.read(lambda r: self._log(r, 10_000))
        fitting = [e for e in found if e[0].id.startswith(prefix) and len(prefix) >= SHORTEST_ID]
        if len(fitting) != 1:
            several = "more than one delivery begins" if fitting else "no delivery begins"
            raise Unknown(
                f"{several} with {one_line(prefix, 40)!r}", hint="see `gitops webhook deliveries`"
            )
        delivery, words = fitting[0]
        spec = self.spec(delivery.webhook)
        effect = meaning(words, spec, self._fleet().sources) if spec else Effect()
        self._act(effect)
        _log.info("webhook.replayed", webhook=delivery.webhook, id=delivery.id[:12])
        outcome = HookOutcome.ACCEPTED if effect.sources else HookOutcome.IGNORED
        note = effect.note if words else delivery.note
        return replace(delivery, outcome=outcome, sources=effect.sources, note=note)


def owner(webhook: str) -> str:
    """Whose memo a webhook's deliveries are."""
    return f"hook/{webhook}"


def _keep(tx: Transaction, batch: Sequence[_Waiting]) -> set[str]:
    """The keys that were new."""
    new = set()
    for waiting in batch:
        if tx.memorise_first(owner(waiting.delivery.webhook), waiting.key, waiting.kept):
            new.add(waiting.key)
            for source, commit, login in waiting.effect.facts:
                _learn(tx, source, commit, login)
    return new


def _learn(tx: Transaction, source: SourceName, commit: str, login: str) -> None:
    """The first who pushed it stays; hearsay gives way to what was told of the source itself."""
    if tx.memorise_first(pushes_of(source), commit, login) or login.startswith(HEARSAY):
        return
    if (tx.memo(pushes_of(source), commit) or "").startswith(HEARSAY):
        tx.memorise(pushes_of(source), commit, login)


def _bounded(word: Word) -> Word:
    """As it is kept: its facts are kept elsewhere, and nothing of it may be long."""
    if isinstance(word, LookAgain):
        return word
    names = tuple(name for name in word.repository.names[:10] if len(name) <= _NAME)
    word = replace(word, repository=Repository(names))
    if isinstance(word, Pushed):
        return replace(word, ref=word.ref[:_NAME], commits=())
    return word


def _read(memo: Memo) -> tuple[HookDelivery, tuple[Word, ...]] | None:
    """None for what a later version wrote."""
    try:
        kept = json.loads(memo.value)
        words = from_json(tuple[Word, ...], kept["words"])
        return from_json(HookDelivery, kept["delivery"]), words
    except (ValueError, KeyError, TypeError):
        return None
