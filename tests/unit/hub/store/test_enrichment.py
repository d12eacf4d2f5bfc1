from datetime import timedelta

from nightdesk.hub.store import Store
from nightdesk.hub.store import enrichment as rows
from nightdesk.sdk.testing.cases import CASE_TIME

LATER = CASE_TIME + timedelta(hours=1)


def row(key: str, source: str = "cmdb", status: str = "ok", **body: object) -> rows.Row:
    return rows.Row(source, key, status, CASE_TIME, LATER, body)


def test_an_answer_takes_the_place_of_the_one_before(store: Store) -> None:
    with store.begin() as conn:
        rows.put(conn, "acme", [row("host:a", n=1), row("host:b", n=1)])
        rows.put(conn, "acme", [row("host:a", n=2), row("host:a", n=3), row("host:a", "other", n=9)])
        found = rows.kept(conn, "acme", "cmdb", ["host:a", "host:b", "host:c"])
    assert {key: one.body["n"] for key, one in found.items()} == {"host:a": 3, "host:b": 1}
    assert (found["host:a"].fetched_at, found["host:a"].expires_at) == (CASE_TIME, LATER)


def test_3_no_tenant_reads_or_takes_away_another_ones(store: Store) -> None:
    """Law 3."""
    with store.begin() as conn:
        rows.put(conn, "acme", [row("host:a"), row("~pattern")])
        assert rows.kept(conn, "umbrella", "cmdb", ["host:a"]) == {}
        assert rows.kept_of(conn, "umbrella", ["cmdb"], ["host:a"]) == []
        assert rows.starting_with(conn, "umbrella", "cmdb", "~", limit=10) == []
        assert rows.count(conn, "umbrella") == {}
        rows.forget(conn, "umbrella", "cmdb", ["host:a"])
        assert rows.purge(conn, "umbrella", LATER + timedelta(days=1)) == 0
        rows.put(conn, "umbrella", [row("host:a", mine=True)])
        assert rows.kept(conn, "acme", "cmdb", ["host:a"])["host:a"].body == {}


def test_many_and_strange_keys_come_back_as_they_were_asked(store: Store) -> None:
    keys = [
        f"url:https://x.example.com/{'y' * length}\0\ud800{number}" for number, length in enumerate([1, 3000, 9000])
    ]
    keys += [f"host:ws-{number}" for number in range(1200)]
    with store.begin() as conn:
        rows.put(conn, "acme", [row(key, n=number) for number, key in enumerate(keys)])
        found = rows.kept(conn, "acme", "cmdb", keys)
    assert [found[key].body["n"] for key in keys] == list(range(len(keys)))


def test_rows_are_listed_by_the_beginning_of_their_key(store: Store) -> None:
    with store.begin() as conn:
        rows.put(conn, "acme", [row(key) for key in ("=a", "@a", "~a", "~b", "~c", "\x7f")])
        assert [one.key for one in rows.starting_with(conn, "acme", "cmdb", "~", limit=2)] == ["~a", "~b"]
        assert [one.key for one in rows.starting_with(conn, "acme", "cmdb", "~", limit=9)] == ["~a", "~b", "~c"]


def test_what_no_longer_counts_is_purged_and_the_rest_counted(store: Store) -> None:
    with store.begin() as conn:
        rows.put(conn, "acme", [row("host:a"), row("host:b", status="error")])
        assert rows.purge(conn, "acme", LATER) == 0
        assert rows.count(conn, "acme") == {("cmdb", "ok"): 1, ("cmdb", "error"): 1}
        assert rows.purge(conn, "acme", LATER + timedelta(seconds=1)) == 2
        assert rows.count(conn, "acme") == {}
