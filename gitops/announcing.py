"""A notice in plain words: a subject and a few lines. Pure.

Shared by notifiers whose messages are text (:mod:`notifiers.apprise`, :mod:`notifiers.webhook`), so
that a mail and a chat say the same. Everything foreign in it is made inert: on one line, in quotes,
without a mention, an address to click or a line break of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gitops import summary
from gitops.foreign import one_line
from gitops.model.events import Notice
from gitops.ports.office import Card

REASON = 600
LINE = 200
LISTED = 30
"""Notices a digest names; the rest is counted."""

_TITLES: Mapping[str, str] = {
    "blocked": "Blocked by a check",
    "asked": "Approval needed",
    "reminder": "Still waiting for approval",
    "stuck": "Nobody can approve",
    "answered": "Approved, not yet by enough",
    "approved": "Approved",
    "denied": "Denied",
    "expired": "Nobody answered in time",
    "left": "Not asked any more",
    "superseded": "Superseded",
    "applying": "Being applied",
    "verifying": "Applied, waiting for health",
    "healthy": "Healthy",
    "failed": "Failed",
    "reported": "Drift",
    "degraded": "Not well",
    "recovered": "Well again",
}
_LINK = re.compile(r"://|\bwww\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Words:
    subject: str
    lines: tuple[str, ...] = ()
    url: str = ""
    """Of our own page about it; empty where there is none."""

    @property
    def text(self) -> str:
        """The body of a message."""
        return "\n".join((*self.lines, *([self.url] if self.url else [])))


def inert(text: str, limit: int = LINE) -> str:
    """Foreign text that can neither mention, link, nor break out of its line."""
    flat = one_line(text, limit).replace("@", "＠").replace("<", "‹").replace(">", "›")
    return _LINK.sub(lambda found: found[0].replace("://", ":⁄⁄").replace(".", "․"), flat)


def words(notice: Notice, card: Card | None, mask: Callable[[str], str], page: str = "") -> Words:
    """``card`` is the request's as it is now, where there is one; ``page`` the address of the
    change's own, which is led to where there is none."""
    told, kind = notice.payload, notice.kind
    lines = []
    if told.get("by"):
        lines.append(f"by {inert(str(told['by']))}")
    if told.get("reason"):
        lines.append(f"“{inert(mask(str(told['reason'])), REASON)}”")
    if told.get("moved"):
        lines.append(
            f"changed since it was last shown: “{inert(mask(str(told['moved'])), REASON)}”"
        )
    if kind in ("asked", "reminder", "stuck") and card is not None:
        lines += _question(card, mask)
    if isinstance(at := told.get("expires_at"), int | float):
        lines.append(f"it expires at {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}Z")
    if kind == "healthy" and isinstance(seconds := told.get("seconds"), int | float):
        lines.append(f"after {seconds:.0f} s")
    lines.append(_revision(told))
    title = _TITLES.get(kind, inert(kind))
    url = card.url if card is not None else page
    return Words(f"{title}: {about(notice)}", tuple(filter(None, lines)), url)


def about(notice: Notice) -> str:
    """``shop on prod-eu``"""
    application, target = notice.payload.get("application"), notice.payload.get("target")
    if application and target:
        return f"{inert(str(application))} on {inert(str(target))}"
    return inert(str(notice.payload.get("lane") or notice.subject))


def _question(card: Card, mask: Callable[[str], str]) -> list[str]:
    plans = [row.plan for row in card.asking if row.plan is not None]
    lines = [f"“{inert(mask(card.request.title))}”"]
    if plans:
        lines.append(inert(mask(summary.risk(plans)), REASON))
    lead = card.lead
    if lead is not None and lead.electorate is not None and lead.electorate.possible:
        group = lead.electorate
        lines.append(f"needs {group.needed} of: {inert(', '.join(group.eligible), REASON)}")
    return lines


def _revision(told: Mapping[str, object]) -> str:
    if not told.get("revision"):
        return ""
    where = f"{inert(str(told.get('source')))} at {inert(str(told['revision'])[:12])}"
    return f"{inert(str(told.get('cause') or 'commit'))}, {where}"


def digest(notices: Sequence[Notice], mask: Callable[[str], str]) -> Words:
    """What was held up, in one: a line each, what needs somebody first."""
    grave = {"error": 0, "warning": 1}
    ordered = sorted(notices, key=lambda n: grave.get(str(n.payload.get("severity")), 2))
    counted = Counter(_TITLES.get(notice.kind, inert(notice.kind)) for notice in ordered)
    subject = ", ".join(f"{count} × {title}" for title, count in counted.items())
    lines = []
    for notice in ordered[:LISTED]:
        why = inert(mask(str(notice.payload.get("reason") or "")))
        at = f"{datetime.fromtimestamp(notice.created_at, UTC):%m-%d %H:%M}Z"
        line = f"{at} {_TITLES.get(notice.kind, inert(notice.kind))}: {about(notice)}"
        lines.append(f"{line} “{why}”" if why else line)
    more = len(notices) - LISTED
    return Words(
        f"While you were away: {subject}", (*lines, *([f"and {more} more"] if more > 0 else []))
    )
