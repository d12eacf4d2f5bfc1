"""Values survive the columns: every field of an alert, a decision and an action, and text that engines refuse."""

import math
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stores import a_decision

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.hub.store.codec import (
    KEY_BYTES,
    decode_action,
    decode_alert,
    decode_decision,
    dump,
    encode_alert,
    load,
    moment,
    safe_key,
    safe_text,
    stamp,
)
from nightdesk.sdk.case import Outcome, Proposal
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import CASE_TIME, an_alert, an_entity

ANY_TEXT = st.text(st.characters(exclude_categories=()))
TIMES = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])).filter(
    lambda when: when.year > 1
)


@given(TIMES, TIMES)
def test_stamps_sort_as_their_times_and_come_back(first: datetime, second: datetime) -> None:
    assert moment(stamp(first)) == first
    assert (stamp(first) < stamp(second)) == (first < second)
    assert len(stamp(first)) == 27


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        stamp(datetime(2026, 11, 1))  # noqa: DTZ001  # what is tested


@given(ANY_TEXT)
def test_safe_text_is_what_both_engines_take(value: str) -> None:
    safe = safe_text(value)
    assert "\0" not in safe
    assert safe.encode().decode() == safe
    if "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value):
        assert safe == value


@given(st.lists(ANY_TEXT, min_size=2, max_size=2, unique=True))
def test_different_keys_stay_different(keys: list[str]) -> None:
    first, second = (safe_key(key) for key in keys)
    assert first != second


def test_a_key_that_an_index_cannot_hold_is_cut_but_stays_itself() -> None:
    long = "https://host.example/" + "a" * 9000
    assert len(safe_key(long).encode()) <= KEY_BYTES
    assert safe_key(long) != safe_key(long + "b")
    assert safe_key("ü" * KEY_BYTES) != safe_key("ü" * KEY_BYTES + "ü")
    assert safe_key("short") == "short"
    assert safe_key("a\0") != safe_key("a\\u0000")


def test_equal_values_have_equal_bytes_whatever_their_order() -> None:
    assert dump({"b": 1, "a": {"d": 2, "c": (3,)}}) == dump({"a": {"c": [3], "d": 2}, "b": 1})
    assert dump(MappingProxyType({"a": frozenset({"y", "x"})})) == b'{"a":["x","y"]}'


def test_numbers_over_64_bits_survive() -> None:
    value = {"id": 2**80, "at": CASE_TIME, "text": "\ud800", "float": 0.1}
    assert load(dump(value)) == {"id": 2**80, "at": "2026-11-20T09:00:00Z", "text": "\ud800", "float": 0.1}
    assert load(dump({"nan": math.nan})) == {"nan": None}


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(TypeError, match="object cannot be stored"):
        dump({"a": object()})


def test_every_field_of_an_alert_comes_back() -> None:
    alert = an_alert(
        modified=CASE_TIME + timedelta(microseconds=1),
        confidence=40,
        description="ä\0",
        techniques=("T1059.001",),
        tactics=("execution",),
        entities=(an_entity("host:ws-1", "victim-host", fqdn="ws-1.example.com"), an_entity("address:203.0.113.7")),
        caution=("lost:process",),
        closed_at_source=True,
    )
    back = decode_alert(encode_alert(alert))
    assert back == alert
    assert [(entity.role, entity.facts) for entity in back.entities] == [
        ("victim-host", {"fqdn": "ws-1.example.com"}),
        ("other", {}),
    ]


def test_every_field_of_a_decision_comes_back() -> None:
    decision = a_decision(
        outcome=Outcome.HOLD,
        hold_until=CASE_TIME + timedelta(seconds=300),
        proposals=(Proposal("host.isolate", "host:ws-1", {"device_id": "1"}, {"mode": "full"}, "policy"),),
        inputs={"counts": {"n": 2**70}, "list": [1, None, True]},
    )
    assert decode_decision(dump(decision)) == decision
    assert dump(decode_decision(dump(decision))) == dump(decision)


def test_every_field_of_an_action_comes_back() -> None:
    action = Action(
        tenant="acme",
        action_id="action-1",
        verb="host.isolate",
        target=Target.parse("host:WS-0042"),
        generation=2,
        idempotency_key="key",
        state=ActionState.LEASED,
        created_at=CASE_TIME,
        updated_at=CASE_TIME,
        parameters={"mode": "full"},
        pre_state={"isolated": False, "id": 2**65},
        losses=("duration",),
        changed=True,
        lease_until=CASE_TIME + timedelta(hours=4),
    )
    assert decode_action(dump(action)) == action
