"""Every state of a request as a card: golden files for people and for Slack, within its limits.

Golden files are rewritten with ``GITOPS_UPDATE_GOLDEN=1``.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from gitops.model.approval import MemberState
from gitops.model.delivery import ChangeState
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApprovalPolicy
from gitops.model.ids import Digest, RequestId
from gitops.model.plan import Action, FieldChange
from gitops.ports.office import Card
from notifiers.slack.blocks import Ink, cut
from notifiers.slack.cards import Cards, Drawn
from notifiers.slack.standing import State, duration, state_of
from notifiers.slack.thread import PART, PARTS, details, events, parts
from notifiers.slack.tickets import Tickets
from tests.slack import blockkit
from tests.slack.card_cases import (
    AT,
    AUTHORSHIP,
    BOB,
    BY_ADA,
    CASES,
    COMMIT,
    CYD,
    DELETE,
    UPDATE,
    WARNING,
    card_of,
    huge,
    row_of,
)
from tests.slack.render import as_text, live, styled
from tests.unit.check_cases import Keyed

GOLDEN = Path(__file__).parent.parent / "golden" / "slack"
INK = Ink()


def draw(card: Card, ink: Ink = INK) -> Drawn:
    return Cards(ink, Tickets(Keyed(), "slack/team")).draw(card)


def golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("GITOPS_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def refusals(drawn: Drawn) -> list[str]:
    """What Slack would say to it, for a post and for an edit."""
    found = blockkit.problems(drawn.blocks)
    if blockkit.characters(drawn.blocks) > blockkit.BLOCKS_TEXT:
        found.append("msg_blocks_too_long")
    if not 0 < len(drawn.text) <= 4_000:
        found.append("msg_too_long")
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_card_says_what_it_says_and_slack_takes_it(name: str) -> None:
    drawn = draw(CASES[name]())
    assert refusals(drawn) == []
    message = {"blocks": drawn.blocks, "text": drawn.text}
    golden(f"{name}.txt", f"{drawn.text}\n\n{as_text(message)}")
    golden(f"{name}.json", json.dumps(drawn.blocks, indent=1, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("name", CASES)
def test_only_the_operator_s_own_addresses_are_live_in_a_card(name: str) -> None:
    drawn = draw(CASES[name]())
    ours = ("link https://github.com/example/config/commit/", "link https://gitops.example/")
    found = live({"blocks": drawn.blocks, "text": drawn.text})
    assert [each for each in found if not each.startswith(ours)] == []


@pytest.mark.parametrize("name", CASES)
def test_what_stands_in_the_thread_is_told_in_words(name: str) -> None:
    card = CASES[name]()
    told = [detail.text for detail in details(card.rows, INK)]
    said = [line.text for line in events(card, INK)]
    golden(f"{name}.thread.txt", "\n\n".join([*told, *said]) + "\n")


def test_every_state_has_a_card() -> None:
    assert {state_of(make()) for make in CASES.values()} == set(State) - {State.UNCHANGED}


def test_a_card_that_is_far_too_much_is_cut_visibly_and_taken() -> None:
    card = huge()
    drawn = draw(card)
    assert refusals(drawn) == []
    text = as_text({"blocks": drawn.blocks})
    assert "Deployment.apps shop/web-0" in text
    assert "and 4,990 more: in the thread, and with: gitops show 3f2a9c0d4e5b" in text
    assert "characters)" in text
    assert "[ Approve ] red" in text
    whole = details(card.rows, INK)
    assert len(whole) == 2, "ten thousand changes, and three hundred equal plans once"
    assert all(len(detail.text) <= 1_000_000 for detail in whole)
    assert len(parts(whole[0].text)) == PARTS + 1
    assert all(len(part) <= PART for part in parts(whole[0].text))


def test_whatever_is_left_out_is_said_to_be() -> None:
    long = "word " * 60
    gone = tuple(
        replace(DELETE, address=f"PersistentVolumeClaim shop/{n} {long}") for n in range(12)
    )
    taken = tuple(
        replace(UPDATE, address=f"D {n} {long}", fields=(FieldChange("a", 1, 2, taken_from=long),))
        for n in range(10)
    )
    planned = {
        "over_budget": (long * 3,),
        "findings": tuple(replace(WARNING, message=f"{n} {long}") for n in range(9)),
        "checks": tuple(f"check-{n}" for n in range(25)),
    }
    commits = tuple(replace(COMMIT, subject=long) for _ in range(5))
    by = tuple(replace(BY_ADA, email=f"stranger-{n}@example.org") for n in range(12))
    made = replace(AUTHORSHIP, commits=commits, signatures=by)
    row = row_of(
        ChangeState.ASKING, *gone, *taken, moved=long * 3, planned=planned, authorship=made
    )
    policies = [ApprovalPolicy(f"p{n}", people=(BOB, CYD)[n % 2 :]) for n in range(4)]
    others = [
        row_of(
            target=f"c{n}",
            moved=f"moved {n} {long * 2}",
            policy=replace(policies[n % 4], quorum=n + 1),
        )
        for n in range(5)
    ]
    drawn = draw(card_of(row, *others))
    text = as_text({"blocks": drawn.blocks})
    assert refusals(drawn) == []
    assert "and 3 more changed since you looked" in text
    assert "and 6 more" in text, "checks"
    assert "and 2 more authors" in text
    assert "and 3 more ways to be approved" in text
    assert "Not everything fits here: the rest is in the thread" in text
    small = as_text({"blocks": draw(card_of(row_of())).blocks})
    assert "Not everything fits" not in small


HOSTILE = [
    "<!channel> look",
    "<!here>",
    "<!everyone>",
    "<@U12345>",
    "<!subteam^S123|ops>",
    "<#C123|general>",
    "<https://evil.example|Approve>",
    "https://evil.example/approve",
    "www.evil.example",
    "mailto:root@evil.example",
    "@channel @here @everyone",
    "*bold* _italic_ ~struck~ `code` ```pre```",
    "> quoted\n> again",
    ":white_check_mark: approved by bob",
    "&lt;!channel&gt; &amp;",
    "\u202egnp.evil",
    "zero\u200bwidth\u2060joined\ufeff",
    "\x1b[31mred\x1b[0m\x07\x00",
    "\ud800 lone",
    "a\u061cb\u2066c\u2069",
    "blank\u3164\u115f\u00ad",
    "line\r\nfeed\nnew",
    "<!date^0^{date}^https://evil.example|now>",
    "x" * 200_000,
]


def everywhere(text: str) -> Card:
    """The text wherever somebody else's words may come in."""
    commit = replace(COMMIT, subject=text, author=replace(COMMIT.author, name=text, email=text))
    change = replace(
        UPDATE,
        address=text,
        fields=(FieldChange(text, text, text, taken_from=text), FieldChange("data.x", text, text)),
        notes=(text,),
        origin=None,
    )
    gone = replace(change, action=Action.DELETE)
    finding = Finding(text, Severity.WARNING, text, text, text, 1, 1)
    planned = {
        "findings": (finding,),
        "over_budget": (text,),
        "versions": ((text, text),),
        "checks": (text,),
    }
    row = row_of(planned=planned, moved=text, reason=text)
    assert row.plan is not None
    authorship = replace(row.record.change.authorship, commits=(commit,))
    record = replace(row.record, change=replace(row.record.change, authorship=authorship))
    plan = replace(row.plan, changes=(change, gone))
    group = replace(row.electorate, note=text) if row.electorate else None
    made = replace(row, record=record, plan=plan, electorate=group, authors=(text,))
    ended = replace(made, member=replace(made.member, state=MemberState.LEFT))
    return card_of(made, ended, title=text)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_somebody_else_s_words_neither_mention_nor_link_nor_style_nor_hide(text: str) -> None:
    card = everywhere(text)
    drawn = draw(card)
    message = {"blocks": drawn.blocks, "text": drawn.text}
    assert refusals(drawn) == []
    found = live(message)
    assert [each for each in found if not each.startswith("link https://github.com/example")] == []
    assert styled(drawn.text) == []
    shown = json.dumps(drawn.blocks, ensure_ascii=False) + drawn.text
    invisible = "\u202e\u200b\u2060\ufeff\x1b\x00\u061c\u2066\u3164\u115f\u00ad\ud800"
    assert not set(invisible) & set(shown)
    assert not any(block["type"] == "section" for block in drawn.blocks)
    for detail in details(card.rows, INK):
        assert not set(invisible) & set(detail.text)


