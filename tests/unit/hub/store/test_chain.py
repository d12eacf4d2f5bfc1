"""Chains count for themselves and stay whole when several write."""

import threading

from nightdesk.hub.store import Store
from nightdesk.hub.store.chain import GENESIS, Head, Link, extend, head, problems


def test_each_link_follows_the_one_before(store: Store) -> None:
    with store.begin() as conn:
        first, second = extend(conn, "acme", "audit", [b"1", b"2"])
        (third,) = extend(conn, "acme", "audit", [b"3"])
        assert [link.seq for link in (first, second, third)] == [1, 2, 3]
        assert (first.previous_hash, second.previous_hash, third.previous_hash) == (GENESIS, first.hash, second.hash)
        assert head(conn, "acme", "audit") == Head(3, third.hash)
        assert problems(conn, "acme", "audit", [first, second, third]) == []


def test_equal_records_hash_differently_in_other_chains_tenants_and_places(store: Store) -> None:
    with store.begin() as conn:
        links = [
            *extend(conn, "acme", "audit", [b"1", b"1"]),
            *extend(conn, "zeta", "audit", [b"1"]),
            *extend(conn, "acme", "decision", [b"1"]),
        ]
    assert len({link.hash for link in links}) == 4


def test_links_in_another_order_do_not_verify(store: Store) -> None:
    with store.begin() as conn:
        first, second = extend(conn, "acme", "audit", [b"1", b"2"])
        assert problems(conn, "acme", "audit", [second, first])
        assert problems(conn, "acme", "audit", [])
        forged = Link(2, second.previous_hash, second.hash, b"3")
        assert problems(conn, "acme", "audit", [first, forged]) == [
            "audit 2 of acme: its content is not what was recorded"
        ]


def test_writers_at_the_same_time_make_one_chain(store: Store) -> None:
    made: list[Link] = []

    def work() -> None:
        for number in range(10):
            with store.begin() as conn:
                made.extend(extend(conn, "acme", "audit", [b"%d" % number]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as conn:
        assert problems(conn, "acme", "audit", sorted(made, key=lambda link: link.seq)) == []
        assert head(conn, "acme", "audit").seq == 40
