"""The forms people answer in: what exactly they would say yes or no to, and how that came out.

Pure: cards and refusals become views (docs.slack.dev/reference/views). Shown by :mod:`.answers`
and :mod:`.commands`. A form repeats what its root is about, so that a thumb on the wrong card is
noticed; the gate and not the form decides. Foreign text is inert here as on the cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gitops.gate import confirmation_phrase
from gitops.model.ids import PersonName, short
from gitops.model.plan import Plan
from gitops.ports.office import Card, Row
from gitops.summary import counted, restarts, risk
from notifiers.slack.blocks import (
    Block,
    Ink,
    Page,
    Span,
    actions,
    button,
    context,
    link,
    paragraph,
    plain,
    preformatted,
    rich,
    say,
)

View = dict[str, Any]

APPROVE_FORM = "gitops.approve"
DENY_FORM = "gitops.deny"
"""Callback ids of the two forms."""
CONFIRM, REASON = "confirm", "reason"
"""Block ids of their inputs."""
PAGE = "gitops.page"
"""Action id of the buttons that turn a diff's pages; the value is the page's number."""
LONGEST_REASON = 2_000
_ROWS, _OVER, _LOST = 20, 5, 10
_ROOM = 9_000
"""Characters of all texts of a form."""
_LAST = 500
"""Of these, kept for what a form ends with, however much there is before it."""
_TITLE = 24


@dataclass(frozen=True, slots=True)
class Scope:
    """What one person's answer would be about, as far as it can be told beforehand."""

    rows: tuple[Row, ...]
    refused: tuple[tuple[Row, str], ...]
    """Asked about, but not theirs to answer; why, in words."""

    @property
    def plans(self) -> tuple[Plan, ...]:
        return tuple(row.plan for row in self.rows if row.plan is not None)

    @property
    def phrase(self) -> str:
        """To be typed; empty when nothing has to be."""
        return confirmation_phrase(self.plans)


def scope_of(card: Card, person: PersonName) -> Scope:
    """Those of the card's open questions that a yes of this person would count for."""
    rows: list[Row] = []
    refused: list[tuple[Row, str]] = []
    for row in card.asking:
        why = _refusal(row, person)
        if why:
            refused.append((row, why))
        else:
            rows.append(row)
    return Scope(tuple(rows), tuple(refused))


def _refusal(row: Row, person: PersonName) -> str:
    if row.electorate is None:
        return "the application is no longer in the fleet file"
    if person in row.electorate.eligible:
        said = person in row.member.yes
        return f"{person} has approved this already: somebody else has to" if said else ""
    return row.electorate.refusals.get(person, f"{person} may not answer this")


# --- forms ------------------------------------------------------------------------------------


def approve_form(card: Card, scope: Scope, memo: str, ink: Ink) -> View:
    """A yes to exactly this, with the phrase to type where deletes go over the budget."""
    phrase = scope.phrase
    blocks = _about(card, scope, ink)
    if phrase:
        blocks.append(_input(CONFIRM, f"Type: {phrase}", most=100))
    return _form("Approve", "Approve", APPROVE_FORM, blocks, memo)


def deny_form(card: Card, scope: Scope, memo: str, ink: Ink) -> View:
    blocks = _about(card, scope, ink)
    blocks.append(_input(REASON, "Why not?", most=LONGEST_REASON, lines=True))
    return _form("Deny", "Deny", DENY_FORM, blocks, memo)


def result(title: str, lines: Sequence[Sequence[Span]]) -> View:
    """How something came out; nothing to hand in."""
    page = Page(_ROOM)
    for spans in lines:
        page.add(paragraph(*spans))
    return {
        "type": "modal",
        "title": plain(title[:_TITLE]),
        "close": plain("Close"),
        "blocks": page.blocks or [rich(paragraph(say(" ")))],
    }


def refusal(title: str, message: str, hint: str, ink: Ink) -> View:
    return result(title, told(message, hint, ink))


