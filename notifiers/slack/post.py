"""One message a request, posted once and edited in place through everything that happens to it.

Called by the outbox for every notice, one after the other. A notice only says where to look: what
is sent is the card as it is now, and nothing is sent when that is what the message shows already.
So a long outage ends with one edit a message, whatever happened meanwhile.

A post whose answer was lost may be there. Before anything is posted that intent is kept; where it
is found without a result, the channel is searched for our own metadata before posting again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from gitops.jsonable import from_json, to_json
from gitops.model.events import Notice
from gitops.model.ids import Digest, RequestId, combine, short
from gitops.ports.office import Card
from notifiers.slack import blocks
from notifiers.slack.account import Account
from notifiers.slack.blocks import Block, Ink, paragraph, say
from notifiers.slack.cards import Cards, Drawn
from notifiers.slack.client import Refusal, Unfit
from notifiers.slack.search import Found, Search
from notifiers.slack.standing import State, shown, state_of, subject
from notifiers.slack.thread import Detail, details, events, parts, unlike

_log = structlog.get_logger(__name__)

PACE = 1.0
"""Seconds between two posts to a channel and two edits of a message: what Slack documents for
posts (docs.slack.dev/apis/web-api/rate-limits)."""
KEPT = 30 * 86_400.0
"""Seconds a message is remembered after its last edit."""
EVENT = "gitops_request"
"""``event_type`` of our messages' metadata."""
DETAILS = 100
"""Plans of one card that are told in full."""
_BEYOND = "plans beyond"
"""Key of the line that counts the others."""
GROUPS = 1_000
TOLD = 1_000
"""Keys of a thread that are remembered."""
_DELETED = "message_not_found"
_LOST = (_DELETED, "cant_update_message", "edit_window_closed")
"""Of a message that is not there, or is another app's (ours before it was set up anew), or may not
be edited any more: another one has to tell (docs.slack.dev/reference/methods/chat.update)."""
_UNSEEN = (State.SUPERSEDED, State.UNCHANGED)


@dataclass(frozen=True, slots=True)
class Message:
    """What is known of a request's message."""

    channel: str
    ts: str = ""
    """Empty: it may have been posted, nobody knows."""
    shows: str = ""
    """Digest of what it shows."""
    intents: dict[str, float] = field(default_factory=dict)
    """Posts that were begun and whose outcome is not known: key → when."""
    told: tuple[str, ...] = ()
    """Keys of what stands in the thread."""
    twice: bool = False
    """There may be another message: an earlier try could not be looked for."""


