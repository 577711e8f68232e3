"""Who is told of what, and when not: the operator's routes as values.

:mod:`gitops.config` builds them from the fleet file, :mod:`gitops.engine.routes` goes by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from types import MappingProxyType
from typing import Any

from gitops.model.finding import Severity

KINDS: Mapping[str, Severity] = {
    "opened": Severity.INFO,
    "blocked": Severity.WARNING,
    "asked": Severity.WARNING,
    "reminder": Severity.WARNING,
    "stuck": Severity.ERROR,
    "answered": Severity.INFO,
    "approved": Severity.INFO,
    "denied": Severity.WARNING,
    "expired": Severity.WARNING,
    "left": Severity.INFO,
    "superseded": Severity.INFO,
    "applying": Severity.INFO,
    "verifying": Severity.INFO,
    "healthy": Severity.INFO,
    "unchanged": Severity.INFO,
    "failed": Severity.ERROR,
    "reported": Severity.WARNING,
    "degraded": Severity.ERROR,
    "recovered": Severity.INFO,
}
"""Every kind of notice and how grave it is: an error needs somebody now, a warning waits for
somebody."""

UNROUTED = ("opened", "unchanged")
"""Kinds that only notifiers are told which mark things (beginnings, and endings without any
effect), whatever the routes say."""

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


def _nothing() -> Mapping[Any, Any]:
    # Python 3.11 refuses a mappingproxy as a dataclass default (it is not hashable there).
    return _NOTHING


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A time of the day in which people are left alone."""

    begins: time
    ends: time
    """The next day where it is not later than ``begins``."""
    zone: str
    """Name of the IANA time zone database, such as ``Europe/Berlin``."""
    days: frozenset[int] = frozenset(range(7))
    """Days on which it begins, 0 is Monday."""
    pierce: Severity = Severity.ERROR
    """What is as grave as this is told all the same."""


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told one notice, and where."""

    notifier: str
    """As the fleet file calls it."""
    channel: str = ""
    """Empty: where that notifier usually tells things."""
    quiet: tuple[QuietHours, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """What fits all that is set goes to ``to`` and, unless ``also``, nowhere else."""

    to: tuple[Told, ...]
    """Empty: nobody is told."""
    applications: tuple[str, ...] = ()
    """Patterns as in a shell; one has to fit."""
    projects: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=_nothing)
    """Of the application; all have to be there."""
    targets: tuple[str, ...] = ()
    """Patterns for names of clusters and Terraform workspaces."""
    environment: Mapping[str, str] = field(default_factory=_nothing)
    """Labels of the cluster; of a Terraform root its own."""
    kinds: tuple[str, ...] = ()
    """Kinds of notices, such as ``asked``."""
    severity: Severity = Severity.INFO
    """At least so grave."""
    also: bool = False
    """Routes further down are looked at as well."""
