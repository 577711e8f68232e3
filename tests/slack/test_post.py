"""One message a request, whatever Slack does: against the recording server and the real client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gitops.clock import SystemClock
from gitops.engine.ledger import Ledger, LedgerMemory
from gitops.engine.sending import Sender
from gitops.errors import AnswerLost, Apart, ConfigError, Transient
from gitops.model.approval import Decision, MemberState
from gitops.model.delivery import ChangeState
from gitops.model.events import Notice
from gitops.model.ids import RequestId
from gitops.model.secret import SecretRef
from gitops.plugins import Role, Services, plugins
from gitops.ports.office import Card
from gitops.store import open_memory_store
from notifiers.slack import Options
from notifiers.slack.account import Account
from notifiers.slack.cards import Cards, Drawn
from notifiers.slack.client import address
from notifiers.slack.post import EVENT, Post
from tests.slack.card_cases import (
    BOB,
    CASES,
    CREATE,
    CYD,
    REQUEST,
    UPDATE,
    card_of,
    row_of,
    verdict,
)
from tests.slack.render import as_text
from tests.slack.server import SlackServer
from tests.unit.check_cases import Keyed, NoChildren

KEPT = "SLACK_TEST_TOKEN"


@dataclass
class Shown:
    """An office in which one card, or one change nobody was asked about, is to be seen."""

    now: Card | None = None
    loose: Card | None = None
    read: int = 0

    async def card(self, id_or_prefix: str) -> Card | None:
        self.read += 1
        return self.now if self.now and self.now.request.id == id_or_prefix else None

    async def card_of(self, change: str) -> Card | None:
        return self.now

    async def unasked(self, change: str) -> Card | None:
        return self.loose


@dataclass
class Desk:
    """A Slack notifier with everything around it."""

    slack: SlackServer
    channel: str
    office: Shown
    services: Services
    options: Options
    ledger: Ledger
    pace: float = 0.0
    told: int = 0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """The process ends and another one begins: only the memory stays."""
        self.post = Post(Account.of(self.options, self.services), self.pace)

    async def tell(self, card: Card | None = None, kind: str = "asked") -> None:
        if card is not None:
            self.office.now = card
        payload: dict[str, object] = {"request": REQUEST} if self.office.now else {}
        self.told += 1
        await self.post.tell(Notice(f"{self.told:012}-n", "team", kind, "change", payload))

    def messages(self) -> list[dict[str, Any]]:
        return self.slack.posted()

    def text(self) -> str:
        (message,) = self.messages()
        return as_text(message)

    def lines(self) -> list[str]:
        (message,) = self.messages()
        return [as_text(each) for each in self.slack.thread(message["ts"])]


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
async def desk(
    slack: SlackServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Desk]:
    monkeypatch.setenv(KEPT, slack.bot_token)
    clock = SystemClock()
    store = open_memory_store(clock)
    ledger = Ledger(store)
    ledger.epoch = await store.leases.acquire("controller", "me", 1e9)
    office = Shown()
    services = Services(
        NoChildren(),
        Keyed(),
        clock,
        tmp_path,
        tmp_path,
        office=lambda: office,  # type: ignore[arg-type, return-value]
        memory=LedgerMemory(ledger),
        name="team",
    )
    channel = slack.add_channel("deploys")
    options = Options(SecretRef(env=KEPT), channel, api=slack.api_url)
    yield Desk(slack, channel, office, services, options, ledger)
    store.close()


# --- one message ------------------------------------------------------------------------------


async def test_a_request_is_one_message_through_every_state_and_its_thread_tells_the_story(
    desk: Desk,
) -> None:
    yes = (verdict(BOB, reason="looks right"),)
    story = [
        card_of(row_of()),
        card_of(row_of(ChangeState.ASKING, member=MemberState.APPROVED, yes=(BOB,)), verdicts=yes),
        card_of(row_of(ChangeState.APPLYING, yes=(BOB,)), verdicts=yes),
        card_of(row_of(ChangeState.HEALTHY, yes=(BOB,), seconds=41.0), verdicts=yes),
    ]
    for card, words in zip(
        story, ["approval needed", "starting", "applying", "healthy"], strict=True
    ):
        await desk.tell(card)
        assert words in desk.text().split("\n")[0]
        await desk.tell()
    assert len(desk.slack.calls_of("chat.update")) == 3, "nothing is sent twice"
    plan, said, ended = desk.lines()
    assert "spec.replicas: 3 → 5" in plan
    assert said == "bob approved (slack): looks right\n"
    assert ended == "shop@prod-eu: healthy after 41 s, approved by bob\n"


async def test_nothing_is_unfurled_and_every_message_says_which_request_it_is(desk: Desk) -> None:
    await desk.tell(card_of(row_of()))
    posts = desk.slack.calls_of("chat.postMessage")
    assert [call.arguments["unfurl_links"] for call in posts] == [False, False]
    assert [call.arguments["unfurl_media"] for call in posts] == [False, False]
    (message,) = desk.messages()
    payload = {"request": REQUEST, "key": REQUEST}
    assert message["metadata"] == {"event_type": EVENT, "event_payload": payload}


async def test_a_long_plan_is_a_file_in_the_thread_once(desk: Desk) -> None:
    many = tuple(replace(UPDATE, address=f"Deployment.apps shop/w-{n}") for n in range(100))
    await desk.tell(card_of(row_of(ChangeState.ASKING, *many)))
    await desk.tell(card_of(row_of(ChangeState.APPLYING, *many)))
    (file,) = desk.slack.files.values()
    assert b"Deployment.apps shop/w-99" in file["content"]
    assert file["snippet_type"] == "diff"
    assert file["thread_ts"] == desk.messages()[0]["ts"]


async def test_without_the_scope_for_files_a_long_plan_is_told_in_pieces(desk: Desk) -> None:
    desk.slack.scopes.remove("files:write")
    many = tuple(replace(UPDATE, address=f"Deployment.apps shop/w-{n}") for n in range(300))
    await desk.tell(card_of(row_of(ChangeState.ASKING, *many)))
    await desk.tell(card_of(row_of(ChangeState.APPLYING, *many)))
    lines = desk.lines()
    assert len(lines) == 7
    assert "more lines" in lines[-1]


async def test_plans_beyond_the_first_hundred_are_counted_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notifiers.slack.post.DETAILS", 2)
    rows = [
        row_of(ChangeState.ASKING, replace(UPDATE, address=f"D shop/{n}"), target=f"c{n}")
        for n in range(5)
    ]
    await desk.tell(card_of(*rows))
    await desk.tell(card_of(*rows, title="again"))
    assert len(desk.lines()) == 3
    assert desk.lines()[-1] == "and 3 more plans, with: gitops show 3f2a9c0d4e5b\n"


async def test_cards_are_drawn_beside_the_loop(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    places = set()
    draw = Cards.draw

    def noticed(self: Cards, card: Card) -> Drawn:
        places.add(threading.get_ident())
        return draw(self, card)

    monkeypatch.setattr(Cards, "draw", noticed)
    await desk.tell(card_of(row_of()))
    await desk.tell(CASES["healthy"]())
    assert places
    assert threading.get_ident() not in places


async def test_a_plan_that_moved_is_told_in_full_again(desk: Desk) -> None:
    await desk.tell(card_of(row_of()))
    await desk.tell(card_of(row_of(ChangeState.ASKING, CREATE, moved="web left")))
    assert len(desk.lines()) == 2
    assert "Changed since you looked: *web left" in desk.text()


async def test_what_nobody_was_asked_about_is_told_in_a_message_of_its_own(desk: Desk) -> None:
    desk.office.loose = CASES["blocked"]()
    await desk.tell(kind="blocked")
    assert "blocked" in desk.text()
    desk.office.loose = CASES["drift-reported"]()
    await desk.tell(kind="reported")
    assert len(desk.messages()) == 1, "the same occasion"


async def test_what_was_overtaken_before_anybody_saw_it_is_not_told(desk: Desk) -> None:
    await desk.tell(CASES["superseded"]())
    assert desk.slack.calls == []
    await desk.tell(CASES["asking"]())
    await desk.tell(CASES["superseded"]())
    assert "superseded" in desk.text()


async def test_a_message_that_somebody_deleted_comes_back_while_it_is_open(desk: Desk) -> None:
    await desk.tell(card_of(row_of()))
    desk.slack.channels[desk.channel].messages.clear()
    await desk.tell(CASES["applying"]())
    assert "applying" in desk.text()
    desk.slack.channels[desk.channel].messages.clear()
    await desk.tell(CASES["healthy"]())
    assert desk.messages() == []


async def test_what_waits_together_for_one_request_is_told_as_one(desk: Desk) -> None:
    desk.office.now = card_of(row_of())
    payload: dict[str, object] = {"request": REQUEST, "occasion": "o"}
    waiting = [Notice(f"{n:012}-x", "team", "asked", f"c{n}", payload) for n in range(50)]
    desk.post.expect(waiting)
    for notice in waiting:
        await desk.post.tell(notice)
    assert desk.office.read <= 3, "not once for each"
    later = replace(waiting[0], id=f"{99:012}-x")
    desk.office.now = CASES["applying"]()
    await desk.post.tell(later)
    assert "applying" in desk.text()


async def test_a_route_says_the_channel_and_there_the_message_stays(desk: Desk) -> None:
    other = desk.slack.add_channel("prod")
    desk.office.now = card_of(row_of())
    payload: dict[str, object] = {"request": REQUEST}
    await desk.post.tell(Notice(f"{1:012}-n", "team", "asked", "change", payload, channel=other))
    desk.office.now = CASES["applying"]()
    await desk.post.tell(Notice(f"{2:012}-n", "team", "applying", "change", payload))
    posts, edits = desk.slack.calls_of("chat.postMessage"), desk.slack.calls_of("chat.update")
    assert {call.arguments["channel"] for call in (*posts, *edits)} == {other}
    assert edits


async def test_nobody_is_reminded_of_what_was_answered_meanwhile(desk: Desk) -> None:
    await desk.tell(card_of(row_of()))
    await desk.tell(CASES["healthy"](), "reminder")
    assert not any("Still waiting" in line for line in desk.lines())
    await desk.tell(card_of(row_of()), "reminder")
    assert any("Still waiting" in line for line in desk.lines())


async def test_what_no_card_shows_is_said_even_if_somebody_deleted_the_card(desk: Desk) -> None:
    await desk.tell(CASES["healthy"](), "healthy")
    desk.slack.channels[desk.channel].messages.clear()
    about: dict[str, object] = {"request": REQUEST, "reason": "pod web-1: OOMKilled"}
    ill = Notice(f"{50:012}-n", "team", "degraded", "change", about)
    await desk.post.tell(ill)
    desk.restart()
    await desk.post.tell(ill)
    [message] = desk.messages()
    assert as_text(message) == "shop on prod-eu: Not well: pod web-1: OOMKilled\n"


async def test_what_no_card_shows_is_said_once_in_the_thread_and_in_the_channel(desk: Desk) -> None:
    await desk.tell(CASES["healthy"](), "healthy")
    about: dict[str, object] = {"request": REQUEST, "reason": "pod web-1: OOMKilled <!channel>"}
    ill = Notice(f"{50:012}-n", "team", "degraded", "change", about)
    well = Notice(f"{51:012}-n", "team", "recovered", "change", {"request": REQUEST})
    desk.post.expect([ill, well])
    for _ in range(2):
        await desk.post.tell(ill)
        await desk.post.tell(well)
        desk.restart()
    said = [line for line in desk.lines() if "ell" in line]
    assert [line.partition(":")[0].strip() for line in said] == ["Not well", "Well again"]
    posts = [call.arguments for call in desk.slack.calls_of("chat.postMessage")]
    assert len([post for post in posts if post.get("reply_broadcast")]) == 2
    assert "<!channel>" not in json.dumps([post.get("text") for post in posts])


# --- crashes and lost answers -----------------------------------------------------------------


async def test_a_post_whose_answer_was_lost_is_found_again(desk: Desk) -> None:
    desk.slack.fail("chat.postMessage", lost=True)
    with pytest.raises(AnswerLost):
        await desk.tell(card_of(row_of()))
    desk.restart()
    await desk.tell(CASES["applying"]())
    assert "applying" in desk.text(), "one message, brought up to date"


async def test_a_post_that_never_arrived_is_made_again(desk: Desk) -> None:
    desk.slack.fail("chat.postMessage", status=503)
    with pytest.raises(AnswerLost):
        await desk.tell(card_of(row_of()))
    desk.restart()
    await desk.tell()
    assert "approval needed" in desk.text()
    assert "second message" not in desk.text()


async def test_a_lost_post_is_found_however_much_was_said_after_it(desk: Desk) -> None:
    desk.slack.fail("chat.postMessage", lost=True)
    with pytest.raises(AnswerLost):
        await desk.tell(card_of(row_of()))
    [message] = desk.messages()
    at = float(message["ts"])
    said = desk.slack.channels[desk.channel].messages
    for number in range(1_200):
        ts = f"{at + 1_000 + number:.6f}"
        said.append({"type": "message", "user": "U0SOMEBODY", "text": "hello", "ts": ts})
    desk.restart()
    await desk.tell()
    assert [each for each in desk.messages() if "bot_id" in each] == [message]


async def test_where_nobody_can_look_a_second_message_is_marked_as_such(desk: Desk) -> None:
    desk.slack.fail("chat.postMessage", lost=True)
    desk.slack.scopes.remove("channels:history")
    with pytest.raises(AnswerLost):
        await desk.tell(card_of(row_of()))
    await desk.tell(card_of(row_of()))
    first, second = (as_text(message) for message in desk.messages())
    assert "There may be a second message" not in first
    assert "There may be a second message" in second
    await desk.tell(CASES["applying"]())
    assert "There may be a second message" in as_text(desk.messages()[1])


async def test_a_message_of_somebody_else_with_our_metadata_is_not_taken_for_ours(
    desk: Desk,
) -> None:
    desk.slack.fail("chat.postMessage", lost=True)
    with pytest.raises(AnswerLost):
        await desk.tell(card_of(row_of()))
    desk.messages()[0].update(bot_id="B666", user="U666")
    await desk.tell()
    assert [message["bot_id"] for message in desk.messages()] == ["B666", desk.slack.bot]


async def test_a_channel_given_by_name_is_searched_too(desk: Desk) -> None:
    desk.options = replace(desk.options, channel="#deploys")
    desk.restart()
    desk.slack.fail("chat.postMessage", lost=True)
    with pytest.raises(AnswerLost):
        await desk.tell(card_of(row_of()))
    await desk.tell()
    assert len(desk.messages()) == 1


@pytest.mark.parametrize("method", ["chat.postMessage", "files.completeUploadExternal"])
async def test_what_stands_in_the_thread_is_not_told_twice(desk: Desk, method: str) -> None:
    await desk.tell(card_of(row_of()))
    many = tuple(replace(UPDATE, address=f"Deployment.apps shop/w-{n}") for n in range(100))
    changes = many if method.startswith("files") else (CREATE,)
    card = card_of(row_of(ChangeState.ASKING, *changes))
    desk.slack.fail(method, lost=True)
    with pytest.raises(AnswerLost):
        await desk.tell(card)
    desk.restart()
    await desk.tell(card)
    (message,) = desk.messages()
    assert len(desk.slack.thread(message["ts"])) == 2


async def test_a_message_kept_by_another_version_is_posted_anew(desk: Desk) -> None:
    memory = desk.services.memory
    assert memory is not None
    await memory.keep("slack/team", REQUEST, json.dumps({"where": 7}))
    await desk.tell(card_of(row_of()))
    assert len(desk.messages()) == 1


# --- Slack in trouble -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ({"status": 429, "retry_after": 7}, Transient),
        ({"status": 500}, AnswerLost),
        ({"status": 503}, AnswerLost),
        ({"status": 502, "body": "<html>bad gateway"}, AnswerLost),
        ({"body": "<html>captive portal"}, AnswerLost),
        ({"error": "internal_error"}, AnswerLost),
        ({"error": "invalid_auth"}, Transient),
        ({"error": "account_inactive"}, Transient),
        ({"error": "is_archived"}, Apart),
        ({"error": "not_in_channel"}, Apart),
        ({"lost": True}, AnswerLost),
    ],
    ids=str,
)
async def test_trouble_keeps_the_notice_and_ends_with_one_message(
    desk: Desk, how: dict[str, Any], kind: type[Exception]
) -> None:
    desk.slack.fail("chat.postMessage", **how)
    with pytest.raises(kind) as raised:
        await desk.tell(card_of(row_of()))
    assert desk.slack.bot_token not in str(raised.value)
    if "retry_after" in how:
        assert raised.value.retry_after == 7  # type: ignore[attr-defined]
    await desk.tell()
    assert len(desk.messages()) == 1


async def test_a_missing_scope_is_named_with_what_to_do(desk: Desk) -> None:
    desk.slack.scopes.remove("chat:write")
    with pytest.raises(Transient, match="missing_scope chat:write") as refused:
        await desk.tell(card_of(row_of()))
    assert "reinstall" in refused.value.hint


async def test_a_token_that_is_not_there_is_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEPT)
    with pytest.raises(Transient, match=KEPT):
        await desk.tell(card_of(row_of()))
    monkeypatch.setenv(KEPT, desk.slack.bot_token)
    await desk.tell()
    assert len(desk.messages()) == 1


async def test_a_channel_changed_in_the_fleet_file_counts_for_what_was_not_posted(
    desk: Desk,
) -> None:
    desk.slack.channels[desk.channel].archived = True
    with pytest.raises(Apart):
        await desk.tell(card_of(row_of()))
    other = desk.slack.add_channel("releases")
    desk.options = replace(desk.options, channel=other)
    desk.restart()
    await desk.tell()
    assert len(desk.slack.posted(other)) == 1


async def test_a_card_slack_refuses_is_replaced_by_one_that_leads_to_the_command_line(
    desk: Desk,
) -> None:
    desk.slack.fail("chat.postMessage", error="invalid_blocks")
    await desk.tell(card_of(row_of()))
    assert "gitops show 3f2a9c0d4e5b" in desk.text()


async def test_an_archived_channel_keeps_nobody_waiting_and_is_caught_up_with_once_it_is_back(
    desk: Desk,
) -> None:
    await desk.tell(card_of(row_of()))
    desk.slack.channels[desk.channel].archived = True
    with pytest.raises(Apart):
        await desk.tell(CASES["healthy"]())
    assert desk.slack.calls_of("chat.update")[-1].answer["error"] == "is_inactive"
    desk.slack.channels[desk.channel].archived = False
    await desk.tell()
    assert "healthy" in desk.text().split("\n")[0]


@pytest.mark.parametrize("code", ["cant_update_message", "edit_window_closed"])
async def test_a_message_that_can_be_edited_no_more_is_followed_by_another(
    desk: Desk, code: str
) -> None:
    await desk.tell(card_of(row_of()))
    desk.slack.fail("chat.update", error=code, times=-1)
    await desk.tell(CASES["healthy"]())
    old, new = desk.messages()
    assert "approval needed" in as_text(old)
    assert "healthy" in as_text(new)


async def test_an_outage_ends_with_the_latest_state_of_each_message(desk: Desk) -> None:
    await desk.tell(card_of(row_of()))
    before = len(desk.slack.calls)
    desk.slack.down = True

    @dataclass
    class Named:
        name: str

        async def send(self, notice: Notice) -> None:
            await desk.post.tell(notice)

    states = [ChangeState.ASKING, ChangeState.APPLYING, ChangeState.VERIFYING] * 20
    for number, state in enumerate([*states, ChangeState.HEALTHY]):
        about: dict[str, object] = {"request": REQUEST}
        at = desk.services.clock.now()
        notice = Notice(f"{number:012}-o", "team", state, "change", about, at)
        await desk.ledger.write(lambda tx, notice=notice: tx.enqueue(notice))
    desk.office.now = CASES["healthy"]()

    class Hasty(SystemClock):
        """A minute passes whenever somebody looks."""

        minutes = 0

        def monotonic(self) -> float:
            self.minutes += 1
            return self.minutes * 61.0

    sender = Sender(desk.ledger, lambda: {"team": Named("team")}, Hasty())
    for _ in range(60):
        await sender.send()
    failed = len(desk.slack.calls) - before
    desk.slack.down = False
    await sender.send()
    assert await desk.ledger.read(lambda reading: reading.outbox()) == []
    assert failed >= 10, "it was tried all along"
    done = [call for call in desk.slack.calls[before:] if call.ok and call.method == "chat.update"]
    assert len(done) == 1
    assert "healthy" in desk.text().split("\n")[0]


async def test_messages_keep_a_distance_from_one_another(desk: Desk) -> None:
    desk.pace = 0.1
    desk.restart()
    begun = asyncio.get_running_loop().time()
    many = tuple(
        row_of(ChangeState.ASKING, replace(CREATE, address=f"Service shop/{n}"), target=f"c{n}")
        for n in range(5)
    )
    await desk.tell(card_of(*many))
    assert len(desk.slack.calls_of("chat.postMessage")) == 6, "the card and five plans"
    assert asyncio.get_running_loop().time() - begun >= 5 * desk.pace


async def test_a_card_that_moved_while_it_waited_its_turn_is_sent_as_it_is_then(desk: Desk) -> None:
    desk.pace = 0.3
    desk.restart()
    await desk.tell(card_of(row_of()))
    await desk.tell(card_of(row_of(ChangeState.APPLYING)))
    waiting = asyncio.create_task(desk.tell(card_of(row_of(ChangeState.VERIFYING))))
    await asyncio.sleep(0.05)
    desk.office.now = card_of(row_of(ChangeState.HEALTHY))
    await waiting
    assert "healthy" in desk.text().split("\n")[0]
    assert len(desk.slack.calls_of("chat.update")) == 2


class Killed(BaseException):
    """The process ended there."""


@dataclass
class Fuse:
    """Ends the process before or after the nth thing it asks of Slack or of its memory."""

    left: int
    after: bool

    def around(self, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(*given: Any, **more: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.after:
                raise Killed
            answer = await real(*given, **more)
            if self.left == 0:
                raise Killed
            return answer

        return asked


@pytest.mark.parametrize("after", [False, True])
async def test_whenever_the_process_ends_there_is_one_message_and_each_line_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    said = (verdict(BOB, reason="looks right"),)
    first = card_of(row_of())
    last = card_of(row_of(ChangeState.HEALTHY, yes=(BOB,), seconds=41.0), verdicts=said)
    for nth in range(1, 60):
        channel = desk.slack.add_channel(f"c{nth}")
        desk.options = replace(desk.options, channel=channel)
        desk.services = replace(desk.services, name=f"t{nth}")  # remembers nothing yet
        fuse = Fuse(nth, after)
        desk.restart()
        account = desk.post._account
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(account.web, "ask", fuse.around(account.web.ask))
            for name in ("keep", "recall"):
                patch.setattr(account.memory, name, fuse.around(getattr(account.memory, name)))
            await desk.tell(first)
            await desk.tell(last)
        desk.restart()
        await desk.tell(first)
        await desk.tell(last)
        (message,) = desk.slack.posted(channel)
        assert "healthy" in as_text(message).split("\n")[0], nth
        lines = [as_text(each) for each in desk.slack.thread(message["ts"])]
        assert len(lines) == len(set(lines)) == 3, (nth, lines)
        if fuse.left > 0:
            return
    raise AssertionError("it never came to an end")


# --- set-up -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "api",
    [
        "https://slack.com/api/",
        "https://slack.com/api",
        "https://acme.slack.com/api/",
        "https://slack-gov.com/api/",
        "http://127.0.0.1:8080/api/",
        "http://localhost/api/",
    ],
)
def test_only_slack_and_this_machine_are_slack(api: str) -> None:
    assert address(api) == api.rstrip("/") + "/"


@pytest.mark.parametrize(
    "api",
    [
        "http://slack.com/api/",
        "https://slack.com.evil.example/api/",
        "https://evilslack.com/api/",
        "https://user:pass@slack.com/api/",
        "https://evil.example/?slack.com",
        "ftp://slack.com/",
        "slack.com",
        "",
        "http://10.0.0.1/api/",
    ],
)
def test_every_other_address_is_refused_before_a_token_goes_there(api: str) -> None:
    with pytest.raises(ConfigError):
        address(api)


async def test_it_is_a_notifier_like_any_other_and_answers_for_where_messages_are(
    desk: Desk,
) -> None:
    built = plugins(Role.NOTIFIER)["slack"].build(
        {"bot_token": SecretRef(env=KEPT), "channel": desk.channel, "api": desk.slack.api_url},
        desk.services,
    )
    desk.office.now = card_of(row_of(), verdicts=(verdict(CYD, Decision.APPROVE),))
    await built.send(Notice("n", "team", "asked", "change", {"request": REQUEST}))
    ts = desk.messages()[0]["ts"]
    assert await built.post.place_of(REQUEST) == (desk.channel, ts)
    assert await built.post.place_of(RequestId("0" * 16)) is None
