"""Pure: figures as SVG, for whoever would rather look than read.

Called by the API and the pages with what :mod:`gitops.dora` made. Each plot is one ``<svg>``
without script, style sheet or address, so that it can stand in a page with a strict policy or be
asked for by itself. Text takes the colour of the page around it; the other colours are CSS
variables with a default that can be told apart on light and dark ground, and never say anything
alone. What a plot shows is said in words in its ``<desc>``. Every name in it is escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from xml.sax.saxutils import escape, quoteattr

from gitops.dora import Stage, StageTime, Week

WIDTH, HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 30, 30
GOOD = "var(--plot-good, #2f9e63)"
BAD = "var(--plot-bad, #d9534f)"
WAIT = "var(--plot-wait, #d08a1d)"
WORK = "var(--plot-work, #3b82c4)"
MOST_BARS = 15
_NAME = 28
_UNPRINTABLE = re.compile(
    "[^\t\n -\x7e\xa0-\u200a\u2010-\u2027\u2030-\u205f\u2070-\ud7ff\ue000-\ufffd]"
)
"""What XML cannot hold (XML 1.0 section 2.2), controls, and what turns the direction of text."""
_TICKS = (1, 10, 60, 600, 3_600, 6 * 3_600, 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400)
_STAGE = {
    Stage.NOTICE: "noticed",
    Stage.CHECK: "checked",
    Stage.ASK: "asked",
    Stage.ANSWER: "answered",
    Stage.START: "started",
    Stage.APPLY: "applied",
    Stage.VERIFY: "healthy",
}


def frequency(weeks: Sequence[Week], name: str = "frequency") -> str:
    """Deliveries a week: what went well, and stacked on it what failed."""
    most = max((w.deployed + w.failed for w in weeks), default=0)
    top = _round_up(most)
    scale = _Down(0, top)
    parts = [*_grid(scale, [0, top / 2, top] if top > 1 else [0, top], lambda v: f"{v:g}")]
    parts += _legend((("went well", GOOD, ""), ("failed", BAD, "")))
    for index, week in enumerate(weeks):
        x, width = _slot(index, len(weeks))
        label = f"week of {_date(week.start)}: {week.deployed} went well, {week.failed} failed"
        parts.append(
            _group(
                label,
                _bar(x, width, scale(week.deployed), scale(0), GOOD),
                _bar(x, width, scale(week.deployed + week.failed), scale(week.deployed), BAD, 1),
            )
        )
    parts += _weeks_below(weeks)
    well, bad = sum(w.deployed for w in weeks), sum(w.failed for w in weeks)
    says = f"{well} deliveries went well and {bad} failed in {len(weeks)} weeks"
    return _svg(name, "Deliveries a week", says + _peak(weeks), parts)


def _peak(weeks: Sequence[Week]) -> str:
    best = max(weeks, key=lambda w: w.deployed, default=None)
    if best is None or not best.deployed:
        return "."
    return f"; the most, {best.deployed}, in the week of {_date(best.start)}."


def delivery_times(weeks: Sequence[Week], name: str = "delivery-times") -> str:
    """From a change being opened to healthy, week by week: the median as a line with dots, the
    ninth tenth as a bar above it, on a scale that grows tenfold."""
    told = [w.duration for w in weeks if w.duration]
    low = min((max(d.median, 1.0) for d in told), default=1.0)
    high = max((max(d.p90, 1.0) for d in told), default=60.0)
    ticks = _ticks(low, high)
    scale = _Down(math.log10(ticks[0]), math.log10(ticks[-1]))
    parts = [*_grid(scale, [math.log10(t) for t in ticks], lambda v: duration(10**v))]
    parts += _legend((("median", WORK, "dot"), ("nine in ten are faster", WORK, "whisker")))
    points: list[tuple[float, float] | None] = []
    for index, week in enumerate(weeks):
        if week.duration is None:
            points.append(None)
            continue
        x, width = _slot(index, len(weeks))
        middle = x + width / 2
        median = scale(math.log10(max(week.duration.median, 1.0)))
        slow = scale(math.log10(max(week.duration.p90, 1.0)))
        points.append((middle, median))
        label = (
            f"week of {_date(week.start)}: median {duration(week.duration.median)}, "
            f"nine in ten within {duration(week.duration.p90)}, {week.duration.count} deliveries"
        )
        parts.append(_group(label, _whisker(middle, median, slow), _dot(middle, median)))
    parts += [_line(run) for run in _runs(points)]
    parts += _weeks_below(weeks)
    return _svg(name, "Time from a change to healthy", _times_said(weeks), parts)


def _times_said(weeks: Sequence[Week]) -> str:
    told = [w for w in weeks if w.duration]
    if not told:
        return f"No delivery in {len(weeks)} weeks."
    slowest = max(told, key=lambda w: w.duration.median if w.duration else 0.0)
    last = told[-1].duration
    assert last is not None
    assert slowest.duration is not None
    return (
        f"The median was {duration(last.median)} in the last week with deliveries; the slowest "
        f"week was that of {_date(slowest.start)} with {duration(slowest.duration.median)}."
    )


def drift(counts: Mapping[str, int], name: str = "drift") -> str:
    """Drifts by application, the most first."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown, rest = rows[:MOST_BARS], rows[MOST_BARS:]
    if rest:
        shown.append((f"{len(rest)} more", sum(count for _, count in rest)))
    most = max((count for _, count in shown), default=1)
    left, step = 200, 22
    parts = []
    for index, (application, count) in enumerate(shown):
        y = 8 + index * step
        long = (WIDTH - left - 60) * count / most
        parts.append(
            _group(
                f"{application}: {count}",
                _text(left - 8, y + 13, _short(application), "end"),
                _rect(left, y + 2, max(long, 1), step - 8, WAIT),
                _text(left + long + 6, y + 13, str(count)),
            )
        )
    if not shown:
        parts.append(_text(WIDTH / 2, 24, "nothing drifted", "middle"))
    total = sum(counts.values())
    says = f"{total} drifts of {len(counts)} applications"
    says += f"; the most of {shown[0][0]}: {shown[0][1]}." if shown else "."
    height = 16 + max(1, len(shown)) * step
    return _svg(name, "Drift by application", says, parts, height)