class Post:
    """Keeps the messages of one account up to date."""

    def __init__(self, account: Account, pace: float = PACE) -> None:
        self._account = account
        self._ink = Ink(account.services.mask)
        self._cards = Cards(self._ink, account.tickets)
        self._search = Search(account.web, EVENT)
        self._pace = pace
        self._last: dict[str, float] = {}
        self._expected: dict[str, str] = {}
        """By request or occasion, the newest notice that is known to wait."""
        self._covered: dict[str, str] = {}
        """The newest one that what was last read of it covers."""
        self._pruned = 0.0

    async def place_of(self, request: RequestId) -> tuple[str, str] | None:
        """(channel, timestamp) of a request's message, if it is known to be posted."""
        message = await self._recall(request)
        return (message.channel, message.ts) if message and message.ts else None

    def expect(self, notices: Sequence[Notice]) -> None:
        """A request's notices that wait together are told as one: what is read for the first of
        them is true of all. Their ids are in the order things happened."""
        for notice in notices:
            self._expected[_group(notice)] = notice.id

    async def tell(self, notice: Notice) -> None:
        """Brings the message about what a notice speaks of up to date. Raises Transient while Slack
        or the operator has something to mend; what has been done by then is remembered."""
        group = _group(notice)
        if notice.id <= self._covered.get(group, "") and notice.kind not in _REMARKS:
            return
        newest = max(notice.id, self._expected.pop(group, ""))
        await self._prune()
        await self._bring_up_to_date(notice)
        self._covered = dict([*self._covered.items(), (group, newest)][-GROUPS:])

    async def _bring_up_to_date(self, notice: Notice) -> None:
        key, card = await self._about(notice)
        if card is None:
            return
        message = await self._recall(key)
        if message is None and state_of(card) in _UNSEEN:
            return
        message = await self._shown(key, card, message, self.channel_for(notice))
        if message is not None:
            message = await self._followed(key, card, message)
            if card.asking or notice.kind not in _OF_A_QUESTION:
                await self._remarked(key, message, notice, subject(card))

    # --- what it is about ---------------------------------------------------------------------

    async def _about(self, notice: Notice) -> tuple[str, Card | None]:
        """The key its message is kept under, and the card as it is now."""
        office = self._account.office
        request = notice.payload.get("request")
        card = await office.card(request) if isinstance(request, str) and request else None
        card = card or await office.card_of(notice.subject)
        if card is not None:
            return card.request.id, card
        card = await office.unasked(notice.subject)
        return (
            (f"occasion {short(combine(card.request.occasion), 32)}", card) if card else ("", None)
        )

    async def _again(self, key: str, card: Card) -> Card:
        """The same card, some time later."""
        office = self._account.office
        if card.request.id:
            return await office.card(card.request.id) or card
        lead = card.rows[0].record.change.id if card.rows else ""
        return await office.unasked(lead) or card

    def channel_for(self, notice: Notice) -> str:
        """Where a card's message goes: where the first notice of it is routed. It stays there."""
        return notice.channel or self._account.options.channel

    # --- the message --------------------------------------------------------------------------

    async def _shown(
        self, key: str, card: Card, message: Message | None, channel: str
    ) -> Message | None:
        """The message shows the card. None when there is none and nobody needs one."""
        if message is None or not message.ts:
            message = await self._posted(key, card, message, channel)
        for _ in range(2):
            if message.shows == _digest(await self._drawn(card, message)):
                return message
            await self._paced(message.ts)
            card = await self._again(key, card)
            drawn = await self._drawn(card, message)
            lost = await self._edited(message, card, drawn)
            if not lost:
                return await self._keep(key, replace(message, shows=_digest(drawn)))
            if lost == _DELETED and state_of(card).over:
                return None
            message = await self._posted(key, card, None, message.channel)
        return message

    async def _posted(self, key: str, card: Card, message: Message | None, channel: str) -> Message:
        """Posts it, unless an earlier try is found to have come through."""
        twice = False
        if message is not None:
            found = await self._search.message(message.channel, key, message.intents.get(key, 0.0))
            if isinstance(found, Found):
                there = replace(message, channel=found.channel, ts=found.ts, intents={})
                return await self._keep(key, there)
            twice = found is None
        message = await self._intend(key, Message(channel, twice=twice), key)
        drawn = await self._drawn(card, message)
        answer = await self._send(channel, card, drawn, metadata=_metadata(key, key))
        channel, ts = str(answer["channel"]), str(answer["ts"])
        posted = replace(message, channel=channel, ts=ts, shows=_digest(drawn), intents={})
        return await self._keep(key, posted)

    async def _drawn(self, card: Card, message: Message) -> Drawn:
        # A card of thousands takes a second: meanwhile people get their answers.
        drawn = await asyncio.to_thread(self._cards.draw, card)
        if not message.twice:
            return drawn
        mark = blocks.context("There may be a second message about this: an earlier post was lost.")
        return replace(drawn, blocks=[*drawn.blocks, mark])

    async def _send(
        self, channel: str, card: Card, drawn: Drawn, *, metadata: dict[str, Any]
    ) -> Any:
        await self._paced(channel)
        given = {"channel": channel, "metadata": metadata, **_QUIET}
        ask = self._account.web.ask
        try:
            return await ask("chat_postMessage", **given, **_content(drawn))
        except Unfit as unfit:
            _log.error("slack.card-refused", code=unfit.code, request=card.request.id)
            return await ask("chat_postMessage", **given, **_content(self._cards.bare(card)))

    async def _edited(self, message: Message, card: Card, drawn: Drawn) -> str:
        """Slack's word for why that message can show nothing new any more; empty when it does."""
        given = {"channel": message.channel, "ts": message.ts}
        ask = self._account.web.ask
        try:
            await ask("chat_update", **given, **_content(drawn))
        except Unfit as unfit:
            if unfit.code in _LOST:
                return unfit.code
            _log.error("slack.card-refused", code=unfit.code, request=card.request.id)
            await ask("chat_update", **given, **_content(self._cards.bare(card)))
        return ""

    # --- its thread ---------------------------------------------------------------------------

    async def _followed(self, key: str, card: Card, message: Message) -> Message:
        """Plans in full, answers and how it ended, each told once."""
        state = state_of(card)
        rows = shown(card) if state not in _UNSEEN else ()
        for detail in await asyncio.to_thread(details, rows, self._ink, DETAILS):
            if f"plan {detail.key}" not in message.told:
                message = await self._detailed(key, message, detail)
        more = await asyncio.to_thread(unlike, rows) - DETAILS if len(rows) > DETAILS else 0
        if more > 0 and _BEYOND not in message.told:
            text = f"and {more:,} more plans, with: gitops show {short(key)}"
            content = [blocks.rich(paragraph(say(text)))]
            message = await self._replied(key, message, _BEYOND, content, text)
        for line in events(card, self._ink) if card.request.id else ():
            if line.key not in message.told:
                content = [blocks.rich(paragraph(say(line.text)))]
                message = await self._replied(key, message, line.key, content, line.text)
        return message

    async def _detailed(self, key: str, message: Message, detail: Detail) -> Message:
        """As a file where the app may send files, else in pieces."""
        told = f"plan {detail.key}"
        pieces = parts(detail.text)
        if len(pieces) > 1:
            try:
                return await self._filed(key, message, detail)
            except (Refusal, Unfit) as error:
                if isinstance(error, Refusal) and error.code != "missing_scope":
                    raise
        for number, piece in enumerate(pieces):
            content = [blocks.rich(blocks.preformatted(piece))]
            part = f"{told} {number}"
            if part not in message.told:
                message = await self._replied(key, message, part, content, detail.title)
        return await self._done(key, message, told, gone=f"{told} ")

    async def _filed(self, key: str, message: Message, detail: Detail) -> Message:
        told = f"plan {detail.key}"
        name = f"plan-{detail.key}.diff"
        if told in message.intents and await self._search.file(message.channel, message.ts, name):
            return await self._done(key, message, told)
        message = await self._intend(key, message, told)
        await self._paced(message.channel)
        await self._account.web.ask(
            "files_upload_v2",
            channel=message.channel,
            thread_ts=message.ts,
            filename=name,
            title=detail.title,
            content=detail.text,
            snippet_type="diff",
        )
        return await self._done(key, message, told)

    async def _remarked(self, key: str, message: Message, notice: Notice, about: str) -> None:
        """What no card shows: in its thread and, since nobody looks there, in the channel."""
        told = f"remark {notice.id}"
        head = _REMARKS.get(notice.kind)
        if head is None or told in message.told:
            return
        reason = str(notice.payload.get("reason") or "")
        text = self._ink.line(f"{head}: {reason}" if reason else head, 700)
        content = [blocks.rich(paragraph(say(text)))]
        alone = self._ink.line(f"{about}: {text}", 900)
        await self._replied(key, message, told, content, text, alone=alone)

    async def _replied(
        self,
        key: str,
        message: Message,
        told: str,
        content: list[Block],
        text: str,
        alone: str = "",
    ) -> Message:
        """A line in the thread, once. One that the channel is to see as well says ``alone`` what it
        is about, should somebody have deleted what the thread was of."""
        if told in message.intents and await self._search.reply(message.channel, message.ts, told):
            return await self._done(key, message, told)
        message = await self._intend(key, message, told)
        await self._paced(message.channel)
        given = {"channel": message.channel, "metadata": _metadata(key, told), **_QUIET}
        line = {"blocks": content, "text": self._ink.fallback(text), "thread_ts": message.ts}
        ask = self._account.web.ask
        try:
            await ask("chat_postMessage", **given, **line, reply_broadcast=bool(alone) or None)
        except Unfit as unfit:
            if alone and unfit.code == "thread_not_found":
                content = [blocks.rich(paragraph(say(alone)))]
                line = {"blocks": content, "text": self._ink.fallback(alone)}
                await ask("chat_postMessage", **given, **line)
            else:
                _log.error("slack.reply-refused", code=unfit.code, request=key)
        return await self._done(key, message, told)

    # --- what is remembered -------------------------------------------------------------------

    async def _recall(self, key: str) -> Message | None:
        kept = await self._account.memory.recall(self._account.owner, key)
        try:
            return from_json(Message, json.loads(kept)) if kept else None
        except ValueError:
            return None  # of another version; at worst one more message

    async def _keep(self, key: str, message: Message) -> Message:
        kept = json.dumps(to_json(message))
        await self._account.memory.keep(self._account.owner, key, kept)
        return message

    async def _intend(self, key: str, message: Message, what: str) -> Message:
        intents = {**message.intents, what: self._account.services.clock.now()}
        return await self._keep(key, replace(message, intents=intents))

    async def _done(self, key: str, message: Message, told: str, gone: str = "") -> Message:
        intents = {what: at for what, at in message.intents.items() if what != told}
        kept = [each for each in message.told if not (gone and each.startswith(gone))]
        shown = (*kept, told)[-TOLD:]
        return await self._keep(key, replace(message, intents=intents, told=shown))

    async def _prune(self) -> None:
        now = self._account.services.clock.now()
        if now - self._pruned > 86_400:
            self._pruned = now
            await self._account.memory.forget(self._account.owner, now - KEPT)

    async def _paced(self, what: str) -> None:
        """Waits until it is time for another post to this channel or edit of this message."""
        now = asyncio.get_running_loop().time()
        at = max(now, self._last.get(what, 0.0) + self._pace)
        self._last = {each: when for each, when in self._last.items() if when > now - self._pace}
        self._last[what] = at
        await asyncio.sleep(at - now)


_QUIET = {"unfurl_links": False, "unfurl_media": False}
_REMARKS = {
    "reminder": "Still waiting for approval",
    "degraded": "Not well",
    "recovered": "Well again",
}
"""By kind of notice; that nobody can approve, a card says itself."""
_OF_A_QUESTION = ("reminder",)
"""Kinds that are not worth saying once nobody is asked any more."""


def _group(notice: Notice) -> str:
    """Notices of one group are told by one card."""
    payload = notice.payload
    return str(payload.get("request") or f"occasion {payload.get('occasion') or notice.subject}")


def _content(drawn: Drawn) -> dict[str, Any]:
    return {"blocks": drawn.blocks, "text": drawn.text}


def _digest(drawn: Drawn) -> Digest:
    return combine("card", json.dumps(drawn.blocks, sort_keys=True), drawn.text)


def _metadata(key: str, what: str) -> dict[str, Any]:
    return {"event_type": EVENT, "event_payload": {"request": key, "key": what}}
