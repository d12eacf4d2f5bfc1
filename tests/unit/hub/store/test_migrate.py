"""The migrations make exactly the tables that the code reads, from an empty database, once, or not at all."""

import re
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from nightdesk.hub.store import Store
from nightdesk.hub.store.schema import REVISION, metadata
from nightdesk.sdk.errors import ConfigError


def test_the_migrations_end_where_the_code_says() -> None:
    config = Config()
    config.set_main_option("script_location", "nightdesk.hub.store:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


def test_migrating_an_empty_database_leaves_nothing_for_autogenerate_to_find(store: Store) -> None:
    with store.begin() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def _indexes(store: Store) -> dict[str, object]:
    """Names, columns, uniqueness and, which autogenerate does not compare, the condition of partial indexes."""
    question = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL",
        "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    }[store.dialect]
    with store.read() as conn:
        rows = conn.execute(text(question)).all()
    return {name: re.sub(r"\s+", " ", sql) for name, sql in rows if not name.startswith("alembic")}


def test_migrations_and_code_make_the_same_partial_indexes(store_url: str) -> None:
    store = Store.open(store_url)
    migrated = _indexes(store)
    with store.begin() as conn:
        metadata.drop_all(conn)
        metadata.create_all(conn)
    assert _indexes(store) == migrated
    assert len(migrated) > 25
    store.close()


def test_opening_again_changes_nothing(store_url: str) -> None:
    first = Store.open(store_url)
    before = _indexes(first)
    first.close()
    again = Store.open(store_url)
    assert _indexes(again) == before
    again.close()


def test_a_database_of_a_newer_version_is_refused(store_url: str) -> None:
    store = Store.open(store_url)
    with store.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(ConfigError, match="schema 9999, which is newer"):
        Store.open(store_url)


def test_a_migration_that_fails_leaves_an_empty_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nightdesk.db"
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE action_journal (x INTEGER)"))
    with pytest.raises(ConfigError, match="action_journal"):
        Store.open(url)
    with engine.connect() as conn:
        assert inspect(conn).get_table_names() == ["action_journal"]
    engine.dispose()


def test_two_that_open_an_empty_database_at_once_both_succeed(store_url: str) -> None:
    start = threading.Barrier(4)
    failures: list[BaseException] = []

    def open_one() -> None:
        start.wait()
        try:
            Store.open(store_url).close()
        except BaseException as error:  # noqa: BLE001  # handed to the main thread
            failures.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_database_of_an_older_version_keeps_what_it_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nightdesk.db"
    config = Config()
    config.set_main_option("script_location", "nightdesk.hub.store:migrations")
    config.set_main_option("path_separator", "os")
    engine = create_engine(url)
    with engine.begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "0001")
        conn.execute(text("INSERT INTO counter (tenant, name, value) VALUES ('acme', 'inbox', 41)"))
    engine.dispose()
    store = Store.open(url)
    with store.read() as conn:
        assert conn.execute(text("SELECT value FROM counter WHERE tenant = 'acme'")).scalar_one() == 41
        assert conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == REVISION
        assert set(inspect(conn).get_table_names()) == {*metadata.tables, "alembic_version"}
    store.close()