def value_stream(stream: Sequence[StageTime], name: str = "value-stream") -> str:
    """The way of a commit as one bar: how long each stage takes on average, waiting hatched."""
    total = sum(stage.mean for stage in stream)
    room = WIDTH - 24
    least = min(3.0, room / max(1, len(stream)))
    spare = room - least * len(stream)
    # The hatching's id is the page's: two plots of one page must not share it.
    parts = [_hatching(f"{_id(name)}-hatch")]
    x = 12.0
    for index, stage in enumerate(stream):
        long = least + (spare * stage.mean / total if total else 0)
        fill = WAIT if stage.waiting else WORK
        kind = "waiting" if stage.waiting else "working"
        word = _STAGE[stage.stage]
        label = (
            f"until {word}: {duration(stage.mean)} on average ({kind}), "
            f"median {duration(stage.spread.median)}, nine in ten {duration(stage.spread.p90)}"
        )
        marks = [_rect(x, 34, long, 34, fill)]
        if stage.waiting:
            marks.append(_rect(x, 34, long, 34, f"url(#{_id(name)}-hatch)"))
        parts.append(_group(label, *marks))
        parts += _stage_told(index, stage, fill)
        x += long
    parts += _legend((("working", WORK, ""), ("waiting", WAIT, "")))
    if not stream:
        parts.append(_text(WIDTH / 2, 56, "no commit was delivered", "middle"))
    rows = -(-len(stream) // 2)
    return _svg(name, "Where a commit's time goes", _stream_said(stream), parts, 84 + rows * 20)


def _stage_told(index: int, stage: StageTime, fill: str) -> list[str]:
    """Two columns of words under the bar: narrow stages have no room for any of their own."""
    x, y = 12 + (index % 2) * (WIDTH / 2), 92 + (index // 2) * 20
    kind = "waiting" if stage.waiting else "working"
    words = f"until {_STAGE[stage.stage]}: {duration(stage.mean)}, {kind}"
    return [_rect(x, y - 9, 10, 10, fill), _text(x + 16, y, words)]


def _stream_said(stream: Sequence[StageTime]) -> str:
    total = sum(stage.mean for stage in stream)
    if not total:
        return "No commit was delivered."
    waits = sum(stage.mean for stage in stream if stage.waiting)
    longest = max(stream, key=lambda stage: stage.mean)
    return (
        f"{duration(total)} from commit to healthy on average, {waits / total:.0%} of it waiting; "
        f"the longest stage is until {_STAGE[longest.stage]}, {duration(longest.mean)}."
    )


# --- words ------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """``350 ms``, ``12 s``, ``4 min``, ``3 h``, ``2 d``: two digits that matter."""
    if seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    for size, unit, until in ((1, "s", 60), (60, "min", 3_600), (3_600, "h", 86_400)):
        if seconds < until:
            return f"{_two(seconds / size)} {unit}"
    return f"{_two(seconds / 86_400)} d"


def _two(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if number < 9.95 else f"{number:.0f}"


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _short(text: str) -> str:
    return text if len(text) <= _NAME else text[: _NAME - 1] + "…"


def _safe(text: str) -> str:
    return escape(_UNPRINTABLE.sub("\ufffd", text))


def _id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", name) or "plot"


# --- shapes -----------------------------------------------------------------------------------


class _Down:
    """From a value to a height: larger is further up."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high if high > low else low + 1

    def __call__(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - min(1.0, max(0.0, share)))


def _slot(index: int, count: int) -> tuple[float, float]:
    """(left edge, width) of one of ``count`` columns, with air between them."""
    whole = (WIDTH - _LEFT - _RIGHT) / max(1, count)
    width = min(whole * 0.7, 40)
    return _LEFT + index * whole + (whole - width) / 2, width


def _round_up(most: float) -> float:
    """The next of 1, 2, 4, 10, 20, 40, 100 …"""
    size = 1.0
    while True:
        for step in (1, 2, 4):
            if most <= step * size:
                return step * size
        size *= 10


def _ticks(low: float, high: float) -> list[float]:
    """Marks from the last one below ``low`` to the first above ``high``."""
    first = max((i for i, t in enumerate(_TICKS) if t <= low), default=0)
    last = next((i for i, t in enumerate(_TICKS) if t >= high), len(_TICKS) - 1)
    return list(map(float, _TICKS[first : max(last, first + 1) + 1]))


def _runs(
    points: Iterable[tuple[float, float] | None],
) -> list[list[tuple[float, float]]]:
    """Neighbours that a line joins; a week without deliveries breaks it."""
    found: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            found.append([])
        else:
            found[-1].append(point)
    return [run for run in found if len(run) > 1]


def _grid(scale: _Down, values: Iterable[float], word: object) -> list[str]:
    assert callable(word)
    parts = []
    for value in values:
        y = _n(scale(value))
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="currentColor" '
            'stroke-opacity="0.18"/>'
        )
        parts.append(_text(_LEFT - 8, scale(value) + 4, word(value), "end"))
    return parts


def _weeks_below(weeks: Sequence[Week]) -> list[str]:
    """Dates under some of the columns: as many as have room."""
    every = max(1, -(-len(weeks) // 7))
    parts = []
    for index, week in enumerate(weeks):
        if (len(weeks) - 1 - index) % every == 0:
            x, width = _slot(index, len(weeks))
            parts.append(_text(x + width / 2, HEIGHT - 10, _date(week.start)[5:], "middle"))
    return parts


def _legend(entries: Iterable[tuple[str, str, str]]) -> list[str]:
    parts, x = [], float(_LEFT)
    for word, fill, mark in entries:
        if mark == "dot":
            parts.append(_dot(x + 5, 12))
        elif mark == "whisker":
            parts.append(_whisker(x + 5, 18, 6))
        else:
            parts.append(_rect(x, 7, 10, 10, fill))
        parts.append(_text(x + 16, 16, word))
        x += 34 + 6.4 * len(word)
    return parts


def _bar(x: float, width: float, top: float, bottom: float, fill: str, gap: float = 0) -> str:
    tall = bottom - top - gap
    return _rect(x, top, width, tall, fill) if tall > 0 else ""


def _rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" fill="{fill}"/>'
    )


def _dot(x: float, y: float) -> str:
    return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="4" fill="{WORK}"/>'


def _whisker(x: float, low: float, high: float) -> str:
    return (
        f'<path d="M{_n(x)} {_n(low)}V{_n(high)}M{_n(x - 4)} {_n(high)}H{_n(x + 4)}" '
        f'stroke="{WORK}" stroke-opacity="0.6" stroke-width="2" fill="none"/>'
    )


def _line(points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{WORK}" stroke-width="1.5"/>'


def _hatching(id: str) -> str:
    return (
        f'<defs><pattern id="{id}" width="7" height="7" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><line y2="7" stroke="#fff" stroke-opacity="0.45" '
        'stroke-width="3"/></pattern></defs>'
    )


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" fill="currentColor">'
        f"{_safe(words)}</text>"
    )


def _group(label: str, *marks: str) -> str:
    """Marks that say what they are when pointed at."""
    return f"<g><title>{_safe(label)}</title>{''.join(marks)}</g>"


def _svg(name: str, title: str, says: str, parts: Iterable[str], height: int = HEIGHT) -> str:
    id = _id(name)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-labelledby={quoteattr(f"{id}-title {id}-desc")} '
        'font-family="system-ui, sans-serif" font-size="12" class="plot" fill="none">'
        f'<title id="{id}-title">{_safe(title)}</title><desc id="{id}-desc">{_safe(says)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
