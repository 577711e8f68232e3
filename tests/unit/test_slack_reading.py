"""Slack's letters: whose they are, what they say, what is made of the words in them."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops.errors import NotAllowed
from gitops.ports.inbound import Forged, Letter, Malformed
from notifiers.slack import orders
from notifiers.slack.answers import in_words
from notifiers.slack.payloads import (
    Challenge,
    Commanded,
    Mentioned,
    Nothing,
    Pressed,
    Submitted,
    of_envelope,
    of_letter,
)
from notifiers.slack.signing import WINDOW, verified

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
NOW = 1_531_420_618.0
FORM = "application/x-www-form-urlencoded"


def signed(body: bytes, *, at: float = NOW, secret: str = SECRET, **headers: str) -> Letter:
    stamp = str(int(at))
    mac = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256)
    given = {
        "content-type": FORM,
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={mac.hexdigest()}",
        **headers,
    }
    return Letter({name: (value,) for name, value in given.items()}, body)


def test_the_example_of_slacks_own_documentation_holds() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&"
        b"channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&"
        b"command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
        b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.4744562"
        b"9121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signature = signed(body).header("x-slack-signature")
    assert signature == "v0=" + "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert verified(signed(body), SECRET, NOW) == signature


GOOD = signed(b"payload=1").header("x-slack-signature")


@pytest.mark.parametrize(
    "letter",
    [
        signed(b"a", at=NOW - WINDOW - 1),
        signed(b"a", at=NOW + WINDOW + 1),
        signed(b"a", secret="other"),
        Letter(signed(b"a").headers, b"b"),
        signed(b"a", **{"x-slack-signature": ""}),
        signed(b"a", **{"x-slack-signature": GOOD.upper()}),
        signed(b"a", **{"x-slack-signature": GOOD.replace("v0", "v1")}),
        signed(b"a", **{"x-slack-signature": "v0=é" + "0" * 63}),
        signed(b"a", **{"x-slack-signature": GOOD + "\n"}),
        signed(b"a", **{"x-slack-request-timestamp": "nan"}),
        signed(b"a", **{"x-slack-request-timestamp": "-1"}),
        signed(b"a", **{"x-slack-request-timestamp": "9" * 400}),
        signed(b"a", **{"x-slack-request-timestamp": "١٥٣١٤٢٠٦١٨"}),
        Letter({**signed(b"a").headers, "x-slack-signature": (GOOD, GOOD)}, b"a"),
        Letter({}, b"a"),
    ],
)
def test_what_slack_did_not_sign_just_now_is_forged(letter: Letter) -> None:
    with pytest.raises(Forged):
        verified(letter, SECRET, NOW)


@pytest.mark.parametrize("secret", ["", "  \n"])
def test_an_empty_secret_signs_nothing(secret: str) -> None:
    with pytest.raises(Forged):
        verified(signed(b"a", secret=secret.strip()), secret, NOW)


def test_clocks_may_differ_by_five_minutes_and_secrets_end_in_a_newline() -> None:
    for at in (NOW - WINDOW, NOW + WINDOW):
        assert verified(signed(b"a", at=at), SECRET + "\n", NOW)


# --- payloads -----------------------------------------------------------------------------------


def form(**fields: Any) -> Letter:
    return Letter({"content-type": (FORM,)}, urlencode(fields).encode())


def event(payload: Any) -> Letter:
    return Letter({"content-type": ("application/json",)}, json.dumps(payload).encode())


def mention(**more: Any) -> dict[str, Any]:
    said = {"type": "app_mention", "user": "U1", "text": "<@U0> why shop", "channel": "C1"}
    outer = {"type": "event_callback", "team_id": "T1", "event_id": "Ev1"}
    return {**outer, "event": {**said, **more}}


def test_a_command_an_event_and_an_interaction_are_read_alike_from_both_transports() -> None:
    command = {"command": "/gitops", "text": "status", "team_id": "T1", "user_id": "U1"}
    assert of_letter(form(**command)) == of_envelope("slash_commands", command)
    assert isinstance(of_letter(form(**command)), Commanded)
    heard = of_letter(event(mention()))
    assert heard == of_envelope("events_api", mention())
    assert isinstance(heard, Mentioned)
    assert heard.text.strip() == "why shop"
    press = {"type": "block_actions", "actions": [{"action_id": "a", "value": "v"}]}
    assert of_letter(form(payload=json.dumps(press))) == of_envelope("interactive", press)
    assert isinstance(of_envelope("interactive", press), Pressed)


def test_a_challenge_is_read_and_what_we_do_not_know_is_nothing() -> None:
    asked = {"type": "url_verification", "challenge": "3eZbrw1a"}
    assert of_letter(event(asked)) == Challenge("3eZbrw1a")
    for letter in (
        form(ssl_check="1"),
        event({}),
        event([]),
        form(payload="{}"),
        form(payload="1"),
    ):
        assert isinstance(of_letter(letter), Nothing | Challenge)
    for kind in ("", "hello", "interactive", "slash_commandz"):
        assert isinstance(of_envelope(kind, "no object"), Nothing)


@pytest.mark.parametrize(
    "more", [{"bot_id": "B1"}, {"subtype": "bot_message"}, {"edited": {"user": "U1", "ts": "1.1"}}]
)
def test_what_a_program_wrote_and_what_was_edited_is_no_order(more: dict[str, Any]) -> None:
    assert isinstance(of_letter(event(mention(**more))), Nothing)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"payload=%ff",
        b"payload=%7B",
        b"payload={}&payload={}",
        b"payload=" + b"[" * 5_000,
        b"payload=%7B%22a%22%3A%22%5Cud800%22%7D",
        b"&".join(b"a%d=1" % n for n in range(500)),
    ],
)
def test_what_is_neither_form_nor_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        of_letter(Letter({"content-type": (FORM,)}, body))


def test_a_field_of_another_type_or_form_is_empty() -> None:
    heard = of_envelope(
        "interactive",
        {
            "type": "block_actions",
            "team": {"id": ["T1"]},
            "user": {"id": "U1<!channel>"},
            "trigger_id": "x" * 300,
            "actions": [{"action_id": 7, "value": None}],
        },
    )
    assert isinstance(heard, Pressed)
    assert (heard.speaker.team, heard.speaker.user, heard.trigger) == ("", "", "")
    assert (heard.action, heard.value) == ("", "")


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_JSON = st.recursive(
    _LEAVES, lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=20
)
_NAMES = ("type", "team", "user", "view", "actions", "container", "event", "state", "values", "id")
_SHAPES = st.dictionaries(st.sampled_from(_NAMES), _JSON)
_KINDS = st.sampled_from(
    ["block_actions", "view_submission", "event_callback", "url_verification", "app_mention"]
)


@pytest.mark.slow
@given(_KINDS, _SHAPES, st.sampled_from(["interactive", "slash_commands", "events_api"]))
def test_no_shape_of_a_payload_surprises(kind: str, shape: dict[str, Any], envelope: str) -> None:
    heard = of_envelope(envelope, {**shape, "type": kind})
    assert isinstance(heard, Pressed | Submitted | Commanded | Mentioned | Challenge | Nothing)


# --- orders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "verb", "subject", "rest"),
    [
        ("", "help", "", ""),
        ("  STATUS  ", "status", "", ""),
        ("approve `01ab`", "approve", "01ab", ""),
        ("deny 01ab not before the freeze", "deny", "01ab", "not before the freeze"),
        ("deny 01ab\u00a0 a &amp; b &lt;c&gt;", "deny", "01ab", "a & b <c>"),
        ("why <http://shop.example|shop.example>", "why", "shop.example", ""),
        ("“why” ‘shop’", "why", "shop", ""),
        ("pause shop\n2h\nthe freeze", "pause", "shop", "2h the freeze"),
    ],
)
def test_orders_are_read_however_they_are_typed(
    text: str, verb: str, subject: str, rest: str
) -> None:
    order = orders.read(text)
    assert (order.verb, order.subject, order.rest) == (verb, subject, rest)


def test_a_verb_that_is_not_names_the_nearest_one() -> None:
    with pytest.raises(NotAllowed) as refused:
        orders.read("aprove 01ab")
    assert "`approve`" in refused.value.hint
    with pytest.raises(NotAllowed) as refused:
        orders.read("why")
    assert "why APP" in refused.value.hint


@pytest.mark.parametrize(
    ("rest", "seconds"),
    [("2h x", 7_200), ("30m x", 1_800), ("1d x", 86_400), ("1h30m x", 5_400), ("90min x", 5_400)],
)
def test_a_length_of_time_is_read(rest: str, seconds: float) -> None:
    assert orders.split_time(rest) == (seconds, "x")


@pytest.mark.parametrize(
    "rest", ["", "2h", "soon x", "h x", "2y x", "-2h x", "2 h x", "9999999h x"]
)
def test_what_is_no_length_of_time_or_has_no_reason_is_refused(rest: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        orders.split_time(rest)
    assert "pause APP 2h reason" in refused.value.hint


def test_a_delivery_and_a_root_are_told_from_the_words_after_them() -> None:
    assert orders.split_delivery("0123456789ab it broke") == ("0123456789ab", "it broke")
    assert orders.split_delivery("facade is broken") == ("", "facade is broken")
    assert orders.split_root("0123456789ab delete 12") == ("0123456789ab", "delete 12")
    assert orders.split_root("`delete 12`") == ("", "delete 12")
    assert orders.split_target("shop@prod") == ("shop", "prod")


@given(st.text())
def test_no_text_surprises(text: str) -> None:
    try:
        order = orders.read(text)
    except NotAllowed:
        return
    assert order.verb in orders.USAGE


@pytest.mark.parametrize(
    ("hint", "here"),
    [
        ("look again: gitops show 0123", "look again: /gitops diff 0123"),
        ("name another one: gitops deliveries shop", "name another one: /gitops history shop"),
        ("push a fix, or: gitops retry shop", "push a fix, or: gitops retry shop"),
    ],
)
def test_a_hint_names_what_can_be_written_here(hint: str, here: str) -> None:
    assert in_words(NotAllowed("no", hint=hint)) == ("no", here)
