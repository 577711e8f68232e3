"""Pure: the four DORA figures and the value stream of a period, from when changes were where.

Called by the API (``/api/v1/stats``) and the pages with the store's passages. The figures are as
DORA defines them (dora.dev/guides/dora-metrics): how often it is deployed, how long a commit takes
to be live, how many deployments fail, how long a failure lasts. A *deployment* here is one delivery
of a commit or a command to one target; drift that is healed is none. What no figure can be made of
is None, never 0.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gitops.model.delivery import Cause, ChangeState, LaneId
from gitops.model.ids import ApplicationName, ChangeId
from gitops.model.passage import Passage

DAY = 86_400.0
WEEK = 7 * DAY
_DEPLOYS = frozenset({Cause.COMMIT, Cause.COMMAND})
_WELL = frozenset({ChangeState.HEALTHY, ChangeState.UNCHANGED})


@dataclass(frozen=True, slots=True)
class Spread:
    """How durations lie, in seconds."""

    count: int
    median: float
    p90: float
    longest: float


@dataclass(frozen=True, slots=True)
class Dora:
    """Of one application, one team or all; over ``days``."""

    days: float
    deployments: int
    """Deliveries of commits and commands that ended, well or badly."""
    per_day: float
    """Those that ended well."""
    lead_time: Spread | None
    """From each commit (as it says itself) to healthy. A lane's first delivery has none: it brings
    commits of any age."""
    failed: int
    """Deployments that failed, or that were rolled back."""
    failure_rate: float | None
    """``failed`` of ``deployments``, 0 to 1."""
    time_to_restore: Spread | None
    """From the end of a failed deployment to the next healthy one of its lane."""
    unrestored: int
    """Failures that nothing healthy has followed yet."""


class Stage(StrEnum):
    """The way of a commit, in order."""

    NOTICE = "notice"
    """Commit → seen by us."""
    CHECK = "check"
    """Seen → rendered, checked and planned."""
    ASK = "ask"
    """Planned → people were asked."""
    ANSWER = "answer"
    """Asked → answered."""
    START = "start"
    """Answered, or planned where nobody had to be asked → being applied."""
    APPLY = "apply"
    """Begun → every write done."""
    VERIFY = "verify"
    """Written → healthy."""


WAITING = frozenset({Stage.NOTICE, Stage.ASK, Stage.ANSWER, Stage.START})
"""Stages in which nobody and nothing works on the change."""


@dataclass(frozen=True, slots=True)
class StageTime:
    stage: Stage
    waiting: bool
    spread: Spread
    mean: float
    """Seconds; over all deliveries, also those that skip the stage, so that they add up."""


@dataclass(frozen=True, slots=True)
class Week:
    """Seven days, the last week of a period ending with it."""

    start: float
    deployed: int
    failed: int
    lead_time: Spread | None
    duration: Spread | None
    """From opened to healthy."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything ``gitops stats`` shows."""

    since: float
    until: float
    total: Dora
    applications: Mapping[str, Dora]
    teams: Mapping[str, Dora]
    stream: tuple[StageTime, ...]
    weeks: tuple[Week, ...]
    drift: Mapping[str, int]
    """Application → drifts that were found."""
    complete: bool = True
    """False: there were more changes than are looked at; the oldest are missing."""


def report(
    passages: Sequence[Passage],
    since: float,
    until: float,
    team: Callable[[ApplicationName], str],
    *,
    complete: bool = True,
) -> Report:
    """``passages`` oldest first, ended between ``since`` and ``until``; ``team`` of an application,
    empty for none."""
    days = max((until - since) / DAY, 1e-9)
    by_application = _by(passages, lambda p: p.lane.application)
    by_team = _by(passages, lambda p: team(p.lane.application))
    by_team.pop("", None)
    return Report(
        since,
        until,
        dora(passages, days),
        {name: dora(found, days) for name, found in sorted(by_application.items())},
        {name: dora(found, days) for name, found in sorted(by_team.items())},
        value_stream(passages),
        weeks(passages, since, until),
        drift(passages),
        complete,
    )


def _by(passages: Iterable[Passage], key: Callable[[Passage], str]) -> dict[str, list[Passage]]:
    found: dict[str, list[Passage]] = defaultdict(list)
    for passage in passages:
        found[key(passage)].append(passage)
    return found


def dora(passages: Sequence[Passage], days: float) -> Dora:
    """The four figures of these passages, oldest first."""
    deployed = [p for p in passages if _deployment(p)]
    failures = _failures(passages)
    restored = [end - begin for begin, end in failures if end is not None]
    return Dora(
        days,
        len(deployed),
        sum(p.state in _WELL for p in deployed) / days,
        spread(_leads(deployed)),
        len(failures),
        len(failures) / len(deployed) if deployed else None,
        spread(restored),
        len(failures) - len(restored),
    )


def _deployment(passage: Passage) -> bool:
    """Superseded ones were cut short by a newer commit: neither well nor badly."""
    ended = passage.state in _WELL or passage.state is ChangeState.FAILED
    return passage.delivered and passage.cause in _DEPLOYS and ended


