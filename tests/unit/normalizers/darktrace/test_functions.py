import copy
from typing import Any

import pytest

from nightdesk.normalizers.darktrace.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (
    None, "", 0, 1.5, True, [], {}, [[]], {"model": []}, {"details": [[{"contents": 7}], 5]}, "\x00", {"did": "x"},
    {"triggeredComponents": [None, {"triggeredFilters": [5, {"filterType": "x", "trigger": {"value": []}}]}]},
)  # fmt: skip


def _event(*contents: tuple[str, str, list[Any]]) -> dict[str, Any]:
    entries = [{"key": key, "type": kind, "values": listed} for key, kind, listed in contents]
    return {"details": [[{"header": "Section", "contents": entries}]]}


def test_evidence_stands_by_what_it_is_and_as_facts() -> None:
    event = _event(
        ("Source device", "device", [{"hostname": "nb-1", "did": 7}]),
        ("Endpoint", "externalHost", [{"hostname": "c2.example.net", "ip": None}]),
        ("Username observed prior to activity", "string", ["ann"]),
        ("Source of username", "string", ["User login"]),
        ("ASN", "string", ["AS64500 Example Transit"]),
        ("Port range", "integerRange", [{"start": 1, "end": 99}]),
        ("Statuses", "ratio", [{"percentage": 50, "value": "ok"}]),
    )
    before = copy.deepcopy(event)
    made = FUNCTIONS["spread"](event)
    assert made["found"]["devices"] == [{"hostname": "nb-1", "did": 7}]
    assert made["found"]["hosts"] == [{"hostname": "c2.example.net", "ip": None}]
    assert made["found"]["users"] == ["ann"]
    assert made["found"]["networks"] == [{"number": 64500, "name": "Example Transit"}]
    assert made["facts"]["Port range"] == "1 - 99"
    assert made["facts"]["Statuses"] == "50% ok"
    assert "details" not in made
    assert event == before


def test_one_files_name_and_hash_stand_together_and_many_do_not() -> None:
    digest = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    name, other = ("File name", "string", ["a.exe"]), ("Filename", "string", ["b.exe"])
    hashed = ("SHA1 file hash", "string", [digest])
    alone = FUNCTIONS["spread"](_event(name, hashed))["found"]
    assert alone == {"whole_files": [{"path": "a.exe", "hashes": [digest]}]}
    assert FUNCTIONS["spread"](_event(name, other, hashed))["found"] == {
        "files": ["a.exe", "b.exe"],
        "hashes": [digest],
    }


def test_facts_past_the_most_are_kept_together() -> None:
    event = _event(*((f"Key {number}", "integer", [number]) for number in range(50)))
    facts = FUNCTIONS["spread"](event)["facts"]
    assert len(facts) == 31
    assert "Key 49: 49" in facts["more"]


def test_the_values_that_met_a_models_conditions_are_seen() -> None:
    filters = [
        {"filterType": "Connection hostname", "trigger": {"value": "c2.example.net"}},
        {"filterType": "Destination IP", "trigger": {"value": "203.0.113.9"}},
        {"filterType": "User agent", "trigger": {"value": "curl/8"}},
        {"filterType": "Tagged internal source", "trigger": {"value": "4", "tag": {"name": "DNS Server"}}},
    ]
    made = FUNCTIONS["observe"]({"triggeredComponents": [{"triggeredFilters": filters}]})
    assert made["found"] == {"addresses": ["203.0.113.9"], "domains": ["c2.example.net"]}
    assert made["facts"]["Tagged internal source"] == "DNS Server"
    assert made["facts"]["User agent"] == "curl/8"


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ({"category": "critical"}, "critical"),
        ({"model": {"then": {"category": "Suspicious", "priority": 4}}}, "medium"),
        ({"model": {"category": "Compliance"}}, "low"),
        ({"groupCategory": "informational"}, "informational"),
        ({"model": {"then": {"priority": 5}}}, "critical"),
        ({"model": {"priority": 4}}, "medium"),
        ({"model": {"then": {"priority": 0}}}, "informational"),
        ({}, None),
    ],
)
def test_severity_is_the_behaviour_category_or_the_priority(record: dict[str, Any], wanted: str | None) -> None:
    assert FUNCTIONS["level"](record) == wanted


