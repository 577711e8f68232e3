"""Who is asked, and what this viewer may answer: for the pages that show a question. Pure.

It says beforehand what :mod:`gitops.web.auth.answers` and the gate will say, in the same words, so
that nobody fills in a form in vain; it decides nothing, the answer itself goes through both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gitops.gate import confirmation_phrase, may_answer
from gitops.model.approval import Decision, Electorate, MemberState
from gitops.model.fleet import People
from gitops.model.serving import Role
from gitops.ports.office import Card, Row
from gitops.web.auth.answers import waits
from gitops.web.auth.viewer import Viewer

NAMED = 15
"""People named in one sentence; more are counted."""


@dataclass(frozen=True, slots=True)
class Why:
    """One reason, and whom or what it is about."""

    reason: str
    about: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answering:
    """What one viewer may say to one card."""

    approves: tuple[Row, ...] = ()
    """Members a yes of theirs would cover."""
    denies: tuple[Row, ...] = ()
    whys: tuple[Why, ...] = ()
    """Why not the others, each reason once with the lanes."""
    confirmation: str = ""
    """What has to be typed with a yes."""

    @property
    def any(self) -> bool:
        return bool(self.approves or self.denies)


def answering(viewer: Viewer, card: Card, people: People, *, form: bool = True) -> Answering:
    """For somebody who is signed in; nothing for anybody else. ``form``: by a page's, which takes
    a session."""
    if viewer.person is None or (form and not viewer.csrf):
        return Answering(whys=(Why("sign in to answer", ()),) if card.asking else ())
    refused: dict[str, list[str]] = {}
    approves, denies = [], []
    for row in (*card.asking, *filter(waits, card.rows)):
        asking = row.member.state is MemberState.ASKING
        if why := _may_not(viewer, row, Decision.DENY, people):
            refused.setdefault(why, []).append(str(row.lane))
            continue
        denies.append(row)
        why = _may_not(viewer, row, Decision.APPROVE, people) if asking else ""
        if why:
            refused.setdefault(why, []).append(str(row.lane))
        elif asking:
            approves.append(row)
    # What a role leaves out of the gate's ruling is refused as a whole, not in part.
    if any("is no approver" in why for why in refused):
        approves = denies = []
    phrase = confirmation_phrase(row.plan for row in approves if row.plan)
    whys = tuple(Why(reason, tuple(lanes)) for reason, lanes in refused.items())
    return Answering(tuple(approves), tuple(denies), whys, phrase)


def _may_not(viewer: Viewer, row: Row, decision: Decision, people: People) -> str:
    """Why an answer of theirs would not count here; empty when it would."""
    person, spec = viewer.person, row.application
    if person is None or spec is None:
        return "its application is no longer in the fleet file"
    ruling = may_answer(person, decision, spec.approval, row.record.change.authorship, people)
    if not ruling.allowed:
        return ruling.reason
    if not viewer.may(Role.APPROVER, spec):
        return f"{person} is no approver of {spec.name}"
    if decision is Decision.APPROVE and person in row.member.yes:
        return f"{person} has approved this already: somebody else has to"
    return ""


def refusals(groups: Iterable[Electorate | None], most: int = 40) -> tuple[Why, ...]:
    """Why others may not approve, each reason once with the names; persons left out are counted
    by whoever shows it."""
    found: dict[str, dict[str, None]] = {}
    for group in groups:
        for name, reason in (group.refusals if group else {}).items():
            plain = reason.removeprefix(f"{name} ")
            found.setdefault(plain, {})[name] = None
    return tuple(Why(reason, tuple(names)) for reason, names in list(found.items())[:most])


def who_may(group: Electorate, yes: Sequence[str]) -> str:
    """``It needs 2 (1 of them so far: bob) of: cyd; authorship is claimed.``"""
    left = [name for name in group.eligible if name not in yes]
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    names = ", ".join(left[:NAMED]) + more if left else "nobody"
    if not group.possible:
        return f"Nobody can approve this: it takes {group.needed} and {names} may; {group.note}."
    so_far = f" ({len(yes)} of them so far: {', '.join(yes)})" if yes else ""
    return f"It needs {group.needed}{so_far} of: {names}; {group.note}."


def lanes_of(rows: Sequence[Row], most: int = 6) -> str:
    """``shop on eu, us and 3 more``"""
    names = list(dict.fromkeys(f"{row.lane.application} on {row.lane.target}" for row in rows))
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
