"""What was acknowledged survives a kill, a full disk and a lost connection; nothing half does."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from gitops.errors import StaleWrite, StoreUnavailable
from gitops.model import events as e
from gitops.model.delivery import ChangeState
from gitops.model.fleet import StoreSpec
from gitops.store import SqlStore, on_sqlite, open_store, verify_chain
from tests.contract.store_story import Clock, Story, change_of, lane

ROOT = Path(__file__).parents[2]
POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
Opener = Callable[[], SqlStore]


@pytest.fixture(params=["sqlite", POSTGRES])
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


async def story_in(store: SqlStore) -> Story:
    epoch = await store.leases.acquire("prod", "me", 3600)
    assert epoch
    return Story(store, epoch, change_of(lane()))


WRITER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from gitops.model import events as e
    from gitops.model.delivery import AppliedObject
    from gitops.model.fleet import StoreSpec
    from gitops.model.manifest import ObjectId
    from gitops.model.source import SourceState, SourceStatus
    from gitops.store import open_store
    from tests.contract.store_story import Clock, change_of, lane

    an_object = ObjectId("", "X", "", "x")

    async def main(url, folder):
        store = open_store(StoreSpec(url), Path(folder), Clock())
        epoch = await store.leases.acquire("prod", "me", 3600)
        change = await store.read(lambda q: q.lane(lane()).current)
        if change is None:
            change = change_of(lane()).id
            await store.write(lambda tx: tx.append(e.ChangeOpened(change_of(lane()))), epoch)
        n = len(await store.read(lambda q: q.events("source:s")))
        while True:
            n += 1
            def work(tx):
                tx.append(e.Noted(change, f"{n} first"))
                tx.record_applied(lane(), {an_object: AppliedObject(str(n), "", "")})
                tx.enqueue(e.Notice(f"n{n}", "x", "y", "z"))
                tx.append(e.Noted(change, f"{n} second"))
                tx.append(e.SourceLooked(SourceStatus("s", SourceState.READY, message=str(n))))
            await store.write(work, epoch)
            print(n, flush=True)

    asyncio.run(main(*sys.argv[1:]))
    """
)


