"""A period's figures come from one bounded question, the same on both databases."""

from __future__ import annotations

from sqlalchemy import text

from gitops.model import events as e
from gitops.model.approval import Decision, MemberState
from gitops.model.delivery import Cause, ChangeState
from gitops.model.ids import ApplicationName
from gitops.store import SqlStore
from tests.contract.store_story import Clock, Story, change_of, lane
from tests.contract.test_store import (  # noqa: F401 - fixtures
    clock,
    emptied_postgres,
    epoch,
    migrated_folder,
    migrated_postgres,
    opener,
    store,
)


async def told(story: Story, clock: Clock) -> None:  # noqa: F811
    """A delivery with ten seconds between its stages."""
    steps: list[list[e.Event]] = [
        [story.opened()],
        [story.planned()],
        [story.request_opened(), story.asked()],
    ]
    for step in steps:
        await story.say(*step)
        clock.time += 10
    verdict = await story.verdict()
    await story.say(e.Answered(type(verdict)(**{**_fields(verdict), "at": clock.time})))
    await story.say(story.decided())
    for event in (story.claimed(), story.finished(), story.closed()):
        clock.time += 10
        await story.say(event)


def _fields(value: object) -> dict[str, object]:
    return {name: getattr(value, name) for name in type(value).__slots__}  # type: ignore[attr-defined]


class TestPassages:
    async def test_say_when_a_change_was_where(
        self,
        store: SqlStore,  # noqa: F811
        epoch: e.Epoch,  # noqa: F811
        clock: Clock,  # noqa: F811
    ) -> None:
        start = clock.time
        story = Story(store, epoch, change_of(lane()))
        await told(story, clock)
        (found,) = await store.read(lambda q: q.passages(0))
        assert found.change == story.change.id
        assert (found.lane, found.cause, found.state) == (
            lane(),
            Cause.COMMIT,
            ChangeState.HEALTHY,
        )
        assert found.committed == (0.0,)
        times = (
            found.opened_at,
            found.planned_at,
            found.asked_at,
            found.answered_at,
            found.started_at,
            found.applied_at,
            found.ended_at,
        )
        assert [at - start for at in times if at is not None] == [0, 10, 20, 30, 40, 50, 60]
        assert found.delivered

    async def test_of_what_nobody_carried_out_have_no_later_places(
        self,
        store: SqlStore,  # noqa: F811
        epoch: e.Epoch,  # noqa: F811
        clock: Clock,  # noqa: F811
    ) -> None:
        denied = Story(store, epoch, change_of(lane()))
        await denied.ask()
        await denied.say(e.Answered(await denied.verdict(decision=Decision.DENY)))
        await denied.say(denied.decided(MemberState.DENIED, ()))
        await denied.say(denied.closed(ChangeState.DENIED))
        healed = Story(store, epoch, change_of(lane("cart"), cause=Cause.DRIFT))
        await healed.say(healed.opened())
        open_ = await store.read(lambda q: q.passages(0))
        assert [(p.state, p.asked_at, p.answered_at, p.delivered) for p in open_] == [
            (ChangeState.DENIED, clock.time, None, False)
        ]

    async def test_are_of_one_application_since_a_time_and_bounded(
        self,
        store: SqlStore,  # noqa: F811
        epoch: e.Epoch,  # noqa: F811
        clock: Clock,  # noqa: F811
    ) -> None:
        ends = []
        for place in (lane(), lane("cart"), lane(target="test")):
            await told(Story(store, epoch, change_of(place)), clock)
            ends.append(clock.time)
        shop = ApplicationName("shop")
        both = await store.read(lambda q: q.passages(0, application=shop))
        assert [p.lane for p in both] == [lane(), lane(target="test")]
        late = await store.read(lambda q: q.passages(ends[1]))
        assert [p.lane for p in late] == [lane("cart"), lane(target="test")]
        newest = await store.read(lambda q: q.passages(0, limit=1))
        assert [p.lane for p in newest] == [lane(target="test")]

    async def test_are_found_by_an_index(
        self,
        store: SqlStore,  # noqa: F811
        epoch: e.Epoch,  # noqa: F811
    ) -> None:
        from gitops.store.reading import _PASSAGES

        database = store._database
        wanted = _PASSAGES.where(text("change.updated_at >= 0"))
        wanted = (
            wanted.order_by(text("change.updated_at DESC"))
            .limit(10)
            .compile(database.reader, compile_kwargs={"literal_binds": True})
        )
        postgres = database.reader.dialect.name == "postgresql"
        explain = "EXPLAIN " if postgres else "EXPLAIN QUERY PLAN "
        with database.reader.connect() as connection:
            if postgres:
                connection.execute(text("SET enable_seqscan = off"))
            plan = str(connection.exec_driver_sql(explain + str(wanted).replace("%", "%%")).all())
        assert "ix_event_subject_sequence" in plan or "uq_event_subject" in plan, plan
        assert "ix_change_updated_at" in plan, plan
