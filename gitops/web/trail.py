"""The audit trail as pages, downloads and the API show it: a filter in words, rows in sentences.

Called by :mod:`gitops.web.audit_routes` and :mod:`gitops.web.pages.audit`. Nothing of a plan's
values, of a token's hash or of an event's raw text is in a row.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from gitops.controller import Controller
from gitops.errors import GitopsError, NotAllowed, Permanent
from gitops.foreign import one_line
from gitops.model.fleet import People
from gitops.model.ids import ApplicationName, ChangeId, Digest, RequestId, TargetName
from gitops.model.serving import Role
from gitops.model.trail import Asked, Soundness, Trail, TrailEvent
from gitops.ports import Reading
from gitops.sentences import NAMING, actors, had_a_hand, sentence, sieve
from gitops.sheet import TRAIL, line, trail_line
from gitops.web.auth.viewer import Viewer, Way

GROUPS: dict[str, tuple[str, ...]] = {
    "changes": ("change-opened", "change-planned", "change-blocked", "noted"),
    "questions": ("request-opened", "member-asked", "reminded"),
    "answers": ("answered", "member-decided", "auto-approved"),
    "deliveries": ("claimed", "apply-finished", "change-closed"),
    "health": ("health-moved",),
    "holds": ("hold-lifted", "rollback-lifted", "application-paused", "application-resumed"),
    "sources": ("source-looked",),
    "tokens": ("token-created", "token-revoked"),
}
"""Kinds of events by what people call them; together they are all there are."""
KNOWN = {kind: (kind,) for kinds in GROUPS.values() for kind in kinds} | GROUPS
ACCOUNTS = frozenset(GROUPS["tokens"])
CHECKED = 200
"""Events of one chain that are checked whenever it is shown."""
PORTION = 200
"""Rows of a download that are held at once."""
UNREADABLE = "What is stored here can no longer be read: it was changed from outside"
_BACK = re.compile(r"([0-9]{1,6}) ?(min|h|d|w)")
_UNITS = {"min": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class Filter:
    """As somebody wrote it. Times are ``7d`` (back from now), a date, a date with a time (UTC
    unless it says otherwise), or seconds since 1970; a date as ``until`` includes that day."""

    since: str = ""
    until: str = ""
    person: str = ""
    application: str = ""
    target: str = ""
    kind: str = ""
    """A kind of events or a group of them."""
    accounts: bool = False
    """Whoever asks may know who has tokens: that is told to admins alone, here as elsewhere."""

    def asked(self, now: float, people: People) -> Asked:
        """Raises Permanent for what cannot be understood, NotAllowed for what is not theirs."""
        kinds: tuple[str, ...] = ()
        if self.kind:
            kinds = KNOWN.get(self.kind, ())
            if not kinds:
                raise Permanent(
                    f"there are no events of kind {one_line(self.kind, 40)!r}",
                    hint=f"known: {', '.join(KNOWN)}",
                )
        if kinds and set(kinds) <= ACCOUNTS and not self.accounts:
            raise NotAllowed("who has tokens is told to admins alone")
        if self.person:
            kinds = tuple(kind for kind in kinds or NAMING if kind in NAMING) or ("none",)
        return Asked(
            moment(self.since, now),
            moment(self.until, now, to=True),
            self.application,
            self.target,
            kinds,
            sieve(self.person, people) if self.person else (),
        )


def may_see_accounts(viewer: Viewer) -> bool:
    return viewer.way is Way.SOCKET or viewer.may(Role.ADMIN)


def moment(text: str, now: float, *, to: bool = False) -> float | None:
    """Seconds since the epoch; None for an empty text. Raises Permanent."""
    text = text.strip()
    if not text:
        return None
    if back := _BACK.fullmatch(text):
        return now - int(back[1]) * _UNITS[back[2]]
    if _NUMBER.fullmatch(text) and len(text) != len("20261121"):
        return float(text)
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        if to and len(text) <= len("2026-11-21"):
            found += timedelta(days=1)
        return found.timestamp()
    except (ValueError, OverflowError):
        raise Permanent(
            f"{one_line(text, 40)!r} is no time",
            hint="write 7d, 12h, 2026-11-21 or 2026-11-21T10:30Z",
        ) from None


@dataclass(frozen=True, slots=True)
class TrailRow:
    """One event in words."""

    sequence: int
    at: float
    kind: str
    said: str
    application: ApplicationName | None
    """None of what is about several, or none."""
    target: TargetName | None
    changes: int
    """How many the request is about, of an event of a request."""
    people: tuple[str, ...]
    """Persons who did it or, of a change, wrote it."""
    versions: tuple[tuple[str, str], ...]
    """What went out together, where it was begun."""
    change: ChangeId | None
    request: RequestId | None
    subject: str
    """The chain it belongs to."""
    hash: Digest
    readable: bool = True


def teller(chosen: Filter, people: People) -> Callable[[TrailEvent], TrailRow | None]:
    """Events into rows; those the person had no hand in are left out."""

    def tell(found: TrailEvent) -> TrailRow | None:
        event = found.event
        person = chosen.person
        if found.kind in ACCOUNTS and not chosen.accounts:
            return None
        if event is not None and person and not had_a_hand(person, event, people):
            return None
        versions = found.versions if found.kind == "claimed" else ()
        return TrailRow(
            found.sequence,
            found.at,
            found.kind,
            sentence(event, title=found.title, versions=versions) if event else UNREADABLE,
            found.application,
            found.target,
            found.spread.changes if found.spread else 0,
            actors(event, people) if event else (),
            versions,
            found.change,
            found.request,
            found.subject,
            found.hash,
            event is not None,
        )

    return tell


async def page(controller: Controller, chosen: Filter, before: int, limit: int) -> Trail[TrailRow]:
    """Raises Permanent for a filter that cannot be understood."""
    people = controller.fleet.people
    asked = chosen.asked(controller.parts.clock.now(), people)
    tell = teller(chosen, people)
    return await controller.ledger.read(
        lambda reading: reading.trail(asked, tell, before=before, limit=limit)
    )


async def checked_page(
    controller: Controller, chosen: Filter, before: int, limit: int
) -> tuple[Trail[TrailRow], dict[str, Soundness]]:
    """The same with how the chain of each subject on it stands, read together."""
    people = controller.fleet.people
    asked = chosen.asked(controller.parts.clock.now(), people)
    tell = teller(chosen, people)

    def query(reading: Reading) -> tuple[Trail[TrailRow], dict[str, Soundness]]:
        found = reading.trail(asked, tell, before=before, limit=limit)
        subjects = dict.fromkeys(row.subject for row in found.events)
        return found, {each: reading.sound(each, most=CHECKED) for each in subjects}

    return await controller.ledger.read(query)


async def sheet(controller: Controller, chosen: Filter) -> AsyncIterator[str]:
    """All of it as lines for a spreadsheet. One that breaks off says so in its last line."""
    yield line(TRAIL)
    before = 0
    while True:
        try:
            found = await page(controller, chosen, before, PORTION)
        except GitopsError as error:
            yield line(("", "", "", "", "", f"this ended early: {error.message}"))
            return
        yield "".join(trail_line(asdict(row)) for row in found.events)
        before = found.before
        if not before:
            return
