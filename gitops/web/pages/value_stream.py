"""``/applications/NAME/value-stream``: where a commit's time goes, for whoever would shorten it.

Commit → seen → checked → asked → answered → begun → applied → healthy: each part with how long it
takes, waiting apart from work, and in one sentence where most is lost.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, Path
from starlette.responses import HTMLResponse

from gitops import dora
from gitops.dora import DAY, Dora, Stage, StageTime, Way
from gitops.links import application_page
from gitops.model.delivery import ChangeRecord
from gitops.model.ids import ApplicationName
from gitops.plots import duration
from gitops.summary import counted
from gitops.web.pages.desk import Desk, Viewing
from gitops.web.pages.frame import query
from gitops.web.stats_routes import MOST, Days, Name, passed

PERIODS = (7, 30, 90)
SLOWEST = 10
TITLES = {
    Stage.NOTICE: "Until we see it",
    Stage.CHECK: "Render, check, plan",
    Stage.ASK: "Until people are asked",
    Stage.ANSWER: "Until somebody answers",
    Stage.START: "Until it is begun",
    Stage.APPLY: "Apply",
    Stage.VERIFY: "Become healthy",
}
LOST = {
    Stage.NOTICE: "waiting for the commit to be seen",
    Stage.CHECK: "rendering, checking and planning",
    Stage.ASK: "waiting for people to be asked",
    Stage.ANSWER: "waiting for somebody to answer",
    Stage.START: "waiting for it to be begun",
    Stage.APPLY: "applying",
    Stage.VERIFY: "becoming healthy",
}
SHORTER = {
    Stage.NOTICE: (
        "A webhook of the forge tells of a commit at once; without one it waits for the next look "
        "at the source."
    ),
    Stage.CHECK: "The checks of single changes say which of them takes long.",
    Stage.ASK: "People are asked once all of a commit is planned, and not during a pause.",
    Stage.ANSWER: (
        "More people who may approve, a channel they read, or a policy that lets small changes "
        "through shorten it."
    ),
    Stage.START: "It waits for what it needs first, for a pause to end, or for changes before it.",
    Stage.APPLY: "Many objects, or definitions that others wait for, make it long.",
    Stage.VERIFY: "Rollouts wait for pods to be ready: probes, image pulls, surge.",
}
"""What usually helps."""


@dataclass(frozen=True, slots=True)
class Part:
    """One stage of the map."""

    title: str
    waiting: bool
    mean: str
    median: str
    p90: str
    share: str
    most: bool
    """Most of the time goes here."""
    at: float
    width: float
    """Of the bar, in hundredths."""


@dataclass(frozen=True, slots=True)
class Slow:
    """One of the slowest deliveries."""

    way: Way
    subject: str
    """Of its newest commit: foreign text, empty where it has none."""
    total: str
    waited: str
    longest: str


def add(app: FastAPI, desk: Desk) -> None:
    controller = desk.controller

    @app.get("/applications/{name}/value-stream", include_in_schema=False)
    async def value_stream(
        viewer: Viewing,
        name: Annotated[str, Path(max_length=253)],
        days: Days = 30,
        target: Name = "",
    ) -> HTMLResponse:
        until = controller.parts.clock.now()
        passages = await passed(controller, until - days * DAY, name)
        spec = controller.roster.named(ApplicationName(name))
        mine = [each for each in passages if target in ("", each.lane.target)]

        def work() -> tuple[tuple[StageTime, ...], tuple[Way, ...], Dora]:
            return dora.value_stream(mine), dora.slowest(mine, SLOWEST), dora.dora(mine, days)

        stream, slowest, figures = await asyncio.to_thread(work)
        records = await controller.ledger.read(
            lambda reading: {way.change: reading.change(way.change) for way in slowest}
        )
        count = sum(1 for each in mine if dora.streamed(each))

        def to(**more: object) -> str:
            kept = query(**{"days": days, "target": target, **more})
            return f"{application_page(name)}/value-stream?{urlencode(kept)}"

        return desk.frame.page(
            "value_stream.html",
            viewer,
            at="",
            name=name,
            days=days,
            target=target,
            targets=[("every target", to(target=""), "")]
            + [(str(each), to(target=each), str(each)) for each in spec.targets[:50]],
            periods=[(to(days=each), each) for each in PERIODS],
            longer=to(days=400) if days < 400 else "",
            parts=_parts(stream),
            said=_said(stream, count),
            hint=SHORTER[_longest(stream).stage] if stream else "",
            slowest=[_slow(way, records[way.change]) for way in slowest],
            figures=figures,
            lead=figures.lead_time,
            duration=duration,
            complete=len(passages) < MOST,
        )


def _longest(stream: tuple[StageTime, ...]) -> StageTime:
    return max(stream, key=lambda each: each.mean)


def _parts(stream: tuple[StageTime, ...]) -> list[Part]:
    total = sum(each.mean for each in stream) or 1.0
    found, at = [], 0.0
    for each in stream:
        width = 100 * each.mean / total
        found.append(
            Part(
                TITLES[each.stage],
                each.waiting,
                duration(each.mean),
                duration(each.spread.median),
                duration(each.spread.p90),
                _share(each.mean / total),
                each is _longest(stream),
                round(at, 2),
                round(width, 2),
            )
        )
        at += width
    return found


def _share(part: float) -> str:
    return f"{part:.0%}" if part >= 0.01 or not part else "under 1%"


def _said(stream: tuple[StageTime, ...], count: int) -> tuple[str, str]:
    """How long it takes, and where most of it is lost."""
    if not stream:
        return "", ""
    total = sum(each.mean for each in stream)
    waits = sum(each.mean for each in stream if each.waiting)
    longest = _longest(stream)
    share = longest.mean / total if total else 0.0
    return (
        (
            f"From commit to healthy: {duration(total)} on average over "
            f"{counted(count, 'delivery', 'deliveries')}, {waits / (total or 1):.0%} of it waiting."
        ),
        f"Most of it, {share:.0%} or {duration(longest.mean)}, goes into {LOST[longest.stage]}.",
    )


def _slow(way: Way, record: ChangeRecord | None) -> Slow:
    commits = record.change.authorship.commits if record else ()
    subject = commits[0].subject if commits else ""
    longest = f"{duration(way.stages[way.longest])} {LOST[way.longest]}"
    return Slow(way, subject, duration(way.total), duration(way.waited), longest)
