import copy

import pytest

from nightdesk.normalizers.trend_vision_one.functions import FUNCTIONS


def _indicator(field: str, value: object, *filters: str, kind: str = "command_line") -> dict[str, object]:
    return {"type": kind, "field": field, "value": value, "filterIds": list(filters)}


def test_what_one_filter_saw_once_is_one_process_tree() -> None:
    alert = {
        "indicators": [
            _indicator("processCmd", "a.exe", "F1"),
            _indicator("processPid", 7, "F1", kind="process_id"),
            _indicator("parentCmd", "b.exe", "F1"),
            _indicator("processCmd", "a.exe", "F1"),
        ]
    }
    before = copy.deepcopy(alert)
    made = FUNCTIONS["told_apart"](alert)
    assert made["observed"] == [
        {"filter": "F1", "process": {"cmd": "a.exe", "pid": "7"}, "parent": {"cmd": "b.exe"}},
    ]
    assert alert == before


def test_of_several_values_nobody_knows_which_belongs_to_which() -> None:
    indicators = [
        _indicator("objectCmd", "one.exe", "F1"),
        _indicator("objectCmd", "two.exe", "F1"),
        _indicator("processCmd", "a.exe", "F1", "F2"),
    ]
    assert FUNCTIONS["told_apart"]({"indicators": indicators})["observed"] == [
        {"filter": "F1", "process": {"cmd": "a.exe"}},
        {"filter": "F1 cmd 0", "object": {"cmd": "one.exe"}},
        {"filter": "F1 cmd 1", "object": {"cmd": "two.exe"}},
        {"filter": "F2", "process": {"cmd": "a.exe"}},
    ]


def test_hosts_stand_apart_from_texts() -> None:
    host = {"guid": "g", "name": "ws-7", "ips": []}
    alert = {
        "impactScope": {"entities": [{"entityType": "host", "entityValue": host}, {"entityValue": "acme\\ida"}, 7]}
    }
    made = FUNCTIONS["told_apart"](alert)["impactScope"]["entities"]
    assert made == [{"entityType": "host", "host": host}, {"entityValue": "acme\\ida"}, 7]


def test_an_indicator_of_the_company_itself_is_nobody_s_address() -> None:
    found = FUNCTIONS["told_apart"](
        {"indicators": [_indicator("endpointIp", "10.0.0.7", kind="ip"), _indicator("dst", "192.0.2.7", kind="ip")]}
    )["indicators"]
    assert "of" not in found[0]
    assert found[1]["of"] == {"ip": "192.0.2.7"}


def test_the_event_of_a_technique_stands_beside_its_filters() -> None:
    document = {"uuid": "outer", "filters": [], "detail": {"uuid": "inner", "processCmd": "a.exe"}}
    made = FUNCTIONS["lifted"](document)
    assert made == {"uuid": "outer", "filters": [], "processCmd": "a.exe", "eventUuid": "inner"}
    plain = {"uuid": "outer", "detail": "redacted"}
    assert FUNCTIONS["lifted"](plain) is plain


def test_the_highest_risk_counts() -> None:
    assert FUNCTIONS["highest"]([{"riskLevel": "low"}, {"riskLevel": "HIGH"}, {"riskLevel": None}, 7]) == "high"
    assert FUNCTIONS["highest"]([{"riskLevel": "violet"}]) is None
    assert FUNCTIONS["highest"](None) is None


@pytest.mark.parametrize(
    ("record", "done"),
    [
        ({"act": ["Block"]}, "blocked"),
        ({"act": "Quarantine", "actResult": ["Quarantined successfully"]}, "quarantined"),
        ({"act": ["Clean"], "actResult": ["Unable to clean file"]}, None),
        ({"act": ["Quarantine"], "actResult": "Unsuccessful"}, None),
        ({"act": ["Log", "Terminate"]}, "killed"),
        ({"act": ["Pass"]}, "allowed"),
        ({"act": {"a": 1}}, None),
        ("redacted", None),
    ],
)
def test_an_action_counts_when_it_succeeded(record: object, done: str | None) -> None:
    assert FUNCTIONS["stopped"](record) == done
