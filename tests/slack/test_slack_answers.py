"""Yes and no in Slack: forms that say what they are about, and one answer whatever is pressed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitops.errors import StaleWrite, StoreUnavailable
from gitops.gate import electorate
from gitops.model.approval import Decision, MemberState
from gitops.model.delivery import ChangeState
from gitops.model.events import ChangeClosed, MemberDecided
from gitops.model.fleet import ApprovalPolicy
from gitops.model.ids import RequestId
from gitops.model.plan import Action, ResourceChange
from gitops.model.source import Authorship, Signature
from notifiers.slack import hearing as hearing_module
from notifiers.slack import modals
from notifiers.slack.answers import scope_of
from notifiers.slack.blocks import Ink
from tests.contract.store_story import change_of, lane, plan_of
from tests.slack import sending
from tests.slack.card_cases import ADA, BOB, CYD, DELETE, PEOPLE, card_of, row_of
from tests.slack.incoming_rig import REQUEST, Incoming, incoming, text_of
from tests.slack.render import live
from tests.slack.server import SlackServer

HOSTILE = "<!channel> <https://evil.example|Approve> `x` \u202eevil https://evil.example @here"


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
async def rig(tmp_path: Path, slack: SlackServer) -> AsyncIterator[Incoming]:
    async with incoming(tmp_path, slack) as rig:
        yield rig


@pytest.fixture
async def pair(tmp_path: Path, slack: SlackServer) -> AsyncIterator[Incoming]:
    """Where two have to say yes."""
    async with incoming(tmp_path, slack, policy=ApprovalPolicy(quorum=2)) as rig:
        yield rig


@pytest.fixture
def bob(slack: SlackServer) -> str:
    return slack.add_user("bob", "bob@example.org")


@pytest.fixture
def cyd(slack: SlackServer) -> str:
    return slack.add_user("cyd", "cyd@example.org")


@pytest.fixture
def ada(slack: SlackServer) -> str:
    """Who made every change here."""
    return slack.add_user("ada", "ada@example.org")


async def test_approve_opens_a_form_that_says_what_to_and_handing_it_in_is_the_answer(
    rig: Incoming, bob: str
) -> None:
    await rig.ask()
    await rig.press("Approve", bob)
    asked, shown = await rig.request(), rig.shown()
    for what in ("shop@prod", "1 update", asked.id, asked.root[:12]):
        assert what in shown
    assert not asked.verdicts, "nothing is answered until the form is handed in"
    ack = await rig.submit(bob)
    assert ack["response_action"] == "update"
    assert "recorded: approved as bob" in text_of(ack)
    [verdict] = await rig.verdicts()
    assert (verdict.person, verdict.decision, verdict.via) == ("bob", Decision.APPROVE, "slack")


async def test_deny_wants_a_reason_and_says_so_at_the_input(rig: Incoming, bob: str) -> None:
    await rig.ask()
    await rig.press("Deny", bob)
    ack = await rig.submit(bob, reason="   ")
    assert ack["response_action"] == "errors"
    assert "reason" in ack["errors"]["reason"]
    assert not await rig.verdicts()
    ack = await rig.submit(bob, reason="not before the freeze")
    assert "denied as bob" in text_of(ack)
    [verdict] = await rig.verdicts()
    assert (verdict.decision, verdict.reason) == (Decision.DENY, "not before the freeze")


async def test_deletes_beyond_the_budget_take_the_phrase_typed(rig: Incoming, bob: str) -> None:
    await rig.ask(plan=destructive(12))
    await rig.press("Approve", bob)
    assert "Type: delete 12" in rig.shown()
    ack = await rig.submit(bob, confirm="delete 11")
    assert "delete 12" in ack["errors"]["confirm"]
    assert not await rig.verdicts()
    await rig.submit(bob, confirm=" delete 12 ")
    [verdict] = await rig.verdicts()
    assert verdict.confirmation.strip() == "delete 12"


async def test_a_form_names_the_phrase_of_what_this_person_may_answer_only(
    tmp_path: Path, slack: SlackServer, bob: str
) -> None:
    async with incoming(tmp_path, slack) as rig:
        theirs = change_of(lane("blog"), wish="b")
        author = replace(
            theirs.authorship,
            signatures=(replace(theirs.authorship.signatures[0], email="bob@example.org"),),
        )
        await rig.ask(plan=destructive(12))
        await rig.ask("blog", plan=destructive(13), authorship=author, wish="b")
        await rig.press("Approve", bob)
        assert "Type: delete 12" in rig.shown()
        assert "blog@prod: bob is an author" in rig.shown()
        ack = await rig.submit(bob, confirm="delete 12")
        assert "recorded" in text_of(ack)
        states = {m.state for m in (await rig.request()).members}
        assert states == {MemberState.APPROVED, MemberState.ASKING}


def test_a_form_says_what_is_lost_and_what_it_is_about_however_much_there_is() -> None:
    rows = []
    for n in range(60):
        budget = (f"{n} PersistentVolumeClaim would be deleted {'x' * 400}",)
        rows.append(
            row_of(ChangeState.ASKING, DELETE, target=f"c{n}", planned={"over_budget": budget})
        )
    others = [row_of(target=f"d{n}", policy=ApprovalPolicy("p", people=(CYD,))) for n in range(9)]
    card = card_of(*rows, *others)
    scope = modals.scope_of(card, BOB)
    told = text_of(modals.approve_form(card, scope, "memo", Ink()))
    assert "What is lost\nc0: PersistentVolumeClaim shop/data" in told
    assert "Not covered by your answer" in told
    assert "and 55 more: see the card" in told
    assert card.request.root[:12] in told
    assert "Type: delete 60" in told


def test_a_form_for_a_no_shows_only_what_this_person_may_say_no_to() -> None:
    mine, other = row_of(), row_of(target="c", policy=ApprovalPolicy("p", people=(CYD,)))
    card = card_of(mine, other)
    scope = scope_of(card, BOB, Decision.DENY, card.request.root, PEOPLE)
    assert scope.rows == (mine,)
    [(row, why)] = scope.refused
    assert (row, why) == (other, "bob is not among those policy 'p' names")
    assert scope_of(card, ADA, Decision.DENY, card.request.root, PEOPLE).rows == (mine,)


async def test_who_may_is_worked_out_once_for_all_that_one_commit_and_one_policy_bring(
    rig: Incoming, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        "gitops.office.electorate", lambda *given: asked.append(given) or electorate(*given)
    )
    made = Authorship(signatures=(Signature("Ada", "ada@example.org"),))
    for name, wish in (("shop", "a"), ("blog", "b")):
        await rig.ask(name, wish=wish, authorship=made)
    asked.clear()
    card = await rig.office.card(REQUEST)
    assert card is not None
    assert [row.electorate is not None for row in card.rows] == [True, True]
    assert len(asked) == 1


async def test_the_second_of_two_yes_is_still_needed_and_one_person_is_one(
    pair: Incoming, bob: str, cyd: str
) -> None:
    await pair.ask()
    await pair.press("Approve", bob)
    assert "After you, 1 more person has to." in pair.shown()
    assert "1 of 2" in text_of(await pair.submit(bob))
    await pair.press("Approve", bob)
    assert "somebody else has to" in pair.shown()
    await pair.approve(cyd)
    assert [v.person for v in await pair.verdicts()] == ["bob", "cyd"]
    [member] = (await pair.request()).members
    assert member.state is MemberState.APPROVED


# --- the same thing twice -----------------------------------------------------------------------


async def test_a_form_handed_in_twice_is_one_answer_and_both_are_told_so(
    pair: Incoming, slack: SlackServer, bob: str
) -> None:
    """A double click, and a person who presses again after a crash ate the acknowledgement."""
    await pair.ask()
    await pair.press("Approve", bob)
    view = pair.last_view()["id"]
    acks = await asyncio.gather(*(pair.submit(bob, view) for _ in range(5)))
    assert all("recorded: approved as bob" in text_of(ack) for ack in acks)
    assert len(await pair.verdicts()) == 1
    assert "recorded" in text_of(await pair.submit(bob, view))
    assert len(await pair.verdicts()) == 1


async def test_a_request_that_comes_fifty_times_acts_once_and_the_others_are_refused(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    await rig.ask()
    await rig.press("Approve", bob)
    signed = sending.signed_interaction(slack, sending.submit(slack, rig.last_view()["id"], bob))
    replies = await asyncio.gather(*(rig.send(signed) for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [200] + [401] * 49
    assert len(await rig.verdicts()) == 1


async def test_of_two_people_at_once_the_first_counts_and_the_other_is_told_who(
    rig: Incoming, bob: str, cyd: str
) -> None:
    await rig.ask()
    await rig.press("Approve", bob)
    his = rig.last_view()["id"]
    await rig.press("Approve", cyd)
    hers = rig.last_view()["id"]
    acks = await asyncio.gather(rig.submit(bob, his), rig.submit(cyd, hers))
    [verdict] = await rig.verdicts()
    late = acks[1] if verdict.person == "bob" else acks[0]
    assert f"too late: {verdict.person} approved it" in text_of(late)


async def test_yes_and_no_at_once_leave_one_state_and_nothing_is_applied_after_a_no(
    rig: Incoming, bob: str, cyd: str
) -> None:
    await rig.ask()
    await rig.press("Approve", bob)
    yes = rig.last_view()["id"]
    await rig.press("Deny", cyd)
    no = rig.last_view()["id"]
    acks = await asyncio.gather(rig.submit(bob, yes), rig.submit(cyd, no, reason="no"))
    [member] = (await rig.request()).members
    assert member.state is MemberState.DENIED, "a no takes back a yes nothing was done about"
    assert "recorded: denied as cyd" in text_of(acks[1])
    assert "recorded: approved" in text_of(acks[0]) or "cyd denied it" in text_of(acks[0])


# --- too late -----------------------------------------------------------------------------------


async def test_a_card_that_moved_says_what_changed_and_leads_to_the_present_one(
    rig: Incoming, bob: str
) -> None:
    change = await rig.ask()
    await rig.press("Approve", bob)
    open_form = rig.last_view()["id"]
    await rig.move(change, "b", "replicas of web: 5 → 9")
    ack = await rig.submit(bob, open_form)
    assert "the plan changed since you looked" in text_of(ack)
    await rig.press("Approve", bob)
    shown = rig.shown()
    assert "replicas of web: 5 → 9" in shown
    assert (await rig.request()).root[:12] in shown
    assert "submit" not in rig.last_view()
    assert any("https://recorded.slack.com/archives/" in each for each in live(rig.last_view()))
    assert not await rig.verdicts()


@pytest.mark.parametrize("how", ["expired", "superseded", "applied"])
async def test_what_is_over_is_not_answered_and_says_how_it_ended(
    rig: Incoming, bob: str, cyd: str, how: str
) -> None:
    change = await rig.ask()
    ledger = rig.controller.ledger
    if how == "applied":
        await rig.approve(cyd)
    else:
        state = MemberState.EXPIRED if how == "expired" else MemberState.LEFT
        why = "nobody answered in time" if how == "expired" else "a newer commit"
        ended = ChangeState.EXPIRED if how == "expired" else ChangeState.SUPERSEDED
        await ledger.append(
            MemberDecided(REQUEST, change.id, state, (), why), ChangeClosed(change.id, ended, why)
        )
    before = await rig.verdicts()
    for button in ("Approve",) if how == "applied" else ("Approve", "Deny"):
        await rig.press(button, bob)
        assert "submit" not in rig.last_view()
        assert rig.last_view()["title"]["text"] == "Too late"
        words = {"applied": "approved by cyd", "expired": "in time", "superseded": "newer commit"}
        assert words[how] in rig.shown()
    assert await rig.verdicts() == before


async def test_an_old_card_leads_to_the_request_that_took_its_place(
    rig: Incoming, bob: str
) -> None:
    change = await rig.ask()
    why = "a newer commit"
    await rig.controller.ledger.append(
        MemberDecided(REQUEST, change.id, MemberState.LEFT, (), why),
        ChangeClosed(change.id, ChangeState.SUPERSEDED, why),
    )
    newer = RequestId("fedcba9876543210")
    known = await rig.controller.ledger.read(lambda r: r.lane(lane()))
    rig_change = change_of(lane(), known.generation, "b")
    assert rig_change.lane == change.lane
    await rig.ask_change(rig_change, newer)
    await rig.press("Approve", bob)
    assert newer in rig.shown()
    assert len(live(rig.last_view())) == 1


async def test_a_yes_can_be_taken_back_until_it_is_applied(
    rig: Incoming, bob: str, cyd: str
) -> None:
    await rig.ask()
    await rig.approve(bob)
    await rig.press("Deny", cyd)
    await rig.submit(cyd, reason="wait")
    [member] = (await rig.request()).members
    assert member.state is MemberState.DENIED


async def test_a_no_from_an_old_card_says_that_it_takes_back_only_what_that_card_showed(
    rig: Incoming, bob: str, cyd: str
) -> None:
    await rig.ask()
    by_bob = Authorship(signatures=(Signature("Bob", "bob@example.org"),))
    await rig.ask("blog", wish="b", authorship=by_bob)
    await rig.approve(bob)
    await rig.press("Deny", cyd)
    shown = rig.shown()
    assert "shop@prod" in shown
    assert "blog@prod" not in shown
    await rig.submit(cyd, reason="wait")
    states = {member.state for member in (await rig.request()).members}
    assert states == {MemberState.DENIED, MemberState.ASKING}


# --- who may not --------------------------------------------------------------------------------


async def test_an_author_is_told_who_else_could_and_gets_no_form(rig: Incoming, ada: str) -> None:
    await rig.ask()
    await rig.press("Approve", ada)
    assert "ada is an author of this change" in rig.shown()
    assert "bob, cyd, dan" in rig.shown()
    assert "submit" not in rig.last_view()


async def test_a_form_in_another_ones_hands_is_judged_by_who_hands_it_in(
    rig: Incoming, slack: SlackServer, bob: str, ada: str
) -> None:
    await rig.ask()
    await rig.press("Approve", bob)
    ack = await rig.submit(ada)
    assert "ada is an author of this change" in text_of(ack)
    guest = slack.add_user("guest", "cyd@example.org", is_restricted=True)
    assert "guest" in text_of(await rig.submit(guest))
    assert not await rig.verdicts()


@pytest.mark.parametrize("memo", ["", "t1.x", "t1." + "0" * 16 + "." + "0" * 64 + "." + "0" * 32])
async def test_a_ticket_we_did_not_make_opens_nothing(
    rig: Incoming, slack: SlackServer, bob: str, memo: str
) -> None:
    ts = await _asked(rig)
    payload = sending.press(slack, ts, "Approve", bob)
    payload["actions"][0]["value"] = memo
    await rig.interact(payload)
    await rig.hearing.drain()
    assert "not one of this controller's" in rig.shown()
    forged = sending.press(slack, ts, "Approve", bob)
    await rig.interact(forged)
    await rig.hearing.drain()
    slack.views[rig.last_view()["id"]]["private_metadata"] = memo
    assert "not one of this controller's" in text_of(await rig.submit(bob))
    assert not await rig.verdicts()


# --- diffs --------------------------------------------------------------------------------------


async def test_the_diff_is_for_one_person_in_pages_and_foreign_text_in_it_is_inert(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    many = tuple(ResourceChange(Action.UPDATE, f"ConfigMap shop/{HOSTILE}-{n}") for n in range(800))
    await rig.ask(plan=replace(plan_of(change_of(lane())), changes=many), title=HOSTILE)
    posted = len(slack.posted())
    await rig.press("Show diff", bob)
    view = rig.last_view()
    assert live(view) == []
    assert "page 1 of" in rig.shown()
    more = next(e for b in view["blocks"] if b["type"] == "actions" for e in b["elements"])
    payload = {
        **sending.press(slack, rig.cards[REQUEST], "Show diff", bob),
        "view": view,
        "actions": [{"action_id": more["action_id"], "value": more["value"], "type": "button"}],
    }
    await rig.interact(payload)
    await rig.hearing.drain()
    assert "page 2 of" in rig.shown()
    assert len(slack.posted()) == posted, "nothing is said in public"


# --- the store is slow, or away ------------------------------------------------------------------


async def test_while_the_store_is_slow_nothing_is_said_to_be_recorded_until_it_is(
    rig: Incoming, slack: SlackServer, bob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.ask()
    await rig.press("Approve", bob)
    monkeypatch.setattr(hearing_module, "BUDGET", 0.0)
    ack = await rig.submit(bob)
    assert "Not recorded yet" in text_of(ack)
    await rig.hearing.drain()
    assert "recorded: approved as bob" in rig.shown(), "the form is redrawn when it is"
    assert len(await rig.verdicts()) == 1


@pytest.mark.parametrize("after", [True, False])
async def test_where_the_store_does_not_answer_that_is_what_is_said(
    rig: Incoming, bob: str, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """It may have been recorded, or not: handed in again, it counts once either way."""
    await rig.ask()
    await rig.press("Deny", bob)
    ledger, write = rig.controller.ledger, rig.controller.ledger.write

    async def lost(work: Any) -> Any:
        if after:
            await write(work)
        raise StoreUnavailable("the database went away")

    with monkeypatch.context() as patched:
        patched.setattr(type(rig.account.memory), "keep_first", _always)
        patched.setattr(ledger, "write", lost)
        ack = await rig.submit(bob, reason="no")
    assert "not certain" in ack["errors"]["reason"]
    assert "counts once" in ack["errors"]["reason"]
    assert "denied as bob" in text_of(await rig.submit(bob, reason="no"))
    assert len(await rig.verdicts()) == 1


async def test_an_answer_that_was_recorded_is_said_to_be_whatever_can_be_read_afterwards(
    rig: Incoming, bob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.ask()
    await rig.press("Approve", bob)

    async def away(*_: object) -> Any:
        raise StoreUnavailable("the database went away")

    with monkeypatch.context() as patched:
        patched.setattr(type(rig.office), "card", away)
        assert "recorded: approved as bob" in text_of(await rig.submit(bob))
    assert len(await rig.verdicts()) == 1


async def test_a_controller_that_lost_its_lease_records_nothing_and_says_so(
    rig: Incoming, bob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.ask()
    await rig.press("Approve", bob)

    async def stale(*_: object, **__: object) -> Any:
        raise StaleWrite("the lease is another one's")

    with monkeypatch.context() as patched:
        patched.setattr(type(rig.office), "answer", stale)
        told = text_of(await rig.submit(bob))
    assert "Nothing was done" in told
    assert "another controller" in told


async def _always(*_: object) -> bool:
    return True


async def test_a_form_slack_will_not_open_is_told_in_private(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    await rig.ask()
    slack.fail("views.open", error="expired_trigger_id")
    await rig.press("Approve", bob)
    [told] = slack.responses
    assert told["response_type"] == "ephemeral"
    assert "press again" in text_of(told)


async def _asked(rig: Incoming) -> str:
    await rig.ask()
    return rig.cards[REQUEST]


def destructive(count: int) -> Any:
    gone = tuple(ResourceChange(Action.DELETE, f"ConfigMap shop/c{n}") for n in range(count))
    plan = plan_of(change_of(lane()))
    return replace(plan, changes=gone, over_budget=(f"{count} deletes, 10 are allowed",))
