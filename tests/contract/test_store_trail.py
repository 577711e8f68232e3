# ruff: noqa: F811 - fixtures of another module
"""The audit trail is told in pages, and whoever changed it is found, the same on both databases."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, text

from gitops.model import events as e
from gitops.model.approval import Decision, MemberState
from gitops.model.delivery import ChangeState
from gitops.model.ids import ApplicationName, SourceName
from gitops.model.source import SourceState, SourceStatus
from gitops.model.trail import Asked, Spread, Trail, TrailEvent
from gitops.store import SqlStore, trail
from tests.contract.store_story import ADA, Clock, Story, change_of, lane
from tests.contract.test_store import (  # noqa: F401 - fixtures
    Opener,
    clock,
    durable,
    emptied_postgres,
    epoch,
    migrated_folder,
    migrated_postgres,
    opener,
    store,
)


def same(told: TrailEvent) -> TrailEvent:
    return told


async def page(
    store: SqlStore, before: int = 0, limit: int = 100, **asked: object
) -> Trail[TrailEvent]:
    wanted = Asked(**asked)  # type: ignore[arg-type]
    return await store.read(lambda q: q.trail(wanted, same, before=before, limit=limit))


async def kinds(store: SqlStore, **asked: object) -> list[str]:
    return [each.kind for each in (await page(store, **asked)).events]


async def told(store: SqlStore, epoch: e.Epoch, clock: Clock) -> list[Story]:
    """Two deliveries, a pause, a look; ten seconds between them."""
    stories = []
    for name in ("shop", "cart"):
        story = Story(store, epoch, change_of(lane(name), wish=name))
        await story.deliver()
        stories.append(story)
        clock.time += 10
    await stories[0].say(e.ApplicationPaused(ApplicationName("shop"), ADA, "freeze", 2e6))
    clock.time += 10
    await stories[0].say(e.SourceLooked(SourceStatus(SourceName("config"), SourceState.GONE)))
    return stories


class TestTheTrail:
    async def test_tells_every_event_once_newest_first_over_pages(
        self,
        store: SqlStore,
        epoch: e.Epoch,
        clock: Clock,
    ) -> None:
        await told(store, epoch, clock)
        whole = await page(store)
        places = [each.sequence for each in whole.events]
        assert places == sorted(places, reverse=True)
        assert (len(places), whole.before) == (20, 0)
        gathered, before = [], 0
        while True:
            found = await page(store, before=before, limit=4)
            assert len(found.events) <= 4
            gathered += [each.sequence for each in found.events]
            before = found.before
            if not before:
                break
        assert gathered == places

    async def test_says_around_each_event_where_it_was(
        self,
        store: SqlStore,
        epoch: e.Epoch,
        clock: Clock,
    ) -> None:
        [shop, _] = await told(store, epoch, clock)
        found = {each.kind: each for each in (await page(store, application="shop")).events}
        claimed = found["claimed"]
        assert (claimed.lane, claimed.change) == (lane(), shop.change.id)
        assert claimed.versions == (("chart", "1.2.3"),)
        assert isinstance(claimed.event, e.Claimed)
        assert found["answered"].request == shop.request
        assert found["answered"].title.startswith("title ")
        assert found["answered"].spread == Spread(1, ApplicationName("shop"), lane().target)
        assert (found["answered"].application, found["answered"].target) == ("shop", "prod")
        assert found["member-asked"].request == shop.request
        assert found["application-paused"].application == "shop"

    async def test_is_narrowed_by_time_kind_application_and_target(
        self,
        store: SqlStore,
        epoch: e.Epoch,
        clock: Clock,
    ) -> None:
        start = clock.time
        await told(store, epoch, clock)
        assert await kinds(store, since=start + 20) == ["source-looked", "application-paused"]
        assert len(await kinds(store, since=start, until=start + 10)) == 9
        assert len(await kinds(store, until=start)) == 0
        assert await kinds(store, kinds=("answered",)) == ["answered"] * 2
        assert await kinds(store, kinds=("answered", "claimed"), application="cart") == [
            "claimed",
            "answered",
        ]
        assert len(await kinds(store, application="shop")) == 10
        assert len(await kinds(store, application="shop", target="prod")) == 10
        assert await kinds(store, application="shop", target="test") == ["application-paused"]
        assert len(await kinds(store, target="prod")) == 18
        assert await kinds(store, application="nobody") == []
        assert await kinds(store, kinds=("no-such",)) == []

    async def test_of_a_lane_has_what_was_done_to_it(
        self,
        store: SqlStore,
        epoch: e.Epoch,
    ) -> None:
        story = Story(store, epoch, change_of(lane()))
        await story.deliver()
        await story.say(e.HoldLifted(lane(), "ada"))
        found = (await page(store, application="shop", kinds=("hold-lifted",))).events
        assert [(each.application, each.target) for each in found] == [("shop", "prod")]

    async def test_finds_words_whatever_their_case_and_only_what_is_kept(
        self,
        store: SqlStore,
        epoch: e.Epoch,
        clock: Clock,
    ) -> None:
        await told(store, epoch, clock)
        named = await kinds(store, words=("FREEZE", "100%_no"))
        assert named == ["application-paused"]
        assert await kinds(store, words=("fr__ze",)) == []
        none = await store.read(lambda q: q.trail(Asked(words=('"ada"',)), lambda each: None))
        assert none == Trail(())

    async def test_looks_through_so_much_at_once_and_says_how_far_it_came(
        self,
        store: SqlStore,
        epoch: e.Epoch,
        clock: Clock,
    ) -> None:
        await told(store, epoch, clock)
        asked = Asked(words=("freeze",))

        def impatient(before: int) -> Trail[TrailEvent]:
            with store._database.reader.connect() as connection:
                return trail.trail(connection, asked, same, before, 10, patience=-1)

        trail_window, trail.WINDOW = trail.WINDOW, 1
        try:
            first = impatient(0)
            assert (first.events, first.before) == ((), 20)
            assert first.back_to == clock.time
            second = impatient(first.before)
        finally:
            trail.WINDOW = trail_window
        assert [each.kind for each in second.events] == ["application-paused"]

    async def test_walks_indexes(self, store: SqlStore, epoch: e.Epoch) -> None:
        database = store._database
        postgres = database.reader.dialect.name == "postgresql"
        asked = {
            "ix_event_kind_sequence": Asked(kinds=("token-created",)),
            "ix_event_subject_sequence": Asked(application="shop", kinds=("answered",)),
        }
        with database.reader.connect() as connection:
            if postgres:
                connection.execute(text("SET enable_seqscan = off"))
            for index, wanted in asked.items():
                query = trail._places(wanted).order_by(text("sequence DESC")).limit(9)
                shown = query.compile(database.reader, compile_kwargs={"literal_binds": True})
                explain = "EXPLAIN " if postgres else "EXPLAIN QUERY PLAN "
                plan = str(connection.exec_driver_sql(explain + str(shown)).all())
                assert index in plan or (postgres and "event_pkey" in plan), plan


class TestTheChains:
    async def test_are_whole_when_nobody_touched_them(
        self,
        store: SqlStore,
        epoch: e.Epoch,
        clock: Clock,
    ) -> None:
        [shop, _] = await told(store, epoch, clock)
        start = clock.time - 30
        found = await store.read(lambda q: q.sound(shop.change.id))
        assert (found.events, found.since, found.broken, found.whole) == (7, start, None, True)
        newest = await store.read(lambda q: q.sound(shop.change.id, most=2))
        assert (newest.events, newest.broken, newest.whole) == (7, None, False)
        whole = await store.read(lambda q: q.verified())
        assert (whole.checked, whole.last, whole.broken, whole.done) == (20, 20, (), True)

    async def test_are_checked_in_stretches_to_the_same_end(
        self,
        store: SqlStore,
        epoch: e.Epoch,
        clock: Clock,
    ) -> None:
        await told(store, epoch, clock)
        whole = await store.read(lambda q: q.verified())
        after, head, checked, done = 0, "", 0, False
        while not done:
            part = await store.read(lambda q, a=after, h=head: q.verified(a, h, limit=7))
            after, head, checked, done = part.last, part.head, checked + part.checked, part.done
        assert (after, head, checked) == (whole.last, whole.head, whole.checked)

    @durable
    async def test_show_every_way_of_tampering(
        self,
        request: object,
        opener: Opener,
        clock: Clock,
        tmp_path: Path,
    ) -> None:
        store = opener()
        epoch = await store.leases.acquire("prod", "me", 3600)
        assert epoch
        [shop, cart] = await told(store, epoch, clock)
        before = await store.read(lambda q: q.verified())
        raw = create_engine(store._database.writer.url)
        if store._database.writer.dialect.name == "sqlite":
            raw = create_engine(f"sqlite:///{tmp_path}/store/gitops.db")
        with raw.begin() as connection:
            connection.execute(
                text(
                    "UPDATE event SET payload = 'what?' WHERE kind = 'claimed.1' AND subject = :of"
                ),
                {"of": shop.change.id},
            )
            connection.execute(
                text("DELETE FROM event WHERE kind = 'apply-finished.1' AND subject = :of"),
                {"of": cart.change.id},
            )
            connection.execute(text("UPDATE event SET at = 1e300 WHERE subject = 'source:config'"))
        raw.dispose()
        after = await store.read(lambda q: q.verified())
        assert [each.subject for each in after.broken] == [
            shop.change.id,
            cart.change.id,
            "source:config",
        ]
        assert after.head != before.head
        for story in (shop, cart):
            found = await store.read(lambda q, s=story: q.sound(s.change.id))
            assert found.broken == await store.read(lambda q, s=story: q.broken(s.change.id))
            assert found.broken is not None
        events = (await page(store, application="shop")).events
        assert [each.kind for each in events if each.event is None] == ["claimed"]
        assert (await page(store)).events[0].at == 0.0

    @durable
    async def test_of_a_store_whose_end_was_cut_off_have_another_head(
        self,
        opener: Opener,
        clock: Clock,
        tmp_path: Path,
    ) -> None:
        store = opener()
        epoch = await store.leases.acquire("prod", "me", 3600)
        assert epoch
        story = Story(store, epoch, change_of(lane()))
        await story.ask()
        await story.say(e.Answered(await story.verdict(decision=Decision.DENY)))
        await story.say(story.decided(MemberState.DENIED, ("ada",)))
        kept = await store.read(lambda q: q.verified())
        await story.say(story.closed(ChangeState.DENIED))
        grown = await store.read(lambda q: q.verified(limit=kept.checked))
        assert grown.head == kept.head, "what is added does not change what was"
