"""Transactions: whole or not at all, one writer at a time, and readers that neither wait nor write."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from nightdesk.hub.store import Store
from nightdesk.hub.store.schema import counter
from nightdesk.hub.store.sql import take
from nightdesk.sdk.testing.cases import CASE_TIME


def _value(store: Store) -> int | None:
    with store.read() as conn:
        return conn.execute(select(counter.c.value).where(counter.c.tenant == "acme")).scalar()


def test_what_was_written_is_there_after_reopening(store_url: str) -> None:
    first = Store.open(store_url)
    with first.begin() as conn:
        take(conn, "acme", "x", 5)
    first.close()
    second = Store.open(store_url)
    assert _value(second) == 5
    second.close()


class Crash(BaseException):
    """Something that is not even an Exception."""


def crash(_: object) -> None:
    raise Crash


def test_an_exception_undoes_the_whole_transaction(store: Store) -> None:
    with pytest.raises(Crash), store.begin() as conn:
        crash(take(conn, "acme", "x"))
    assert _value(store) is None
    with store.begin() as conn:
        take(conn, "acme", "x")
    assert _value(store) == 1


def test_a_reader_sees_one_moment_and_waits_for_no_writer(store: Store) -> None:
    with store.begin() as conn:
        take(conn, "acme", "x")
    question = select(counter.c.value).where(counter.c.tenant == "acme")
    with store.read() as reading:
        assert reading.execute(question).scalar() == 1
        with store.begin() as conn:
            take(conn, "acme", "x")
            assert _value(store) == 1
        assert reading.execute(question).scalar() == 1
    assert _value(store) == 2


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(DBAPIError, match=r"(?i)read.?only"), store.read() as conn:
        conn.execute(text("DELETE FROM counter"))
    with store.begin() as conn:  # and the connection is not spoilt for others
        take(conn, "acme", "x")


def test_a_second_transaction_in_the_same_thread_is_a_clear_mistake_where_it_would_wait_for_ever(
    tmp_path: object,
) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/nightdesk.db")
    with store.begin(), pytest.raises(RuntimeError, match="already writing"), store.begin():
        pass
    store.close()


def test_threads_write_one_after_the_other(store: Store) -> None:
    firsts: list[int] = []

    def work() -> None:
        for _ in range(20):
            with store.begin() as conn:
                firsts.append(take(conn, "acme", "x", 2))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(firsts) == list(range(1, 160, 2))
    assert _value(store) == 160


def test_the_clock_is_the_one_given(store_url: str) -> None:
    store = Store.open(store_url, clock=lambda: CASE_TIME + timedelta(days=1))
    assert store.clock() == CASE_TIME + timedelta(days=1)
    store.close()


@pytest.mark.postgresql
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_transaction_that_lost_a_deadlock_is_run_again(store: Store) -> None:
    """Two workers take two counters in opposite order; PostgreSQL kills one, and both come through."""
    both_have_one = threading.Barrier(2)
    attempts: list[str] = []

    def work(first: str, second: str) -> None:
        def body(conn: object) -> None:
            attempts.append(first)
            take(conn, "acme", first)  # type: ignore[arg-type]  # a Connection
            if len(attempts) <= 2:
                both_have_one.wait(10)
            take(conn, "acme", second)  # type: ignore[arg-type]  # a Connection

        store.transact(body)

    threads = [threading.Thread(target=work, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as conn:
        assert conn.execute(select(counter.c.value).where(counter.c.tenant == "acme")).scalars().all() == [2, 2]
    assert len(attempts) == 3


def test_an_error_that_is_no_race_is_raised_at_once(store: Store) -> None:
    calls = []

    def body(conn: object) -> None:
        calls.append(conn)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.transact(body)
    assert len(calls) == 1


def test_a_race_that_is_lost_every_time_is_raised_in_the_end(store: Store) -> None:
    calls = []

    def body(conn: object) -> None:
        calls.append(conn)
        row = {"tenant": "acme", "name": "x", "value": 1}
        conn.execute(counter.insert(), [row])  # type: ignore[attr-defined]  # a Connection
        conn.execute(counter.insert(), [row])  # type: ignore[attr-defined]  # a Connection

    with pytest.raises(IntegrityError):
        store.transact(body, attempts=3)
    assert len(calls) == (3 if store.dialect == "postgresql" else 1)
