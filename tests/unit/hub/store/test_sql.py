"""Counters give each number once, per tenant and name."""

from nightdesk.hub.store import Store
from nightdesk.hub.store.sql import chunks, take


def test_numbers_start_at_one_and_never_repeat(store: Store) -> None:
    with store.begin() as conn:
        assert [take(conn, "acme", "x"), take(conn, "acme", "x", 3), take(conn, "acme", "x")] == [1, 2, 5]


def test_tenants_and_names_count_for_themselves(store: Store) -> None:
    with store.begin() as conn:
        assert [take(conn, "acme", "x", 9), take(conn, "zeta", "x"), take(conn, "acme", "y")] == [1, 1, 1]


def test_taking_none_takes_none(store: Store) -> None:
    with store.begin() as conn:
        assert take(conn, "acme", "x", 0) == 1
        assert take(conn, "acme", "x") == 1


def test_chunks_hold_everything_once() -> None:
    assert [list(part) for part in chunks(range(5), 2)] == [[0, 1], [2, 3], [4]]
    assert list(chunks([], 2)) == []