def test_a_category_in_no_table_is_wrong() -> None:
    with pytest.raises(ValueError, match="noisy"):
        FUNCTIONS["level"]({"category": "Noisy"})


def test_far_ends_are_hostile_only_where_the_category_is_loud() -> None:
    assert FUNCTIONS["weighed"]({"category": "suspicious"})["hostile"] is True
    assert "hostile" not in FUNCTIONS["weighed"]({"category": "compliance"})
    assert "hostile" not in FUNCTIONS["weighed"]({"model": {"priority": 1}})
    assert "hostile" not in FUNCTIONS["weighed"]({})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10.1.2.3/24", "10.1.2.3"),
        ("203.0.113.9/32", "203.0.113.9"),
        ("2001:0DB8::1/128", "2001:db8::1"),
        ("10.11.12.0/24", None),
        ("10.0.0.#412", None),
        ("10.1.2.3/99", None),
    ],
)
def test_an_address_loses_its_prefix_and_a_network_or_a_masked_one_is_none(text: str, wanted: str | None) -> None:
    assert FUNCTIONS["plain_address"](text) == wanted


def test_an_account_of_a_cloud_service_is_no_machine() -> None:
    name = "SaaS::Slack: ann@example.com"
    assert FUNCTIONS["saas_user"](name) == "ann@example.com"
    assert FUNCTIONS["machine"](name) is None
    assert FUNCTIONS["device_id"]({"did": 3820, "hostname": name}) is None
    assert FUNCTIONS["machine"]("nb-1.example.com") == "nb-1.example.com"
    assert FUNCTIONS["device_id"]({"did": 7, "hostname": "nb-1"}) == "7"
    assert FUNCTIONS["device_id"]({"did": -1}) is None


@pytest.mark.parametrize(
    ("word", "wanted"), [("desktop", "workstation"), ("dnsserver", "server"), ("iot", "iot"), ("spaceship", None)]
)
def test_a_device_has_the_kind_of_its_type(word: str, wanted: str | None) -> None:
    assert FUNCTIONS["device_kind"](word) == wanted


def test_what_somebody_acknowledged_is_closed() -> None:
    assert FUNCTIONS["handled"]({"time": 1, "username": "ann"}) == "closed"
    assert FUNCTIONS["acknowledged"](True) == "acknowledged"
    assert FUNCTIONS["handled"](False) == "new"
    assert FUNCTIONS["acknowledged"](False) is None


def test_the_periods_give_first_and_last() -> None:
    periods = [{"start": 1793610000000, "end": 1793611000000}, {"start": 1793600000000, "end": 1793601000000}, "x"]
    assert FUNCTIONS["earliest"](periods) == 1793600000000
    assert FUNCTIONS["latest"](periods) == 1793611000000


def test_the_title_names_model_and_device() -> None:
    record = {"model": {"then": {"name": "Device::Scan"}}, "device": {"hostname": "nb-1"}}
    assert FUNCTIONS["title"](record) == "Device::Scan on nb-1"
    response = {"inhibitor": "Quarantine device", "action": "CREATE", "device": {"ip": "10.0.0.9"}}
    assert FUNCTIONS["response_title"](response) == "Quarantine device (CREATE) on 10.0.0.9"


@pytest.mark.parametrize("value", STRANGE)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_value_breaks_a_function(name: str, value: Any) -> None:
    if name in {"spread", "observe", "weighed"} and not isinstance(value, dict):
        value = {"details": value, "triggeredComponents": value, "model": value}
    FUNCTIONS[name](value)
