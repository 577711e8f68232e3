"""One question with everything that is shown of it, for its page and the API."""

from __future__ import annotations

from gitops.errors import Unknown
from gitops.foreign import one_line
from gitops.office import FrontOffice
from gitops.ports import Reading
from gitops.ports.office import Card

PLANNED = 40
"""Members whose plans one view of a request reads; others are on its further views."""
MOST = 2_000
"""Members that are shown of one request; an answer is held against all of them."""


def gathered(reading: Reading, office: FrontOffice, id: str, start: int) -> tuple[Card, int]:
    """(the card with some of its plans, how many members there are). Raises Unknown."""
    card = one(reading, office, id, slice(start, start + PLANNED), MOST)
    return card, len(card.request.members)


def one(
    reading: Reading, office: FrontOffice, id: str, planned: slice, most: int | None = None
) -> Card:
    """By id or unambiguous prefix. Raises Unknown."""
    found = reading.find_request(id)
    if found is None:
        hint = "what waits for an answer is at /pending; `gitops status` lists it too"
        raise Unknown(f"there is no request {one_line(id, 40)}", hint=hint)
    return office.card_in(reading, found, planned=planned, most=most)
