"""Law 1: whatever pages come, however they are repeated, torn or interrupted, everything is accounted for."""

import itertools
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from nightdesk.hub.store import Store
from nightdesk.hub.store.intake import (
    PageStored,
    audit_ledger,
    cursor,
    ledger,
    reset_cursor,
    settle_normalised,
    settle_quarantined,
    store_page,
    waiting,
)
from nightdesk.hub.store.quarantine import listed, replay
from nightdesk.sdk.errors import MappingError, NightdeskError, ResponseError
from nightdesk.sdk.records import Batch, Failure, RawRecord
from nightdesk.sdk.testing.cases import CASE_TIME


def record(key: str, payload: bytes = b"{}") -> RawRecord:
    return RawRecord(payload, key, f"native-{key}")


def failure(key: str, payload: bytes = b"{") -> Failure:
    return Failure(payload, key, MappingError("not JSON", pointer="@1"))


def put(
    conn: Connection,
    records: Sequence[RawRecord] = (),
    position: Any = None,
    *,
    failures: Sequence[Failure] = (),
    tenant: str = "acme",
    instance: str = "edr-main",
    stream: str = "alerts",
) -> PageStored:
    return store_page(
        conn,
        tenant=tenant,
        instance=instance,
        stream=stream,
        product="acme_edr",
        batch=Batch(records, position, failures),
        received_at=CASE_TIME,
    )


def test_a_page_is_stored_with_its_cursor(store: Store) -> None:
    with store.begin() as conn:
        stored = put(conn, [record("a", b'{"n": 1}'), record("b")], {"after": 17})
    assert stored == PageStored(received=2, duplicate=0, quarantined=0, waiting=2)
    with store.read() as conn:
        assert cursor(conn, "acme", "edr-main", "alerts") == {"after": 17}
        first, second = waiting(conn, limit=10)
    assert (first.key, first.native_id, first.payload, first.product) == ("a", "native-a", b'{"n": 1}', "acme_edr")
    assert (first.received_at, first.media_type) == (CASE_TIME, "application/json")
    assert second.key == "b"


def test_bytes_come_back_as_they_came(store: Store) -> None:
    payload = bytes(range(256)) * 40
    with store.begin() as conn:
        put(conn, [RawRecord(payload, "a\0b", "n\0", media_type="text/x\0")])
        (row,) = waiting(conn, limit=1)
    assert row.payload == payload


def test_a_record_names_its_own_product_when_the_stream_has_several(store: Store) -> None:
    with store.begin() as conn:
        put(conn, [RawRecord(b"{}", "a", product="other_edr")])
        assert [row.product for row in waiting(conn, limit=1)] == ["other_edr"]


def test_the_same_key_again_is_a_duplicate_within_a_page_and_between_pages(store: Store) -> None:
    with store.begin() as conn:
        assert put(conn, [record("a"), record("a"), record("b")]) == PageStored(3, 1, 0, 2)
    with store.begin() as conn:
        assert put(conn, [record("b"), record("c")]) == PageStored(2, 1, 0, 1)
        assert [row.key for row in waiting(conn, limit=10)] == ["a", "b", "c"]


def test_records_without_a_key_are_told_apart_by_their_bytes(store: Store) -> None:
    with store.begin() as conn:
        pages = [put(conn, [RawRecord(body, "") for body in (b"1", b"2", b"1")]), put(conn, [RawRecord(b"2", "")])]
    assert pages == [PageStored(3, 1, 0, 2), PageStored(1, 1, 0, 0)]


def test_a_whole_record_after_a_torn_one_of_the_same_key_is_not_a_duplicate(store: Store) -> None:
    with store.begin() as conn:
        assert put(conn, failures=[failure("a", b'{"id": "a')]) == PageStored(1, 0, 1, 0)
        assert put(conn, failures=[failure("a", b'{"id": "a')]) == PageStored(1, 1, 0, 0)
        assert put(conn, [record("a")]) == PageStored(1, 0, 0, 1)


