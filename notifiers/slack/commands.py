"""``/gitops …`` and mentions: looking, answering and asking in writing.

Called by :mod:`.hearing` with a person of the fleet file. Replies are for that person alone; what
changed something is also said in the channel, with the name of who did it. Nothing is decided
here: every order ends in one call of the office, which asks the gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from gitops.errors import Outdated, Unknown
from gitops.model.approval import Decision
from gitops.model.delivery import DeliveryRecord
from gitops.model.ids import ApplicationName, Digest, PersonName, short
from gitops.ports.office import Card, Standing
from gitops.summary import counted, risk
from notifiers.slack import diffs, modals, orders
from notifiers.slack.account import Account
from notifiers.slack.answers import Answers, certain
from notifiers.slack.blocks import (
    Block,
    Ink,
    Page,
    Span,
    moment,
    paragraph,
    preformatted,
    rich,
    say,
)
from notifiers.slack.modals import View
from notifiers.slack.orders import Order
from notifiers.slack.standing import duration

_ROOM = 9_000
_ROWS = 30
_LINE = 300
_LOOK = "`status` and `pending` tell what came of it."


@dataclass(frozen=True, slots=True)
class Reply:
    """What one order comes to. ``view`` is a modal to open, and then the rest is said only if it
    cannot be opened."""

    blocks: list[Block] = field(default_factory=list)
    public: str = ""
    """One line for everybody; holds foreign text."""
    view: View | None = None


class Commands:
    def __init__(self, account: Account, answers: Answers) -> None:
        self._account = account
        self._answers = answers
        self._ink = Ink(account.services.mask)
        self._verbs: dict[str, Callable[[Order, PersonName], Awaitable[Reply]]] = {
            "status": self._status,
            "pending": self._pending,
            "approve": self._approve,
            "deny": self._deny,
            "diff": self._diff,
            "why": self._why,
            "history": self._history,
            "rollback": self._rollback,
            "pause": self._pause,
            "resume": self._resume,
            "ask": self._ask,
            "help": self._help,
        }

    async def run(self, text: str, person: PersonName) -> Reply:
        """Raises NotAllowed in words for the person, Transient."""
        order = orders.read(text)
        try:
            return await self._verbs[order.verb](order, person)
        except Unknown as unknown:
            near = await self._nearest(order)
            raise Unknown(unknown.message, hint=near or unknown.hint) from None

    async def _nearest(self, order: Order) -> str:
        if order.verb in ("approve", "deny", "diff"):
            return ""
        known = {each.lane.application for each in await self._account.office.standings()}
        return orders.nearest(orders.split_target(order.subject)[0], known)

    # --- looking ------------------------------------------------------------------------------

    async def _status(self, order: Order, _: PersonName) -> Reply:
        found = await self._account.office.standings(order.subject)
        if not found and order.subject:
            raise Unknown(f"there is no application {order.subject[:63]!r}")
        notable = [each for each in found if each.state != "healthy"]
        fine = [each for each in found if each.state == "healthy"]
        head = f"{len(fine):,} of {len(found):,} healthy" if found else "no applications"
        rows = [self._standing(each) for each in (*notable, *fine)]
        return self._list(head, rows)

    def _standing(self, standing: Standing) -> list[Span]:
        at = f" at {standing.revision}" if standing.revision else ""
        note = f": {standing.note}" if standing.note else ""
        return [
            say(self._ink.line(str(standing.lane), 150), bold=True),
            say(self._ink.line(f" {standing.state}{at}{note}", _LINE)),
        ]

    async def _pending(self, _: Order, person: PersonName) -> Reply:
        waiting = await self._account.office.pending()
        rows = [await self._waits(card, person) for card in waiting[:_ROWS]]
        rows += [[say(card.request.id)] for card in waiting[_ROWS:]]
        head = f"{counted(len(waiting), 'request')} without an answer"
        return self._list(head if waiting else "nothing waits for an answer", rows)

    async def _waits(self, card: Card, person: PersonName) -> list[Span]:
        scope = modals.scope_of(card, person)
        yours = "" if scope.rows else "  (not yours to approve)"
        plans = [row.plan for row in card.asking if row.plan is not None]
        title = self._ink.line(card.request.title, 150)
        return [
            say(card.request.id, code=True),
            say(f" {title}: {self._ink.line(risk(plans), 200)}{yours}"),
        ]

    async def _diff(self, order: Order, _: PersonName) -> Reply:
        card = await self._answers.card(orders.request_id(order.subject))
        pages = await asyncio.to_thread(diffs.pages, card, self._ink)
        memo = self._answers.about(card).memo
        title = self._ink.line(card.request.title, 150)
        pieces = [rich(preformatted(piece)) for piece in pages[0]]
        if len(pages) > 1:
            rest = f"page 1 of {len(pages)}: the rest is in the thread of the card"
            pieces.append(rich(paragraph(say(rest))))
        return Reply(pieces, view=modals.diff(title, pages, 0, memo))

    async def _why(self, order: Order, _: PersonName) -> Reply:
        told = await self._account.office.why(ApplicationName(order.subject))
        page = Page(_ROOM)
        for lane, sentences in list(told.items())[:_ROWS]:
            rows = [[say(self._ink.line(each, 700))] for each in sentences]
            page.rows(self._ink.line(lane, 150), rows, 20, "gitops why")
        page.cut = page.cut or len(told) > _ROWS
        return self._whole(page, f"gitops why {order.subject}")

    async def _history(self, order: Order, _: PersonName) -> Reply:
        found = await self._account.office.history(ApplicationName(order.subject))
        head = f"delivered of {self._ink.line(order.subject, 63)}, newest first"
        return self._list(head if found else "nothing was delivered yet", self._rows(found))

    def _rows(self, found: Sequence[DeliveryRecord]) -> list[list[Span]]:
        return [self._delivered(record) for record in found]

    def _delivered(self, record: DeliveryRecord) -> list[Span]:
        by = f", approved by {', '.join(record.approved_by)}" if record.approved_by else ""
        took = ""
        if record.finished_at is not None:
            took = f" in {duration(record.finished_at - record.started_at)}"
        why = f": {record.reason}" if record.reason else ""
        change = record.change.change
        return [
            say(short(record.id), code=True),
            say(" "),
            moment(record.started_at),
            say(
                self._ink.line(
                    f" {change.lane} {record.state.value}{took}, {change.revision}{by}{why}", _LINE
                )
            ),
        ]

    async def _help(self, _: Order, person: PersonName) -> Reply:
        rows = [
            [say(orders.USAGE[verb], code=True), say(f"  {meaning}")]
            for verb, meaning in orders.MEANING.items()
        ]
        return self._list(f"you are {person}; after /gitops, or after the app's name", rows)

    # --- answering ----------------------------------------------------------------------------

    async def _approve(self, order: Order, person: PersonName) -> Reply:
        """With the root that was looked at it is an answer; without one, a form shows what it
        would be about. Nobody says yes to what they have not seen."""
        card = await self._answers.card(orders.request_id(order.subject))
        root, typed = orders.split_root(order.rest)
        if not root:
            return await self._form(card, person, Decision.APPROVE)
        known = [card.request.root, *(verdict.root for verdict in card.request.verdicts)]
        full = next((each for each in known if each.startswith(root)), None)
        if full is None:
            raise Outdated(
                f"root {root[:12]} of request {card.request.id} is not what is asked now",
                hint=f"look again: diff {card.request.id}",
            )
        return await self._settle(card, full, person, Decision.APPROVE, confirmation=typed)

    async def _deny(self, order: Order, person: PersonName) -> Reply:
        card = await self._answers.card(orders.request_id(order.subject))
        if not order.rest:
            return await self._form(card, person, Decision.DENY)
        root = card.request.root
        return await self._settle(card, root, person, Decision.DENY, reason=order.rest)

    async def _form(self, card: Card, person: PersonName, decision: Decision) -> Reply:
        view = await self._answers.form(self._answers.about(card), decision, person)
        if "submit" not in view:
            return Reply(view["blocks"], view=view)
        if decision is Decision.DENY:
            line = f"deny {card.request.id} reason"
        else:
            phrase = modals.scope_of(card, person).phrase
            line = f"approve {card.request.id} {short(card.request.root)} {phrase}".strip()
        told = [block for block in view["blocks"] if block["type"] != "input"]
        return Reply([*told, rich(paragraph(say("Write: "), say(line, code=True)))], view=view)

    async def _settle(
        self,
        card: Card,
        root: Digest,
        person: PersonName,
        decision: Decision,
        *,
        reason: str = "",
        confirmation: str = "",
    ) -> Reply:
        request = card.request
        await self._answers.settle(
            request.id, root, person, decision, reason=reason, confirmation=confirmation
        )
        page = Page(_ROOM)
        for spans in await self._answers.told(request.id, decision, person):
            page.add(paragraph(*spans))
        return Reply(page.blocks)

    # --- asking for something -----------------------------------------------------------------

    async def _rollback(self, order: Order, person: PersonName) -> Reply:
        application, target = orders.split_target(order.subject)
        delivery, reason = orders.split_delivery(order.rest)
        office = self._account.office
        begun = await certain(
            office.rollback(ApplicationName(application), person, delivery, reason, target), _LOOK
        )
        lanes = ", ".join(map(str, begun.changes)) or application
        why = f": {reason}" if reason else ""
        rows = [[say(self._ink.line(f"{lane}: {w}", _LINE))] for lane, w in begun.skipped.items()]
        public = f"{person} asks to roll {lanes} back{why}"
        return self._did(
            "It is asked about once it is planned; somebody else has to.", public, rows
        )

    async def _pause(self, order: Order, person: PersonName) -> Reply:
        seconds, reason = orders.split_time(order.rest)
        name, office = ApplicationName(order.subject), self._account.office
        pause = await certain(office.pause(name, person, seconds, reason), _LOOK)
        return self._did(
            "Nothing of it is asked or applied until then.", f"{pause.application} is {pause.told}"
        )

    async def _resume(self, order: Order, person: PersonName) -> Reply:
        name = ApplicationName(order.subject)
        await certain(self._account.office.resume(name, person), _LOOK)
        return self._did("The pause is over.", f"{person} ended the pause of {order.subject}")

    async def _ask(self, order: Order, person: PersonName) -> Reply:
        name = ApplicationName(order.subject)
        lanes = await certain(self._account.office.again(name, person), _LOOK)
        told = ", ".join(map(str, lanes)) or order.subject
        return self._did("It is looked at now.", f"{person} asks again about {told}")

    # --- words --------------------------------------------------------------------------------

    def _did(self, private: str, public: str, rows: Sequence[list[Span]] = ()) -> Reply:
        page = Page(_ROOM)
        page.add(paragraph(say(self._ink.line(public, 1_000), bold=True)))
        page.add(paragraph(say(private)))
        page.rows("Nothing is done about", rows, _ROWS, "gitops why")
        return replace(self._whole(page, "gitops why"), public=public)

    def _list(self, head: str, rows: Sequence[list[Span]]) -> Reply:
        page = Page(_ROOM)
        page.rows(head, rows, _ROWS, "the command line or the page shows all")
        if not rows:
            page.add(paragraph(say(head, bold=True)))
        return self._whole(page, "the command line or the page shows all")

    def _whole(self, page: Page, rest: str) -> Reply:
        """The page, and where the rest is if something had no room."""
        if page.cut:
            told = self._ink.line(f"Not everything fits here: {rest}", _LINE)
            page.blocks.append(rich(paragraph(say(told, bold=True))))
        return Reply(page.blocks)
