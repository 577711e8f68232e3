"""The store's promises, the same on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from gitops.errors import GitopsError, StaleWrite, StoreUnavailable
from gitops.model import events as e
from gitops.model.approval import Decision, MemberState, RequestState, root_of
from gitops.model.delivery import AppliedObject, Cause, Change, ChangeState, Hold, Rollback
from gitops.model.fleet import StoreSpec
from gitops.model.ids import (
    ApplicationName,
    DeliveryId,
    Digest,
    PersonName,
    RequestId,
    SourceName,
    combine,
)
from gitops.model.manifest import ObjectId
from gitops.model.serving import Role, TokenRecord
from gitops.model.source import Revision, SourceState, SourceStatus
from gitops.store import (
    Ambiguous,
    SqlStore,
    open_memory_store,
    open_store,
    reading,
    verify_chain,
)
from gitops.store.tables import metadata
from tests.contract.store_story import ADA, FOREIGN, Clock, Story, change_of, lane

Opener = Callable[[], SqlStore]
HOLD = Hold(combine("plan"), combine("closure"), "denied by ada: not before the freeze")


POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
durable = pytest.mark.parametrize("opener", ["sqlite", POSTGRES], indirect=True)
"""For promises between processes, or between reading and writing: memory has one connection."""


@pytest.fixture(params=["memory", "sqlite", POSTGRES])
def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Opener]:
    """Opens the same empty database as often as called; one in memory only once."""
    opened: list[SqlStore] = []

    def open() -> SqlStore:
        if request.param == "memory":
            opened.append(open_memory_store(clock))
        else:
            opened.append(open_store(StoreSpec(url), tmp_path, clock))
        return opened[-1]

    url = request.getfixturevalue("emptied_postgres") if request.param == "postgres" else ""
    if request.param == "sqlite":
        shutil.copytree(request.getfixturevalue("migrated_folder"), tmp_path / "store")
    yield open
    for store in opened:
        store.close()


@pytest.fixture(scope="module")
def migrated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrating anew for every test would be most of their time."""
    state = tmp_path_factory.mktemp("template")
    open_store(StoreSpec(), state, Clock()).close()
    return state / "store"


