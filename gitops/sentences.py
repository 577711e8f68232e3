"""The audit trail in words: what each event says, and who had a hand in it. Pure.

Called by the audit, the pages and the command line, so that the same fact reads the same wherever
it stands. A sentence never holds a value of a plan, only counts; it does hold foreign text (titles,
reasons, names), which whoever shows it escapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from gitops.gate import authors_of
from gitops.model import events as e
from gitops.model.approval import Decision, MemberState, Verdict
from gitops.model.delivery import Cause, Change, ChangeState
from gitops.model.events import Event
from gitops.model.finding import Severity
from gitops.model.fleet import People
from gitops.model.ids import PersonName, short
from gitops.model.source import SourceState
from gitops.summary import counted, risk

NAMED = 5
"""People or versions that are named; more are counted."""
Versions = tuple[tuple[str, str], ...]


def sentence(event: Event, *, title: str = "", versions: Versions = ()) -> str:
    """One sentence. ``title`` of the request an answer is to, ``versions`` of what went out
    together, where whoever calls knows them."""
    if isinstance(event, e.Answered):
        return _answered(event.verdict, title)
    if isinstance(event, e.Claimed):
        together = f"; together go out {_versions(versions)}" if versions else ""
        return f"Applying begins, approved by {listed(event.approved_by) or 'nobody'}{together}"
    return _SAYS[type(event)](event)


def listed(names: Iterable[str]) -> str:
    """``ada, bob and 3 more``"""
    known = list(dict.fromkeys(names))
    more = len(known) - NAMED
    return ", ".join(known[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _versions(versions: Versions) -> str:
    return listed(f"{name} {version}" for name, version in versions)


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _until(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%MZ}" if 0 < at < 1e11 else "for ever"


# --- changes ----------------------------------------------------------------------------------


def _opened(event: e.ChangeOpened) -> str:
    change = event.change
    at = short(change.revision.id)
    if change.cause is Cause.DRIFT:
        return "What is live was changed by somebody else"
    if change.cause is Cause.COMMAND:
        wish = f"to {change.occasion}" if change.occasion else "for it"
        return f"{listed(change.authorship.people) or 'Somebody'} asked {wish}"
    if change.cause is Cause.ROLLBACK:
        by = change.rollback.by if change.rollback else "Somebody"
        why = change.rollback.why if change.rollback else ""
        return f"{by} asked to go back to {at}{_because(why)}"
    wrote = listed(writers(change))
    by = f", written by {wrote} ({change.authorship.grade})" if wrote else ""
    return f"Revision {at} of {change.revision.source} changes what it reads{by}{_subject(change)}"


def writers(change: Change) -> tuple[str, ...]:
    """Who wrote it, as its source says: people, e-mails, logins. Foreign text."""
    emails = (signature.email for signature in change.authorship.signatures)
    names = (*change.authorship.people, *emails, *change.authorship.logins)
    return tuple(dict.fromkeys(name for name in names if name))


def _subject(change: Change) -> str:
    commits = change.authorship.commits
    if not commits:
        return ""
    more = f" (and {counted(len(commits) - 1, 'more commit')})" if len(commits) > 1 else ""
    return f": {commits[0].subject}{more}"


def _planned(event: e.ChangePlanned) -> str:
    plan = event.plan
    found = [
        counted(number, word)
        for severity, word in ((Severity.ERROR, "error"), (Severity.WARNING, "warning"))
        if (number := sum(finding.severity is severity for finding in plan.findings))
    ]
    said = f"; checks found {', '.join(found)}" if found else ""
    typed = "; needs a typed confirmation" if plan.over_budget else ""
    return f"Checked and planned: {risk([plan])}{said}{typed}"


def _closed(event: e.ChangeClosed) -> str:
    said = {
        ChangeState.HEALTHY: "It is live and healthy",
        ChangeState.UNCHANGED: "Nothing had to be changed",
        ChangeState.FAILED: "It failed",
        ChangeState.DENIED: "It was denied and is not applied",
        ChangeState.EXPIRED: "It expired unanswered and is not applied",
        ChangeState.SUPERSEDED: "Something newer took its place",
        ChangeState.REPORTED: "It was only reported, as its policy says",
    }.get(event.state, f"It ended {event.state}")
    return f"{said}{_because(event.reason)}"


# --- questions and answers --------------------------------------------------------------------


def _answered(verdict: Verdict, title: str) -> str:
    said = "approved" if verdict.decision is Decision.APPROVE else "denied"
    many = f", {counted(len(verdict.covers), 'change')}" if len(verdict.covers) > 1 else ""
    typed = ", typing the confirmation" if verdict.confirmation else ""
    about = f" ({title})" if title else ""
    way = {"cli": "on the command line", "api": "through the API", "page": "on the page"}
    how = way.get(verdict.via, f"in {verdict.via}")
    return (
        f"{verdict.person} {said} request {short(verdict.request)}{about}{many}, "
        f"{how}{typed}{_because(verdict.reason)}"
    )


def _asked(event: e.MemberAsked) -> str:
    moved = f"; moved since it was shown: {event.moved}" if event.moved else ""
    return f"Asked about in request {short(event.request)} until {_until(event.expires_at)}{moved}"


def _decided(event: e.MemberDecided) -> str:
    said = {
        MemberState.APPROVED: f"Approved by {listed(event.by)}, as many as its policy asks for",
        MemberState.DENIED: f"Denied by {listed(event.by)}" if event.by else "Denied",
        MemberState.EXPIRED: "The question expired",
        MemberState.LEFT: "It is asked about no more",
    }.get(event.state, f"The question is {event.state}")
    return f"{said}{_because(event.reason)}"


def _reminded(event: e.Reminded) -> str:
    about = f"request {short(event.request)}, open until {_until(event.expires_at)}"
    stuck = f"; nobody can approve it: {event.stuck}" if event.stuck else ""
    return f"People were reminded of {about}{stuck}"


# --- everything else --------------------------------------------------------------------------


def _looked(event: e.SourceLooked) -> str:
    status = event.status
    at = f" at {short(status.revision.id)}" if status.revision else ""
    if status.state is SourceState.READY:
        return f"Source {status.source} is{at}" if at else f"Source {status.source} is ready"
    kept = f"; the last good revision{at} stays in force" if at else ""
    return f"Source {status.source} is {status.state}{_because(status.message)}{kept}"


def _token(event: e.TokenCreated) -> str:
    limits = f", for {listed(event.applications)} alone" if event.applications else ""
    note = f" ({event.note})" if event.note else ""
    return (
        f"A token was made for {event.person}{note}: {event.role} at most{limits}, "
        f"until {_until(event.expires_at)}"
    )


_SAYS: dict[type[Any], Callable[[Any], str]] = {
    e.ChangeOpened: _opened,
    e.ChangePlanned: _planned,
    e.ChangeBlocked: lambda event: f"Blocked{_because(event.reason)}",
    e.RequestOpened: lambda event: f"People are asked: {event.title}",
    e.MemberAsked: _asked,
    e.MemberDecided: _decided,
    e.AutoApproved: lambda event: f"Approved without asking, by {event.policy}",
    e.ApplyFinished: lambda event: f"Every write is done{_because(event.summary)}",
    e.Noted: lambda event: f"Noted: {event.text}",
    e.Reminded: _reminded,
    e.HealthMoved: lambda event: (
        "It is well again" if event.well else f"It is not well{_because(event.reason)}"
    ),
    e.ChangeClosed: _closed,
    e.HoldLifted: lambda event: (
        f"{'Its drift is' if event.drift else 'It is'} no longer held: {event.by}"
    ),
    e.RollbackLifted: lambda event: f"It goes by the newest revision again: {event.by}",
    e.ApplicationPaused: lambda event: (
        f"{event.by} paused it until {_until(event.until)}{_because(event.reason)}"
    ),
    e.ApplicationResumed: lambda event: f"The pause ended: {event.by}",
    e.SourceLooked: _looked,
    e.TokenCreated: _token,
    e.TokenRevoked: lambda event: f"The token was revoked by {event.by}",
}


# --- people -----------------------------------------------------------------------------------


def actors(event: Event, people: People) -> tuple[str, ...]:
    """The persons who did it or, of a change, wrote it; sorted. What is said in words (``the source
    moved``), and an e-mail that belongs to nobody in the fleet file, is no person."""
    hands = _hands(event, people)
    sure = isinstance(event, e.Answered | e.ApplicationPaused | e.TokenCreated)
    return tuple(sorted(hands if sure else hands.intersection(people.persons)))


def had_a_hand(person: str, event: Event, people: People) -> bool:
    """Also of one who has left the fleet file since."""
    return person in _hands(event, people)


def _hands(event: Event, people: People) -> set[str]:
    found: set[str]
    match event:
        case e.ChangeOpened(change=change):
            authors = authors_of(change.authorship, people)
            back = {change.rollback.by} if change.rollback else set()
            found = {*authors.persons, *authors.mergers, *back}
        case e.Answered(verdict=verdict):
            found = {verdict.person}
        case e.MemberDecided(by=by) | e.Claimed(approved_by=by):
            found = set(by)
        case e.AutoApproved(policy=policy):
            found = set(policy.split(", "))
        case e.TokenCreated(person=person):
            found = {person}
        case _:
            found = {str(getattr(event, "by", ""))}
    return found


NAMING = (
    "change-opened",
    "answered",
    "member-decided",
    "auto-approved",
    "claimed",
    "hold-lifted",
    "rollback-lifted",
    "application-paused",
    "application-resumed",
    "token-created",
    "token-revoked",
)
"""Kinds of events somebody may have a hand in."""


def sieve(person: str, people: People) -> tuple[str, ...]:
    """Words of which at least one stands in the kept text of every event the person had a hand in:
    for :class:`gitops.model.trail.Asked`. In others they may stand as well."""
    known = people.persons.get(PersonName(person))
    emails, logins = (known.emails, known.logins) if known else ((), ())
    if not all(name.isascii() for name in (person, *emails, *logins)):
        return ("",)  # case cannot be told apart from escapes: every event is looked at closer
    name = _kept(person)
    listed = (f'"{name}"', f'"{name}, ', f", {name}, ", f', {name}"')
    hidden = (f"{_kept(login.partition(':')[2])}@users.noreply." for login in logins)
    return (*listed, *(f'"{_kept(each)}"' for each in (*emails, *logins)), *hidden)


def _kept(text: str) -> str:
    """As it stands inside a text of a kept event."""
    return json.dumps(text)[1:-1]
