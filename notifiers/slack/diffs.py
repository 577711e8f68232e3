"""Everything a request would change, for one person to read in pages or cut to one message.

Used by :mod:`.hearing` for "Show diff" and by :mod:`.commands` for ``diff ID``. The text is the
thread's; here it is only cut, visibly.
"""

from __future__ import annotations

from gitops.ports.office import Card
from notifiers.slack.blocks import Ink
from notifiers.slack.standing import shown
from notifiers.slack.thread import details, pieces_of

PIECES = 3
"""Pieces of a page: about seven thousand characters."""
PAGES = 40


def pages(card: Card, ink: Ink) -> list[list[str]]:
    """At least one page; every piece fits a block."""
    text = "\n\n".join(detail.text for detail in details(shown(card), ink))
    pieces = pieces_of(text or "nothing would change")
    most = PIECES * PAGES
    if len(pieces) > most:
        left = sum(len(piece) for piece in pieces[most - 1 :])
        pieces = [*pieces[: most - 1], f"… and {left:,} more characters, see the card's thread"]
    return [pieces[start : start + PIECES] for start in range(0, len(pieces), PIECES)]
