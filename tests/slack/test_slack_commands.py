"""``/gitops`` and mentions: what is shown in private, what is done, what everybody hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gitops.model.approval import Decision
from gitops.model.delivery import ChangeState, Delivered
from gitops.model.events import ApplyFinished, ChangeClosed, ChangeOpened, Claimed
from gitops.model.ids import short
from gitops.office import FrontOffice
from notifiers.slack.voice import Voice
from tests.contract.store_story import change_of, lane
from tests.slack import sending
from tests.slack.incoming_rig import REQUEST, Incoming, body, incoming, text_of
from tests.slack.render import live
from tests.slack.server import SlackServer
from tests.slack.test_slack_answers import HOSTILE, destructive


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
async def rig(tmp_path: Path, slack: SlackServer) -> AsyncIterator[Incoming]:
    async with incoming(tmp_path, slack) as rig:
        yield rig


@pytest.fixture
def bob(slack: SlackServer) -> str:
    return slack.add_user("bob", "bob@example.org")


@pytest.fixture
def ada(slack: SlackServer) -> str:
    return slack.add_user("ada", "ada@example.org")


async def test_looking_is_private_and_inert_whatever_is_shown(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    await rig.ask(title=HOSTILE)
    posted = len(slack.posted())
    told = {verb: await rig.command(verb, bob) for verb in ("status", "pending", "help")}
    assert "0 of 2 healthy" in told["status"]
    assert "shop@prod" in told["status"]
    assert f"{REQUEST}\n" in told["pending"]
    assert "1 update in prod" in told["pending"]
    for verb in ("approve", "deny", "diff", "why", "history", "rollback", "pause", "ask"):
        assert verb in told["help"]
    assert "you are bob" in told["help"]
    assert "shop@prod" in await rig.command("why shop", bob)
    assert "nothing was delivered yet" in await rig.command("history shop", bob)
    payload = sending.command(slack, "pending", bob, rig.channel)
    ack = body(await rig.send(sending.signed_command(slack, payload)))
    assert ack["response_type"] == "ephemeral"
    assert live(ack) == []
    assert len(slack.posted()) == posted


async def test_history_tells_what_was_delivered_and_by_whose_approval(
    rig: Incoming, bob: str
) -> None:
    change = await rig.ask()
    await rig.approve(bob)
    ledger, seal = rig.controller.ledger, (await rig.request()).members[0].seal
    await ledger.append(Claimed(change.id, seal, ("bob",)))
    await ledger.append(ApplyFinished(change.id, "1 applied"))
    there = Delivered(change.after, change.revision, seal, rig.clock.time)
    await ledger.append(ChangeClosed(change.id, ChangeState.HEALTHY, "", there))
    [delivery] = await rig.office.history(change.lane.application)
    told = await rig.command("history shop", bob)
    assert short(delivery.id) in told
    assert "healthy" in told
    assert "approved by bob" in told


async def test_an_answer_that_is_too_long_says_that_it_is_cut(
    rig: Incoming, bob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def why(_: object) -> dict[str, list[str]]:
        return {f"shop@c{n}": ["because " * 80] * 20 for n in range(40)}

    monkeypatch.setattr(FrontOffice, "why", lambda _self, name: why(name))
    told = await rig.command("why shop", bob)
    assert "Not everything fits here: gitops why shop" in told
    monkeypatch.undo()
    assert "Not everything" not in await rig.command("why shop", bob)


async def test_what_is_mistyped_names_what_was_meant(rig: Incoming, bob: str) -> None:
    await rig.ask()
    assert "`approve`" in await rig.command("aprove 01ab", bob)
    assert "'shop'" in await rig.command("why shp", bob)
    assert "'shop'" in await rig.command("pause shoop 2h the freeze", bob)
    assert REQUEST in await rig.command("diff ffff", bob)
    assert "is not the id of a request" in await rig.command("approve shop", bob)


async def test_approve_without_a_root_shows_the_form_and_with_one_is_the_answer(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    await rig.ask()
    assert await rig.command("approve 0123", bob) == "", "the form says it all"
    assert rig.last_view()["title"]["text"] == "Approve"
    assert not await rig.verdicts()
    root = (await rig.request()).root
    assert "is not what is asked" in await rig.command(f"approve 0123 {'0' * 12}", bob)
    assert not await rig.verdicts()
    told = await rig.command(f"approve `0123` {root[:12]}", bob)
    assert "recorded: approved as bob" in told
    assert "recorded: approved as bob" in await rig.command(f"approve 0123 {root[:12]}", bob)
    assert [v.via for v in await rig.verdicts()] == ["slack"]


async def test_a_root_shorter_than_cards_show_is_no_answer_but_asks_for_the_form(
    rig: Incoming, bob: str
) -> None:
    await rig.ask()
    root = (await rig.request()).root
    assert await rig.command(f"approve 0123 {root[:8]}", bob) == ""
    assert rig.last_view()["title"]["text"] == "Approve"
    assert not await rig.verdicts()


async def test_what_is_written_to_somebody_else_is_no_order(
    rig: Incoming, slack: SlackServer, bob: str, ada: str
) -> None:
    await rig.ask()
    root = (await rig.request()).root
    event = sending.mention(slack, "", bob, rig.channel)
    event["event"]["text"] = f"<@{ada}> approve {REQUEST} {root[:12]} <@{slack.bot_user}>"
    await rig.send(sending.signed_event(slack, event))
    await rig.hearing.drain()
    assert not await rig.verdicts()


async def test_a_mention_is_told_the_line_that_would_be_the_answer(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    await rig.ask(plan=destructive(12))
    root = (await rig.request()).root
    told = await rig.mention("approve 0123", bob)
    line = f"approve {REQUEST} {root[:12]} delete 12"
    assert line in told
    assert "delete 12" in await rig.mention(f"approve {REQUEST} {root[:12]}", bob)
    assert not await rig.verdicts()
    assert "recorded" in await rig.mention(line, bob)
    [verdict] = await rig.verdicts()
    assert verdict.confirmation == "delete 12"


async def test_deny_by_command_keeps_the_reason(rig: Incoming, bob: str, ada: str) -> None:
    await rig.ask()
    assert await rig.command("deny 0123", bob) == ""
    assert rig.last_view()["title"]["text"] == "Deny"
    assert "denied as ada" in await rig.command("deny 0123 mine was <wrong> &amp; late", ada)
    [verdict] = await rig.verdicts()
    assert (verdict.decision, verdict.reason) == (Decision.DENY, "mine was <wrong> & late")


async def test_an_author_approves_by_no_command(rig: Incoming, ada: str) -> None:
    await rig.ask()
    root = (await rig.request()).root
    assert "ada is an author" in await rig.command("approve 0123", ada)
    assert "ada is an author" in await rig.command(f"approve 0123 {root}", ada)
    assert "ada is an author" in await rig.mention(f"approve 0123 {root}", ada)
    assert not await rig.verdicts()


async def test_pause_and_resume_are_done_and_said_to_everybody_with_the_name(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    told = await rig.command(f"pause shop 2h {HOSTILE}", bob)
    assert "paused by bob until" in told
    said = slack.posted()[-1]
    assert "shop is paused by bob until" in text_of(said)
    assert live(said) == []
    [pause] = await rig.controller.ledger.read(lambda r: r.pauses())
    assert pause.by == "bob"
    await rig.command("resume shop", bob)
    assert "bob ended the pause of shop" in text_of(slack.posted()[-1])
    assert not await rig.controller.ledger.read(lambda r: r.pauses())
    said_before = len(slack.posted())
    assert "not paused" in await rig.command("resume shop", bob)
    assert len(slack.posted()) == said_before, "what did nothing is not told to everybody"


async def test_ask_and_rollback_go_through_the_office_and_its_refusals_are_told(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    await rig.controller.ledger.append(ChangeOpened(change_of(lane())))
    assert "looked at now" in await rig.command("ask shop", bob)
    assert "bob asks again about shop@prod" in text_of(slack.posted()[-1])
    posted = len(slack.posted())
    assert "0123456789ab" in await rig.command("rollback shop 0123456789ab it broke", bob)
    assert "nowhere" in await rig.command("rollback shop@nowhere", bob)
    assert len(slack.posted()) == posted


async def test_slacks_repetitions_of_an_order_have_one_effect(
    rig: Incoming, slack: SlackServer, bob: str
) -> None:
    """An event that was not acknowledged in time comes again, signed anew."""
    event = sending.mention(slack, "pause shop 2h once", bob, rig.channel)
    for retry in range(4):
        at = rig.clock.time + retry
        reply = await rig.send(sending.signed_event(slack, event, at=at, retry=retry))
        assert reply.status == 200
    payload = sending.command(slack, "pause blog 2h once", bob, rig.channel)
    for retry in range(3):
        at = rig.clock.time + retry
        await rig.send(sending.signed_command(slack, payload, at=at))
    await rig.hearing.drain()
    lines = [text for each in slack.posted() if "paused" in (text := text_of(each))]
    assert len(lines) == 2


@pytest.mark.parametrize(
    "more",
    [{"bot_id": "B1"}, {"user": "U0GITOPS"}, {"user_team": "T9"}, {"edited": {}, "user": ""}],
)
async def test_a_mention_by_a_program_or_from_elsewhere_does_nothing(
    rig: Incoming, slack: SlackServer, bob: str, more: dict[str, object]
) -> None:
    event = sending.mention(slack, "pause shop 2h x", bob, rig.channel)
    event["event"] |= more
    assert (await rig.send(sending.signed_event(slack, event))).status == 200
    await rig.hearing.drain()
    assert not await rig.controller.ledger.read(lambda r: r.pauses())


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/response/r1",
        "http://127.0.0.1:1/response/r1",
        "http://user@127.0.0.1/",
        "file:///etc/passwd",
        "http://[::1",
        "",
    ],
)
async def test_a_response_url_that_is_not_slacks_is_never_followed(
    rig: Incoming, slack: SlackServer, bob: str, url: str
) -> None:
    assert not Voice(rig.account)._is_slacks(url)
    await rig.ask()
    slack.fail("views.open", error="expired_trigger_id")
    payload = sending.press(slack, rig.cards[REQUEST], "Approve", bob)
    await rig.interact({**payload, "response_url": url})
    await rig.hearing.drain()
    assert len(slack.ephemerals) == 1, "said where the button is instead"