def test_a_known_secret_is_taken_out_before_anything_is_cut() -> None:
    secret = "hunter2-" * 40
    ink = Ink(lambda text: text.replace(secret, "***"))
    reason = "y" * 600 + secret + "z" * 600
    card = card_of(row_of(moved=reason))
    shown = json.dumps(draw(card, ink).blocks)
    assert "hunter2" not in shown
    assert "***" in shown


def test_a_button_carries_a_ticket_for_this_root_of_this_request_and_nothing_else() -> None:
    tickets = Tickets(Keyed(), "slack/team")
    request = card_of(row_of()).request
    value = tickets.issue(request)
    ticket = tickets.read(value)
    assert ticket is not None
    assert (ticket.request, ticket.root) == (request.id, request.root)
    assert tickets.read(tickets.issue(replace(request, root=Digest("1" * 64)))) != ticket
    for forged in (
        value[:-1] + ("0" if value[-1] != "0" else "1"),
        value.replace(request.id, "0" * 16),
        value + " ",
        "",
        "t1.." * 3,
    ):
        assert tickets.read(forged) is None
    assert Tickets(Keyed(), "slack/other").read(value) is None


def test_nothing_can_be_pressed_once_nobody_is_asked() -> None:
    for name in ("healthy", "failed", "denied", "expired", "superseded", "applying"):
        text = as_text({"blocks": draw(CASES[name]()).blocks})
        assert "[ Approve ]" not in text
        assert "[ Deny ]" not in text
    stuck = as_text({"blocks": draw(CASES["nobody-can-approve"]()).blocks})
    assert "[ Approve ]" not in stuck
    assert "[ Deny ]" in stuck
    assert "Add a person under `people:`" in stuck


def test_a_card_of_a_change_nobody_was_asked_about_has_no_buttons() -> None:
    blocked = card_of(row_of(), id=RequestId(""))
    assert not any(block["type"] == "actions" for block in draw(blocked).blocks)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (41.4, "41 s"), (60, "1 min"), (200, "3 min 20 s"), (7_500, "2 h 5 min")],
)
def test_a_duration_is_said_as_people_do(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_what_is_cut_says_how_much() -> None:
    assert cut("x" * 100, 50).endswith("… (+50 characters)")
    assert len(cut("x" * 100, 50)) == 50
    assert cut("short", 50) == "short"


def test_the_expiry_is_shown_in_the_reader_s_own_time() -> None:
    blocks = json.dumps(draw(card_of(row_of())).blocks)
    assert f'"timestamp": {int(AT + 86_400)}' in blocks
