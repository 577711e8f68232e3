"""A person's yes or no on its way to the gate, and what they are told of it.

Used by :mod:`.hearing` for buttons and forms and by :mod:`.commands` for written answers, so that
both say the same. Everything is decided by the office; what is compared here only saves a person
a form that could not count. An answer handed in twice is one answer: the second is told what the
first one did.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from gitops.errors import NotAllowed, Transient, Unknown
from gitops.gate import may_answer
from gitops.model.approval import Decision, MemberState, Request, RequestState, Verdict
from gitops.model.delivery import ChangeState
from gitops.model.fleet import People
from gitops.model.ids import Digest, PersonName, RequestId, short
from gitops.ports.office import Card, Row
from notifiers.slack import modals, orders
from notifiers.slack.account import Account
from notifiers.slack.blocks import Ink, Span, say
from notifiers.slack.modals import Scope, View
from notifiers.slack.standing import place_of as stand
from notifiers.slack.tickets import Ticket
from notifiers.slack.voice import Voice

PlaceOf = Callable[[RequestId], Awaitable[tuple[str, str] | None]]
"""(channel, timestamp) of a request's card, if it was posted."""
T = TypeVar("T")
VIA = "slack"
_LINES = 12
_ONCE = "Hand it in again: an answer counts once, however often it is given."
_FORMS = {Decision.APPROVE: modals.approve_form, Decision.DENY: modals.deny_form}


class Unsure(Transient):
    """It may have been recorded, and it may not."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A ticket, and the text it was read from: what a form carries on."""

    ticket: Ticket
    memo: str


class Answers:
    def __init__(self, account: Account, voice: Voice, place_of: PlaceOf) -> None:
        self._account = account
        self._voice = voice
        self._place_of = place_of
        self._ink = Ink(account.services.mask)

    async def form(self, asked: Asked, decision: Decision, person: PersonName) -> View:
        """What somebody is shown who wants to answer: the form, or what happened meanwhile. Raises
        NotAllowed for who could not answer any of it."""
        ticket = asked.ticket
        card = await self.card(ticket.request)
        people = self._account.office.people()
        scope = scope_of(card, person, decision, ticket.root, people)
        if card.request.root != ticket.root and not scope.rows:
            return await self.overtaken(card)
        if not scope.rows:
            reasons = "; ".join(dict.fromkeys(why for _, why in scope.refused))
            if not reasons:
                return await self.overtaken(card)
            raise NotAllowed(reasons, hint=self._who(card) if decision is Decision.APPROVE else "")
        return _FORMS[decision](card, scope, asked.memo, self._ink)

    def asked(self, memo: str) -> Asked:
        """What a button or form is about. Raises NotAllowed for what we did not make."""
        ticket = self._account.tickets.read(memo)
        if ticket is None:
            raise NotAllowed(
                "this button is not one of this controller's",
                hint="it was posted by another one, or by this one with another key",
            )
        return Asked(ticket, memo)

    def about(self, card: Card) -> Asked:
        """A card as it is now."""
        return Asked(
            Ticket(card.request.id, card.request.root), self._account.tickets.issue(card.request)
        )

    async def settle(
        self,
        request: RequestId,
        root: Digest,
        person: PersonName,
        decision: Decision,
        *,
        reason: str = "",
        confirmation: str = "",
    ) -> None:
        """Committed when it returns. Raises NotAllowed in words for the person; Unsure when it is
        not known what became of it, after which the same may be handed in again."""
        office = self._account.office
        given = (request, root, person, decision)
        try:
            answering = office.answer(*given, reason=reason, via=VIA, confirmation=confirmation)
            await certain(answering, _ONCE)
        except NotAllowed:
            card = await certain(office.card(request), _ONCE)
            if card is None or not counted(card.request, root, person, decision):
                raise

    async def card(self, id: str) -> Card:
        """By id or prefix. Raises Unknown with what could have been meant."""
        found = await self._account.office.card(id)
        if found is None:
            waiting = [card.request.id for card in await self._account.office.pending()]
            known = ", ".join(waiting[:5]) or "none"
            raise Unknown(f"there is no request {id[:40]!r}", hint=f"what waits: {known}")
        return found

    async def overtaken(self, card: Card) -> View:
        """What the pressed card was about is over, or is about something else by now."""
        title = "Too late" if card.request.state is RequestState.CLOSED else "It has changed"
        lines = [*self._happened(card), *await self._onwards(card)]
        return modals.result(title, lines)

    async def told(
        self, request: RequestId, decision: Decision, person: PersonName
    ) -> list[list[Span]]:
        """What a person hears whose answer was recorded, and how the request stands after it. That
        it was recorded is true whatever can be read now."""
        said = "approved" if decision is Decision.APPROVE else "denied"
        head = [say(f"Your answer is recorded: {said} as {person}.", bold=True)]
        try:
            card = await self._account.office.card(request)
        except Transient:
            card = None
        return [head, *self._stands(card)] if card else [head]

    # --- words ----------------------------------------------------------------------------

    def _happened(self, card: Card) -> list[list[Span]]:
        if card.request.state is RequestState.CLOSED:
            return [[say("Nothing is asked any more.", bold=True)], *self._stands(card)]
        head = "What you looked at has changed, so nothing was answered. Since then:"
        moved = [
            [say(self._ink.line(f"{row.lane}: {row.member.moved}", 500))]
            for row in card.asking
            if row.member.moved
        ]
        return [[say(head, bold=True)], *(moved or self._stands(card))][:_LINES]

    def _stands(self, card: Card) -> list[list[Span]]:
        lines = [
            [say(self._ink.line(f"{row.lane}: {stand(card, row).words}", 500))] for row in card.rows
        ]
        more = len(lines) - _LINES
        return [*lines[:_LINES], [say(f"and {more} more")]] if more > 0 else lines

    async def _onwards(self, card: Card) -> list[list[Span]]:
        """Links to where the question is now."""
        target = card
        if card.request.state is RequestState.CLOSED:
            lanes = {row.lane for row in card.rows}
            newer = [
                each
                for each in await self._account.office.pending()
                if each.request.id != card.request.id and lanes & {row.lane for row in each.asking}
            ]
            if not newer:
                return []
            target = newer[0]
        words = f"request {target.request.id}, root {short(target.request.root)}"
        url = await self.address(target)
        if url:
            return [[say("Look at "), *modals.leads_to(url, words)]]
        return [[say(f"Look at {words}")]]

    async def address(self, card: Card) -> str:
        """Of its message in Slack, else of its page; empty when it has neither."""
        place = await self._place_of(card.request.id)
        found = await self._voice.permalink(*place) if place else ""
        return found or card.url

    def _who(self, card: Card) -> str:
        names = sorted(
            {
                name
                for row in card.asking
                if row.electorate is not None
                for name in row.electorate.eligible
                if name not in row.member.yes
            }
        )
        return f"It can be approved by: {', '.join(names[:20])}" if names else ""


