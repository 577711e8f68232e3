"""What people write to the app, read into orders. Pure.

Called by :mod:`.commands`. ``/gitops`` and a mention take the same words; what is not understood
names the nearest thing that is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from gitops.errors import NotAllowed

USAGE = {
    "status": "status [APP]",
    "pending": "pending",
    "approve": "approve ID [ROOT] [what has to be typed]",
    "deny": "deny ID reason",
    "diff": "diff ID",
    "why": "why APP",
    "history": "history APP",
    "rollback": "rollback APP [DELIVERY] [reason]",
    "pause": "pause APP 2h reason",
    "resume": "resume APP",
    "ask": "ask APP",
    "help": "help",
}
MEANING = {
    "status": "how everything stands, or one application",
    "pending": "what waits for an answer",
    "approve": "say yes; without ROOT a form shows what to",
    "deny": "say no, with a reason",
    "diff": "everything a request would change",
    "why": "why an application is where it is",
    "history": "what was delivered, newest first",
    "rollback": "ask to go back to an earlier delivery",
    "pause": "leave an application alone for a time",
    "resume": "end a pause",
    "ask": "have an application looked at again, and asked about",
    "help": "this",
}
_WORD = " \t\r\n\u00a0`'\"“”‘’„*_,;"
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_LINK = re.compile(r"<(?:https?://|mailto:)[^|>]*\|([^>]*)>")
_SPAN = re.compile(r"(?:\d{1,6}[a-z]+)+", re.IGNORECASE)
_PART = re.compile(r"(\d+)([a-z]+)", re.IGNORECASE)
_UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_ROOT = re.compile(r"[0-9a-f]{12,64}")
"""No shorter than cards show it: other changes that share fewer digits could be made up."""
_HEX = re.compile(r"[0-9a-f]{8,64}")
_ID = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class Order:
    """A verb of :data:`USAGE`, what it is about, and the rest as it was written."""

    verb: str
    subject: str = ""
    rest: str = ""


def read(text: str) -> Order:
    """Raises NotAllowed with the nearest verb, or with the usage when the subject is missing."""
    first, _, more = plain(text).strip().partition(" ")
    verb = first.strip(_WORD).lower().removeprefix("/gitops").strip()
    if not verb:
        return Order("help")
    if verb not in USAGE:
        near = difflib.get_close_matches(verb, USAGE, n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise NotAllowed(f"there is no command {verb[:40]!r}", hint=f"{hint}`help` lists all")
    subject, _, rest = more.strip().partition(" ")
    order = Order(verb, subject.strip(_WORD), rest.strip())
    if not order.subject and verb not in ("status", "pending", "help"):
        raise NotAllowed(f"{verb} what?", hint=f"write: {USAGE[verb]}")
    return order


def plain(text: str) -> str:
    """Slack's escaping undone, on one line's worth of blanks
    (docs.slack.dev/messaging/formatting-message-text)."""
    text = _LINK.sub(lambda found: found[1], text)
    for entity, char in _ENTITIES:
        text = text.replace(entity, char)
    return re.sub(r"[ \t\r\n\u00a0]+", " ", text)


def request_id(word: str) -> str:
    """Raises NotAllowed for what cannot be one."""
    id = word.lower()
    if not _ID.fullmatch(id):
        raise NotAllowed(
            f"{word[:40]!r} is not the id of a request",
            hint="it is on the card: 4 to 16 digits and letters a–f; `pending` lists them",
        )
    return id


def split_root(rest: str) -> tuple[str, str]:
    """(root or empty, what has to be typed) of what follows an id."""
    first, _, more = rest.partition(" ")
    word = first.strip(_WORD).lower()
    return (word, more.strip(_WORD)) if _ROOT.fullmatch(word) else ("", rest.strip(_WORD))


def split_delivery(rest: str) -> tuple[str, str]:
    """(delivery or empty, reason)."""
    first, _, more = rest.partition(" ")
    word = first.strip(_WORD).lower()
    return (word, more.strip()) if _HEX.fullmatch(word) else ("", rest)


def split_time(rest: str) -> tuple[float, str]:
    """(seconds, reason) of ``2h reason``. Raises NotAllowed."""
    first, _, reason = rest.partition(" ")
    word = first.strip(_WORD).lower()
    parts = _PART.findall(word) if _SPAN.fullmatch(word) else []
    if not parts or any(unit not in _UNITS for _, unit in parts):
        raise NotAllowed(
            f"{first[:40]!r} is no length of time" if first else "for how long?",
            hint=f"write: {USAGE['pause']} (30m, 2h, 1d, 1h30m)",
        )
    if not reason.strip():
        raise NotAllowed("a pause needs a reason", hint=f"write: {USAGE['pause']}")
    return float(sum(int(number) * _UNITS[unit] for number, unit in parts)), reason.strip()


def split_target(subject: str) -> tuple[str, str]:
    """(application, target or empty) of ``shop`` and ``shop@prod``."""
    application, _, target = subject.partition("@")
    return application, target


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean 'shop'?`` or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""