def test_a_failure_is_quarantined_with_its_bytes_and_reason(store: Store) -> None:
    vendor = Failure(b"<html>", "page-3", ResponseError("no JSON", vendor="acme_edr", operation="list"))
    with store.begin() as conn:
        assert put(conn, [record("a")], {"n": 1}, failures=[failure("b", b"{x"), vendor]) == PageStored(3, 0, 2, 1)
        torn, page = listed(conn, "acme")
    assert (torn.reason, torn.pointer, torn.quarantined_at) == ("@1: not JSON", "@1", CASE_TIME)
    assert (page.reason, page.pointer) == ("acme_edr: list: no JSON", "")


def test_a_partial_page_leaves_the_cursor_where_it_was(store: Store) -> None:
    with store.begin() as conn:
        put(conn, [record("a")], {"after": 1})
        put(conn, [record("b")], None)
        assert cursor(conn, "acme", "edr-main", "alerts") == {"after": 1}


def test_an_empty_page_can_move_the_cursor(store: Store) -> None:
    with store.begin() as conn:
        assert put(conn, [], {"after": 2**70}) == PageStored(0, 0, 0, 0)
        assert cursor(conn, "acme", "edr-main", "alerts") == {"after": 2**70}


def test_a_reset_cursor_repeats_without_storing_twice(store: Store) -> None:
    with store.begin() as conn:
        put(conn, [record("a")], {"after": 1})
        reset_cursor(conn, "acme", "edr-main", "alerts")
        assert cursor(conn, "acme", "edr-main", "alerts") is None
        assert put(conn, [record("a")], {"after": 1}).duplicate == 1


def test_a_burst_of_1069_is_one_page(store: Store) -> None:
    burst = [record(f"k{number % 1000}") for number in range(1069)]
    with store.begin() as conn:
        assert put(conn, burst, {"n": 1}) == PageStored(1069, 69, 0, 1000)
        rows = waiting(conn, limit=2000)
        assert [row.key for row in rows] == [f"k{number}" for number in range(1000)]
        settle_normalised(conn, rows)
        assert [(row.normalised, row.balanced) for row in ledger(conn)] == [(1000, True)]


def test_waiting_is_served_in_the_order_of_arrival(store: Store) -> None:
    with store.begin() as conn:
        for number in range(7):
            put(conn, [record(str(number))])
        assert [row.key for row in waiting(conn, limit=3)] == ["0", "1", "2"]
        settle_normalised(conn, waiting(conn, limit=3))
        assert [row.key for row in waiting(conn, limit=3)] == ["3", "4", "5"]


def test_waiting_of_all_tenants_is_the_oldest_of_all(store: Store) -> None:
    with store.begin() as conn:
        for minute, tenant in enumerate(["zeta", "acme", "zeta", "acme"]):
            store_page(
                conn,
                tenant=tenant,
                instance="edr-main",
                stream="alerts",
                product="acme_edr",
                batch=Batch([record(f"{tenant}-{minute}")], None),
                received_at=CASE_TIME + timedelta(minutes=minute),
            )
        assert [row.key for row in waiting(conn, limit=3)] == ["zeta-0", "acme-1", "zeta-2"]
        assert [row.key for row in waiting(conn, limit=3, tenant="acme")] == ["acme-1", "acme-3"]


def test_a_record_that_cannot_be_mapped_goes_aside_and_the_others_go_on(store: Store) -> None:
    with store.begin() as conn:
        put(conn, [record("a"), record("b")])
        bad, good = waiting(conn, limit=2)
        later = CASE_TIME + timedelta(seconds=3)
        settle_quarantined(conn, bad, reason="no time\0", pointer="/time", at=later)
        settle_normalised(conn, [good])
        (row,) = ledger(conn)
        assert (row.normalised, row.quarantined, row.waiting, row.balanced) == (1, 1, 0, True)
        (aside,) = listed(conn, "acme")
    assert (aside.seq, aside.reason, aside.pointer, aside.quarantined_at) == (bad.seq, "no time\\u0000", "/time", later)