def scope_of(
    card: Card, person: PersonName, decision: Decision, root: Digest, people: People
) -> Scope:
    """What a yes or no to what that root showed would count for, a no with what it takes back."""
    now = root == card.request.root
    if decision is Decision.APPROVE:
        return modals.scope_of(card, person) if now else Scope((), ())
    meant = (*(card.asking if now else ()), *revocable(card, root))
    refusals = [(row, _may_not_deny(row, person, people)) for row in meant]
    rows = tuple(row for row, why in refusals if not why)
    return Scope(rows, tuple((row, why) for row, why in refusals if why))


def _may_not_deny(row: Row, person: PersonName, people: People) -> str:
    """Why, as the gate will say; empty when they may."""
    if row.application is None:
        return "the application is no longer in the fleet file"
    policy, made = row.application.approval, row.record.change.authorship
    ruling = may_answer(person, Decision.DENY, policy, made, people)
    return "" if ruling.allowed else ruling.reason


def revocable(card: Card, root: Digest) -> tuple[Row, ...]:
    """What was approved as that root showed it and is not being applied yet."""
    verdicts = card.request.verdicts
    shown = {pair for verdict in verdicts if verdict.root == root for pair in verdict.covers}
    return tuple(
        row
        for row in card.rows
        if row.member.state is MemberState.APPROVED
        and (root == card.request.root or (row.member.change, row.member.seal) in shown)
        and row.record.state in (ChangeState.OPEN, ChangeState.ASKING)
        and (row.record.seal, row.record.request) == (row.member.seal, card.request.id)
    )


def counted(request: Request, root: Digest, person: PersonName, decision: Decision) -> bool:
    """Did this very answer count already, and does it still?"""
    return any(
        _holds(request, verdict)
        for verdict in request.verdicts
        if (verdict.root, verdict.person, verdict.decision) == (root, person, decision)
    )


def _holds(request: Request, verdict: Verdict) -> bool:
    members = {member.change: member for member in request.members}
    for change, seal in verdict.covers:
        member = members.get(change)
        if member is None or member.seal != seal:
            return False
        if verdict.decision is Decision.DENY and member.state is not MemberState.DENIED:
            return False
        if verdict.decision is Decision.APPROVE and (
            verdict.person not in member.yes
            or member.state not in (MemberState.ASKING, MemberState.APPROVED)
        ):
            return False
    return bool(verdict.covers)


async def certain(work: Awaitable[T], hint: str) -> T:
    """What changes something: where the store did not answer, it may have been done. Raises Unsure
    with what to do then."""
    try:
        return await work
    except Transient as error:
        raise Unsure(error.message, hint=hint) from None


def in_words(error: NotAllowed | Transient) -> tuple[str, str]:
    """(what happened, what to do) of what did not come through."""
    if isinstance(error, Unsure):
        return (
            f"It is not certain whether this was recorded: {error.message}",
            error.hint or "Look how it stands before you repeat it.",
        )
    if isinstance(error, Transient):
        return f"Nothing was done: {error.message}", error.hint or "Try again."
    hint = error.hint.replace("--reason", "reason")
    return error.message, _ELSEWHERE.sub(lambda found: f"/gitops {_HERE[found[1]]}", hint)


_HERE = {verb: verb for verb in orders.USAGE} | {"show": "diff", "deliveries": "history"}
_ELSEWHERE = re.compile(rf"(?<![/\w-])gitops ({'|'.join(_HERE)})\b")
"""Orders of the command line that can be given here too."""
