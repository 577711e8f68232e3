"""The ``routes:`` of the fleet file, as values: who is told of what, and when not.

Called by :mod:`gitops.config.build`. Refuses what would silently tell nobody: a notifier, channel,
kind of notice or time zone there is not.
"""

from __future__ import annotations

import difflib
from datetime import time
from types import MappingProxyType
from typing import get_args
from zoneinfo import ZoneInfo, available_timezones

from gitops.config import shape
from gitops.config.problems import Draft, Loc, nearest
from gitops.config.shape_routes import Day, Ear, Quiet
from gitops.config.shape_routes import Route as Given
from gitops.foreign import one_line
from gitops.model.finding import Severity
from gitops.model.fleet import NotifierSpec
from gitops.model.routes import KINDS, UNROUTED, QuietHours, Route, Told
from gitops.plugins import Role, plugins

_DAYS = get_args(Day)


def routes(
    draft: Draft, file: shape.FleetFile, notifiers: tuple[NotifierSpec, ...]
) -> tuple[Route, ...]:
    """Those of the file, in its order; what does not fit is added to the draft."""
    known = {spec.name: spec.kind for spec in notifiers}
    return tuple(
        _route(draft, given, ("routes", index), known) for index, given in enumerate(file.routes)
    )


def _route(draft: Draft, given: Given, loc: Loc, notifiers: dict[str, str]) -> Route:
    _kinds(draft, given, (*loc, "kinds"))
    quiet = tuple(_quiet(draft, each, (*loc, "quiet", n)) for n, each in enumerate(given.quiet))
    told = [_told(draft, ear, (*loc, "to", n), notifiers) for n, ear in enumerate(given.to)]
    names = [name for name, _ in told]
    for index, name in enumerate(names):
        if name in names[:index]:
            message = f'"{one_line(name, 80)}" is named twice, and told a thing once'
            draft.refuse((*loc, "to", index), message, "keep one")
    return Route(
        to=tuple(Told(name, channel, quiet) for name, channel in told),
        applications=tuple(given.applications),
        projects=tuple(given.projects),
        labels=MappingProxyType(dict(given.labels)),
        targets=tuple(given.targets),
        environment=MappingProxyType(dict(given.environment)),
        kinds=tuple(given.kinds),
        severity=Severity(given.severity),
        also=given.also,
    )


def _kinds(draft: Draft, given: Given, loc: Loc) -> None:
    routed = sorted(set(KINDS) - set(UNROUTED))
    for index, kind in enumerate(given.kinds):
        if kind not in routed:
            message = f'there is no kind of notice "{one_line(kind, 80)}"'
            draft.refuse((*loc, index), message, nearest(kind, routed))


def _told(draft: Draft, ear: Ear, loc: Loc, notifiers: dict[str, str]) -> tuple[str, str]:
    """(notifier, channel)"""
    name, channel = (ear, "") if isinstance(ear, str) else next(iter(ear.items()))
    draft.expect(loc if isinstance(ear, str) else (*loc, name), name, list(notifiers), "notifier")
    plugin = plugins(Role.NOTIFIER).get(notifiers.get(name, ""))
    if plugin is None:
        return name, channel
    if getattr(plugin.module, "THOROUGH", False):
        message = f'"{one_line(name, 80)}" is told of everything, whatever the routes say'
        draft.refuse(loc, message, "leave it out here")
    if channel and "channel" not in getattr(plugin.options, "__dataclass_fields__", {}):
        message = f"a notifier of kind {plugin.name} has no channels"
        draft.refuse((*loc, name), message, f"write {name}; another place is another notifier")
    return name, channel


def _quiet(draft: Draft, given: Quiet, loc: Loc) -> QuietHours:
    zone = given.zone
    if not _is_zone(zone):
        close = difflib.get_close_matches(zone[:64], available_timezones(), n=1)
        hint = f'did you mean "{close[0]}"?' if close else "for example Europe/Berlin, or UTC"
        draft.refuse((*loc, "zone"), f'there is no time zone "{one_line(zone, 80)}"', hint)
        zone = "UTC"
    if not given.days:
        draft.refuse((*loc, "days"), "quiet hours on no day are none", "name a day, or remove it")
    return QuietHours(
        begins=_time(draft, given.begins, (*loc, "begins")),
        ends=_time(draft, given.ends, (*loc, "ends")),
        zone=zone,
        days=frozenset(_DAYS.index(day) for day in given.days),
        pierce=Severity(given.pierce),
    )


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, or no name at all
        return False
    return True


def _time(draft: Draft, text: str, loc: Loc) -> time:
    hours, colon, minutes = text.partition(":")
    if colon and _is_number(hours, 24) and _is_number(minutes, 60) and len(minutes) == 2:
        return time(int(hours), int(minutes))
    draft.refuse(loc, f'"{loc[-1]}" is no time of the day', 'write it as "22:00"')
    return time()


def _is_number(text: str, below: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 2 and int(text) < below