def test_nothing_is_settled_twice(store: Store) -> None:
    with store.begin() as conn:
        put(conn, [record("a"), record("b")])
        rows = waiting(conn, limit=2)
        settle_normalised(conn, rows[:1])
    with pytest.raises(NightdeskError, match="1 of 2 inbox rows of acme no longer wait"), store.begin() as conn:
        settle_normalised(conn, rows)
    with pytest.raises(NightdeskError, match="no longer wait"), store.begin() as conn:
        settle_quarantined(conn, rows[0], reason="late", pointer="")
    with store.read() as conn:
        assert [(row.normalised, row.waiting) for row in ledger(conn)] == [(1, 1)]


def test_tenants_and_instances_with_equal_keys_do_not_meet(store: Store) -> None:
    places = [("acme", "edr-main", "alerts"), ("zeta", "edr-main", "alerts"), ("acme", "edr-2", "alerts")]
    places.append(("acme", "edr-main", "incidents"))
    with store.begin() as conn:
        for number, (tenant, instance, stream) in enumerate(places):
            stored = put(conn, [record("a")], {"n": number}, tenant=tenant, instance=instance, stream=stream)
            assert stored.waiting == 1
        assert [cursor(conn, *place) for place in places] == [{"n": number} for number in range(4)]
        settle_normalised(conn, waiting(conn, limit=9, tenant="zeta"))
        assert [row.normalised for row in ledger(conn, "acme")] == [0, 0, 0]
        assert [row.normalised for row in ledger(conn, "zeta")] == [1]


@pytest.mark.postgresql
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_two_workers_claim_different_rows(store: Store) -> None:
    with store.begin() as conn:
        put(conn, [record(str(number)) for number in range(6)])
    with store.begin() as one, store.begin() as other:
        first = waiting(one, limit=4, tenant="acme", claim=True)
        second = waiting(other, limit=4, tenant="acme", claim=True)
        assert [row.key for row in first] == ["0", "1", "2", "3"]
        assert [row.key for row in second] == ["4", "5"]


class Crash(BaseException):
    """The process is gone."""


KEYS = st.sampled_from([*"abcdefgh", ""])
PAYLOADS = st.sampled_from([b"1", b"2"])
RECORDS = st.lists(st.builds(record, KEYS, PAYLOADS), max_size=6)
FAILURES = st.lists(st.builds(failure, KEYS, PAYLOADS), max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("page"), RECORDS, FAILURES, st.booleans(), st.booleans()),
        st.tuples(st.just("work"), st.integers(1, 5), st.integers(0, 31), st.booleans()),
        st.tuples(st.just("replay")),
    ),
    max_size=12,
)
_TENANTS = itertools.count()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_law_1_holds_after_every_step_and_every_crash(store: Store, steps: list[tuple[Any, ...]]) -> None:
    """The ledger balances, and the cursor is that of the last page that was really stored."""
    tenant = f"tenant-{next(_TENANTS)}"
    position, sent, stored_keys = None, 0, set[str]()
    for number, step in enumerate(steps):
        try:
            with store.begin() as conn:
                if step[0] == "page":
                    _, records, failures, moves, crash = step
                    put(conn, records, {"page": number} if moves else None, failures=failures, tenant=tenant)
                elif step[0] == "work":
                    _, limit, broken, crash = step
                    for place, row in enumerate(waiting(conn, limit=limit, tenant=tenant)):
                        if broken & 1 << place:
                            settle_quarantined(conn, row, reason="broken", pointer="/")
                        else:
                            settle_normalised(conn, [row])
                else:
                    crash = bool(replay(conn, tenant) > 3)
                if crash:
                    raise Crash  # noqa: TRY301  # the crash in the middle is the test
        except Crash:
            pass
        else:
            if step[0] == "page":
                sent += len(step[1]) + len(step[2])
                position = {"page": number} if step[3] else position
                stored_keys |= {entry.key for entry in step[1] if entry.key}
        with store.read() as conn:
            assert audit_ledger(conn, tenant) == []
            assert sum(row.received for row in ledger(conn, tenant)) == sent
            assert cursor(conn, tenant, "edr-main", "alerts") == position
            kept = conn.execute(
                text("SELECT key FROM inbox WHERE tenant = :tenant AND key NOT LIKE '%:%'"), {"tenant": tenant}
            )
            assert set(kept.scalars()) == stored_keys
