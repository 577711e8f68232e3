"""One writer at a time, and a stopped one is never believed again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitops.errors import StaleWrite
from gitops.model.events import Epoch
from gitops.model.fleet import StoreSpec
from gitops.store import SqlStore, open_store, proven_dead, this_process
from tests.contract.store_story import Clock

HOUR = 3600.0
GONE = 0.0
"""A lease for no time at all has run out when it is given."""
ROOT = Path(__file__).parents[2]

Opener = Callable[[], SqlStore]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("postgres_database") if request.param == "postgres" else ""


@pytest.fixture
def opener(url: str, tmp_path: Path) -> Iterator[Opener]:
    opened: list[SqlStore] = []

    def open() -> SqlStore:
        opened.append(open_store(StoreSpec(url), tmp_path, Clock()))
        return opened[-1]

    yield open
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: Opener) -> SqlStore:
    return opener()


async def held(store: SqlStore, epoch: Epoch) -> bool:
    """May this epoch write?"""
    try:
        await store.write(lambda tx: None, epoch)
    except StaleWrite:
        return False
    return True


class TestALease:
    async def test_is_given_to_one_and_kept_from_others(self, store: SqlStore) -> None:
        mine = await store.leases.acquire("prod", "me", HOUR)
        assert mine == Epoch("prod", 1)
        assert await store.leases.acquire("prod", "you", HOUR) is None
        assert await store.leases.acquire("staging", "you", HOUR) == Epoch("staging", 1)
        assert await held(store, mine)

    async def test_taken_again_by_its_holder_keeps_its_epoch(self, store: SqlStore) -> None:
        first = await store.leases.acquire("prod", "me", HOUR)
        assert first
        assert await store.leases.acquire("prod", "me", HOUR) == first
        assert await held(store, first)

    async def test_that_ran_out_changes_hands_under_a_higher_epoch(self, store: SqlStore) -> None:
        mine = await store.leases.acquire("prod", "me", GONE)
        assert mine
        assert not await held(store, mine)
        yours = await store.leases.acquire("prod", "you", HOUR)
        assert yours == Epoch("prod", 2)
        assert not await held(store, mine)
        assert await held(store, yours)

    async def test_that_ran_out_is_not_renewed_but_acquired_anew(self, store: SqlStore) -> None:
        mine = await store.leases.acquire("prod", "me", GONE)
        assert mine
        assert not await store.leases.renew(mine, "me", HOUR)
        again = await store.leases.acquire("prod", "me", HOUR)
        assert again == Epoch("prod", 2)

    async def test_is_renewed_only_by_its_holder_under_its_epoch(self, store: SqlStore) -> None:
        mine = await store.leases.acquire("prod", "me", HOUR)
        assert mine
        assert await store.leases.renew(mine, "me", HOUR)
        assert not await store.leases.renew(mine, "you", HOUR)
        assert not await store.leases.renew(Epoch("prod", 2), "me", HOUR)
        assert not await store.leases.renew(Epoch("other", 1), "me", HOUR)

    async def test_released_is_free_at_once(self, store: SqlStore) -> None:
        mine = await store.leases.acquire("prod", "me", HOUR)
        assert mine
        await store.leases.release(mine, "you")
        assert await held(store, mine)
        await store.leases.release(mine, "me")
        assert not await held(store, mine)
        assert await store.leases.acquire("prod", "you", HOUR) == Epoch("prod", 2)
        await store.leases.release(mine, "me")
        assert await held(store, Epoch("prod", 2))

    async def test_is_won_by_exactly_one_of_many_at_once(
        self, store: SqlStore, opener: Opener
    ) -> None:
        stores = (store, opener())
        tries = (stores[n % 2].leases.acquire("prod", f"holder-{n}", HOUR) for n in range(10))
        won = await asyncio.gather(*tries)
        assert [epoch for epoch in won if epoch] == [Epoch("prod", 1)]


RIVAL = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from gitops.errors import StaleWrite
    from gitops.model import events as e
    from gitops.model.fleet import StoreSpec
    from gitops.model.source import SourceState, SourceStatus
    from gitops.store import open_store
    import time

    class Clock:
        now = staticmethod(time.time)
        monotonic = staticmethod(time.monotonic)

    async def main(url, folder, me):
        store = open_store(StoreSpec(url), Path(folder), Clock())
        done = 0
        while done < 8:
            epoch = await store.leases.acquire("prod", me, 0.05)
            if epoch is None:
                await asyncio.sleep(0.002)
                continue
            status = SourceStatus("s", SourceState.READY, message=f"{epoch.number} {me}")
            try:
                for _ in range(3):
                    await store.write(lambda tx: tx.append(e.SourceLooked(status)), epoch)
                done += 1
            except StaleWrite:
                continue
            if done % 2:
                await store.leases.release(epoch, me)
            else:
                await asyncio.sleep(0.06)
        store.close()

    asyncio.run(main(*sys.argv[1:]))
    """
)

