import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightdesk.autonomy.correlate import Assignment, CaseRef, correlate, joining_keys, raised
from nightdesk.sdk.case import Alert
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.testing.cases import CASE_TIME, an_alert, an_entity

HOUR = timedelta(hours=1)


def about(alert_id: str, *keys: str, after: timedelta = timedelta(0)) -> Alert:
    at = CASE_TIME + after
    return an_alert(alert_id, entities=tuple(an_entity(key) for key in keys), first_seen=at, last_seen=at)


def groups(assignments: Sequence[Assignment]) -> set[frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for one in assignments:
        found[one.case_id].add(one.alert_id)
    return {frozenset(members) for members in found.values()}


def test_alerts_of_a_page_that_share_an_entity_become_one_case() -> None:
    page = [
        about("a", "host:x"),
        about("b", "host:x", "account:jdoe"),
        about("c", "account:jdoe"),
        about("d", "host:y"),
    ]
    found = correlate(page, {})
    assert groups(found) == {frozenset("abc"), frozenset("d")}
    assert all(one.is_new for one in found)
    assert found[1].keys == ("account:jdoe", "host:x")
    assert found[3].reason == "shares nothing with an open case"


def test_an_alert_joins_the_open_case_it_shares_an_entity_with() -> None:
    (one,) = correlate([about("a", "host:x")], {"host:x": [CaseRef("case-7", CASE_TIME - HOUR)]})
    assert (one.case_id, one.keys, one.is_new) == ("case-7", ("host:x",), False)


def test_alerts_that_belong_together_go_to_one_case_together() -> None:
    page = [about("a", "host:x"), about("b", "account:jdoe"), about("c", "host:x", "account:jdoe")]
    found = correlate(page, {"account:jdoe": [CaseRef("case-7", CASE_TIME)]})
    assert {one.case_id for one in found} == {"case-7"}
    assert [one.keys for one in found] == [("host:x",), ("account:jdoe",), ("account:jdoe", "host:x")]


@pytest.mark.parametrize(("last", "joins"), [(4 * HOUR, True), (4 * HOUR + timedelta(seconds=1), False)])
@pytest.mark.parametrize("sign", [1, -1], ids=["older", "late arrival"])
def test_the_window_bounds_what_joins(last: timedelta, joins: bool, sign: int) -> None:
    (one,) = correlate([about("a", "host:x")], {"host:x": [CaseRef("case-7", CASE_TIME - sign * last)]})
    assert one.is_new is not joins


def test_the_window_bounds_a_page_too() -> None:
    page = [about("a", "host:x"), about("b", "host:x", after=5 * HOUR), about("c", "host:x", after=8 * HOUR)]
    assert groups(correlate(page, {})) == {frozenset("a"), frozenset("bc")}


def test_of_two_cases_the_one_with_more_shared_keys_is_joined() -> None:
    known = {
        "host:x": [CaseRef("case-1", CASE_TIME - HOUR), CaseRef("case-2", CASE_TIME)],
        "account:jdoe": [CaseRef("case-1", CASE_TIME - HOUR)],
    }
    assert correlate([about("a", "host:x", "account:jdoe")], known)[0].case_id == "case-1"


def test_with_equal_keys_the_most_recent_then_the_smallest_id_is_joined() -> None:
    newer = {"host:x": [CaseRef("case-1", CASE_TIME - HOUR), CaseRef("case-9", CASE_TIME)]}
    assert correlate([about("a", "host:x")], newer)[0].case_id == "case-9"
    equal = {"host:x": [CaseRef("case-9", CASE_TIME), CaseRef("case-1", CASE_TIME)]}
    assert correlate([about("a", "host:x")], equal)[0].case_id == "case-1"


def test_an_entity_that_too_many_cases_have_joins_nothing() -> None:
    cases = [CaseRef(f"case-{index}", CASE_TIME) for index in range(3)]
    assert correlate([about("a", "account:x")], {"account:x": cases}, hub_limit=2)[0].is_new
    assert not correlate([about("a", "account:x")], {"account:x": cases}, hub_limit=3)[0].is_new


def test_an_entity_on_too_many_hosts_of_a_page_joins_nothing() -> None:
    page = [about(f"a{index}", f"host:h{index}", "account:shared") for index in range(4)]
    assert len(groups(correlate(page, {}, hub_limit=3))) == 4
    assert len(groups(correlate(page, {}, hub_limit=4))) == 1


@pytest.mark.parametrize(
    "key",
    [
        "account:system",
        "account:ws-1$",
        "account:svc_sql",
        "address:127.0.0.1",
        "address:10.0.0.1",
        "url:http://x.example",
        "process:1",
    ],
)
def test_what_everybody_shares_joins_nothing(key: str) -> None:
    assert len(groups(correlate([about("a", key), about("b", key)], {}))) == 2


def test_a_file_joins_when_the_source_accuses_it() -> None:
    key = "file:sha256:" + "ab" * 32
    assert joining_keys(an_alert(entities=(an_entity(key, "malicious-file"),))) == {key}
    assert joining_keys(an_alert(entities=(an_entity(key),))) == set()


def test_an_account_with_a_well_known_sid_joins_nothing() -> None:
    assert joining_keys(an_alert(entities=(an_entity("account:système", uid="S-1-5-18"),))) == set()


def test_two_versions_of_one_alert_stay_together() -> None:
    assert len({one.case_id for one in correlate([about("a", "host:x"), about("a", "host:y")], {})}) == 1


def test_alerts_of_two_tenants_are_refused() -> None:
    with pytest.raises(PolicyError, match="2 tenants"):
        correlate([an_alert("a"), an_alert("b", tenant="other")], {})


def test_an_empty_page_is_no_work() -> None:
    assert correlate([], {}) == []


ALERTS = st.lists(
    st.tuples(
        st.sets(
            st.sampled_from(["host:a", "host:b", "account:x", "address:203.0.113.5", "domain:example.org"]), max_size=3
        ),
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=12,
)


@given(rows=ALERTS, seed=st.integers(0, 1000))
@settings(deadline=None)
def test_the_order_of_arrival_in_a_page_changes_nothing(rows: list[tuple[set[str], int]], seed: int) -> None:
    page = [about(f"a{n:02}", *sorted(keys), after=hours * HOUR) for n, (keys, hours) in enumerate(rows)]
    known = {
        "host:a": [CaseRef("c1", CASE_TIME), CaseRef("c2", CASE_TIME + HOUR)],
        "account:x": [CaseRef("c1", CASE_TIME)],
    }
    shuffled = random.Random(seed).sample(page, len(page))
    by_id = {one.alert_id: one for one in correlate(page, known, hub_limit=3)}
    assert {one.alert_id: one for one in correlate(shuffled, known, hub_limit=3)} == by_id


@pytest.mark.parametrize(
    ("case", "alert", "expected"),
    [(2, 4, 4), (4, 2, 4), (4, 0, 4), (4, 99, 4), (0, 1, 1), (99, 2, 2), (0, 99, 0), (5, 6, 6)],
)
def test_a_case_keeps_the_worst_severity_it_ever_had(case: int, alert: int, expected: int) -> None:
    assert raised(case, an_alert(severity_id=alert)) == expected


def test_an_alert_that_touches_two_open_cases_shows_that_they_are_one() -> None:
    known = {"host:x": [CaseRef("case-7", CASE_TIME)], "account:jdoe": [CaseRef("case-8", CASE_TIME - HOUR)]}
    one, other = correlate([about("a", "host:x", "account:jdoe"), about("b", "host:x")], known)
    assert (one.case_id, one.joins) == ("case-7", ("case-8",))
    assert (other.case_id, other.joins) == ("case-7", ("case-8",))


def test_what_touches_one_case_or_none_joins_nothing() -> None:
    found = correlate([about("a", "host:x"), about("b", "host:y")], {"host:x": [CaseRef("case-7", CASE_TIME)]})
    assert [one.joins for one in found] == [(), ()]


def test_what_touches_many_cases_shows_nothing_of_them() -> None:
    known = {"host:x": [CaseRef(f"case-{n}", CASE_TIME) for n in range(5)]}
    (four,) = correlate([about("a", "host:x")], {"host:x": known["host:x"][:4]})
    (five,) = correlate([about("a", "host:x")], known)
    assert (four.case_id, four.joins) == ("case-0", ("case-1", "case-2", "case-3"))
    assert (five.case_id, five.joins) == ("case-0", ())
