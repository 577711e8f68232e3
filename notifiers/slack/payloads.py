"""What Slack says, read from its payloads into values: whoever wrote them, no shape surprises us.

HTTP and Socket Mode carry the same payloads (docs.slack.dev/reference/interaction-payloads,
…/interactivity/implementing-slash-commands, …/reference/events/app_mention); :mod:`.inbound` and
:mod:`.socket_mode` read them here and hand them to :mod:`.hearing`. A field that is missing, of
another type or of another form is empty, so that what needs it refuses; a payload that is nothing
we act on is :class:`Nothing`. Decides nothing and asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

from gitops.ports.inbound import Letter, Malformed

LONGEST_TEXT = 8_000
"""Characters of a command or mention, or of one thing typed into a modal."""
_MOST_FIELDS = 100
_ID = re.compile(r"[A-Z0-9]{1,40}")
_TS = re.compile(r"[0-9]{1,12}\.[0-9]{1,8}")
_TRIGGER = re.compile(r"[\w.-]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who Slack says it was; no person of the fleet file yet (:mod:`.identity` says that)."""

    team: str
    """The workspace it happened in."""
    user: str
    home: str = ""
    """The user's own workspace where the payload names one: another one's with Slack Connect."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in Slack it was said."""

    channel: str = ""
    message: str = ""
    """Timestamp of the message a button was in."""
    thread: str = ""
    response_url: str = ""
    """Foreign text: :mod:`.voice` says whether it is Slack's before it is used."""


@dataclass(frozen=True, slots=True)
class View:
    """A modal as Slack hands it back."""

    id: str
    callback: str
    memo: str
    """Its ``private_metadata``: what we put there, if we did."""


@dataclass(frozen=True, slots=True)
class Pressed:
    speaker: Speaker
    place: Place
    trigger: str
    action: str
    value: str
    view: View | None = None
    """The modal the button was in; None for one of a message."""


@dataclass(frozen=True, slots=True)
class Submitted:
    speaker: Speaker
    view: View
    values: Mapping[str, str] = field(default_factory=dict)
    """What was typed, by the ``block_id`` of the input."""


@dataclass(frozen=True, slots=True)
class Commanded:
    """A slash command."""

    speaker: Speaker
    place: Place
    trigger: str
    text: str


