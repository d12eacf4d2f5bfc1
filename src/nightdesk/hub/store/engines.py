"""Opens a database from its URL and says in a person's words why it cannot."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["SYNCHRONOUS", "Engines", "open_engines", "refusal"]

SYNCHRONOUS = ("FULL", "NORMAL", "EXTRA")
_BUSY_SECONDS = 30
_BUSY_PAUSE_SECONDS = 0.02
_OLDEST_SQLITE = (3, 35, 0)  # INSERT … RETURNING
_CHECKPOINT_PAGES = 4000  # 16 MB: measured a quarter faster than the default 4 MB at 500 alerts a commit
_WRITER_CACHE_KIB = 65536
_READER_CACHE_KIB = 8192


class Engines:
    """One engine to write with, one to read with; they share the pool where the database has many writers."""

    def __init__(self, url: URL, writer: Engine, reader: Engine) -> None:
        self.url = url
        self.writer = writer
        self.reader = reader

    def dispose(self) -> None:
        """Closes every pooled connection."""
        self.writer.dispose()
        self.reader.dispose()


def refusal(message: str) -> ConfigError:
    """The error of a store that cannot be used."""
    return ConfigError([Problem("configuration", "store.url", message)])


def open_engines(url: str, *, synchronous: str) -> Engines:
    """Engines for that URL; connects to nothing yet, except that a missing SQLite file is made, for its owner only."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed)
    _prepare_file(parsed)
    return Engines(
        parsed,
        _sqlite(parsed, synchronous, begin="BEGIN IMMEDIATE", cache=_WRITER_CACHE_KIB, pool_size=1, max_overflow=0),
        _sqlite(
            parsed, synchronous, begin="BEGIN", cache=_READER_CACHE_KIB, pool_size=4, max_overflow=36, query_only=True
        ),
    )


def _parse(url: str) -> URL:
    shapes = "write sqlite:////var/lib/nightdesk/nightdesk.db or postgresql://user@host/database"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise refusal(f"is not a database URL; {shapes}") from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        if parsed.drivername not in {"postgresql", "postgresql+psycopg"}:
            raise refusal(f"names the driver {parsed.drivername!r}; {shapes}")
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or parsed.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise refusal(f"names {parsed.drivername!r}, which is not supported; {shapes}")
    if not parsed.database or parsed.database.startswith((":memory:", "file:")):
        raise refusal("is an SQLite database without a file, which would lose everything at the end; name a file")
    return parsed


def _prepare_file(url: URL) -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise refusal(f"needs SQLite 3.35 or newer; this Python has {sqlite3.sqlite_version}")
    path = Path(str(url.database))
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise refusal(f"the file {path} cannot be written: {error.strerror}; create its folder or change it") from error
    os.close(descriptor)
    if not os.access(path.parent, os.W_OK):
        raise refusal(f"the folder {path.parent} cannot be written, where SQLite keeps its log beside the file")


def _sqlite(url: URL, synchronous: str, *, begin: str, cache: int, query_only: bool = False, **pool: int) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS}, **pool)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin by itself: we say which BEGIN
        cursor = connection.cursor()
        _write_ahead(cursor)
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        cursor.execute(f"PRAGMA cache_size = -{cache}")
        cursor.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        cursor.execute("PRAGMA journal_size_limit = 67108864")
        cursor.execute("PRAGMA temp_store = MEMORY")
        cursor.execute(f"PRAGMA query_only = {int(query_only)}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Switches the file to its write-ahead log. SQLite does not wait for that lock by itself: several may switch."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE_SECONDS)
        else:
            return


def _postgresql(url: URL) -> Engines:
    try:
        writer = create_engine(url, pool_size=8, max_overflow=32, pool_pre_ping=True)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise refusal("needs the PostgreSQL driver; install nightdesk[postgresql]") from error

    @event.listens_for(writer, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        # A plan kept from when the tables were small reads them whole when they are large: ten times slower, measured.
        connection.execute("SET plan_cache_mode = force_custom_plan")
        connection.commit()

    reader = writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return Engines(url, writer, reader)
