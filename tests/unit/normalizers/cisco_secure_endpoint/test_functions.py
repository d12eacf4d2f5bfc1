from typing import Any

import pytest

from nightdesk.normalizers.cisco_secure_endpoint.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (None, "", 0, 1.5, True, [], {}, [[]], [{}], {"a": {}}, "\x00")


def test_what_shares_a_rounded_id_is_told_apart() -> None:
    found = {"id": 7001122334455667000, "event_type_id": 1, "detection_id": "7", "connector_guid": "g"}
    stopped = {**found, "event_type_id": 2}
    assert FUNCTIONS["event_key"](found) == "7001122334455667000/1/7/g"
    assert FUNCTIONS["event_key"](stopped) != FUNCTIONS["event_key"](found)


def test_a_hunt_without_an_id_goes_by_its_guid() -> None:
    assert FUNCTIONS["event_key"]({"threat_hunting": {"incident_hunt_guid": "h"}, "event_type_id": 3}) == "h/3"
    assert FUNCTIONS["event_key"]({"event_type_id": 3, "connector_guid": "g"}) is None


def test_the_fraction_of_a_second_is_kept_in_its_place() -> None:
    assert FUNCTIONS["moment"]({"timestamp": 1795363057, "timestamp_nanoseconds": 5000}) == "1795363057.000005000"
    assert FUNCTIONS["moment"]({"timestamp": 1795363057, "timestamp_nanoseconds": "n/a"}) is None
    assert FUNCTIONS["moment"]({"timestamp": 1795363057}) is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("\\\\?\\C:\\Temp\\a.exe", "C:\\Temp\\a.exe"),
        ("/C:/Temp/a.exe", "C:\\Temp\\a.exe"),
        ("file:///C%3A/Temp/b%20c.exe", "C:\\Temp\\b c.exe"),
        ("file:///usr/bin/osascript", "/usr/bin/osascript"),
        ("/usr/bin/curl", "/usr/bin/curl"),
        ("\\\\server\\share\\a.exe", "\\\\server\\share\\a.exe"),
        ("", None),
        (7, None),
    ],
)
def test_a_path_is_written_as_the_machine_writes_it(written: object, read: str | None) -> None:
    assert FUNCTIONS["local_path"](written) == read


@pytest.mark.parametrize(
    ("written", "name", "domain"),
    [("ida@CORP", "ida", "CORP"), ("ida", "ida", None), ("Not Available", None, None), (["ida"], None, None)],
)
def test_a_user_is_a_name_at_a_domain(written: object, name: str | None, domain: str | None) -> None:
    assert (FUNCTIONS["user_name"](written), FUNCTIONS["user_domain"](written)) == (name, domain)


def test_an_attack_id_stands_alone_or_in_an_object() -> None:
    assert FUNCTIONS["attack_id"]("T1059 ") == "T1059"
    assert FUNCTIONS["attack_id"]({"external_id": "TA0002", "name": "Execution"}) == "TA0002"
    assert FUNCTIONS["attack_id"]({"name": "Execution"}) is None


def test_only_an_outgoing_connection_is_outward() -> None:
    assert FUNCTIONS["outward"]("Outgoing connection from") == "outward"
    assert FUNCTIONS["outward"]("Incoming connection from") is None


def test_a_key_of_every_element_is_listed_once() -> None:
    assert FUNCTIONS["listed"]([{"score": "9.3"}, {"score": 6.8}, {"score": "9.3"}, 7], "score") == "9.3, 6.8"
    assert FUNCTIONS["listed"]([{}], "score") is None


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.parametrize("value", STRANGE)
def test_no_value_of_any_kind_breaks_a_function(name: str, value: object) -> None:
    words = ["key"] if name == "listed" else []
    result = FUNCTIONS[name](value, *words)
    assert result is None or isinstance(result, str)
