"""``/stats``: how often, how fast and how well is delivered; by application and by team.

The four figures of DORA over a period with those of the period before it, plots of what moves from
week to week, and how each figure is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import FastAPI, Query
from markupsafe import Markup
from starlette.responses import HTMLResponse

from gitops import dora, plots
from gitops.dora import DAY, Dora, Report, Spread
from gitops.plots import duration
from gitops.web.pages.desk import Desk, Viewing
from gitops.web.pages.frame import query
from gitops.web.stats_routes import MOST, TEAM, Days, LabelName, made, passed

PERIODS = (7, 30, 90)
ROWS = 50
"""Applications, or teams, on one page."""
NOTHING = "–"
Sort = Annotated[str, Query(max_length=20)]
Find = Annotated[str, Query(max_length=200)]
Page = Annotated[int, Query(ge=1, le=100_000)]


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a table's rows. ``key`` orders them; what has no figure comes last."""

    name: str
    title: str
    shown: Callable[[Dora], str]
    key: Callable[[Dora], float | None]
    most_first: bool = True


def _median(spread: Spread | None) -> float | None:
    return spread.median if spread else None


def _time(spread: Spread | None) -> str:
    return duration(spread.median) if spread else NOTHING


def _restored(found: Dora) -> str:
    still = f" ({found.unrestored} not yet)" if found.unrestored else ""
    return _time(found.time_to_restore) + still


def _rate(found: Dora) -> str:
    if found.failure_rate is None:
        return NOTHING
    return f"{found.failure_rate:.0%} ({found.failed} of {found.deployments})"


COLUMNS = (
    Column("deployments", "Deployments", lambda d: f"{d.deployments:,}", lambda d: d.deployments),
    Column("frequency", "A week", lambda d: _number(d.per_day * 7), lambda d: d.per_day),
    Column("lead", "Lead time", lambda d: _time(d.lead_time), lambda d: _median(d.lead_time)),
    Column("failures", "Failures", _rate, lambda d: d.failure_rate),
    Column("restore", "Restored in", _restored, lambda d: _median(d.time_to_restore)),
)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Heading:
    title: str
    href: str
    order: str
    """``ascending``, ``descending``, or empty where it is not sorted by this."""


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    team: str
    drifts: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the four figures at a glance."""

    title: str
    value: str
    said: str
    before: str
    """How it was in the period before; empty where that cannot be told."""
    better: str
    """``good``, ``bad`` or empty: which way it went."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asked to see."""

    days: int
    by: str
    sort: str
    order: str
    q: str
    page: int

    def to(self, **more: object) -> str:
        """The page's address with something else of it."""
        mine: dict[str, object] = {
            "days": self.days,
            "by": "" if self.by == TEAM else self.by,
            "sort": self.sort,
            "order": self.order,
            "q": self.q,
            **more,
        }
        return f"/stats?{urlencode(query(**mine))}"


def add(app: FastAPI, desk: Desk) -> None:
    controller = desk.controller

    @app.get("/stats", include_in_schema=False)
    async def stats(
        viewer: Viewing,
        days: Days = 30,
        by: LabelName = TEAM,
        sort: Sort = "",
        order: Annotated[str, Query(pattern="^(asc|desc)?$")] = "",
        q: Find = "",
        page: Page = 1,
    ) -> HTMLResponse:
        wish = Wish(days, by.strip() or TEAM, sort, order, q.strip(), page)
        until = controller.parts.clock.now()
        since = until - days * DAY
        passages = await passed(controller, since - days * DAY)
        specs = controller.roster.specs().values()
        teams = {str(spec.name): spec.labels.get(wish.by, "") for spec in specs}

        def work() -> dict[str, Any]:
            mine = [each for each in passages if each.ended_at >= since]
            earlier = [each for each in passages if each.ended_at < since]
            found = made(controller, mine, since, until, wish.by)
            known = len(passages) < MOST and earlier
            then = dora.dora(earlier, days) if known else None
            return {**_whole(found, then), **_applications(found, teams, wish)}

        values = await asyncio.to_thread(work)
        return desk.frame.page("stats.html", viewer, at="/stats", wish=wish, **values)


def _whole(report: Report, before: Dora | None) -> dict[str, Any]:
    """What is about the whole fleet, and by team."""
    return {
        "report": report,
        "tiles": _tiles(report.total, before),
        "plots": _plots(report),
        "duration": duration,
        "drifts": list(report.drift.items())[:ROWS],
        "more_drifts": max(0, len(report.drift) - ROWS),
        "teams": _teams(report),
        "more_teams": max(0, len(report.teams) - ROWS),
        "columns": [column.title for column in COLUMNS],
    }


