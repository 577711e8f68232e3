"""How a source is watched: when it is asked again, and what it is told to keep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from gitops.engine.bell import Bell
from gitops.engine.watches import LONGEST_PAUSE, SourceWatch
from gitops.errors import SourceProblem, SourceUnavailable
from gitops.model.delivery import Cause, ChangeState
from gitops.model.fleet import SourceSpec
from gitops.model.ids import SourceName
from gitops.model.source import Revision, SourceState
from gitops.ports import Look
from tests.unit.check_cases import Frozen

NAME = SourceName("config")
NOW, BEFORE, BACK, OPEN, EARLIER = (Revision(NAME, f"sha256:{n}") for n in range(5))
ELSEWHERE = Revision(SourceName("other"), "sha256:9")


class Told:
    """A source that answers as it is told, and keeps what it is told."""

    def __init__(self) -> None:
        self.answer: Exception | None = None
        self.retained: list[Sequence[Revision]] = []

    async def look(self, last: Revision | None) -> Look:
        if self.answer:
            raise self.answer
        return Look(NOW)

    async def snapshot(self, revision: Revision) -> Any:
        return SimpleNamespace(revision=revision)

    async def authorship(self, *_: Any) -> Any:
        raise AssertionError("nobody asked who wrote it")

    async def retain(self, wanted: Sequence[Revision]) -> None:
        self.retained.append(wanted)


class Books:
    """A ledger with three lanes in it."""

    def __init__(self) -> None:
        self.bell = Bell()

    async def append(self, *events: Any) -> None:
        """Nothing is looked at again."""

    async def read(self, query: Any) -> Any:
        def lane(delivered: Revision | None, rollback: Revision | None = None) -> Any:
            return SimpleNamespace(
                lane="lane",
                delivered=delivered and SimpleNamespace(revision=delivered),
                rollback=rollback and SimpleNamespace(revision=rollback),
            )

        record = SimpleNamespace(change=SimpleNamespace(revision=OPEN))
        brought = SimpleNamespace(cause=Cause.COMMIT, revision=EARLIER)
        row = SimpleNamespace(state=ChangeState.HEALTHY, change=SimpleNamespace(change=brought))
        return query(
            SimpleNamespace(
                lanes=lambda: [lane(BEFORE), lane(None, BACK), lane(ELSEWHERE)],
                changes=lambda: [record],
                deliveries=lambda **_: [row],
            )
        )


async def moved(_: Any) -> None:
    """The engine has nothing to do here."""


@pytest.fixture
def source() -> Told:
    return Told()


@pytest.fixture
def watch(source: Told) -> SourceWatch:
    spec = SourceSpec(NAME, "web", "https://host/a.yaml", interval=timedelta(seconds=30))
    return SourceWatch(spec, source, Books(), Frozen(), moved)  # type: ignore[arg-type]


async def test_a_source_that_does_not_answer_is_asked_less_and_less(
    watch: SourceWatch, source: Told
) -> None:
    source.answer = SourceUnavailable("away")
    pauses = []
    for _ in range(7):
        await watch.look()
        pauses.append(watch.pause())
    for pause, expected in zip(pauses, (30, 60, 120, 240, 480, 600, 600), strict=True):
        assert pause == pytest.approx(expected, rel=0.11)
    source.answer = None
    await watch.look()
    assert watch.pause() == pytest.approx(30, rel=0.11)


async def test_what_the_remote_says_about_when_to_come_back_holds(
    watch: SourceWatch, source: Told
) -> None:
    source.answer = SourceUnavailable("slow down", retry_after=1800)
    await watch.look()
    assert watch.pause() == pytest.approx(1800, rel=0.11)
    assert watch.pause() > LONGEST_PAUSE


async def test_a_source_that_answers_nonsense_is_asked_as_often_as_before(
    watch: SourceWatch, source: Told
) -> None:
    source.answer = SourceProblem("a page", state=SourceState.INVALID)
    for _ in range(5):
        await watch.look()
    assert watch.pause() == pytest.approx(30, rel=0.11)


async def test_a_source_keeps_what_is_in_force_or_about_to_be(
    watch: SourceWatch, source: Told
) -> None:
    await watch.look()
    await watch.look()
    assert source.retained == [[BEFORE, BACK, OPEN, EARLIER]], "once, when it moved"