@pytest.fixture(scope="module")
def migrated_postgres(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    name = f"store{uuid.uuid4().hex[:12]}"
    server = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = create_engine(server.url.set(database=name))
    open_store(StoreSpec(str(engine.url)), tmp_path_factory.mktemp("pg"), Clock()).close()
    yield engine
    engine.dispose()
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def emptied_postgres(migrated_postgres: Engine) -> str:
    tables = ", ".join(f'"{name}"' for name in metadata.tables if name != "project")
    with migrated_postgres.begin() as connection:
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
    return str(migrated_postgres.url)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(opener: Opener) -> SqlStore:
    return opener()


@pytest.fixture
async def epoch(store: SqlStore) -> e.Epoch:
    epoch = await store.leases.acquire("prod", "me", 3600)
    assert epoch
    return epoch


@pytest.fixture
def story(store: SqlStore, epoch: e.Epoch) -> Story:
    return Story(store, epoch, change_of(lane()))


class TestADelivery:
    async def test_leaves_every_record_at_its_end(self, story: Story, clock: Clock) -> None:
        await story.deliver()
        store, change = story.store, story.change
        record = await store.read(lambda q: q.change(change.id))
        assert record
        assert record.change == change
        assert (record.state, record.seal) == (ChangeState.HEALTHY, story.seal)
        assert record.delivery == change.id[:16]
        assert record.request == story.request
        lane_now = await store.read(lambda q: q.lane(change.lane))
        assert (lane_now.generation, lane_now.current, lane_now.hold) == (1, None, None)
        assert lane_now.delivered
        assert lane_now.delivered.closure == change.after
        delivery = await store.read(lambda q: q.delivery(change.id))
        assert delivery
        assert delivery.approved_by == ("ada",)
        assert delivery.versions == (("chart", "1.2.3"),)
        assert (delivery.started_at, delivery.finished_at) == (clock.time, clock.time)
        assert delivery.state is ChangeState.HEALTHY
        request = await story.now_asked()
        assert request.state is RequestState.CLOSED
        assert [m.state for m in request.members] == [MemberState.APPROVED]
        assert await store.read(lambda q: q.plan(change.id)) == story.plan

    async def test_is_told_by_its_events_in_order_and_chained(self, story: Story) -> None:
        await story.deliver()
        told = await story.store.read(lambda q: q.events(story.change.id))
        assert [one.kind for one in told] == [
            "change-opened.1",
            "change-planned.1",
            "member-asked.1",
            "member-decided.1",
            "claimed.1",
            "apply-finished.1",
            "change-closed.1",
        ]
        assert [one.previous for one in told] == ["", *(one.hash for one in told[:-1])]
        asked = await story.store.read(lambda q: q.events(story.request))
        assert [one.kind for one in asked] == ["request-opened.1", "answered.1"]
        for subject in (story.change.id, story.request):
            assert await story.store.read(lambda q, s=subject: verify_chain(q, s)) is None
            assert await story.store.read(lambda q, s=subject: q.broken(s)) is None

    async def test_keeps_foreign_text_as_it_was_in_its_events(self, story: Story) -> None:
        await story.deliver()
        told = await story.store.read(lambda q: q.events(story.change.id))
        assert told[0].event == story.opened()
        assert told[-1].event == story.closed()
        record = await story.store.read(lambda q: q.change(story.change.id))
        assert record
        assert record.reason == "why caf\u00e9 \ufffd \ufffd \u202e"

    async def test_can_be_followed_by_the_same_wish_as_a_new_change(self, story: Story) -> None:
        await story.deliver()
        again = Story(story.store, story.epoch, change_of(lane(), generation=1))
        assert again.change.id != story.change.id
        await again.deliver()
        newest = await story.store.read(lambda q: q.deliveries())
        assert [d.change.change.id for d in newest] == [again.change.id, story.change.id]


class TestALane:
    async def test_works_on_one_change_at_a_time(self, story: Story) -> None:
        await story.say(story.opened())
        with pytest.raises(StaleWrite, match="already"):
            await story.say(e.ChangeOpened(change_of(lane(), wish="b")))
        with pytest.raises(StaleWrite, match="already"):
            await story.say(story.opened())

    @pytest.mark.parametrize("generation", [1, -1, 7])
    async def test_refuses_a_change_of_another_generation(
        self, story: Story, generation: int
    ) -> None:
        with pytest.raises(StaleWrite, match="generation"):
            await story.say(e.ChangeOpened(change_of(lane(), generation)))
        assert await story.store.read(lambda q: q.lanes()) == []

    async def test_never_seen_is_the_default_record(self, store: SqlStore) -> None:
        record = await store.read(lambda q: q.lane(lane("new")))
        assert (record.generation, record.current, record.delivered) == (0, None, None)

    async def test_keeps_holds_of_drift_and_of_commits_apart(self, story: Story) -> None:
        await story.say(story.opened(), story.closed(ChangeState.DENIED, HOLD))
        drift = Story(story.store, story.epoch, change_of(lane(), 1, "d", Cause.DRIFT))
        other = Hold(combine("x"), combine("y"), "denied by bob")
        await drift.say(drift.opened(), drift.closed(ChangeState.DENIED, other))
        record = await story.store.read(lambda q: q.lane(lane()))
        assert (record.hold, record.drift_hold) == (HOLD, other)
        await story.say(e.HoldLifted(lane(), "bob", drift=True))
        record = await story.store.read(lambda q: q.lane(lane()))
        assert (record.hold, record.drift_hold) == (HOLD, None)
        await story.say(e.HoldLifted(lane(), "ada"))
        assert (await story.store.read(lambda q: q.lane(lane()))).hold is None

    async def test_lists_its_open_change_until_it_is_closed(self, story: Story) -> None:
        elsewhere = Story(story.store, story.epoch, change_of(lane("cart")))
        await story.say(story.opened())
        await elsewhere.say(elsewhere.opened())
        ids = [elsewhere.change.id, story.change.id]
        found = await story.store.read(lambda q: q.changes())
        assert [record.change.id for record in found] == ids
        await story.say(story.closed(ChangeState.SUPERSEDED))
        found = await story.store.read(lambda q: q.changes())
        assert [record.change.id for record in found] == ids[:1]
        found = await story.store.read(lambda q: q.changes(open_only=False, lane=lane()))
        assert [record.change.id for record in found] == ids[1:]


class TestAClaim:
    async def test_without_approval_is_refused(self, story: Story) -> None:
        await story.ask()
        with pytest.raises(StaleWrite, match="nobody approved"):
            await story.say(story.claimed())
        assert await story.store.read(lambda q: q.deliveries()) == []

    async def test_of_a_change_never_planned_is_refused(self, story: Story) -> None:
        await story.say(story.opened())
        with pytest.raises(StaleWrite):
            await story.say(story.claimed())

    async def test_under_a_seal_that_moved_is_refused(self, story: Story) -> None:
        await story.approve()
        old = story.claimed()
        story.draw("another plan")
        await story.say(story.planned())
        for claim in (old, story.claimed()):
            with pytest.raises(StaleWrite):
                await story.say(claim)

    async def test_under_an_approval_of_the_same_seal_survives_a_new_plan(
        self, story: Story
    ) -> None:
        await story.approve()
        await story.say(story.planned())
        await story.say(story.claimed())

    async def test_of_a_blocked_change_is_refused(self, story: Story) -> None:
        await story.approve()
        await story.say(e.ChangeBlocked(story.change.id, "kind unknown"))
        with pytest.raises(StaleWrite, match="blocked"):
            await story.say(story.claimed())

    async def test_approved_by_a_policy_for_this_seal_is_taken(self, story: Story) -> None:
        await story.say(story.opened(), story.planned())
        with pytest.raises(StaleWrite, match="another seal"):
            await story.say(e.AutoApproved(story.change.id, combine("other"), "staging"))
        await story.say(e.AutoApproved(story.change.id, story.seal, "staging"))
        await story.say(e.Claimed(story.change.id, story.seal, ("policy: staging",)))

    async def test_by_a_policy_dies_with_its_seal(self, story: Story) -> None:
        await story.say(story.opened(), story.planned())
        await story.say(e.AutoApproved(story.change.id, story.seal, "staging"))
        story.draw("another plan")
        await story.say(story.planned())
        with pytest.raises(StaleWrite, match="nobody approved"):
            await story.say(story.claimed())

    async def test_twice_is_refused(self, story: Story) -> None:
        await story.claim()
        with pytest.raises(StaleWrite, match="applying"):
            await story.say(story.claimed())

    async def test_is_never_cancelled(self, story: Story) -> None:
        await story.claim()
        for state in set(ChangeState) - {ChangeState.FAILED}:
            with pytest.raises(StaleWrite, match="cannot end"):
                await story.say(story.closed(state))
        for event in (
            story.planned(),
            story.asked(),
            e.ChangeBlocked(story.change.id, "x"),
            e.AutoApproved(story.change.id, story.seal, "p"),
        ):
            with pytest.raises(StaleWrite):
                await story.say(event)

    async def test_that_was_carried_out_makes_room_for_the_commit_that_repairs_it(
        self, story: Story
    ) -> None:
        await story.deliver(ChangeState.SUPERSEDED)
        found = await story.store.read(lambda q: q.delivery(story.change.id))
        assert found
        assert (found.state, found.finished_at) == (ChangeState.SUPERSEDED, found.started_at)

    async def test_of_a_block_that_is_gone_needs_the_change_asked_again(self, story: Story) -> None:
        await story.ask()
        await story.say(story.decided(MemberState.LEFT, ()))
        await story.say(e.ChangeBlocked(story.change.id, "kind unknown"))
        again = Story(story.store, story.epoch, story.change)
        again.request = story.request + "2"  # type: ignore[assignment]
        await again.say(again.request_opened(), again.asked())
        await again.say(e.Answered(await again.verdict()), again.decided(), again.claimed())

    async def test_alone_makes_a_change_healthy(self, story: Story) -> None:
        await story.approve()
        with pytest.raises(StaleWrite, match="cannot end as healthy"):
            await story.say(story.closed(ChangeState.HEALTHY))

    async def test_is_undone_only_while_nothing_of_it_was_begun(self, story: Story) -> None:
        await story.approve()
        await story.say(story.claimed())
        with pytest.raises(StaleWrite, match="cannot end as superseded"):
            await story.say(story.closed(ChangeState.SUPERSEDED))
        await story.say(replace(story.closed(ChangeState.SUPERSEDED), unbegun=True))
        found = await story.store.read(lambda q: q.delivery(story.change.id))
        assert found
        assert found.state is ChangeState.SUPERSEDED

    async def test_of_a_closed_change_is_refused(self, story: Story) -> None:
        await story.approve()
        await story.say(story.closed(ChangeState.SUPERSEDED))
        with pytest.raises(StaleWrite, match="no longer the current"):
            await story.say(story.claimed())

    @durable
    async def test_is_won_by_exactly_one_of_many_at_once(
        self, story: Story, opener: Opener
    ) -> None:
        second = opener()
        await story.approve()
        rivals = [Story(s, story.epoch, story.change) for s in (story.store, second) * 4]
        claims = (rival.say(rival.claimed()) for rival in rivals)
        results = await asyncio.gather(*claims, return_exceptions=True)
        assert sorted(type(r).__name__ for r in results) == ["NoneType"] + ["StaleWrite"] * 7
        assert len(await second.read(lambda q: q.deliveries())) == 1


class TestRetry:
    async def retried(self, story: Story, end: ChangeState) -> Story:
        await story.deliver(end)
        again = Story(story.store, story.epoch, change_of(lane(), generation=1))
        again.seal = story.seal
        await again.say(again.opened(), again.planned())
        return again

    async def test_reuses_the_approval_of_a_change_that_failed(self, story: Story) -> None:
        again = await self.retried(story, ChangeState.FAILED)
        by = await story.store.read(lambda q: q.approved_seal(lane(), story.seal))
        assert by == ("ada",)
        await again.say(again.claimed())

    async def test_does_not_reuse_it_for_another_seal_or_lane(self, story: Story) -> None:
        await self.retried(story, ChangeState.FAILED)
        for where, seal in ((lane("cart"), story.seal), (lane(), combine("other"))):
            by = await story.store.read(lambda q, w=where, s=seal: q.approved_seal(w, s))
            assert by == ()

    async def test_does_not_reuse_what_was_delivered(self, story: Story) -> None:
        again = await self.retried(story, ChangeState.HEALTHY)
        with pytest.raises(StaleWrite, match="nobody approved"):
            await again.say(again.claimed())

    async def test_does_not_reuse_what_was_denied_since(self, story: Story) -> None:
        again = await self.retried(story, ChangeState.FAILED)
        await again.say(again.closed(ChangeState.DENIED))
        third = Story(story.store, story.epoch, change_of(lane(), generation=2))
        third.seal = story.seal
        await third.say(third.opened(), third.planned())
        with pytest.raises(StaleWrite, match="nobody approved"):
            await third.say(third.claimed())


class TestARequest:
    async def test_has_one_root_over_those_still_asking(self, story: Story) -> None:
        other = Story(story.store, story.epoch, change_of(lane("cart")))
        other.request = story.request
        await story.ask()
        alone = await story.now_asked()
        await other.say(other.opened(), other.planned(), other.asked())
        both = await story.now_asked()
        assert both.root == root_of(both.members) != alone.root
        assert len(both.members) == 2
        await other.say(other.closed(ChangeState.SUPERSEDED))
        left = await story.now_asked()
        assert left.root == alone.root
        assert {m.state for m in left.members} == {MemberState.ASKING, MemberState.LEFT}

    async def test_is_read_as_it_is_in_the_middle_of_what_moves_it(self, story: Story) -> None:
        other = Story(story.store, story.epoch, change_of(lane("mail")))
        other.request = story.request
        await story.ask()
        await story.say(other.opened(), other.planned())
        seen: list[tuple[Any, ...]] = []

        def work(tx: Any) -> None:
            def look() -> None:
                found = tx.request(story.request)
                assert found == tx.find_request(story.request)
                listed = tuple(tx.requests(open_only=True))
                assert listed == ((found,) if found.state is RequestState.OPEN else ())
                seen.append((found.state, found.root, root_of(found.members)))

            tx.append(other.asked())
            look()
            for each in (story, other):
                tx.append(each.decided(MemberState.EXPIRED, ()))
                look()
            assert tx.request_for(story.change.occasion) is None

        await story.store.write(work, story.epoch)
        assert [state for state, *_ in seen] == [RequestState.OPEN] * 2 + [RequestState.CLOSED]
        assert all(root == told for _, root, told in seen)
        assert len({root for _, root, _ in seen}) == 3
        now = await story.now_asked()
        assert (now.state, now.root) == (RequestState.CLOSED, root_of(()))

    async def test_that_everybody_left_takes_nobody_in(self, story: Story) -> None:
        other = Story(story.store, story.epoch, change_of(lane("mail")))
        other.request = story.request
        await story.ask()
        await story.say(other.opened(), other.planned())
        left = story.decided(MemberState.LEFT, ())
        with pytest.raises(StaleWrite):
            await story.say(left, other.asked())
        await story.say(left)
        assert (await story.now_asked()).state is RequestState.CLOSED

    async def test_refuses_an_answer_to_an_old_root(self, story: Story) -> None:
        await story.ask()
        late = await story.verdict()
        story.draw("another plan")
        await story.say(story.planned(), story.asked("the live object changed"))
        with pytest.raises(StaleWrite, match="changed since"):
            await story.say(e.Answered(late))
        now = await story.now_asked()
        assert now.verdicts == ()
        assert [m.moved for m in now.members] == ["the live object changed"]

    async def test_refuses_an_answer_that_covers_what_is_not_asked(self, story: Story) -> None:
        await story.ask()
        verdict = await story.verdict()
        for covers in (
            ((story.change.id, combine("other seal")),),
            ((change_of(lane("x")).id, story.seal),),
        ):
            stretched = e.Answered(_with(verdict, covers=covers))
            with pytest.raises(StaleWrite, match="not being asked"):
                await story.say(stretched)

    async def test_refuses_an_approval_nobody_gave(self, story: Story) -> None:
        await story.ask()
        for event in (story.decided(), story.decided(by=())):
            with pytest.raises(StaleWrite, match="nobody answered"):
                await story.say(event)
        await story.say(e.Answered(await story.verdict("bob", Decision.DENY)))
        with pytest.raises(StaleWrite, match="nobody answered"):
            await story.say(story.decided(by=("bob",)))

    async def test_does_not_carry_a_yes_over_to_another_seal(self, story: Story) -> None:
        await story.ask()
        await story.say(e.Answered(await story.verdict()))
        story.draw("another plan")
        await story.say(story.planned(), story.asked())
        with pytest.raises(StaleWrite, match="nobody answered"):
            await story.say(story.decided())

    async def test_is_found_by_the_beginning_of_its_id(
        self, store: SqlStore, epoch: e.Epoch
    ) -> None:
        for name, id in (("a", "0badcafe"), ("b", "0badf00d")):
            story = Story(store, epoch, change_of(lane(name)))
            await story.say(story.opened(), story.planned())
            await story.say(replace(story.request_opened(), request=RequestId(id), occasion=name))
        for given in ("0badcafe", "0badc"):
            found = await store.read(lambda q, g=given: q.find_request(g))
            assert found
            assert found.id == "0badcafe"
        with pytest.raises(Ambiguous, match="0bad fits"):
            await store.read(lambda q: q.find_request("0bad"))
        for unknown in ("0ba", "0badcafe1", "%", "zzzz"):
            assert await store.read(lambda q, g=unknown: q.find_request(g)) is None

    async def test_is_asked_only_about_the_present_plan(self, story: Story) -> None:
        await story.say(story.opened(), story.planned(), story.request_opened())
        late = story.asked()
        story.draw("another plan")
        with pytest.raises(StaleWrite, match="another seal"):
            await story.say(story.asked())
        await story.say(story.planned())
        with pytest.raises(StaleWrite, match="another seal"):
            await story.say(late)

    async def test_closes_with_its_last_member_and_takes_no_more(self, story: Story) -> None:
        await story.ask()
        verdict = await story.verdict()
        await story.say(story.decided(MemberState.EXPIRED, ()))
        assert (await story.now_asked()).state is RequestState.CLOSED
        for event in (e.Answered(verdict), story.asked(), story.decided()):
            with pytest.raises(StaleWrite):
                await story.say(event)

    async def test_is_open_once_for_an_occasion(self, story: Story) -> None:
        await story.ask()
        same = e.RequestOpened(story.request, "something else", "t")
        second = e.RequestOpened(story.request + "x", story.change.occasion, "t")  # type: ignore[arg-type]
        for event in (same, second):
            with pytest.raises(StaleWrite, match="already"):
                await story.say(event)
        found = await story.store.read(lambda q: q.request_for(story.change.occasion))
        assert found == await story.now_asked()
        await story.say(story.closed(ChangeState.SUPERSEDED))
        nothing = await story.store.read(lambda q: q.request_for(story.change.occasion))
        assert nothing is None
        await story.say(second)

    async def test_shows_its_verdicts_and_lists_newest_first(self, story: Story) -> None:
        await story.ask()
        verdict = await story.verdict()
        await story.say(e.Answered(verdict), story.decided())
        other = Story(story.store, story.epoch, change_of(lane("cart"), wish="b"))
        await other.ask()
        assert (await story.now_asked()).verdicts == (verdict,)
        newest = await story.store.read(lambda q: q.requests(open_only=False))
        assert [r.id for r in newest] == [other.request, story.request]
        assert [r.id for r in await story.store.read(lambda q: q.requests())] == [other.request]
        limited = await story.store.read(lambda q: q.requests(open_only=False, limit=1))
        assert len(limited) == 1
        assert "\x00" not in newest[0].title

    async def test_is_whole_however_many_are_listed(
        self, store: SqlStore, epoch: e.Epoch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "_AT_ONCE", 2)
        for n in range(5):
            await Story(store, epoch, change_of(lane(f"app-{n}"), wish=f"{n}")).ask()
        listed = await store.read(lambda q: q.requests())
        assert [len(one.members) for one in listed] == [1] * 5


def _with(verdict, **changes):  # type: ignore[no-untyped-def]
    import dataclasses

    return dataclasses.replace(verdict, **changes)


class TestATransaction:
    async def test_keeps_nothing_when_one_event_is_refused(self, story: Story) -> None:
        with pytest.raises(StaleWrite):
            await story.say(story.opened(), story.opened())
        assert await story.store.read(lambda q: q.changes(open_only=False)) == []
        assert await story.store.read(lambda q: q.events(story.change.id)) == []

    async def test_keeps_nothing_when_the_refusal_is_swallowed(self, story: Story) -> None:
        def work(tx) -> None:  # type: ignore[no-untyped-def]
            tx.append(story.opened())
            try:
                tx.append(story.claimed())
            except StaleWrite:
                tx.append(e.Noted(story.change.id, "never mind"))

        with pytest.raises(StaleWrite):
            await story.store.write(work, story.epoch)
        assert await story.store.read(lambda q: q.events(story.change.id)) == []

    async def test_keeps_nothing_when_the_work_raises(self, story: Story) -> None:
        def work(tx) -> None:  # type: ignore[no-untyped-def]
            tx.append(story.opened())
            raise KeyError("oops")

        with pytest.raises(KeyError):
            await story.store.write(work, story.epoch)
        assert await story.store.read(lambda q: q.events(story.change.id)) == []
        await story.say(story.opened())

    async def test_reads_what_it_wrote_and_returns_the_works_answer(self, story: Story) -> None:
        def work(tx):  # type: ignore[no-untyped-def]
            tx.append(story.opened())
            return tx.change(story.change.id).state

        assert await story.store.write(work, story.epoch) is ChangeState.OPEN

    async def test_is_refused_under_an_epoch_that_is_not_the_leases(
        self, story: Story, clock: Clock
    ) -> None:
        for epoch in (e.Epoch("prod", 2), e.Epoch("prod", 0), e.Epoch("other", 1)):
            story.epoch = epoch
            with pytest.raises(StaleWrite, match="lease lost"):
                await story.say(story.opened())
        assert await story.store.read(lambda q: q.lanes()) == []

    async def test_is_refused_once_another_holder_took_the_lease(self, story: Story) -> None:
        await story.store.leases.release(story.epoch, "me")
        theirs = await story.store.leases.acquire("prod", "you", 3600)
        assert theirs
        with pytest.raises(StaleWrite, match="lease lost"):
            await story.say(story.opened())
        story.epoch = theirs
        await story.say(story.opened())

    @durable
    async def test_of_two_processes_never_forks_a_chain(self, story: Story, opener: Opener) -> None:
        second = opener()
        await story.say(story.opened())
        rivals = [Story(s, story.epoch, story.change) for s in (story.store, second)]
        notes = [rival.say(e.Noted(story.change.id, f"{n}")) for n in range(12) for rival in rivals]
        await asyncio.gather(*notes)
        told = await second.read(lambda q: q.events(story.change.id))
        assert len(told) == 25
        assert await second.read(lambda q: verify_chain(q, story.change.id)) is None

    @durable
    async def test_is_not_seen_half_done_and_does_not_keep_readers_waiting(
        self, story: Story
    ) -> None:
        began, go_on = threading.Event(), threading.Event()

        def work(tx) -> None:  # type: ignore[no-untyped-def]
            tx.append(story.opened())
            began.set()
            assert go_on.wait(30)
            tx.append(story.planned())

        writing = asyncio.create_task(story.store.write(work, story.epoch))
        assert await asyncio.to_thread(began.wait, 30)
        assert await story.store.read(lambda q: q.change(story.change.id)) is None
        go_on.set()
        await writing
        assert await story.store.read(lambda q: q.plan(story.change.id)) == story.plan

    @durable
    async def test_reading_sees_one_moment_however_long_it_takes(self, story: Story) -> None:
        began, go_on = threading.Event(), threading.Event()

        def query(q):  # type: ignore[no-untyped-def]
            before = len(q.changes())
            began.set()
            assert go_on.wait(30)
            return before, len(q.changes())

        reading = asyncio.create_task(story.store.read(query))
        assert await asyncio.to_thread(began.wait, 30)
        await story.say(story.opened())
        go_on.set()
        assert await reading == (0, 0)
        assert len(await story.store.read(lambda q: q.changes())) == 1

    @durable
    async def test_reading_cannot_write(self, story: Story) -> None:
        from gitops.store.transaction import SqlTransaction

        with pytest.raises(StoreUnavailable, match="read-only"):
            await story.store.read(
                lambda q: SqlTransaction(q._connection, 1.0).append(story.opened())
            )

    async def test_after_close_says_so(self, story: Story) -> None:
        story.store.close()
        story.store.close()
        for attempt in (story.say(story.opened()), story.store.read(lambda q: q.lanes())):
            with pytest.raises(StoreUnavailable, match="closed"):
                await attempt


class TestChanges:
    async def test_are_found_by_the_beginning_of_their_id(
        self, store: SqlStore, epoch: e.Epoch
    ) -> None:
        stories = [Story(store, epoch, change_of(lane(f"app-{n}"))) for n in range(18)]
        for story in stories:
            await story.say(story.opened())
        ids = [story.change.id for story in stories]
        for given in (ids[0], ids[0][:12]):
            found = await store.read(lambda q, g=given: q.find_change(g))
            assert found
            assert found.change == stories[0].change
        assert await store.read(lambda q: q.find_change("zz")) is None
        shared = next(c for c in "0123456789abcdef" if sum(i[0] == c for i in ids) > 1)
        with pytest.raises(Ambiguous, match=f"{shared} fits"):
            await store.read(lambda q: q.find_change(shared))

    async def test_of_one_occasion_are_found_together(
        self, store: SqlStore, epoch: e.Epoch
    ) -> None:
        odd = f'50%_"\\ {FOREIGN}'
        for where, occasion in (("b", odd), ("a", odd), ("c", "50%x")):
            change = replace(change_of(lane(where)), occasion=occasion)
            story = Story(store, epoch, change)
            await story.say(story.opened())
        every = await store.read(lambda q: q.changes())
        mine = next(row for row in every if row.change.lane == lane("a"))
        found = await store.read(lambda q: q.of_occasion(mine))
        assert [row.change.lane for row in found] == [lane("a"), lane("b")]
        few = await store.read(lambda q: q.of_occasion(mine, limit=1))
        assert [row.change.lane for row in few] == [lane("a")]
        unheard = replace(mine, change=change_of(lane("nowhere")))
        assert not await store.read(lambda q: q.of_occasion(unheard))


class TestDeliveries:
    async def test_are_paged_and_found_by_the_beginning_of_their_id(
        self, store: SqlStore, epoch: e.Epoch
    ) -> None:
        stories = [Story(store, epoch, change_of(lane(f"app-{n}"))) for n in range(18)]
        for story in stories:
            await story.say(story.opened(), story.planned())
            await story.say(e.AutoApproved(story.change.id, story.seal, "p"), story.claimed())
        ids = [story.change.id[:16] for story in reversed(stories)]
        first = await store.read(lambda q: q.deliveries(limit=10))
        rest = await store.read(lambda q: q.deliveries(limit=10, before=first[-1].id))
        assert [d.id for d in (*first, *rest)] == ids
        mine = await store.read(lambda q: q.deliveries(lane=lane("app-3")))
        assert [d.id for d in mine] == [stories[3].change.id[:16]]
        for given in (ids[0], ids[0][:12], stories[-1].change.id):
            found = await store.read(lambda q, g=given: q.delivery(g))
            assert found
            assert found.id == ids[0]
        shared = next(c for c in "0123456789abcdef" if sum(i[0] == c for i in ids) > 1)
        with pytest.raises(Ambiguous, match=f"{shared} fits"):
            await store.read(lambda q: q.delivery(shared))

    async def test_are_found_by_how_they_ended_and_what_caused_them(
        self, store: SqlStore, epoch: e.Epoch
    ) -> None:
        causes = (Cause.COMMIT, Cause.COMMIT, Cause.DRIFT)
        stories = [
            Story(store, epoch, change_of(lane(f"app-{n}"), cause=cause))
            for n, cause in enumerate(causes)
        ]
        for story in stories:
            await story.say(story.opened(), story.planned())
            await story.say(e.AutoApproved(story.change.id, story.seal, "p"), story.claimed())
        await stories[0].say(stories[0].finished(), stories[0].closed())

        async def numbers(**given: Any) -> list[int]:
            found = await store.read(lambda q: q.deliveries(**given))
            names = [row.change.change.lane.application for row in found]
            return [int(name.removeprefix("app-")) for name in names]

        assert await numbers(state=ChangeState.APPLYING) == [2, 1]
        assert await numbers(state=ChangeState.HEALTHY) == [0]
        assert await numbers(cause=Cause.COMMIT) == [1, 0]
        assert await numbers(cause=Cause.DRIFT, state=ChangeState.HEALTHY) == []
        assert await numbers(cause=Cause.COMMIT, limit=1) == [1]

    @pytest.mark.parametrize("text", ["", "zz", "%", "ab' OR '1'='1", "\x00", "é", "f" * 99])
    async def test_are_not_found_by_nonsense(self, store: SqlStore, text: str) -> None:
        assert await store.read(lambda q: q.delivery(text)) is None

    @pytest.mark.parametrize("limit", [0, -5, 10**30])
    async def test_listing_is_bounded_whatever_is_asked(self, story: Story, limit: int) -> None:
        await story.claim()
        found = await story.store.read(lambda q: q.deliveries(limit=limit))
        assert len(found) == (limit > 0)


class TestAppliedObjects:
    async def test_are_remembered_replaced_and_forgotten_per_lane(
        self, store: SqlStore, epoch: e.Epoch
    ) -> None:
        def seen(n: int) -> AppliedObject:
            return AppliedObject(combine(n), combine(n, "live"), f"uid-{n}")

        ids = [ObjectId("", "ConfigMap", "shop", f"cm-{n}") for n in range(2000)]
        first = {id: seen(n) for n, id in enumerate(ids)}
        await store.write(lambda tx: tx.record_applied(lane(), first), epoch)
        await store.write(lambda tx: tx.record_applied(lane("cart"), {ids[0]: seen(9)}), epoch)
        assert await store.read(lambda q: q.applied(lane())) == first
        change = {ids[0]: seen(7), ids[1]: None, ids[2]: None}
        await store.write(lambda tx: tx.record_applied(lane(), change), epoch)
        now = await store.read(lambda q: q.applied(lane()))
        assert len(now) == 1998
        assert now[ids[0]] == seen(7)
        assert await store.read(lambda q: q.applied(lane("cart"))) == {ids[0]: seen(9)}
        await store.write(lambda tx: tx.record_applied(lane(), {}), epoch)


class TestSourcesTokensAndNotices:
    async def test_a_source_shows_its_last_look(self, story: Story) -> None:
        name = SourceName("config")
        revision = Revision(name, "a" * 40, "main")
        for state in (SourceState.READY, SourceState.GONE):
            status = SourceStatus(name, state, revision, FOREIGN, 1.0, 2.0)
            await story.say(e.SourceLooked(status))
        assert await story.store.read(lambda q: q.sources()) == [status]
        told = await story.store.read(lambda q: q.events("source:config"))
        assert len(told) == 2

    async def test_a_token_is_kept_with_what_it_is_cut_down_to(self, story: Story) -> None:
        cut = (Role.APPROVER, ("shop-*", "web"))
        await story.say(e.TokenCreated("t1", ADA, "hash-1", 9.0, "", *cut))
        found = await story.store.read(lambda q: q.token("hash-1"))
        assert found == TokenRecord("t1", ADA, 9.0, *cut)
        [row] = await story.store.read(lambda q: q.tokens())
        assert (row["role"], row["applications"]) == cut

    async def test_a_token_is_found_by_its_hash_until_revoked(
        self, story: Story, clock: Clock
    ) -> None:
        await story.say(e.TokenCreated("t1", ADA, "hash-1", 9.0, "laptop"))
        found = await story.store.read(lambda q: q.token("hash-1"))
        assert found == TokenRecord("t1", ADA, 9.0)
        for event in (
            e.TokenCreated("t1", ADA, "hash-2", 9.0),
            e.TokenCreated("t2", ADA, "hash-1", 9.0),
            e.TokenRevoked("t3", "ada"),
        ):
            with pytest.raises(StaleWrite):
                await story.say(event)
        await story.say(e.TokenRevoked("t1", "bob"))
        assert await story.store.read(lambda q: q.token("hash-1")) is None
        with pytest.raises(StaleWrite, match="revoked"):
            await story.say(e.TokenRevoked("t1", "bob"))
        listed = await story.store.read(lambda q: q.tokens())
        assert listed == [
            {
                "id": "t1",
                "person": PersonName("ada"),
                "expires_at": 9.0,
                "note": "laptop",
                "created_at": clock.time,
                "revoked_at": clock.time,
                "revoked_by": "bob",
                "role": "admin",
                "applications": (),
            }
        ]

    async def test_a_notice_waits_until_it_is_sent_and_is_never_queued_twice(
        self, store: SqlStore, epoch: e.Epoch
    ) -> None:
        one = e.Notice("n1", "slack", "ask", "r1", {"text": FOREIGN, "n": [1, None]}, 5.0)
        two = e.Notice("n2", "slack", "ask", "r2", {}, 4.0)
        await store.write(lambda tx: (tx.enqueue(one), tx.enqueue(two)), epoch)
        assert await store.read(lambda q: q.outbox()) == [two, one]
        await store.write(lambda tx: tx.sent("n1", 1, "rate limited"), epoch)
        waiting = await store.read(lambda q: q.outbox())
        assert [(n.id, n.attempts) for n in waiting] == [("n2", 0), ("n1", 1)]
        await store.write(lambda tx: tx.sent("n1", 2), epoch)
        await store.write(lambda tx: tx.enqueue(one), epoch)
        assert [n.id for n in await store.read(lambda q: q.outbox())] == ["n2"]


class TestPreconditions:
    async def test_nothing_can_be_said_of_a_change_that_is_not_there(self, story: Story) -> None:
        nobody = Digest("0" * 64)
        await story.say(story.request_opened())
        for event in (
            story.planned(),
            e.ChangeBlocked(story.change.id, "x"),
            story.asked(),
            story.decided(),
            e.AutoApproved(story.change.id, nobody, "p"),
            story.claimed(),
            story.finished(),
            e.Noted(story.change.id, "x"),
            story.closed(),
        ):
            with pytest.raises(StaleWrite):
                await story.say(event)

    async def test_only_terminal_states_close(self, story: Story) -> None:
        await story.say(story.opened())
        for state in ChangeState:
            if not state.terminal:
                with pytest.raises(StaleWrite, match="cannot end"):
                    await story.say(story.closed(state))

    async def test_a_refusal_is_an_error_people_can_read(self, story: Story) -> None:
        with pytest.raises(GitopsError) as caught:
            await story.say(story.claimed())
        assert "SELECT" not in str(caught.value)
        assert str(caught.value) == "there is no such change"


def rolled_back(wish: str = "older") -> Change:
    plain = change_of(lane(), wish=wish, cause=Cause.ROLLBACK)
    back = Rollback(DeliveryId("d" * 16), plain.revision, combine("newest"), ADA, FOREIGN)
    return replace(plain, rollback=back)


class TestARollback:
    @pytest.fixture
    def story(self, store: SqlStore, epoch: e.Epoch) -> Story:
        return Story(store, epoch, rolled_back())

    async def back(self, story: Story) -> Rollback | None:
        return (await story.store.read(lambda q: q.lane(lane()))).rollback

    async def test_holds_its_lane_from_the_claim_on_until_it_is_lifted(self, story: Story) -> None:
        await story.approve()
        assert await self.back(story) is None
        await story.say(story.claimed())
        assert await self.back(story) == story.change.rollback
        await story.say(story.finished())
        await story.say(story.closed())
        assert await self.back(story) == story.change.rollback
        await story.say(e.RollbackLifted(lane(), "the source moved"))
        assert await self.back(story) is None
        with pytest.raises(StaleWrite, match="goes by its source"):
            await story.say(e.RollbackLifted(lane(), "the source moved"))

    async def test_of_which_nothing_differs_holds_its_lane_as_well(self, story: Story) -> None:
        await story.say(story.opened())
        await story.say(replace(story.closed(), state=ChangeState.UNCHANGED))
        assert await self.back(story) == story.change.rollback

    @pytest.mark.parametrize(
        "end", [ChangeState.DENIED, ChangeState.EXPIRED, ChangeState.SUPERSEDED]
    )
    async def test_that_was_not_carried_out_leaves_no_trace(
        self, story: Story, end: ChangeState
    ) -> None:
        await story.ask()
        await story.say(story.closed(end))
        assert await self.back(story) is None

    async def test_lifted_while_it_is_verified_stays_lifted(self, story: Story) -> None:
        await story.claim()
        await story.say(story.finished())
        await story.say(e.RollbackLifted(lane(), "ada"))
        await story.say(story.closed())
        assert await self.back(story) is None


class TestAPause:
    SHOP = ApplicationName("shop")

    def paused(self, until: float, reason: str = FOREIGN) -> e.ApplicationPaused:
        return e.ApplicationPaused(self.SHOP, ADA, reason, until)

    async def test_lets_nothing_be_claimed_until_its_end(self, story: Story, clock: Clock) -> None:
        await story.approve()
        await story.say(self.paused(clock.time + 60))
        with pytest.raises(StaleWrite, match="shop is paused"):
            await story.say(story.claimed())
        clock.time += 60
        await story.say(story.claimed())

    async def test_lets_what_is_claimed_finish_and_others_be(
        self, story: Story, clock: Clock
    ) -> None:
        await story.claim()
        await story.say(self.paused(clock.time + 60))
        other = Story(story.store, story.epoch, change_of(lane("cart")))
        await other.deliver()
        await story.say(story.finished())
        await story.say(story.closed())
        assert (await story.store.read(lambda q: q.lane(lane()))).delivered

    async def test_is_ended_once_and_replaced_by_a_later_one(
        self, story: Story, clock: Clock
    ) -> None:
        await story.say(self.paused(clock.time + 60))
        clock.time += 10
        await story.say(self.paused(clock.time + 90, "longer"))
        (pause,) = await story.store.read(lambda q: q.pauses())
        assert (pause.by, pause.why) == (ADA, "longer")
        assert (pause.since, pause.until) == (clock.time, clock.time + 90)
        assert pause.holds(pause.until - 1)
        assert not pause.holds(pause.until)
        await story.say(e.ApplicationResumed(self.SHOP, "ada"))
        assert await story.store.read(lambda q: q.pause(self.SHOP)) is None
        with pytest.raises(StaleWrite, match="not paused"):
            await story.say(e.ApplicationResumed(self.SHOP, "ada"))
        kinds = [s.kind for s in await story.store.read(lambda q: q.events("application:shop"))]
        assert kinds == [*["application-paused.1"] * 2, "application-resumed.1"]

    async def test_that_is_over_before_it_begins_is_refused(
        self, story: Story, clock: Clock
    ) -> None:
        with pytest.raises(StaleWrite, match="ends later"):
            await story.say(self.paused(clock.time))

    async def test_takes_the_question_back_and_the_change_stays(self, story: Story) -> None:
        await story.ask()
        left = replace(story.decided(MemberState.LEFT, ()), reason="paused by ada")
        await story.say(left)
        record = await story.store.read(lambda q: q.change(story.change.id))
        assert record is not None
        assert (record.state, record.reason) == (ChangeState.OPEN, "paused by ada")
        assert (await story.now_asked()).state is RequestState.CLOSED
        await story.say(replace(story.request_opened(), request="r2"))
        await story.say(replace(story.asked("it was put aside"), request="r2"))
        record = await story.store.read(lambda q: q.change(story.change.id))
        assert record is not None
        assert (record.state, record.reason) == (ChangeState.ASKING, "")


class TestHistory:
    async def test_of_one_application_is_exact_and_paged(
        self, store: SqlStore, epoch: e.Epoch
    ) -> None:
        for place in (lane(), lane("cart"), lane(target="test"), lane("cart", "test")):
            await Story(store, epoch, change_of(place)).deliver()

        def page(before: str = ""):  # type: ignore[no-untyped-def]
            shop = ApplicationName("shop")
            return store.read(lambda q: q.deliveries(application=shop, limit=1, before=before))

        (newest,) = await page()
        (oldest,) = await page(newest.id)
        assert [d.change.change.lane for d in (newest, oldest)] == [lane(target="test"), lane()]
        assert await page(oldest.id) == []


class TestMemos:
    async def test_one_is_kept_until_it_is_replaced_or_forgotten(
        self, store: SqlStore, epoch: e.Epoch
    ) -> None:
        await store.write(lambda tx: tx.memorise("slack", "r1", "100.1"), epoch)
        await store.write(lambda tx: tx.memorise("slack", "r1", FOREIGN), epoch)
        await store.write(lambda tx: tx.memorise("other", "r1", "x"), epoch)
        assert [m.key for m in await store.read(lambda q: q.memos("slack"))] == ["r1"]
        await store.write(lambda tx: tx.memorise("slack", "r1", None), epoch)
        assert await store.read(lambda q: q.memo("slack", "r1")) is None
        assert await store.read(lambda q: q.memo("other", "r1")) == "x"

    async def test_only_the_first_of_two_keeps_one(self, store: SqlStore, epoch: e.Epoch) -> None:
        first = await store.write(lambda tx: tx.memorise_first("hooks", "d1", "a"), epoch)
        again = await store.write(lambda tx: tx.memorise_first("hooks", "d1", "b"), epoch)
        assert (first, again) == (True, False)
        assert await store.read(lambda q: q.memo("hooks", "d1")) == "a"

    async def test_old_ones_of_one_owner_are_forgotten(
        self, store: SqlStore, epoch: e.Epoch
    ) -> None:
        await store.write(lambda tx: tx.memorise("hooks", "d1", "a"), epoch)
        await store.write(lambda tx: tx.memorise("slack", "r1", "b"), epoch)
        (kept,) = await store.read(lambda q: q.memos("hooks"))
        await store.write(lambda tx: tx.forget_memos("hooks", kept.at), epoch)
        assert await store.read(lambda q: q.memo("hooks", "d1")) == "a"
        await store.write(lambda tx: tx.forget_memos("hooks", kept.at + 1), epoch)
        assert await store.read(lambda q: q.memo("hooks", "d1")) is None
        assert await store.read(lambda q: q.memo("slack", "r1")) == "b"
