"""What is done about everything Slack says: one place for HTTP and Socket Mode.

:mod:`.inbound` and :mod:`.socket_mode` hand in what they read and send back the acknowledgement.
Slack wants that within three seconds. It goes out after what it acknowledges was committed; where
that takes longer it says truthfully that nothing is recorded yet, and how it came out is told
afterwards. Whatever is handed in, the answer is an acknowledgement and never an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from gitops.errors import (
    GitopsError,
    NotAllowed,
    Outdated,
    StaleWrite,
    Transient,
    raised_at,
)
from gitops.model.approval import Decision
from gitops.model.ids import PersonName
from notifiers.slack import diffs, modals
from notifiers.slack.account import Account
from notifiers.slack.answers import Answers, PlaceOf, Unsure, in_words
from notifiers.slack.blocks import Block, Ink, paragraph, rich, say
from notifiers.slack.commands import Commands, Reply
from notifiers.slack.identity import Identity
from notifiers.slack.modals import View
from notifiers.slack.payloads import (
    Commanded,
    Mentioned,
    Place,
    Pressed,
    Said,
    Speaker,
    Submitted,
)
from notifiers.slack.tickets import APPROVE, DENY, DIFF
from notifiers.slack.voice import Voice

_log = structlog.get_logger(__name__)

BUDGET = 2.3
"""Seconds until something is answered in any case; the way back to Slack takes some of its three
(docs.slack.dev/interactivity/handling-user-interaction#acknowledgment_response)."""
REMEMBERED = 25 * 3_600.0
"""Seconds a signature, command or event is known to have been heard: Slack repeats events for a
day where an app asks for that, else for minutes."""
_PRUNE_EVERY = 600.0
_TELL_EVERY = 60.0
_DECISIONS = {
    APPROVE: Decision.APPROVE,
    DENY: Decision.DENY,
    modals.APPROVE_FORM: Decision.APPROVE,
    modals.DENY_FORM: Decision.DENY,
}
_SAID = "An answer to you alone"
"""``text`` of what is said in blocks: shown in notifications."""


@dataclass(frozen=True, slots=True)
class Ack:
    """What Slack is answered."""

    payload: Mapping[str, Any] | None = None
    """A JSON body; None for an empty one."""
    seen: bool = False
    """The signature was used before: nothing was done."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one thing that was said: shown at once, or later if it took too long."""

    view: View | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    """By the input's block id."""
    reply: Reply | None = None
    ack: Ack | None = None


class Hearing:
    """Holds no state that counts: what was heard is in the store."""

    def __init__(self, account: Account, place_of: PlaceOf) -> None:
        self._account = account
        self._voice = Voice(account)
        self._identity = Identity(account.web, account.services.clock)
        self._answers = Answers(account, self._voice, place_of)
        self._commands = Commands(account, self._answers)
        self._ink = Ink(account.services.mask)
        self._owner = f"{account.owner}/heard"
        self._pruned = float("-inf")
        self._unsigned, self._told_unsigned = 0, float("-inf")
        self._going_on: set[asyncio.Task[Any]] = set()

    async def hear(self, said: Said, signature: str = "") -> Ack:
        """``signature``: good for one use; empty where the transport vouches for the sender."""
        work = self._start(self._act(said, signature))
        done, _ = await asyncio.wait({work}, timeout=BUDGET)
        if done:
            return self._ack(said, work.result())
        self._start(self._afterwards(said, work))
        return _late(said)

    def unsigned(self, why: str) -> None:
        """Somebody sent what is not Slack's, or the signing secret is not the app's: whose buttons
        do nothing finds that here. A flood is one line a minute."""
        self._unsigned += 1
        now = self._account.services.clock.monotonic()
        if now - self._told_unsigned >= _TELL_EVERY:
            hint = (
                "if Slack's buttons do nothing: compare signing_secret with the app's, and clocks"
            )
            _log.warning("slack.unsigned", why=why, times=self._unsigned, hint=hint)
            self._told_unsigned, self._unsigned = now, 0

    async def drain(self, seconds: float = 5.0) -> None:
        """Waits until everything that is under way is through."""
        if self._going_on:
            await asyncio.wait(set(self._going_on), timeout=seconds)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)
        return task

    # --- acting -------------------------------------------------------------------------------

    async def _act(self, said: Said, signature: str) -> _Outcome:
        """Never raises."""
        try:
            if signature and not await self._first(f"signature {signature}"):
                return _Outcome(ack=Ack(seen=True))
            return await self._do(said)
        except (NotAllowed, Transient) as error:
            _log.warning("slack.refused", who=_whose(said), why=error.message)
            return self._refused(said, error)
        except StaleWrite as error:
            _log.warning("slack.stale", problem=error.message)
            return self._refused(said, Transient("another controller has just taken over"))
        except GitopsError as error:
            _log.error("slack.failed", problem=error.message, hint=error.hint)
            return self._refused(said, Unsure(error.message))
        except Exception as error:
            # A defect of ours: its text may hold what a stranger sent.
            _log.error("slack.defect", kind=type(error).__name__, at=raised_at(error))
            return self._refused(said, Unsure("something here is broken, its log says what"))

    async def _do(self, said: Said) -> _Outcome:
        match said:
            case Pressed():
                return await self._pressed(said)
            case Submitted():
                return await self._submitted(said)
            case Commanded():
                return await self._written(said, f"command {said.trigger}" * bool(said.trigger))
            case Mentioned():
                return await self._written(said, f"event {said.event}" * bool(said.event))
        return _Outcome()

    async def _first(self, key: str) -> bool:
        now = self._account.services.clock.now()
        if now - self._pruned > _PRUNE_EVERY:
            self._pruned = now
            await self._account.memory.forget(self._owner, now - REMEMBERED)
        return await self._account.memory.keep_first(self._owner, key, "")

    async def _who(self, speaker: Speaker) -> PersonName:
        return await self._identity.person(speaker, self._account.office.people())

    async def _pressed(self, said: Pressed) -> _Outcome:
        turned = said.action.startswith(modals.PAGE) and said.view is not None
        if not turned and said.action not in (APPROVE, DENY, DIFF):
            return _Outcome()
        person = await self._who(said.speaker)
        memo = said.view.memo if turned and said.view else said.value
        asked = self._answers.asked(memo)
        if turned and said.view:
            view = await self._diff(memo, said.value)
            await self._voice.redraw(said.view.id, view)
        elif said.action == DIFF:
            await self._open(said, await self._diff(memo, "0"))
        else:
            decision = _DECISIONS[said.action]
            await self._open(said, await self._answers.form(asked, decision, person))
        return _Outcome()

    async def _diff(self, memo: str, number: str) -> View:
        asked = self._answers.asked(memo)
        card = await self._answers.card(asked.ticket.request)
        title = self._ink.line(card.request.title, 150)
        if card.request.root != asked.ticket.root:
            title = f"{title} – as it is now: it changed since that card was drawn"
        page = int(number) if number.isascii() and number.isdigit() and len(number) < 5 else 0
        pages = await asyncio.to_thread(diffs.pages, card, self._ink)
        return modals.diff(title, pages, page, memo)

    async def _open(self, said: Pressed | Commanded, view: View | None) -> bool:
        """A modal; where Slack will not open one any more, the same in a message."""
        if view is None:
            return False
        if await self._voice.open(said.trigger, view):
            return True
        if isinstance(said, Pressed):
            note = rich(paragraph(say("Slack did not open the form in time; press again.")))
            blocks = [note] if "submit" in view else view["blocks"]
            await self._voice.whisper(said.place, said.speaker, blocks[:40], _SAID)
        return False

    async def _submitted(self, said: Submitted) -> _Outcome:
        decision = _DECISIONS.get(said.view.callback)
        if decision is None:
            return _Outcome()
        person = await self._who(said.speaker)
        asked = self._answers.asked(said.view.memo)
        ticket = asked.ticket
        await self._answers.settle(
            ticket.request,
            ticket.root,
            person,
            decision,
            reason=said.values.get(modals.REASON, ""),
            confirmation=said.values.get(modals.CONFIRM, ""),
        )
        _log.info("slack.answered", request=ticket.request, person=person, decision=decision.value)
        told = await self._answers.told(ticket.request, decision, person)
        return _Outcome(modals.result("Recorded", told))

    async def _written(self, said: Commanded | Mentioned, once: str) -> _Outcome:
        """``once``: what this order is known by, however often Slack repeats it. It is kept before
        the order is carried out: one that a crash cut short is not begun a second time."""
        person = await self._who(said.speaker)
        if once and not await self._first(once):
            told = "This was heard before; `status` and `pending` tell what came of it."
            return _Outcome(reply=Reply([rich(paragraph(say(told)))]))
        reply = await self._commands.run(said.text, person)
        if isinstance(said, Commanded) and await self._open(said, reply.view):
            return _Outcome()
        if reply.public:
            self._start(self._in_public(reply.public))
        if isinstance(said, Mentioned):
            await self._whisper(said.place, said.speaker, reply.blocks)
        return _Outcome(reply=reply)

    async def _in_public(self, line: str) -> None:
        blocks = [rich(paragraph(say(self._ink.line(line, 1_500))))]
        channel = self._account.options.channel
        await self._voice.tell(channel, "", blocks, self._ink.fallback(line))

    async def _whisper(self, place: Place, speaker: Speaker, blocks: Sequence[Block]) -> None:
        if blocks:
            await self._voice.whisper(place, speaker, blocks[:40], _SAID)

    # --- saying no ----------------------------------------------------------------------------

    def _refused(self, said: Said, error: NotAllowed | Transient) -> _Outcome:
        message, hint = in_words(error)
        lines = [paragraph(*spans) for spans in modals.told(message, hint, self._ink)]
        blocks = [rich(*lines)]
        match said:
            case Pressed():
                view = modals.refusal("That did not work", message, hint, self._ink)
                self._start(self._open(said, view))
            case Submitted():
                return self._form_refused(said, error, message, hint)
            case Mentioned():
                self._start(self._whisper(said.place, said.speaker, blocks))
        return _Outcome(reply=Reply(blocks))

    def _form_refused(
        self, said: Submitted, error: NotAllowed | Transient, message: str, hint: str
    ) -> _Outcome:
        """What can be mended is said at the input, so that nothing has to be typed again."""
        field_ = next((each for each in said.values if each in _INPUTS), "")
        if field_ and not isinstance(error, Outdated):
            return _Outcome(errors={field_: self._ink.line(f"{message}. {hint}".strip(), 1_000)})
        title = "Not certain" if isinstance(error, Unsure) else "Not recorded"
        return _Outcome(modals.refusal(title, message, hint, self._ink))

    # --- answering Slack ----------------------------------------------------------------------

    def _ack(self, said: Said, outcome: _Outcome) -> Ack:
        if outcome.ack is not None:
            return outcome.ack
        if isinstance(said, Submitted):
            if outcome.errors:
                return Ack({"response_action": "errors", "errors": dict(outcome.errors)})
            if outcome.view is not None:
                return Ack({"response_action": "update", "view": outcome.view})
        if isinstance(said, Commanded) and outcome.reply is not None and outcome.reply.blocks:
            blocks = outcome.reply.blocks[:40]
            return Ack({"response_type": "ephemeral", "text": _SAID, "blocks": blocks})
        return Ack()

    async def _afterwards(self, said: Said, work: asyncio.Task[_Outcome]) -> None:
        """Tells how it came out, where the acknowledgement could not."""
        outcome = await work
        if isinstance(said, Submitted):
            view = outcome.view
            if outcome.errors:
                words = " ".join(outcome.errors.values())
                view = modals.refusal("Not recorded", words, "Close this and press again.", Ink())
            if view is not None:
                await self._voice.redraw(said.view.id, view)
        elif isinstance(said, Commanded) and outcome.reply is not None:
            await self._whisper(said.place, said.speaker, outcome.reply.blocks)


_INPUTS = (modals.CONFIRM, modals.REASON)


def _late(said: Said) -> Ack:
    """The truth while it is still being worked on."""
    head = "Not recorded yet."
    body = "This takes longer than Slack waits. Only what is shown here later has counted."
    lines = [[say(head, bold=True)], [say(body)]]
    if isinstance(said, Submitted):
        return Ack({"response_action": "update", "view": modals.result("Not recorded yet", lines)})
    if isinstance(said, Commanded):
        told = "Still at it. How it came out is told here."
        blocks = [rich(paragraph(say(told)))]
        return Ack({"response_type": "ephemeral", "text": _SAID, "blocks": blocks})
    return Ack()


def _whose(said: Said) -> str:
    """``TEAM:USER``, for the log."""
    speaker = getattr(said, "speaker", None)
    return f"{speaker.team}:{speaker.user}" if isinstance(speaker, Speaker) else ""
