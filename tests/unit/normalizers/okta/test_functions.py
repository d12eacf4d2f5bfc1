"""What the Okta mapping computes beside its paths."""

from typing import Any

import pytest

from nightdesk.normalizers.okta.functions import detection, pair, people, positive, prepared, risk


def test_a_value_is_taken_out_of_the_logs_own_notation() -> None:
    assert pair("{level=HIGH, reasons=Anomalous Location}", "reasons") == "Anomalous Location"
    assert pair({"level": "LOW"}, "level") == "LOW"
    assert pair("{level=HIGH}", "reasons") is None


def test_only_behaviours_that_were_found_are_named() -> None:
    assert positive("{New Geo-Location=POSITIVE, New IP=NEGATIVE, Velocity=POSITIVE}") == [
        "New Geo-Location",
        "Velocity",
    ]
    assert positive({"New IP": "POSITIVE", "New City": "NEGATIVE"}) == ["New IP"]


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ({"eventType": "security.threat.detected"}, True),
        ({"eventType": "user.session.start", "debugContext": {"debugData": {"threatSuspected": "true"}}}, True),
        ({"eventType": "user.session.start", "debugContext": {"debugData": {"threatSuspected": "false"}}}, None),
    ],
)
def test_the_client_is_suspicious_only_where_okta_says_so(document: Any, wanted: bool | None) -> None:
    assert detection(document) is wanted


def test_the_risk_is_found_wherever_the_event_puts_it() -> None:
    assert risk({"debugContext": {"debugData": {"risk": "{level=medium}"}}}) == "MEDIUM"
    assert risk({"debugContext": {"debugData": {"logOnlySecurityData": {"risk": {"level": "HIGH"}}}}}) == "HIGH"
    assert risk({"securityContext": {"risk": {"level": "LOW"}}}) == "LOW"
    assert risk({"debugContext": {"debugData": {}}}) is None


def test_a_person_stands_once_and_the_actor_is_no_target_of_himself() -> None:
    actor = {"alternateId": "a@example.com"}
    user, same = {"type": "User", "alternateId": "b@example.com"}, {"type": "AppUser", "alternateId": "b@example.com"}
    targets = [{"type": "User", "alternateId": "a@example.com"}, same, user, {"type": "Group", "alternateId": "c"}]
    assert people(targets, actor) == [user]


def test_an_unknown_session_is_none_and_the_event_stays_as_it_was() -> None:
    document: dict[str, Any] = {"authenticationContext": {"externalSessionId": "unknown", "issuer": "i"}, "target": []}
    made = prepared(document)
    assert made["authenticationContext"] == {"externalSessionId": None, "issuer": "i"}
    assert document["authenticationContext"]["externalSessionId"] == "unknown"


@pytest.mark.parametrize(
    "value", [None, "", 0, True, [], {}, [{}], [7], {"debugContext": []}, {"target": {"type": "User"}}]
)
def test_any_value_is_taken(value: Any) -> None:
    pair(value, "level")
    positive(value)
    detection(value)
    risk(value)
    people(value, value)
    prepared(value)
    prepared({"target": value, "actor": value, "authenticationContext": value})