HOLDER = textwrap.dedent(
    """
    import asyncio, sys, time
    from pathlib import Path
    from gitops.model.fleet import StoreSpec
    from gitops.store import open_store, this_process

    class Clock:
        def now(self):
            return 1_000_000.0

    store = open_store(StoreSpec(sys.argv[1]), Path(sys.argv[2]), Clock())
    print(asyncio.run(store.leases.acquire("prod", this_process(), 3600.0)), flush=True)
    time.sleep(600)
    """
)


def child(code: str, *args: object) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)


class TestProcesses:
    async def test_that_fight_over_a_lease_never_write_under_one_epoch(
        self, store: SqlStore, url: str, tmp_path: Path
    ) -> None:
        rivals = [child(RIVAL, url, tmp_path, f"rival-{n}") for n in range(2)]
        for rival in rivals:
            await asyncio.to_thread(rival.communicate)
        assert [rival.returncode for rival in rivals] == [0, 0]
        told = await store.read(lambda q: q.events("source:s"))
        entries = [str(one.event.status.message).split() for one in told]  # type: ignore[union-attr]
        numbers = [int(number) for number, _ in entries]
        assert numbers == sorted(numbers)
        owners: dict[int, set[str]] = {}
        for number, who in entries:
            owners.setdefault(int(number), set()).add(who)
        assert all(len(who) == 1 for who in owners.values())
        assert {who for _, who in entries} == {"rival-0", "rival-1"}

    async def test_that_were_killed_are_followed_at_once(
        self, store: SqlStore, url: str, tmp_path: Path
    ) -> None:
        holder = child(HOLDER, url, tmp_path)
        assert holder.stdout
        try:
            assert "number=1" in await asyncio.to_thread(holder.stdout.readline)
            assert await store.leases.acquire("prod", this_process(), HOUR) is None
            os.kill(holder.pid, signal.SIGSTOP)
            assert await store.leases.acquire("prod", this_process(), HOUR) is None
        finally:
            holder.kill()
            holder.communicate()
        epoch = await store.leases.acquire("prod", this_process(), HOUR)
        assert epoch == Epoch("prod", 2)


class TestProof:
    def test_this_process_is_alive(self) -> None:
        assert not proven_dead(this_process())

    def test_a_process_that_ended_is_dead_collected_or_not(self) -> None:
        code = "from gitops.store import this_process; print(this_process())"
        ended = child(code)
        assert ended.stdout
        name = ended.stdout.readline().strip()
        ended.stdout.read()
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert proven_dead(name)
        ended.communicate()
        assert proven_dead(name)

    def test_a_later_process_under_the_same_number_is_another(self) -> None:
        pid, boot, namespace, start = this_process().split(":")
        assert proven_dead(f"{pid}:{boot}:{namespace}:{int(start) - 1}")

    @pytest.mark.parametrize("part", [1, 2])
    def test_nothing_is_known_of_other_machines_boots_or_containers(self, part: int) -> None:
        parts = this_process().split(":")
        parts[part] = "0"
        parts[3] = "1"
        assert not proven_dead(":".join(parts))

    @pytest.mark.parametrize("name", ["", "me", "1:2", "::::", "x:y:z:1", "-1:b:n:1", "²:b:n:1"])
    def test_nothing_is_known_of_names_that_are_not_ours(self, name: str) -> None:
        assert not proven_dead(name)