def told(message: str, hint: str, ink: Ink) -> list[list[Span]]:
    """A sentence and what to do next, as lines."""
    lines = [[say(ink.line(message, 1_500), bold=True)]]
    return [*lines, [say(ink.clean(hint, 1_500))]] if hint else lines


def diff(title: str, pages: Sequence[Sequence[str]], number: int, memo: str) -> View:
    """One page of what would change in full; each piece is clean and fits a block."""
    number = min(max(number, 0), len(pages) - 1)
    blocks = [rich(preformatted(piece)) for piece in pages[number]]
    turns = [
        button(label, f"{PAGE}.{label.lower()}", str(to))
        for label, to in (("Back", number - 1), ("More", number + 1))
        if 0 <= to < len(pages)
    ]
    if turns:
        blocks += [context(f"page {number + 1} of {len(pages)}"), actions(*turns)]
    view = result("Diff", [[say(title, bold=True)]])
    return {**view, "blocks": [*view["blocks"], *blocks], "private_metadata": memo}


# --- parts ------------------------------------------------------------------------------------


def _form(title: str, submit: str, callback: str, blocks: list[Block], memo: str) -> View:
    return {
        "type": "modal",
        "callback_id": callback,
        "title": plain(title),
        "submit": plain(submit),
        "close": plain("Cancel"),
        "private_metadata": memo,
        "blocks": blocks,
    }


def _about(card: Card, scope: Scope, ink: Ink) -> list[Block]:
    page = Page(_ROOM - _LAST)
    page.add(paragraph(say(ink.line(card.request.title, 200), bold=True)))
    page.add(paragraph(say(ink.line(risk(scope.plans), 500))))
    page.rows("", [_row(row, ink) for row in scope.rows], _ROWS, "see the card")
    reasons = dict.fromkeys(reason for plan in scope.plans for reason in plan.over_budget)
    over = [[say(ink.line(reason, 200))] for reason in reasons]
    page.rows("Deletes beyond the budget", over, _OVER, "see the card")
    lost = [
        [say(ink.line(f"{plan.target}: {change.address}", 200))]
        for plan in scope.plans
        for change in plan.changes
        if change.action.destroys
    ]
    page.rows("What is lost", lost, _LOST, "see the card")
    others = [[say(ink.line(f"{row.lane}: {why}", 300))] for row, why in scope.refused]
    page.rows("Not covered by your answer", others, 5, "see the card")
    page.room += _LAST
    if page.cut:
        page.add(paragraph(say("Not everything fits here: see the card.", bold=True)))
    if more := _still_needed(scope):
        page.add(paragraph(say(more)))
    page.add(
        paragraph(
            say(f"request {card.request.id}, root "), say(short(card.request.root), code=True)
        )
    )
    return page.blocks


def _row(row: Row, ink: Ink) -> list[Span]:
    lane = say(ink.line(str(row.lane), 150), bold=True)
    if row.plan is None:
        return [lane, say(" (its plan is not known any more)")]
    spans = [lane, say(ink.line(f": {row.plan.risk}", 300))]
    if pods := restarts([row.plan]):
        spans.append(say(f"; restarts {counted(pods, 'pod')}"))
    spans.append(say(f"  plan {short(row.plan.digest)}"))
    if row.member.moved:
        spans.append(say(f"\nsince you were first asked: {ink.line(row.member.moved, 300)}"))
    return spans


def _still_needed(scope: Scope) -> str:
    left = [
        row.electorate.needed - len(row.member.yes) - 1
        for row in scope.rows
        if row.electorate is not None
    ]
    most = max(left, default=0)
    return f"After you, {most} more {'people have' if most > 1 else 'person has'} to." * (most > 0)


def _input(block: str, label: str, *, most: int, lines: bool = False) -> Block:
    return {
        "type": "input",
        "block_id": block,
        "label": plain(label),
        "element": {
            "type": "plain_text_input",
            "action_id": block,
            "multiline": lines,
            "max_length": most,
        },
    }


def leads_to(url: str, words: str) -> list[Span]:
    """A line that is one link; ``url`` is Slack's own or ours."""
    return [link(url, words)]
