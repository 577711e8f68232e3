"""What a button carries: which request under which root, in a form only we can make.

Written by the cards, read by whoever takes presses. A ticket is opaque and holds no secret; it is
good for one root of one request, so a card that was overtaken carries worthless ones. It proves
nothing about who presses: that is Slack's signature and the gate.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from gitops.model.approval import Request
from gitops.model.ids import Digest, RequestId, combine
from gitops.ports import Digester

APPROVE = "gitops.approve"
DENY = "gitops.deny"
DIFF = "gitops.diff"
"""Action ids of the three buttons."""

_SHAPE = re.compile(r"t1\.([0-9a-f]{16})\.([0-9a-f]{64})\.([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Ticket:
    request: RequestId
    root: Digest


class Tickets:
    """Issues and reads tickets of one notifier; those of another are not its own."""

    def __init__(self, digester: Digester, owner: str) -> None:
        self._digester = digester
        self._owner = owner

    def issue(self, request: Request) -> str:
        """At most 2,000 characters, as Slack wants a button's value."""
        return f"t1.{request.id}.{request.root}.{self._mark(request.id, request.root)}"

    def read(self, value: str) -> Ticket | None:
        """None for anything :meth:`issue` did not make."""
        found = _SHAPE.fullmatch(value)
        if found is None:
            return None
        mark = self._mark(found[1], found[2])
        if not hmac.compare_digest(mark.encode(), found[3].encode()):
            return None
        return Ticket(RequestId(found[1]), Digest(found[2]))

    def _mark(self, request: str, root: str) -> str:
        return self._digester.of(combine("ticket", self._owner, request, root).encode())[:32]
