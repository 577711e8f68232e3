"""What is asked in the requests one transaction touches, gathered while it runs.

A request's root covers every member that is being asked about. Following it with every single
event would read all members for each of them: a yes to a thousand changes would take a million
rows. So each request's members are read once a transaction, kept in step by the projections, and
the root and state that follow are written when somebody reads the request, or at the end. One per
transaction, settled by :class:`gitops.store.transaction.SqlTransaction`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from gitops.model.approval import Decision, Member, MemberState, RequestState, Verdict, root_of
from gitops.model.ids import ChangeId, Digest, PersonName
from gitops.records import loads
from gitops.store import tables as t

_M = t.request_member.c
_ASKING = select(_M.change, _M.seal, _M.plan).where(
    _M.request == bindparam("of"), _M.state == MemberState.ASKING.value
)
_APPROVALS = select(t.verdict.c.number, t.verdict.c.payload).where(
    t.verdict.c.request == bindparam("of"), t.verdict.c.decision == Decision.APPROVE.value
)
_SET_REQUEST = update(t.request).where(t.request.c.id == bindparam("of"))


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes."""

    number: int
    """Of its event."""
    person: PersonName
    covers: Collection[tuple[ChangeId, Digest]]


class Asked:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._members: dict[str, dict[str, Member]] = {}
        """By request and change: those being asked about."""
        self._moved: dict[str, None] = {}
        """Requests whose root and state are not written yet."""
        self._approvals: dict[str, tuple[Approval, ...]] = {}

    def members(self, request: str) -> dict[str, Member]:
        """By change. Not to be changed by whoever reads it."""
        if request not in self._members:
            rows = self._connection.execute(_ASKING, {"of": request}).all()
            self._members[request] = {
                row.change: Member(row.change, row.seal, row.plan) for row in rows
            }
        return self._members[request]

    def approvals(self, request: str) -> tuple[Approval, ...]:
        """Every yes anybody ever said to it."""
        if request not in self._approvals:
            rows = self._connection.execute(_APPROVALS, {"of": request}).all()
            self._approvals[request] = tuple(
                Approval(row.number, said.person, frozenset(said.covers))
                for row in rows
                for said in (loads(Verdict, row.payload),)
            )
        return self._approvals[request]

    # --- kept in step by the projections ------------------------------------------------------

    def answered(self, request: str) -> None:
        self._approvals.pop(request, None)

    def asks(self, request: str, member: Member) -> None:
        self._moves(request, lambda members: members.update({member.change: member}))

    def asks_no_more(self, request: str, change: str) -> None:
        self._moves(request, lambda members: members.pop(change, None))

    def _moves(self, request: str, move: Callable[[dict[str, Member]], object]) -> None:
        move(self.members(request))
        self._moved[request] = None

    # --- what follows -------------------------------------------------------------------------

    def root(self, request: str, written: str) -> str:
        """The present one; ``written`` is what the table has."""
        return self._root(request) if request in self._moved else written

    def state(self, request: str, written: str) -> str:
        return self._state(request).value if request in self._moved else written

    def settle(self) -> None:
        """Writes roots and states: before anybody reads them from the table, and at the end."""
        for request in self._moved:
            values = {"root": self._root(request), "state": self._state(request).value}
            self._connection.execute(_SET_REQUEST, {"of": request, **values})
        self._moved = {}

    def _root(self, request: str) -> Digest:
        return root_of(tuple(self.members(request).values()))

    def _state(self, request: str) -> RequestState:
        return RequestState.OPEN if self.members(request) else RequestState.CLOSED
