"""One request as one message: what will change, what was tested, who may say yes.

Called by :mod:`.post` for every state of a request; the same message is edited through all of
them. A card never exceeds Slack's limits and never drops a loss silently: deletes come first, what
is cut is counted, and the whole of it is in the thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gitops import summary
from gitops.model.approval import Decision
from gitops.model.delivery import Cause
from gitops.model.finding import Finding, Severity
from gitops.model.ids import short
from gitops.model.plan import Action, Plan
from gitops.ports.office import Card, Row
from notifiers.slack import blocks
from notifiers.slack.blocks import Block, Ink, Page, Span, paragraph, say
from notifiers.slack.standing import (
    DESTRUCTIVE,
    ICONS,
    State,
    next_step,
    place_of,
    progress,
    shown,
    state_of,
    subject,
)
from notifiers.slack.tickets import APPROVE, DENY, DIFF, Tickets

ROOM = 9_000
"""Characters of the body; with header, people, buttons and ids a card stays below 12,000."""
LINE = 240
REASON = 700
ROWS, LOSSES, MEANINGS, FINDINGS, COMMITS = 20, 10, 12, 5, 5
MOVED, CHECKS, POLICIES, AUTHORS = 3, 20, 3, 10
_MARKS = {None: "✅", Severity.INFO: "✅", Severity.WARNING: "⚠️", Severity.ERROR: "❌"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A message's content."""

    blocks: list[Block]
    text: str
    """For notifications, in mrkdwn, escaped."""