def _applications(report: Report, teams: Mapping[str, str], wish: Wish) -> dict[str, Any]:
    """One page of them."""
    names = _sorted(report, teams, wish)
    first = (wish.page - 1) * ROWS
    return {
        "periods": [(wish.to(days=each), each) for each in PERIODS],
        "headings": _headings(wish),
        "lines": [_line(name, report, teams) for name in names[first : first + ROWS]],
        "found": len(names),
        "first": first,
        "newer": wish.to(page=wish.page - 1) if wish.page > 1 else "",
        "older": wish.to(page=wish.page + 1) if len(names) > first + ROWS else "",
        "labelled": any(teams.values()),
    }


def _sorted(report: Report, teams: Mapping[str, str], wish: Wish) -> list[str]:
    """Applications that fit what is looked for, in the order asked for."""
    wanted, found = wish.q.casefold(), report.applications
    names = [
        name
        for name in found
        if wanted in name.casefold() or wanted in teams.get(name, "").casefold()
    ]
    column = next((each for each in COLUMNS if each.name == wish.sort), None)
    if column is not None:
        most, key = _most_first(column, wish.order), column.key
        names.sort(key=lambda name: _place(key(found[name]), most))
    elif wish.sort == "drift":
        names.sort(key=lambda name: report.drift.get(name, 0), reverse=wish.order != "asc")
    elif wish.sort == "team":
        names.sort(key=lambda name: teams.get(name, ""), reverse=wish.order == "desc")
    elif wish.order == "desc":
        names.reverse()
    return names


def _line(name: str, report: Report, teams: Mapping[str, str]) -> Line:
    cells = _cells(report.applications[name])
    return Line(name, teams.get(name, ""), report.drift.get(name, 0), cells)


def _place(value: float | None, most_first: bool) -> tuple[bool, float]:
    if value is None:
        return True, 0.0
    return False, -value if most_first else value


def _most_first(column: Column, order: str) -> bool:
    return column.most_first if not order else order == "desc"


def _cells(found: Dora) -> tuple[str, ...]:
    return tuple(column.shown(found) for column in COLUMNS)


def _headings(wish: Wish) -> list[Heading]:
    names = [("", "Application", False), ("team", wish.by.capitalize(), False)]
    names += [(column.name, column.title, column.most_first) for column in COLUMNS]
    names.append(("drift", "Drifts", True))
    found = []
    for name, title, most_first in names:
        mine = wish.sort == name
        most = most_first if not (mine and wish.order) else wish.order == "desc"
        turned = "asc" if most else "desc"
        href = wish.to(sort=name, order=turned if mine else "")
        now = "descending" if most else "ascending"
        found.append(Heading(title, href, now if mine else ""))
    return found


def _teams(report: Report) -> list[Line]:
    rows = sorted(report.teams.items(), key=lambda item: (-item[1].deployments, item[0]))
    return [Line(name, "", 0, _cells(found)) for name, found in rows[:ROWS]]


def _tiles(now: Dora, before: Dora | None) -> tuple[Tile, ...]:
    """What a reader of ten seconds takes away."""
    week, was_week = now.per_day * 7, before.per_day * 7 if before else None
    lead, was_lead = _median(now.lead_time), _median(before.lead_time) if before else None
    rate, was_rate = now.failure_rate, before.failure_rate if before else None
    heal = _median(now.time_to_restore)
    was_heal = _median(before.time_to_restore) if before else None
    slow = f"; nine in ten within {duration(now.lead_time.p90)}" if now.lead_time else ""
    bad = f"{now.failed:,} of {now.deployments:,} failed or were rolled back"
    open_ = f"; {now.unrestored:,} not yet" if now.unrestored else ""
    return (
        Tile(
            "Deployments a week",
            _number(week) if now.deployments else NOTHING,
            f"{now.deployments:,} in all, well or badly",
            _number(was_week) if was_week is not None else "",
            _better(week, was_week, more=True),
        ),
        Tile(
            "Lead time",
            _time(now.lead_time),
            f"from commit to healthy, median{slow}",
            duration(was_lead) if was_lead is not None else "",
            _better(lead, was_lead),
        ),
        Tile(
            "Failures",
            f"{rate:.0%}" if rate is not None else NOTHING,
            bad,
            f"{was_rate:.0%}" if was_rate is not None else "",
            _better(rate, was_rate),
        ),
        Tile(
            "Restored in",
            _time(now.time_to_restore),
            f"from a failure to the next healthy delivery, median{open_}",
            duration(was_heal) if was_heal is not None else "",
            _better(heal, was_heal),
        ),
    )


def _better(now: float | None, before: float | None, *, more: bool = False) -> str:
    """Only what differs by a tenth is a difference."""
    if now is None or before is None or abs(now - before) <= 0.1 * max(now, before):
        return ""
    return "good" if (now > before) is more else "bad"


def _plots(report: Report) -> Mapping[str, Markup]:
    """Ours, with every name in them escaped already."""
    drawn = {
        "frequency": plots.frequency(report.weeks),
        "times": plots.delivery_times(report.weeks),
        "stream": plots.value_stream(report.stream),
        "drift": plots.drift(report.drift),
    }
    return {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704
