"""Block Kit in the few shapes cards use, within Slack's limits whatever comes in.

Foreign text only ever stands in ``plain_text`` (emoji off) and in text elements of ``rich_text``:
Slack parses neither, so nothing in it can mention, link or style. Called by :mod:`.cards`,
:mod:`.thread` and the modals; limits are those of docs.slack.dev/reference/block-kit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gitops.foreign import readable

Block = dict[str, Any]
Span = dict[str, Any]

HEADER = 150
BUTTON = 75
BLOCK = 2_500
"""Characters of one rich text block; Slack names no limit, a section has 3,000."""
_TAIL = 40
"""Characters of ``and 10,000 more: ``, and some to spare."""
_AUTOLINKED = re.compile(r"://|\bwww\.|\bmailto:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ink:
    """Makes text fit to be shown. ``mask`` takes known secrets out, before anything is cut: half a
    secret would no longer be recognised."""

    mask: Callable[[str], str] = str

    def clean(self, text: str, limit: int = 0) -> str:
        """Readable, secrets out, cut visibly to ``limit`` characters (0: not cut). Never empty:
        Slack refuses empty texts."""
        return cut(readable(self.mask(text)), limit) or " "

    def line(self, text: str, limit: int = 0) -> str:
        """The same on one line."""
        flat = readable(self.mask(text)).replace("\n", "⏎").replace("\t", " ")
        return cut(flat, limit) or " "

    def fallback(self, text: str, limit: int = 1_000) -> str:
        """For a message's ``text``, which notifications show and Slack parses as mrkdwn."""
        shown = _AUTOLINKED.sub(lambda found: f"{found[0][:1]} {found[0][1:]}", self.line(text))
        escaped = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return cut(escaped, limit)


def cut(text: str, limit: int) -> str:
    """At most ``limit`` characters, the note about what is missing among them (0: not cut)."""
    if not limit or len(text) <= limit:
        return text
    note = f"… (+{len(text) - limit:,} characters)"
    return text[: max(0, limit - len(note))] + note


# --- spans ------------------------------------------------------------------------------------


def say(text: str, *, bold: bool = False, code: bool = False) -> Span:
    """Text as it stands; the caller has cleaned it."""
    style = {name: True for name, on in (("bold", bold), ("code", code)) if on}
    return {"type": "text", "text": text, **({"style": style} if style else {})}


def link(url: str, text: str) -> Span:
    """Only for addresses of the operator's: never for one that a source names."""
    return {"type": "link", "url": url, "text": text}


def moment(at: float) -> Span:
    """A time in the reader's own zone; in UTC where Slack cannot show that."""
    words = "{date_short_pretty} {time}"
    plain = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%MZ")
    return {"type": "date", "timestamp": int(at), "format": words, "fallback": plain}


def length(value: Any) -> int:
    """Characters Slack counts in a block, an element or a span."""
    if isinstance(value, dict):
        own = len(value["text"]) if isinstance(value.get("text"), str) else 0
        return own + sum(length(each) for each in value.values() if not isinstance(each, str))
    return sum(length(each) for each in value) if isinstance(value, list) else 0


# --- elements of rich text --------------------------------------------------------------------


def paragraph(*spans: Span) -> Block:
    return {"type": "rich_text_section", "elements": list(spans)}


def quote(*spans: Span) -> Block:
    return {"type": "rich_text_quote", "elements": list(spans)}


def bullets(rows: Iterable[Sequence[Span]]) -> Block:
    items = [paragraph(*row) for row in rows]
    return {"type": "rich_text_list", "style": "bullet", "elements": items}


def preformatted(text: str) -> Block:
    return {"type": "rich_text_preformatted", "elements": [say(text)]}


# --- blocks -----------------------------------------------------------------------------------


def header(text: str) -> Block:
    return {"type": "header", "text": plain(cut(text, HEADER))}


def plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}


def rich(*elements: Block) -> Block:
    return {"type": "rich_text", "elements": list(elements)}


def context(text: str) -> Block:
    return {"type": "context", "elements": [plain(text)]}


def button(text: str, action: str, value: str, style: str = "") -> Block:
    made = {"type": "button", "text": plain(cut(text, BUTTON)), "action_id": action, "value": value}
    return {**made, "style": style} if style else made


def leads(text: str, url: str) -> Block:
    """A button that opens a page of ours."""
    return {"type": "button", "text": plain(cut(text, BUTTON)), "action_id": "open", "url": url}


def actions(*buttons: Block) -> Block:
    return {"type": "actions", "elements": list(buttons)}


@dataclass(slots=True)
class Page:
    """Blocks from top to bottom with a bound on all their text together."""

    room: int
    """Characters that are left."""
    blocks: list[Block] = field(default_factory=list)
    cut: bool = False
    """Something had no room: whoever draws the page says so."""

    def add(self, element: Block) -> bool:
        """Adds an element of rich text if there is room for it."""
        size = length(element)
        if size > self.room:
            self.cut = True
            return False
        self.room -= size
        last = self.blocks[-1] if self.blocks else None
        if last and last["type"] == "rich_text" and length(last) + size <= BLOCK:
            last["elements"].append(element)
        else:
            self.blocks.append(rich(element))
        return True

    def rows(self, head: str, rows: Sequence[Sequence[Span]], most: int, rest: str) -> None:
        """A bold head and a list of at most ``most`` rows; what is left out is counted, with where
        to find it."""
        if not rows:
            return
        if self.room < len(head) + len(rest) + _TAIL:
            self.cut = True  # a head alone would look like all there is
            return
        if head:
            self.add(paragraph(say(head, bold=True)))
        shown: list[Sequence[Span]] = []
        room = min(self.room - len(rest) - _TAIL, BLOCK)
        for row in rows[:most]:
            room -= length(list(row))
            if room < 0:
                break
            shown.append(row)
        left = len(rows) - len(shown)
        if left:
            shown.append([say(f"and {left:,} more: {rest}")])
        self.add(bullets(shown))