class Cards:
    """Draws cards. Holds no state."""

    def __init__(self, ink: Ink, tickets: Tickets) -> None:
        self._ink = ink
        self._tickets = tickets

    def draw(self, card: Card) -> Drawn:
        state = state_of(card)
        head = self._ink.line(f"{self._icon(card, state)} {_title(card, state)}")
        page = Page(ROOM)
        self._outcome(page, card, state)
        self._cause(page, card)
        if state not in (State.SUPERSEDED, State.UNCHANGED):
            self._plan(page, card, state)
        self._members(page, card)
        if card.asking:
            page.room += 2_500
            self._people(page, card)
        rest = [blocks.context(self._ink.line(_left_out(card), LINE))] if page.cut else []
        return Drawn(
            [blocks.header(head), *page.blocks, *rest, *self._buttons(card), self._ids(card)],
            self._ink.fallback(f"{head}: {risk_of(card)}" if _moves(card, state) else head),
        )

    def bare(self, card: Card) -> Drawn:
        """What is posted when Slack refuses the whole card."""
        state = state_of(card)
        head = self._ink.line(f"{ICONS[state]} {_title(card, state)}")
        told = f"Slack does not take the card; see: {_where(card)}"
        text = blocks.rich(paragraph(say(told)))
        return Drawn([blocks.header(head), text], self._ink.fallback(head))

    def _icon(self, card: Card, state: State) -> str:
        loses = any(plan.deletes for plan in plans(card.asking))
        return DESTRUCTIVE if state is State.ASKING and loses else ICONS[state]

    # --- what happened ------------------------------------------------------------------------

    def _outcome(self, page: Page, card: Card, state: State) -> None:
        """The risk of what is asked; of what is over, how it came out."""
        ink = self._ink
        if _moves(card, state):
            page.add(paragraph(say(ink.line(risk_of(card), 400), bold=True)))
        if len(card.rows) == 1 and not card.asking:
            place = place_of(card, card.rows[0])
            page.add(paragraph(say(ink.line(_first_up(place.words), REASON), bold=state.over)))
        told = progress(card)
        if told and not card.asking:
            page.add(paragraph(say(told, bold=True)))
        moved = list(dict.fromkeys(row.member.moved for row in card.asking if row.member.moved))
        for each in moved[:MOVED]:
            head = say("Changed since you looked: ", bold=True)
            page.add(paragraph(head, say(ink.line(each, REASON))))
        if (more := len(moved) - MOVED) > 0:
            page.add(paragraph(say(f"and {more:,} more changed since you looked: {_where(card)}")))
        step = next_step(card, state)
        if step:
            page.add(paragraph(say("Next: ", bold=True), say(ink.line(step, REASON))))

    def _cause(self, page: Page, card: Card) -> None:
        """The commits, or who asked for it: other people's words, quoted."""
        lead = card.lead
        if lead is None:
            return
        change = lead.record.change
        commits = change.authorship.commits
        if change.cause is not Cause.COMMIT or not commits:
            page.add(blocks.quote(say(self._ink.line(card.request.title, LINE))))
            return
        spans: list[Span] = []
        for commit in commits[:COMMITS]:
            spans.append(_commit(lead, commit.id))
            who = self._ink.line(f" {commit.subject} – {commit.author.name}", LINE)
            spans.append(say(f"{who}\n"))
        more = len(commits) - COMMITS
        if more > 0:
            spans.append(say(f"and {summary.counted(more, 'commit')} more\n"))
        brought = map(summary.brought, change.authorship.pull_requests[:COMMITS])
        spans += [say(f"{self._ink.line(told, LINE)}\n") for told in brought]
        spans[-1] = say(spans[-1]["text"].rstrip("\n"))
        page.add(blocks.quote(*spans))

    # --- what will change ---------------------------------------------------------------------

    def _plan(self, page: Page, card: Card, state: State) -> None:
        asked = plans(shown(card))
        if not state.over:
            self._losses(page, card, asked)
            self._takes(page, card, asked)
        meaning = [[say(self._ink.line(line, LINE))] for line in summary.meaning(asked)]
        page.rows("What it means", meaning, MEANINGS, _where(card))
        self._versions(page, asked)
        if not state.over:
            self._checks(page, card, asked)

    def _losses(self, page: Page, card: Card, asked: Sequence[Plan]) -> None:
        rows = []
        for plan in asked:
            for change in plan.changes:
                if change.action.destroys:
                    what = "replaces" if change.action is Action.REPLACE else "deletes"
                    gone = ", its data goes with it" if change.stateful else ""
                    text = f"{what} {change.address} in {summary.place(plan)}{gone}"
                    rows.append([say(self._ink.line(text, LINE))])
        page.rows(f"{DESTRUCTIVE} Deletes and replacements", rows, LOSSES, _where(card))
        reasons = list(dict.fromkeys(reason for plan in asked for reason in plan.over_budget))
        if reasons:
            text = self._ink.line("; ".join(reasons), REASON)
            page.add(paragraph(say("Needs a typed confirmation: ", bold=True), say(text)))

    def _takes(self, page: Page, card: Card, asked: Sequence[Plan]) -> None:
        takes: dict[str, None] = {}
        for change in (change for plan in asked for change in plan.changes):
            for field in change.takes:
                takes[f"{field.path} of {change.address} from {field.taken_from}"] = None
            if change.foreign:
                takes[f"all of {change.address}, which is there already"] = None
        rows = [[say(self._ink.line(text, LINE))] for text in takes]
        page.rows("Takes from others", rows, FINDINGS, _where(card))
        if any(plan.hides for plan in asked):
            told = "Some values are hidden: read the source itself before you approve."
            page.add(paragraph(say(told, bold=True)))

    def _versions(self, page: Page, asked: Sequence[Plan]) -> None:
        named = [f"{name} {version}" for name, version in summary.versions(asked)]
        if named:
            more = f" and {len(named) - 12:,} more" if len(named) > 12 else ""
            text = self._ink.line(", ".join(named[:12]) + more, 600)
            page.add(paragraph(say("Versions: ", bold=True), say(text)))

    def _checks(self, page: Page, card: Card, asked: Sequence[Plan]) -> None:
        board = summary.board(asked)
        if not board:
            return
        told = [
            f"{_MARKS[each.worst]} {self._ink.line(each.check, 60)}{_number(each)}"
            for each in board[:CHECKS]
        ]
        if (more := len(board) - CHECKS) > 0:
            told.append(f"and {more:,} more")
        page.add(paragraph(say("Checks: ", bold=True), say("  ".join(told))))
        bad = [finding for each in board if not each.passed for finding in each.findings]
        rows = [[say(self._ink.line(_told(finding), 400))] for finding in bad]
        page.rows("", rows, FINDINGS, _where(card))

    # --- who and where ------------------------------------------------------------------------

    def _members(self, page: Page, card: Card) -> None:
        """Members with equal plans as one group with a row each."""
        if len(card.rows) < 2:
            return
        groups: dict[str, list[Row]] = {}
        for row in card.rows:
            key = summary.likeness(row.plan) if row.plan else f"none {row.member.change}"
            groups.setdefault(key, []).append(row)
        for same in list(groups.values())[:ROWS]:
            head = f"{same[0].lane.application}"
            if len(same) > 1:
                head += f": the same plan in {len(same)} places"
            rows = [[say(self._ink.line(self._row(card, row), LINE))] for row in same]
            page.rows(self._ink.line(head, 120), rows, ROWS, _where(card))
        left = len(groups) - ROWS
        if left > 0:
            page.add(paragraph(say(f"and {left:,} more groups: {_where(card)}")))

    def _row(self, card: Card, row: Row) -> str:
        place = place_of(card, row)
        pods = summary.restarts([row.plan]) if row.plan else 0
        moves = place.state in (State.ASKING, State.STARTING, State.APPLYING)
        risk = f", restarts {summary.counted(pods, 'pod')}" if pods and moves else ""
        return f"{place.icon} {row.lane.target}: {place.words}{risk}"

    def _people(self, page: Page, card: Card) -> None:
        """Who may approve, who made it, until when; one policy for many members is told once."""
        told = list({str(spans): spans for spans in map(self._may, card.asking)}.values())
        for spans in told[:POLICIES]:
            page.add(paragraph(*spans))
        if (more := len(told) - POLICIES) > 0:
            page.add(paragraph(say(f"and {more:,} more ways to be approved: {_shown_by(card)}")))
        if card.confirmation:
            text = f"To approve, type: {card.confirmation}"
            page.add(paragraph(say(self._ink.line(text, 100), bold=True)))
        until = min(row.member.expires_at for row in card.asking)
        if until:
            page.add(paragraph(say("Expires: ", bold=True), blocks.moment(until)))

    def _may(self, row: Row) -> list[Span]:
        group = row.electorate
        spans = []
        if group is not None:
            left = [name for name in group.eligible if name not in row.member.yes]
            names = ", ".join(left[:20]) or "nobody"
            more = f" and {len(left) - 20:,} more" if len(left) > 20 else ""
            so_far = ", ".join((f"{len(row.member.yes)} of {group.needed} so far", *row.member.yes))
            needed = f" ({so_far})" * (group.needed > 1)
            spans += [
                say(f"May approve{needed}: ", bold=True),
                say(self._ink.line(names + more, 400)),
            ]
        authors = self._ink.line(", ".join(row.authors[:AUTHORS]) or "nobody", 400)
        if (others := len(row.authors) - AUTHORS) > 0:
            authors += f" and {others:,} more authors"
        spans += [say("\nAuthors: " if spans else "Authors: ", bold=True)]
        note = self._ink.line(f" – {group.note}", 300) if group and group.note else ""
        return [*spans, say(f"{authors}{note}")]

    # --- buttons ------------------------------------------------------------------------------

    def _buttons(self, card: Card) -> list[Block]:
        ticket = self._tickets.issue(card.request) if card.request.id else ""
        made = []
        if ticket and any(row.electorate is None or row.electorate.possible for row in card.asking):
            loses = any(plan.deletes for plan in plans(card.asking))
            made += [
                blocks.button("Approve", APPROVE, ticket, "danger" if loses else "primary"),
            ]
        if ticket and (card.asking or state_of(card) is State.STARTING):
            made += [blocks.button("Deny", DENY, ticket)]
        if ticket:
            made += [blocks.button("Show diff", DIFF, ticket)]
        if card.url:
            made += [blocks.leads("Open page", card.url)]
        return [blocks.actions(*made)] if made else []

    def _ids(self, card: Card) -> Block:
        if not card.request.id:
            return blocks.context(
                self._ink.line(f"nobody was asked · {card.request.occasion}", LINE)
            )
        root = card.request.spoken_of
        told = f" · root {short(root)}" if root else ""
        return blocks.context(f"request {short(card.request.id)}{told}")


