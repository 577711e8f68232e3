"""May this viewer answer this request, by their role? Asked before the gate is, by API and pages.

An answer covers the members the gate lets a person answer; for each of those they have to be an
approver here too. What the gate itself says no to, it says in its own words.
"""

from __future__ import annotations

from gitops.gate import may_answer
from gitops.model.approval import Decision
from gitops.model.fleet import People
from gitops.model.ids import PersonName
from gitops.model.serving import Role
from gitops.ports.office import Card
from gitops.web.auth.viewer import Viewer


def require_answer(
    viewer: Viewer, card: Card | None, decision: Decision, people: People
) -> PersonName:
    """The person who answers. Raises 401 without one, 403 for who is no approver of it."""
    person = _somewhere(viewer)
    for row in card.asking if card else ():
        spec, authorship = row.application, row.record.change.authorship
        if spec is None:
            viewer.require(Role.APPROVER)
        elif may_answer(person, decision, spec.approval, authorship, people).allowed:
            viewer.require(Role.APPROVER, spec)
    return person


def _somewhere(viewer: Viewer) -> PersonName:
    """Whoever approves nothing at all does not learn from the gate what others may."""
    if viewer.person is not None and viewer.roles.anywhere(Role.APPROVER):
        return viewer.person
    return viewer.require(Role.APPROVER)
