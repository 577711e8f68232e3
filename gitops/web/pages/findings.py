"""What checks said, as much of it as fits on a page; the rest is counted. Pure.

Called by the pages that show a plan. Everything given out is one line or a few, fit to be seen.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gitops.foreign import one_line, readable
from gitops.model.finding import Finding
from gitops.summary import Standing

ROOM = 14_000
"""Bytes of all findings together, about."""
EACH = 20
"""Findings of one check."""
CHECKS = 40
MESSAGE, HINT, PLACE = 500, 500, 250


@dataclass(frozen=True, slots=True)
class Said:
    place: str
    path: str
    line: int
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Looked:
    """One check."""

    check: str
    state: str
    """``error``, ``warning``, ``info``, or ``passed``."""
    findings: tuple[Said, ...]
    more: int
    """Findings that are not here."""

    @property
    def well(self) -> bool:
        return self.state in ("info", "passed")


@dataclass(frozen=True, slots=True)
class Board:
    checks: tuple[Looked, ...]
    more: int
    """Checks that are not here; the worst are."""

    @property
    def well(self) -> bool:
        return all(each.well for each in self.checks)


def board_of(standings: Sequence[Standing], room: int = ROOM) -> Board:
    """The worst first, as they are given; each has a fair share of the room."""
    with_findings = sum(1 for each in standings[:CHECKS] if each.findings)
    share = room // max(1, min(with_findings, 8))
    shown, spent = [], 0
    for each in standings[:CHECKS]:
        fits = _fitting(each.findings, min(share, max(0, room - spent)))
        spent += sum(map(size, fits))
        state = each.worst.value if each.worst else "passed"
        more = len(each.findings) - len(fits)
        shown.append(Looked(one_line(each.check, 80), state, fits, more))
    return Board(tuple(shown), max(0, len(standings) - CHECKS))


def _fitting(findings: Iterable[Finding], room: int) -> tuple[Said, ...]:
    shown: list[Said] = []
    for finding in findings:
        said = _said(finding)
        room -= size(said)
        if len(shown) == EACH or room < 0:
            break
        shown.append(said)
    return tuple(shown)


def _said(finding: Finding) -> Said:
    hint = readable(finding.hint[: HINT + 1])
    return Said(
        one_line(finding.place, PLACE),
        finding.path,
        finding.line,
        one_line(finding.message, MESSAGE),
        f"{hint[:HINT]} …" if len(finding.hint) > HINT else hint,
    )


def size(said: Said) -> int:
    """Bytes on the page; the place stands there twice, as text and as link."""
    texts = (said.place, said.place, said.message, said.hint)
    return 150 + sum(len(html.escape(text).encode("utf-8", "replace")) for text in texts)


def newest(said: Sequence[tuple[float, str]], room: int) -> tuple[tuple[float, str], ...]:
    """The newest of what happened that fit, oldest first."""
    shown: list[tuple[float, str]] = []
    for at, text in reversed(said):
        cut = one_line(text, MESSAGE)
        room -= 120 + len(html.escape(cut).encode("utf-8", "replace"))
        if room < 0:
            break
        shown.append((at, cut))
    return tuple(reversed(shown))
