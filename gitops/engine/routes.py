"""Who is told a notice: the routes of the fleet file, gone through from the top. Pure.

Asked by the announcer for every notice before it is put into the outbox. The first route that fits
decides, and those after it only where it says ``also``; a notifier is told a thing once, where the
first route that names it says. What no route fits goes to everybody, so that a new route takes
nothing from anybody it does not name. Never decides whether something happened, only who hears.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from gitops.model.events import Notice
from gitops.model.finding import Severity
from gitops.model.fleet import Fleet
from gitops.model.routes import KINDS, QuietHours, Route, Told

_LONGEST = timedelta(days=7)
"""Quiet hours that follow one another without end hold nothing back for longer."""


def severity_of(kind: str) -> Severity:
    """A kind nobody foresaw is as grave as a question."""
    return KINDS.get(kind, Severity.WARNING)


def route(notice: Notice, fleet: Fleet) -> tuple[Told, ...]:
    """Who is told this notice. Its payload says ``application``, ``project``, ``labels``,
    ``target``, ``environment`` and ``severity``; ``notifier`` and ``channel`` are not looked at."""
    names = [spec.name for spec in fleet.notifiers]
    if not names:
        return ()
    found: dict[str, Told] = {}
    fits = False
    for each in fleet.routes:
        if fitting(each, notice):
            fits = True
            for told in each.to:
                found.setdefault(told.notifier, told)
            if not each.also:
                return _known(found.values(), names)
    return _known(found.values(), names) if fits else tuple(map(Told, names))


def _known(found: Iterable[Told], names: list[str]) -> tuple[Told, ...]:
    return tuple(told for told in found if told.notifier in names)


def fitting(each: Route, notice: Notice) -> bool:
    """Does a route concern this notice?"""
    facts = notice.payload
    grave = _severity(facts.get("severity"), notice.kind)
    return (
        _named(each.applications, facts.get("application"))
        and _named(each.targets, facts.get("target"))
        and (not each.projects or facts.get("project") in each.projects)
        and (not each.kinds or notice.kind in each.kinds)
        and _labelled(each.labels, facts.get("labels"))
        and _labelled(each.environment, facts.get("environment"))
        and grave.rank <= each.severity.rank
    )


def _named(patterns: tuple[str, ...], name: object) -> bool:
    return not patterns or any(fnmatchcase(str(name or ""), pattern) for pattern in patterns)


def _labelled(wanted: Mapping[str, str], there: Any) -> bool:
    found = there if isinstance(there, Mapping) else {}
    return all(found.get(key) == value for key, value in wanted.items())


def _severity(given: object, kind: str) -> Severity:
    try:
        return Severity(str(given))
    except ValueError:
        return severity_of(kind)


# --- quiet hours ------------------------------------------------------------------------------


def held_until(told: Told, notice: Notice, now: float) -> float:
    """When this may be told: ``now``, or the end of the quiet hours ``now`` is in. Seconds since
    the epoch."""
    grave = _severity(notice.payload.get("severity"), notice.kind)
    quiet = [hours for hours in told.quiet if grave.rank > hours.pierce.rank]
    at, last = now, now + _LONGEST.total_seconds()
    while at < last:
        later = max((_end(hours, at) for hours in quiet), default=at)
        if later <= at:
            return at
        at = later
    return last


def _end(hours: QuietHours, at: float) -> float:
    """The end of the quiet time that ``at`` is in; ``at`` where it is in none.

    Times are what clocks on the wall show. One that a change of clocks skips is as much later as it
    was set forward; where one comes twice, quiet begins with the first and ends with the second
    (PEP 495).
    """
    zone = ZoneInfo(hours.zone)
    today = datetime.fromtimestamp(at, zone).date()
    over_night = hours.ends <= hours.begins
    for day in (today - timedelta(days=1), today):
        if day.weekday() not in hours.days:
            continue
        begins = datetime.combine(day, hours.begins, zone)
        ends = datetime.combine(day + timedelta(days=over_night), hours.ends, zone)
        end = max(ends.timestamp(), ends.replace(fold=1).timestamp())
        if begins.timestamp() <= at < end:
            return end
    return at
