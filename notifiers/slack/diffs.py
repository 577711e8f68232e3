"""Everything a request would change, for one person to read in pages or cut to one message.

Used by :mod:`.hearing` for "Show diff" and by :mod:`.commands` for ``diff ID``. The text is the
thread's; here it is only cut, visibly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitops.ports.office import Card
from notifiers.slack.blocks import Ink
from notifiers.slack.standing import shown
from notifiers.slack.thread import PART, details

PIECES = 3
"""Pieces of a page: about seven thousand characters."""
PAGES = 40


def pages(card: Card, ink: Ink) -> list[list[str]]:
    """At least one page; every piece fits a block."""
    text = "\n\n".join(detail.text for detail in details(card, shown(card), ink))
    pieces = list(_pieces(text or "nothing would change"))
    most = PIECES * PAGES
    if len(pieces) > most:
        left = sum(len(piece) for piece in pieces[most - 1 :])
        pieces = [*pieces[: most - 1], f"… and {left:,} more characters, see the card's thread"]
    return [pieces[start : start + PIECES] for start in range(0, len(pieces), PIECES)]


def _pieces(text: str) -> Iterator[str]:
    """Cut between lines where possible."""
    held: list[str] = []
    size = 0
    for line in _short(text.split("\n")):
        if held and size + len(line) + 1 > PART:
            yield "\n".join(held)
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    yield "\n".join(held) or " "


def _short(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield line[:PART]
        for start in range(PART, len(line), PART):
            yield line[start : start + PART]
