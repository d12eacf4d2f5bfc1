from typing import Any

import pytest

from nightdesk.normalizers.splunk_es.functions import FUNCTIONS
from nightdesk.stix.functions import address_id

OUT = {"src": "WS-1", "src_ip": ["10.0.0.1", "2001:db8::1"], "dest": "2001:DB8::80"}
IN = {"src": "192.0.2.17", "dest": "10.0.0.9", "dest_ip": ["10.0.0.9"]}
ACROSS = {"src": "WS-1", "src_ip": "10.0.0.1", "dest": "SRV-2", "dest_ip": "10.0.0.2"}


def test_one_machine_under_several_names_is_one_machine() -> None:
    row = {"dest": "ws-1.corp.example.com", "dest_nt_host": "WS-1", "dest_dns": "ws-1.corp.example.com"}
    assert FUNCTIONS["victim"](row) == "ws-1.corp.example.com"
    assert FUNCTIONS["victims"](row) == []


def test_several_machines_stand_in_order_and_fillers_are_none() -> None:
    row = {"dest": ["WS-1", "unknown", "10.0.0.9", "WS-2", "-"]}
    assert FUNCTIONS["victim"](row) == "WS-1"
    assert FUNCTIONS["victims"](row) == ["WS-2"]


def test_the_far_end_of_a_machine_that_calls_out_is_the_destination() -> None:
    assert FUNCTIONS["caller"](OUT) == "WS-1"
    assert FUNCTIONS["sources"](OUT) == []
    assert FUNCTIONS["far"](OUT) == ["2001:db8::80"]
    assert FUNCTIONS["near"](OUT) == ["10.0.0.1", "2001:db8::1"]


def test_the_far_end_of_a_call_from_nowhere_is_the_source() -> None:
    assert FUNCTIONS["caller"](IN) is None
    assert FUNCTIONS["far"](IN) == ["192.0.2.17"]
    assert FUNCTIONS["near"](IN) == ["10.0.0.9"]


def test_between_two_machines_of_the_company_no_address_is_an_attackers() -> None:
    assert FUNCTIONS["sources"](ACROSS) == ["WS-1"]
    assert FUNCTIONS["far"](ACROSS) == []
    assert FUNCTIONS["near"](ACROSS) == ["10.0.0.2", "10.0.0.1"]


def test_a_machine_is_not_the_source_of_itself() -> None:
    assert FUNCTIONS["sources"]({"src": "WS-1", "dest": "ws-1.corp.example.com"}) == []


def test_both_ends_of_a_connection_are_of_one_family() -> None:
    assert FUNCTIONS["flow"](OUT, "src") == address_id("2001:db8::1")
    assert FUNCTIONS["flow"](OUT, "dest") == address_id("2001:db8::80")
    assert FUNCTIONS["flow"]({"src": "10.0.0.1", "dest": "2001:db8::80"}, "src") is None


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"search_name": "Endpoint - Malware - Rule", "signature": ["A", "B"]}, ["A", "B"]),
        ({"orig_tag": ["malware"], "signature": "A"}, ["A"]),
        ({"search_name": "Access - Logon - Rule", "signature": "An account was logged on"}, []),
    ],
)
def test_a_signature_is_malware_only_where_the_row_is_about_malware(row: dict[str, Any], names: list[str]) -> None:
    assert FUNCTIONS["malware_names"](row) == names


def test_the_files_hash_is_the_images_only_where_both_are_one_file() -> None:
    same = {"file_name": "a.exe", "process_name": "a.exe", "file_hash": "ab" * 32}
    assert FUNCTIONS["own_hashes"](same) == ["ab" * 32]
    assert FUNCTIONS["own_hashes"]({**same, "file_path": "C:\\b\\a.exe", "process_path": "C:\\a.exe"}) == []
    assert FUNCTIONS["one_file"]({"file_name": "b.dll", "process_name": "a.exe"}) is None


def test_a_risk_object_is_paired_with_its_own_type() -> None:
    row = {"risk_object": ["WS-1", "ida"], "risk_object_type": ["system", "user"]}
    assert FUNCTIONS["of_kind"](row, "risk_object", "user") == ["ida"]
    row["risk_object_type"] = ["user"]
    assert FUNCTIONS["of_kind"](row, "risk_object", "user") == ["WS-1", "ida"]
    row["risk_object_type"] = ["user", "system", "other"]
    assert FUNCTIONS["of_kind"](row, "risk_object", "user") == []


def test_a_row_without_a_macro_is_named_by_its_place() -> None:
    assert FUNCTIONS["place"]({"_bkt": "notable~1~GUID", "_cd": "1:7"}) == "notable~1~GUID:1:7"
    assert FUNCTIONS["place"]({"_cd": "1:7"}) is None


def test_techniques_are_found_in_json_texts() -> None:
    assert FUNCTIONS["technique_ids"]('{"mitre_attack":["T1059.001","T1204"]}') == ["T1059.001", "T1204"]
    assert FUNCTIONS["technique_ids"](7) == []


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("known", "Unknown", None),
        ("known", "ida", "ida"),
        ("known", None, None),
        ("if_mail", "ida@example.com", "ida@example.com"),
        ("if_mail", "ida", None),
        ("if_login", "ida@example.com", None),
        ("if_login", "ida", "ida"),
        ("if_url", "https://example.com/a", "https://example.com/a"),
        ("if_url", "example.com/a", None),
        ("if_time", "1795168790.5", "1795168790.5"),
        ("if_time", "2026-11-20T10:00:00", None),
        ("if_category", "modnotable", None),
        ("if_category", "authentication", "authentication"),
        ("further", ["a"], []),
    ],
)
def test_a_field_says_what_it_holds(name: str, value: Any, read: Any) -> None:
    assert (FUNCTIONS[name]({"x": value}, "x") if name == "further" else FUNCTIONS[name](value)) == read


@pytest.mark.parametrize("name", ["victim", "victims", "caller", "sources", "far", "near", "malware_names", "place"])
@pytest.mark.parametrize("row", [None, [], "row", {}, {"dest": 7, "src": {"a": 1}, "_cd": None, "signature": [None]}])
def test_nothing_is_made_of_nothing(name: str, row: object) -> None:
    assert not FUNCTIONS[name](row)
