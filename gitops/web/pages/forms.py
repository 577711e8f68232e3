"""What forms of pages have in common: how much may be typed, and what is said once one was taken.

What is said stands in the next page's address as a code, so that the page can be loaded again;
text from an address is never shown.
"""

from __future__ import annotations

LONGEST_REASON = 2_000
"""Characters of a reason; the API takes as many."""
DONE = {
    "approved": "Approved. It is applied as soon as it may; you can watch it here.",
    "counted": "Your approval counts. Somebody else has to approve as well.",
    "denied": "Denied. Nothing of it is applied.",
    "again": "It is looked at again.",
    "retry": "It is tried again.",
    "unlock": "It is asked whether the lock may be forced.",
    "rollback": "People are asked whether it may go back.",
    "pause": "It is paused: nothing of it is asked or applied until the pause ends.",
    "resume": "The pause is over.",
}
"""By code; what an order does has the name of the order."""
