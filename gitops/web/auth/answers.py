"""May this viewer answer this request, by their role? Asked before the gate is, by API and pages.

An answer covers the members the gate lets a person answer; for each of those they have to be an
approver here too. A denial covers what was approved and has not begun as well. What the gate itself
says no to, it says in its own words.
"""

from __future__ import annotations

from gitops.gate import may_answer
from gitops.model.approval import Decision, MemberState
from gitops.model.delivery import ChangeState
from gitops.model.fleet import People
from gitops.model.ids import PersonName
from gitops.model.serving import Role
from gitops.ports.office import Card, Row
from gitops.web.auth.viewer import Viewer


def require_answer(
    viewer: Viewer, card: Card | None, decision: Decision, people: People
) -> PersonName:
    """The person who answers. Raises 401 without one, 403 for who is no approver of it."""
    person = _somewhere(viewer)
    for row in _covered(card, decision) if card else ():
        spec, authorship = row.application, row.record.change.authorship
        if spec is None:
            viewer.require(Role.APPROVER)
        elif may_answer(person, decision, spec.approval, authorship, people).allowed:
            viewer.require(Role.APPROVER, spec)
    return person


def waits(row: Row) -> bool:
    """Approved, and not begun: it can still be taken back."""
    approved = row.member.state is MemberState.APPROVED
    return approved and row.record.state in (ChangeState.OPEN, ChangeState.ASKING)


def _covered(card: Card, decision: Decision) -> tuple[Row, ...]:
    """Members an answer may be about."""
    back = filter(waits, card.rows) if decision is Decision.DENY else ()
    return (*card.asking, *back)


def _somewhere(viewer: Viewer) -> PersonName:
    """Whoever approves nothing at all does not learn from the gate what others may."""
    if viewer.person is not None and viewer.roles.anywhere(Role.APPROVER):
        return viewer.person
    return viewer.require(Role.APPROVER)