def plans(rows: Iterable[Row]) -> list[Plan]:
    return [row.plan for row in rows if row.plan is not None]


def _moves(card: Card, state: State) -> bool:
    """Is anything still going to change?"""
    return not state.over and any(plan.changes for plan in plans(shown(card)))


def risk_of(card: Card) -> str:
    return summary.risk(plans(shown(card)))


def verdicts(card: Card) -> list[str]:
    """``bob approved (slack): looks right``, oldest first; foreign text in part."""
    said = {Decision.APPROVE: "approved", Decision.DENY: "denied"}
    return [
        f"{each.person} {said[each.decision]} ({each.via})"
        + (f": {each.reason}" if each.reason else "")
        for each in card.request.verdicts
    ]


def _commit(row: Row, id: str) -> Span:
    """Its page is on the operator's own forge; the id is hex, so nothing of it can lead away."""
    named = short(id, 8)
    if row.commits_at and all(digit in "0123456789abcdef" for digit in id):
        return blocks.link(f"{row.commits_at}{id}", named)
    return say(named, code=True)


def _title(card: Card, state: State) -> str:
    words = "the question expired" if state is State.EXPIRED else state.value
    return f"{subject(card)}: {words}"


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:] if text[:1].isascii() else text


def _where(card: Card) -> str:
    """Where the whole of it is."""
    return f"in the thread, and {_shown_by(card)}"


def _shown_by(card: Card) -> str:
    if card.url:
        return f"at {card.url}"
    found = card.request.id or (card.rows[0].record.change.id if card.rows else "")
    return f"with: gitops show {short(found)}"


def _left_out(card: Card) -> str:
    return f"Not everything fits here: the rest is {_where(card)}"


def _number(standing: summary.Standing) -> str:
    return f" ({len(standing.findings)})" if standing.findings else ""


def _told(finding: Finding) -> str:
    where = f"{finding.place}: " if finding.place else ""
    hint = f" – {finding.hint.splitlines()[0]}" if finding.hint else ""
    return f"{_MARKS[finding.severity]} {where}{finding.message}{hint} [{finding.check}]"
