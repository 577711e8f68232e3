"""Which earlier delivery a rollback means, and what it takes the place of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from gitops.engine.ledger import Ledger
from gitops.engine.rollbacks import begin, earlier_deliveries, live, named
from gitops.errors import NotAllowed, Outdated, Unknown
from gitops.model import events as e
from gitops.model.delivery import (
    Cause,
    Change,
    ChangeState,
    Delivered,
    Hold,
    LaneRecord,
    Rollback,
)
from gitops.model.ids import ApplicationName, DeliveryId, PersonName, combine
from gitops.store import SqlStore, open_memory_store
from tests.contract.store_story import Clock, Story, change_of, lane

SHOP = ApplicationName("shop")


@dataclass
class Past:
    """A lane's past, told by what each delivery brought."""

    store: SqlStore
    epoch: e.Epoch

    async def now(self) -> LaneRecord:
        return await self.store.read(lambda reading: reading.lane(lane()))

    async def deliver(
        self,
        wish: str,
        end: ChangeState = ChangeState.HEALTHY,
        cause: Cause = Cause.COMMIT,
        back: Rollback | None = None,
        half_way: bool = False,
    ) -> Story:
        change = change_of(lane(), (await self.now()).generation, wish, cause)
        story = Story(self.store, self.epoch, replace(change, rollback=back))
        await story.claim()
        brought = cause in (Cause.COMMIT, Cause.ROLLBACK) and not half_way
        delivered = Delivered(change.after, change.revision, story.seal, 1.0) if brought else None
        hold = Hold(story.plan.digest, change.after, "1 of 2", failed=True) if half_way else None
        if not half_way:
            await story.say(story.finished())
        await story.say(replace(story.closed(end, hold), delivered=delivered))
        return story

    async def earlier(self) -> list[str]:
        """What could be gone back to, by what it brought."""
        record = await self.now()
        found = await self.store.read(lambda reading: earlier_deliveries(reading, record))
        return [row.change.change.occasion.removeprefix("config@") for row in found]

    async def live(self) -> str:
        row = await self.store.read(lambda reading: live(reading, lane()))
        return row.change.change.occasion.removeprefix("config@") if row else ""

    def draft(self, wish: str) -> Change:
        plain = change_of(lane(), 0, wish, Cause.ROLLBACK)
        back = Rollback(DeliveryId("d" * 16), plain.revision, combine("n"), PersonName("ada"))
        return replace(plain, rollback=back)


@pytest.fixture
async def past() -> AsyncIterator[Past]:
    store = open_memory_store(Clock())
    epoch = await store.leases.acquire("controller", "test", 1e6)
    assert epoch
    yield Past(store, epoch)
    store.close()


async def test_what_was_healthy_before_newest_first(past: Past) -> None:
    assert await past.earlier() == []
    await past.deliver("a")
    assert await past.earlier() == []
    await past.deliver("b")
    await past.deliver("c")
    assert await past.earlier() == ["b", "a"]
    assert await past.live() == "c"


async def test_repairs_commands_and_failures_are_nothing_to_go_back_to(past: Past) -> None:
    await past.deliver("a")
    await past.deliver("drifted", cause=Cause.DRIFT)
    await past.deliver("b", ChangeState.FAILED)
    await past.deliver("unlock", cause=Cause.COMMAND)
    assert await past.earlier() == ["a"]
    assert await past.live() == "b", "it is unhealthy, and it is there"


async def test_what_failed_half_way_goes_back_to_what_was_delivered(past: Past) -> None:
    await past.deliver("a")
    await past.deliver("b")
    await past.deliver("c", ChangeState.FAILED, half_way=True)
    assert await past.earlier() == ["b", "a"]
    assert await past.live() == "b"


async def test_after_a_rollback_the_next_goes_further_back(past: Past) -> None:
    await past.deliver("a")
    b = await past.deliver("b")
    await past.deliver("c")
    id = DeliveryId(b.change.id[:16])
    back = Rollback(id, b.change.revision, combine("newest"), PersonName("ada"))
    await past.deliver("b", cause=Cause.ROLLBACK, back=back)
    assert await past.earlier() == ["a"]


async def test_only_a_healthy_delivery_of_the_application_can_be_named(past: Past) -> None:
    good = await past.deliver("a")
    bad = await past.deliver("b", ChangeState.FAILED)
    drift = await past.deliver("d", cause=Cause.DRIFT)

    def find(story: Story, application: str = "shop"):  # type: ignore[no-untyped-def]
        prefix = story.change.id[:12]
        return past.store.read(lambda r: named(r, prefix, ApplicationName(application)))

    assert (await find(good)).change.change == good.change
    with pytest.raises(NotAllowed, match="only what was healthy"):
        await find(bad)
    with pytest.raises(NotAllowed, match="brought no other state"):
        await find(drift)
    with pytest.raises(NotAllowed, match="a delivery of shop@prod"):
        await find(good, "cart")
    with pytest.raises(Unknown, match="no delivery"):
        await past.store.read(lambda r: named(r, "ffff", SHOP))


async def test_it_takes_the_place_of_what_waits(past: Past) -> None:
    ledger, draft = Ledger(past.store, past.epoch), past.draft("a")
    await past.deliver("b")
    waiting = Story(past.store, past.epoch, change_of(lane(), 1, "c"))
    await waiting.ask()
    seen = await past.now()
    ((change, put_aside),) = await ledger.write(lambda tx: begin(tx, [(seen, draft)], 0.0))
    assert put_aside is not None
    assert put_aside.change == waiting.change
    ended = await past.store.read(lambda reading: reading.change(waiting.change.id))
    assert ended is not None
    assert ended.state is ChangeState.SUPERSEDED
    assert "ada asked to roll back" in ended.reason
    assert (await past.now()).current == change.id
    assert (await past.now()).generation == change.generation == 2


async def test_what_is_being_applied_is_never_cancelled(past: Past) -> None:
    ledger, draft, seen = Ledger(past.store, past.epoch), past.draft("a"), await past.now()
    applying = Story(past.store, past.epoch, change_of(lane(), 0, "c"))
    await applying.claim()
    with pytest.raises(NotAllowed, match="being applied, and that is never cancelled"):
        await ledger.write(lambda tx: begin(tx, [(seen, draft)], 0.0))
    assert (await past.now()).current == applying.change.id


async def test_a_lane_that_moved_meanwhile_is_looked_at_again(past: Past) -> None:
    ledger, draft, seen = Ledger(past.store, past.epoch), past.draft("a"), await past.now()
    await past.deliver("b")
    with pytest.raises(Outdated, match="moved meanwhile"):
        await ledger.write(lambda tx: begin(tx, [(seen, draft)], 0.0))