class TestKilled:
    async def test_in_the_middle_of_writing_nothing_acknowledged_is_lost_and_nothing_is_half(
        self, url: str, opener: Opener, tmp_path: Path
    ) -> None:
        acknowledged = 0
        for round in range(4):
            writer = subprocess.Popen(
                [sys.executable, "-c", WRITER, url, tmp_path],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert writer.stdout
            for _ in range(3 + 11 * round):
                acknowledged = int(await asyncio.to_thread(writer.stdout.readline))
            writer.kill()
            rest, _ = writer.communicate()
            acknowledged = int((rest.split() or [acknowledged])[-1])
            await self.is_whole(opener(), acknowledged)

    async def is_whole(self, store: SqlStore, acknowledged: int) -> None:
        change = change_of(lane()).id
        told, looks, applied, notices, sources = await store.read(
            lambda q: (
                q.events(change)[1:],
                q.events("source:s"),
                q.applied(lane()),
                q.outbox(1000),
                q.sources(),
            )
        )
        done = len(looks)
        assert acknowledged <= done <= acknowledged + 1
        words = [one.event.text for one in told]  # type: ignore[union-attr]
        expected = [f"{n} {part}" for n in range(1, done + 1) for part in ("first", "second")]
        assert words == expected
        assert [one.desired for one in applied.values()] == [str(done)]
        assert len(notices) == done
        assert [s.message for s in sources] == [str(done)]
        for subject in (change, "source:s"):
            assert await store.read(lambda q, s=subject: verify_chain(q, s)) is None


FULL = textwrap.dedent(
    """
    import asyncio, resource, signal, sys
    from pathlib import Path
    from gitops.errors import StoreUnavailable
    from gitops.model import events as e
    from gitops.model.fleet import StoreSpec
    from gitops.store import open_store, verify_chain
    from tests.contract.store_story import Clock, change_of, lane

    async def main(folder):
        store = open_store(StoreSpec(), Path(folder), Clock())
        epoch = await store.leases.acquire("prod", "me", 3600)
        change = change_of(lane())
        await store.write(lambda tx: tx.append(e.ChangeOpened(change)), epoch)
        note = lambda text: store.write(lambda tx: tx.append(e.Noted(change.id, text)), epoch)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        free = resource.getrlimit(resource.RLIMIT_FSIZE)
        wal = Path(folder, "store", "gitops.db-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (wal + 6000, free[1]))
        try:
            await note("x" * 100_000)
        except StoreUnavailable as error:
            print(error.message)
        assert len(await store.read(lambda q: q.events(change.id))) == 1
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
        await note("room again")
        assert len(await store.read(lambda q: q.events(change.id))) == 2
        assert await store.read(lambda q: verify_chain(q, change.id)) is None
        store.close()

    asyncio.run(main(sys.argv[1]))
    """
)


class TestSqlite:
    def test_without_room_refuses_and_carries_on_once_there_is_room(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", FULL, tmp_path],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        assert done.stdout.startswith("the database cannot be used: the disk")

    async def test_locked_by_another_process_gives_up_with_words(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(on_sqlite, "_BUSY", 0.01)
        store = open_store(StoreSpec(), tmp_path, Clock())
        story = await story_in(store)
        other = sqlite3.connect(tmp_path / "store" / "gitops.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(StoreUnavailable, match="locked by another process"):
                await story.say(story.opened())
            assert await store.read(lambda q: q.lanes()) == []
            other.execute("ROLLBACK")
            await story.say(story.opened())
        finally:
            other.close()
            store.close()


@pytest.mark.postgres
class TestPostgres:
    async def test_connections_cut_between_transactions_are_not_noticed(
        self, postgres_database: str, tmp_path: Path
    ) -> None:
        store = open_store(StoreSpec(postgres_database), tmp_path, Clock())
        story = await story_in(store)
        cut(postgres_database)
        await story.say(story.opened())
        cut(postgres_database)
        assert len(await store.read(lambda q: q.changes())) == 1
        store.close()

    async def test_a_connection_cut_inside_a_transaction_keeps_nothing_of_it(
        self, postgres_database: str, tmp_path: Path
    ) -> None:
        store = open_store(StoreSpec(postgres_database), tmp_path, Clock())
        story = await story_in(store)

        def work(tx) -> None:  # type: ignore[no-untyped-def]
            tx.append(story.opened())
            cut(postgres_database)
            tx.append(story.planned())

        with pytest.raises(StoreUnavailable, match="does not answer"):
            await story.store.write(work, story.epoch)
        assert await store.read(lambda q: q.changes()) == []
        await story.say(story.opened())
        store.close()

    async def test_two_replicas_that_change_what_the_other_read_do_not_both_win(
        self, postgres_database: str, tmp_path: Path
    ) -> None:
        """Each closes its change only if the other's is still open: one must see the truth."""
        one = open_store(StoreSpec(postgres_database), tmp_path, Clock())
        two = open_store(StoreSpec(postgres_database), tmp_path, Clock())
        epoch = await one.leases.acquire("prod", "me", 3600)
        assert epoch
        left = Story(one, epoch, change_of(lane("left")))
        right = Story(two, epoch, change_of(lane("right")))
        await left.say(left.opened(), right.opened())

        def close_if_both_open(mine: Story):  # type: ignore[no-untyped-def]
            def work(tx) -> bool:  # type: ignore[no-untyped-def]
                if len(tx.changes()) < 2:
                    return False
                tx.append(mine.closed(ChangeState.SUPERSEDED))
                return True

            return work

        results = await asyncio.gather(
            one.write(close_if_both_open(left), epoch), two.write(close_if_both_open(right), epoch)
        )
        assert sorted(results) == [False, True]
        one.close()
        two.close()


def cut(url: str) -> None:
    """Ends every other connection to the database, as a restart of the server would."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    engine.dispose()


class TestTampering:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE event SET payload = replace(payload, 'second', 'never') WHERE sequence = 3",
            "UPDATE event SET at = at + 1 WHERE sequence = 3",
            "UPDATE event SET kind = 'apply-finished.1' WHERE sequence = 3",
            "DELETE FROM event WHERE sequence = 2",
        ],
    )
    async def test_past_the_store_is_found_by_the_chain(
        self, url: str, opener: Opener, tmp_path: Path, statement: str
    ) -> None:
        story = await story_in(opener())
        await story.say(story.opened())
        for word in ("first", "second", "third"):
            await story.say(e.Noted(story.change.id, word))
        raw = create_engine(url or f"sqlite:///{tmp_path}/store/gitops.db")
        with raw.begin() as connection:
            connection.execute(text(statement))
        raw.dispose()
        bad = await story.store.read(lambda q: verify_chain(q, story.change.id))
        assert bad == 3

    async def test_with_a_lease_row_is_noticed_by_its_holder(
        self, url: str, opener: Opener, tmp_path: Path
    ) -> None:
        story = await story_in(opener())
        raw = create_engine(url or f"sqlite:///{tmp_path}/store/gitops.db")
        with raw.begin() as connection:
            connection.execute(text("DELETE FROM lease"))
        raw.dispose()
        with pytest.raises(StaleWrite, match="lease lost"):
            await story.say(story.opened())
