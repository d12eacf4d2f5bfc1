"""The open database: transactions that write, transactions that read, and the rule who waits for whom."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from nightdesk.hub.store.engines import SYNCHRONOUS, Engines, open_engines, refusal
from nightdesk.hub.store.schema import REVISION
from nightdesk.hub.store.sql import lost_race
from nightdesk.sdk.context import Clock, utc_now

__all__ = ["Store"]

_MIGRATION_LOCK = 0x6E64_6573_6B00  # "ndesk": any number that no other program takes in the same database
_T = TypeVar("_T")


class Store:
    """SQLite or PostgreSQL behind one face. Thread-safe; every method blocks, so async code calls it in a thread."""

    def __init__(self, engines: Engines, *, clock: Clock) -> None:
        self._engines = engines
        self._turn = threading.Lock()
        self._writing = threading.local()
        self.clock = clock

    @classmethod
    def open(cls, url: str, *, clock: Clock = utc_now, synchronous: str = "FULL") -> "Store":
        """Opens the database and brings its schema up to date.

        ``synchronous`` is SQLite's: FULL survives power loss, NORMAL only a killed process. Raises ConfigError when
        the URL is wrong, the file cannot be written, the server is down, or the schema is newer than this code.
        """
        if synchronous not in SYNCHRONOUS:
            raise refusal(f"synchronous {synchronous!r} is not one of {', '.join(SYNCHRONOUS)}")
        engines = open_engines(url, synchronous=synchronous)
        store = cls(engines, clock=clock)
        try:
            with store.begin() as conn:
                if store.dialect == "postgresql":
                    conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                _bring_up_to_date(conn)
        except DBAPIError as error:
            store.close()
            where = engines.url.render_as_string(hide_password=True)
            reason = str(error.orig).strip().splitlines()[0]
            raise refusal(
                f"{where} cannot be opened: {reason}; check that it runs and that the path is right"
            ) from error
        except BaseException:
            store.close()
            raise
        return store

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engines.writer.dialect.name

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction that may write: committed at the end, rolled back by an exception.

        SQLite has one writer: threads queue here, other processes at the file (30 s, then OperationalError).
        """
        if getattr(self._writing, "now", False):
            raise RuntimeError("this thread is already writing; use the connection it has instead of a second begin()")
        if self.dialect != "sqlite":
            with self._engines.writer.begin() as conn:
                yield conn
            return
        with self._turn:
            self._writing.now = True
            try:
                with self._engines.writer.begin() as conn:
                    yield conn
            finally:
                self._writing.now = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view that cannot write and waits for no writer."""
        with self._engines.reader.connect() as conn, conn.begin():
            yield conn

    def transact(self, work: Callable[[Connection], _T], *, attempts: int = 5) -> _T:
        """Runs ``work`` in a writing transaction, again when another PostgreSQL worker won a race against it."""
        for left in range(attempts - 1, -1, -1):
            try:
                with self.begin() as conn:
                    return work(conn)
            except (OperationalError, IntegrityError) as error:
                if not left or not lost_race(error):
                    raise
        raise ValueError("attempts must be at least 1")

    def close(self) -> None:
        """Closes every connection; SQLite folds its log into the file."""
        self._engines.dispose()


def _bring_up_to_date(conn: Connection) -> None:
    if inspect(conn).has_table("alembic_version"):
        stored = conn.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
        if stored == [REVISION]:
            return
    from nightdesk.hub.store import migrate  # noqa: PLC0415  # Alembic costs 0.4 s, which every start would pay

    migrate.upgrade(conn)