def _leads(passages: Iterable[Passage]) -> list[float]:
    """A commit's time is what its machine's clock said: one from the future counts for nothing."""
    return [
        passage.ended_at - committed
        for passage in passages
        if passage.cause is Cause.COMMIT and passage.state in _WELL and passage.generation > 0
        for committed in passage.committed
        if 0 < committed <= passage.ended_at
    ]


def _failures(passages: Iterable[Passage]) -> list[tuple[float, float | None]]:
    """(from, until when it was well again) of every deployment that failed. One that ended well
    and was then rolled back was bad from its end on; several in a row are restored together."""
    found: list[tuple[float, float | None]] = []
    failing: dict[LaneId, list[float]] = defaultdict(list)
    good: dict[LaneId, float] = {}
    for passage in passages:
        if not passage.delivered:
            continue
        lane = passage.lane
        if passage.cause is Cause.ROLLBACK and lane in good and not failing[lane]:
            failing[lane].append(good.pop(lane))
        if passage.state is ChangeState.FAILED and _deployment(passage):
            failing[lane].append(passage.ended_at)
        elif passage.state in _WELL and passage.cause is not Cause.DRIFT:
            found += [(begin, passage.ended_at) for begin in failing.pop(lane, [])]
            if passage.cause is not Cause.ROLLBACK:
                good[lane] = passage.ended_at
    return found + [(begin, None) for begins in failing.values() for begin in begins]


def value_stream(passages: Iterable[Passage]) -> tuple[StageTime, ...]:
    """Where the time of the commits went that became healthy; stages nothing went through are left
    out."""
    ways = [stages(p) for p in passages if streamed(p)]
    found = []
    for stage in Stage:
        times = [way[stage] for way in ways if stage in way]
        if lies := spread(times):
            mean = sum(times) / len(ways)
            found.append(StageTime(stage, stage in WAITING, lies, mean))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Way:
    """One commit's way, from its newest commit, or from being seen, to healthy."""

    change: ChangeId
    lane: LaneId
    ended_at: float
    total: float
    stages: Mapping[Stage, float]

    @property
    def longest(self) -> Stage:
        return max(self.stages, key=lambda stage: self.stages[stage])

    @property
    def waited(self) -> float:
        return sum(seconds for stage, seconds in self.stages.items() if stage in WAITING)


def slowest(passages: Iterable[Passage], most: int) -> tuple[Way, ...]:
    """Of those the value stream is made of, the ones that took longest."""
    ways = (
        Way(p.change, p.lane, p.ended_at, sum(found.values()), found)
        for p in passages
        if streamed(p) and (found := stages(p))
    )
    return tuple(sorted(ways, key=lambda way: (-way.total, -way.ended_at))[:most])


def streamed(passage: Passage) -> bool:
    """A commit that became healthy."""
    return passage.cause is Cause.COMMIT and passage.delivered and passage.state in _WELL


def stages(passage: Passage) -> Mapping[Stage, float]:
    """Seconds one passage spent in each stage it went through."""
    newest = max((at for at in passage.committed if 0 < at <= passage.opened_at), default=None)
    places = (
        (Stage.NOTICE, passage.opened_at if newest and passage.generation else None),
        (Stage.CHECK, passage.planned_at),
        (Stage.ASK, passage.asked_at),
        (Stage.ANSWER, passage.answered_at),
        (Stage.START, passage.started_at),
        (Stage.APPLY, passage.applied_at),
        (Stage.VERIFY, passage.ended_at if passage.applied_at is not None else None),
    )
    found: dict[Stage, float] = {}
    before = newest if newest and passage.generation else passage.opened_at
    for stage, at in places:
        if at is not None:
            found[stage] = max(0.0, at - before)
            before = max(before, at)
    return found


def weeks(passages: Sequence[Passage], since: float, until: float) -> tuple[Week, ...]:
    """Whole weeks back from ``until`` that cover the period, oldest first."""
    count = max(1, -int(-(until - since) // WEEK))
    by_week: dict[int, list[Passage]] = defaultdict(list)
    for passage in passages:
        if _deployment(passage):
            by_week[max(1, math.ceil((until - passage.ended_at) / WEEK))].append(passage)
    found = []
    for index in range(count, 0, -1):
        start, mine = until - index * WEEK, by_week[index]
        well = [p for p in mine if p.state in _WELL]
        found.append(
            Week(
                start,
                len(well),
                len(mine) - len(well),
                spread(_leads(mine)),
                spread([p.ended_at - p.opened_at for p in well]),
            )
        )
    return tuple(found)


def drift(passages: Iterable[Passage]) -> Mapping[str, int]:
    """Drifts by application, the most first."""
    counts = Counter(str(p.lane.application) for p in passages if p.cause is Cause.DRIFT)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def spread(seconds: Sequence[float]) -> Spread | None:
    """None for no duration at all."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return Spread(len(ordered), _quantile(ordered, 0.5), _quantile(ordered, 0.9), ordered[-1])


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Between its two neighbours, as spreadsheets do."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