@dataclass(frozen=True, slots=True)
class Mentioned:
    """Somebody wrote to the app by name."""

    speaker: Speaker
    place: Place
    event: str
    """Id of the event, the same in every repetition."""
    text: str
    """Without the mention."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Is this address ours? (docs.slack.dev/reference/events/url_verification)"""

    text: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing we act on."""

    why: str


Said = Pressed | Submitted | Commanded | Mentioned | Challenge | Nothing


# --- from the two transports ------------------------------------------------------------------


def of_letter(letter: Letter) -> Said:
    """What a verified request says: a form (interactions, commands) or JSON (events). Raises
    Malformed for neither."""
    kind = letter.header("content-type").partition(";")[0].strip().lower()
    if kind == "application/json":
        return _event(_json(letter.body))
    form = _form(letter.body)
    if "payload" in form:
        return _interaction(_json(form["payload"].encode("utf-8", "surrogatepass")))
    if "command" in form:
        return _command(form)
    return Nothing("no payload" if "ssl_check" not in form else "Slack looks at the certificate")


def of_envelope(kind: str, payload: object) -> Said:
    """What a Socket Mode envelope of this type says
    (docs.slack.dev/apis/events-api/using-socket-mode)."""
    given = _object(payload)
    if kind == "interactive":
        return _interaction(given)
    if kind == "slash_commands":
        return _command(given)
    if kind == "events_api":
        return _event(given)
    return Nothing("an envelope of another kind")


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise Malformed("no form") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a field twice")
    return found


def _json(text: bytes) -> Mapping[str, Any]:
    # orjson refuses lone surrogates, NaN and bottomless nesting, which the standard library takes.
    try:
        return _object(orjson.loads(text))
    except orjson.JSONDecodeError:
        raise Malformed("no JSON") from None


# --- the payloads -----------------------------------------------------------------------------


def _interaction(given: Mapping[str, Any]) -> Said:
    kind = given.get("type")
    if kind == "block_actions":
        return _pressed(given)
    if kind == "view_submission":
        view = _view(given)
        if view is None:
            return Nothing("a modal without an id")
        return Submitted(_user(given), view, _values(_object(given.get("view"))))
    return Nothing("an interaction of another kind")


def _pressed(given: Mapping[str, Any]) -> Said:
    actions = given.get("actions")
    first = _object(actions[0]) if isinstance(actions, list) and actions else {}
    if not first:
        return Nothing("no action")
    container = _object(given.get("container"))
    return Pressed(
        speaker=_user(given),
        place=Place(
            channel=_like(_ID, _object(given.get("channel")).get("id")),
            message=_like(_TS, container.get("message_ts")),
            thread=_like(_TS, container.get("thread_ts")),
            response_url=_text(given.get("response_url"), 500),
        ),
        trigger=_like(_TRIGGER, given.get("trigger_id")),
        action=_text(first.get("action_id"), 255),
        value=_text(first.get("value"), 2_000),
        view=_view(given),
    )


def _user(given: Mapping[str, Any]) -> Speaker:
    user = _object(given.get("user"))
    home = _like(_ID, user.get("team_id"))
    return Speaker(_like(_ID, _object(given.get("team")).get("id")), _id_of(user), home)


def _id_of(user: Mapping[str, Any]) -> str:
    return _like(_ID, user.get("id"))


def _view(given: Mapping[str, Any]) -> View | None:
    view = _object(given.get("view"))
    id = _like(_ID, view.get("id"))
    if not id:
        return None
    return View(id, _text(view.get("callback_id"), 255), _text(view.get("private_metadata"), 3_000))


def _values(view: Mapping[str, Any]) -> dict[str, str]:
    typed: dict[str, str] = {}
    for block, actions in _object(_object(view.get("state")).get("values")).items():
        for each in _object(actions).values():
            typed[str(block)] = _text(_object(each).get("value"), LONGEST_TEXT)
    return typed


def _command(given: Mapping[str, Any]) -> Said:
    return Commanded(
        speaker=Speaker(_like(_ID, given.get("team_id")), _like(_ID, given.get("user_id"))),
        place=Place(
            channel=_like(_ID, given.get("channel_id")),
            response_url=_text(given.get("response_url"), 500),
        ),
        trigger=_like(_TRIGGER, given.get("trigger_id")),
        text=_text(given.get("text"), LONGEST_TEXT),
    )


_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^<>]*)?>")


def _event(given: Mapping[str, Any]) -> Said:
    if given.get("type") == "url_verification":
        return Challenge(_text(given.get("challenge"), 500))
    event = _object(given.get("event"))
    if given.get("type") != "event_callback" or event.get("type") != "app_mention":
        return Nothing("an event of another kind")
    if event.get("bot_id") or event.get("subtype") or event.get("edited"):
        # What a program wrote, and what somebody made of an earlier text, is no order of theirs.
        return Nothing("a mention by a program, or an edited one")
    text = _text(event.get("text"), LONGEST_TEXT)
    first, us = _MENTION.search(text), _us(given)
    if first is not None and us and first[1] != us:
        # "@bob approve …, says @gitops": told to bob, and no order of who tells him.
        return Nothing("a mention by the way")
    home = next(
        (each for key in ("user_team", "source_team", "team") if (each := event.get(key))), ""
    )
    ts = _like(_TS, event.get("ts"))
    return Mentioned(
        speaker=Speaker(
            _like(_ID, given.get("team_id")), _like(_ID, event.get("user")), _like(_ID, home)
        ),
        place=Place(
            channel=_like(_ID, event.get("channel")),
            message=ts,
            thread=_like(_TS, event.get("thread_ts")),
        ),
        event=_like(_TRIGGER, given.get("event_id")),
        text=_MENTION.sub(" ", text, count=1),
    )


def _us(given: Mapping[str, Any]) -> str:
    """The user this app is, as far as an event says it."""
    found = given.get("authorizations")
    first = _object(found[0]) if isinstance(found, list) and found else {}
    return _like(_ID, first.get("user_id")) if first.get("is_bot") is True else ""


# --- fields -----------------------------------------------------------------------------------


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object, most: int) -> str:
    """Empty for anything but text; what is too long is no text of Slack's. Half a surrogate pair,
    which the other transport's JSON lets in, can be kept and sent by nobody."""
    if not isinstance(value, str) or len(value) > most:
        return ""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _like(shape: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and shape.fullmatch(value) else ""
