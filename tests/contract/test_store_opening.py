"""A store opens into exactly the schema we know, for its owner alone, or says why not."""

from __future__ import annotations

import os
import sqlite3
import stat
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from gitops.errors import ConfigError, GitopsError, StoreUnavailable
from gitops.model.fleet import StoreSpec
from gitops.store import open_store
from gitops.store import schema as schema_module
from gitops.store.tables import HEAD, metadata
from tests.contract.store_story import Clock, Story, change_of, lane

PASSWORD = "-".join(("correct", "horse"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_database"))
    return f"sqlite:///{tmp_path}/db/own.sqlite"


@pytest.fixture
def raw(url: str, tmp_path: Path) -> Iterator[Engine]:
    """The database itself, past the store."""
    (tmp_path / "db").mkdir()
    engine = create_engine(url)
    yield engine
    engine.dispose()


class TestMigrations:
    def test_from_empty_end_in_the_tables_the_code_knows(
        self, url: str, raw: Engine, tmp_path: Path
    ) -> None:
        open_store(StoreSpec(url), tmp_path, Clock()).close()
        with raw.connect() as connection:
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, metadata) == []
            assert context.get_current_revision() == HEAD

    async def test_are_not_run_again_and_lose_nothing(self, url: str, tmp_path: Path) -> None:
        store = open_store(StoreSpec(url), tmp_path, Clock())
        epoch = await store.leases.acquire("prod", "me", 60)
        assert epoch
        story = Story(store, epoch, change_of(lane()))
        await story.deliver()
        store.close()
        store = open_store(StoreSpec(url), tmp_path, Clock())
        try:
            assert await store.read(lambda q: q.plan(story.change.id)) == story.plan
        finally:
            store.close()

    def test_wait_for_one_another_when_several_start_at_once(
        self, url: str, raw: Engine, tmp_path: Path
    ) -> None:
        def start(_: int) -> None:
            open_store(StoreSpec(url), tmp_path, Clock()).close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(start, range(4)))
        with raw.connect() as connection:
            assert connection.execute(text("SELECT name FROM project")).scalars().all() == [
                "default"
            ]

    def test_that_fail_leave_nothing_behind(
        self, url: str, raw: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = tmp_path / "migrations"
        (broken / "versions").mkdir(parents=True)
        ours = Path(schema_module.__file__).parent / "migrations"
        (broken / "env.py").write_text((ours / "env.py").read_text())
        first = (ours / "versions" / "0001_first.py").read_text()
        (broken / "versions" / "0001_first.py").write_text(
            first.replace("    op.execute(", "    op.execute('nonsense')\n    op.execute(", 1)
        )
        with monkeypatch.context() as patch:
            patch.setattr(schema_module, "_MIGRATIONS", broken)
            with pytest.raises(StoreUnavailable):
                open_store(StoreSpec(url), tmp_path, Clock())
        open_store(StoreSpec(url), tmp_path, Clock()).close()

    def test_of_a_newer_version_are_refused_and_left_alone(
        self, url: str, raw: Engine, tmp_path: Path
    ) -> None:
        open_store(StoreSpec(url), tmp_path, Clock()).close()
        with raw.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(ConfigError, match="newer version") as caught:
            open_store(StoreSpec(url), tmp_path, Clock())
        assert "9999" in str(caught.value)
        with raw.connect() as connection:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        assert found == "9999"

    def test_do_not_mix_with_somebody_elses_tables(
        self, url: str, raw: Engine, tmp_path: Path
    ) -> None:
        with raw.begin() as connection:
            connection.execute(text("CREATE TABLE invoices (id integer)"))
        with pytest.raises(ConfigError, match="not ours"):
            open_store(StoreSpec(url), tmp_path, Clock())

    def test_end_at_the_head_the_code_expects(self) -> None:
        config = Config()
        folder = Path(schema_module.__file__).parent / "migrations"
        config.set_main_option("script_location", str(folder))
        config.set_main_option("path_separator", "os")
        assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


class TestSqliteFile:
    def test_is_its_owners_alone_whatever_the_umask(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            store = open_store(StoreSpec(), tmp_path / "state", Clock())
        finally:
            os.umask(before)
        folder = tmp_path / "state" / "store"
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (folder, *folder.iterdir())}
        store.close()
        assert modes["store"] == 0o700
        assert {"gitops.db", "gitops.db-wal"} <= modes.keys()
        assert {mode for name, mode in modes.items() if name != "store"} == {0o600}

    def test_opened_up_by_others_is_closed_again(self, tmp_path: Path) -> None:
        open_store(StoreSpec(), tmp_path, Clock()).close()
        (tmp_path / "store" / "gitops.db").chmod(0o664)
        open_store(StoreSpec(), tmp_path, Clock()).close()
        assert stat.S_IMODE((tmp_path / "store" / "gitops.db").stat().st_mode) == 0o600

    @pytest.mark.parametrize("name", ["a b?c#d%20e", "ümläut", "per%cent"])
    def test_may_lie_in_a_folder_of_any_name(self, tmp_path: Path, name: str) -> None:
        open_store(StoreSpec(), tmp_path / name, Clock()).close()
        assert (tmp_path / name / "store" / "gitops.db").stat().st_size > 0

    def test_writes_through_to_the_disk(self, tmp_path: Path) -> None:
        store = open_store(StoreSpec(), tmp_path, Clock())
        with store._database.writer.connect() as connection:
            answers = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        store.close()
        assert answers == ["wal", 2, 1]

    def test_that_is_no_database_is_named_and_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "store" / "gitops.db"
        path.parent.mkdir()
        path.write_bytes(b"hello" * 1000)
        with pytest.raises(StoreUnavailable, match="no SQLite database") as caught:
            open_store(StoreSpec(), tmp_path, Clock())
        assert caught.value.place == str(path)
        assert path.read_bytes() == b"hello" * 1000

    def test_in_a_place_that_cannot_be_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "store").write_text("in the way")
        with pytest.raises(StoreUnavailable) as caught:
            open_store(StoreSpec(), tmp_path, Clock())
        assert str(tmp_path) in caught.value.place

    def test_of_another_kind_is_not_opened_as_a_store(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        with sqlite3.connect(tmp_path / "store" / "gitops.db") as other:
            other.execute("CREATE TABLE bookmarks (url text)")
        other.close()
        with pytest.raises(ConfigError, match="not ours"):
            open_store(StoreSpec(), tmp_path, Clock())


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://gitops:hunter2@db/gitops",
            "postgresql://db/gitops?password=hunter2",
            "postgresql://db/gitops?sslpassword=hunter2",
        ],
    )
    def test_with_a_password_are_refused_without_quoting_it(self, url: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="holds a password") as caught:
            open_store(StoreSpec(url), tmp_path, Clock())
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        "url", ["mysql://db/x", "nonsense", "sqlite://", "sqlite:///:memory:", "http://x", "://"]
    )
    def test_of_another_kind_are_refused_with_what_to_write(self, url: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            open_store(StoreSpec(url), tmp_path, Clock())
        assert caught.value.hint

    def test_of_sqlite_are_relative_to_the_state_folder(self, tmp_path: Path) -> None:
        open_store(StoreSpec("sqlite:///mine.db"), tmp_path / "state", Clock()).close()
        assert (tmp_path / "state" / "mine.db").exists()


@pytest.mark.postgres
class TestPostgres:
    def test_that_is_not_there_is_a_passing_error_without_the_password(
        self, tmp_path: Path
    ) -> None:
        url = f"postgresql://gitops@/gitops?host={tmp_path}/nowhere"
        with pytest.raises(StoreUnavailable, match="does not answer") as caught:
            open_store(StoreSpec(url), tmp_path, Clock(), PASSWORD)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))

    def test_that_has_no_such_database_or_role_is_told_in_words(
        self, postgres: str, tmp_path: Path
    ) -> None:
        for url in (
            postgres.replace("/postgres?", "/nowhere?"),
            postgres.replace("gitops@", "stranger@"),
        ):
            with pytest.raises(GitopsError) as caught:
                open_store(StoreSpec(url), tmp_path, Clock(), PASSWORD)
            assert PASSWORD not in "".join(traceback.format_exception(caught.value))

    def test_that_may_forget_commits_is_refused(
        self, postgres_database: str, tmp_path: Path
    ) -> None:
        engine = create_engine(postgres_database, isolation_level="AUTOCOMMIT")
        name = engine.url.database
        with engine.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
        engine.dispose()
        with pytest.raises(ConfigError, match="before they are on its disk"):
            open_store(StoreSpec(postgres_database), tmp_path, Clock())
