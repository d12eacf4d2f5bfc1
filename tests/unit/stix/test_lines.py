import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.stix.lines import is_line, read_line

CEF = (
    "<134>Nov 20 2026 08:00:01 gate01 CEF:0|ACME|Gate \\| Keeper|7.1|4711|Beacon \\\\ seen|8|"
    "src=192.0.2.7 dst=2001:db8::9 spt=51000 dpt=443 msg=said a\\=b and more\\nnext cs1Label=Rule Name cs1=Outbound 7"
)


def test_a_cef_line_becomes_header_pairs_and_labelled_fields() -> None:
    found = read_line(CEF)
    assert found["syslog"] == {"priority": 134, "timestamp": "Nov 20 2026 08:00:01", "host": "gate01"}
    assert found["cef"] == {
        "version": "0", "device_vendor": "ACME", "device_product": "Gate | Keeper", "device_version": "7.1",
        "signature_id": "4711", "name": "Beacon \\ seen", "severity": "8",
    }  # fmt: skip
    assert found["extension"] == {
        "src": "192.0.2.7", "dst": "2001:db8::9", "spt": "51000", "dpt": "443", "msg": "said a=b and more\nnext",
    }  # fmt: skip
    assert found["custom"] == {"Rule Name": "Outbound 7"}


def test_two_fields_with_one_label_both_stay() -> None:
    found = read_line("CEF:0|A|B|1|1|n|1|cs1Label=Name cs1=one cs2Label=Name cs2=two")
    assert found["custom"] == {"Name": "one"}
    assert found["extension"] == {"cs2Label": "Name", "cs2": "two"}


def test_a_cef_value_may_hold_blanks_and_an_equals_sign_of_no_key() -> None:
    assert read_line("CEF:0|A|B|1|1|n|1|request=https://example.com/?a=1&b=2 act=blocked now")["extension"] == {
        "request": "https://example.com/?a=1&b=2", "act": "blocked now",
    }  # fmt: skip


def test_text_before_the_first_pair_is_kept() -> None:
    assert read_line("CEF:0|A|B|1|1|n|1|free words act=x")["extension"] == {"_before": "free words", "act": "x"}
    assert read_line("CEF:0|A|B|1|1|n|1|free words")["extension"] == {"_before": "free words"}


@pytest.mark.parametrize(
    ("line", "attributes"),
    [
        ("LEEF:1.0|ACME|Gate|7|e1|src=192.0.2.7\tusr=ida lo\tsev=8", {"src": "192.0.2.7", "usr": "ida lo", "sev": "8"}),
        ("LEEF:2.0|ACME|Gate|7|e1|^|src=192.0.2.7^sev=8", {"src": "192.0.2.7", "sev": "8"}),
        ("LEEF:2.0|ACME|Gate|7|e1|x09|src=192.0.2.7\tsev=8", {"src": "192.0.2.7", "sev": "8"}),
        ("LEEF:2.0|ACME|Gate|7|e1|0x7C|src=192.0.2.7|sev=8", {"src": "192.0.2.7", "sev": "8"}),
        ("LEEF:2.0|ACME|Gate|7|e1|src=192.0.2.7\tsev=8", {"src": "192.0.2.7", "sev": "8"}),
        ("LEEF:1.0|ACME|Gate|7|e1|src=192.0.2.7 sev=8", {"src": "192.0.2.7", "sev": "8"}),
        ("LEEF:1.0|ACME|Gate|7|e1|src=192.0.2.7\tstray\t", {"src": "192.0.2.7", "_before": "stray"}),
    ],
)  # fmt: skip
def test_a_leef_line_is_taken_apart_at_its_own_delimiter(line: str, attributes: dict[str, str]) -> None:
    found = read_line("<13>1 2026-11-20T08:00:01Z gate01 app 7 id1 - " + line)
    version = "2.0" if "LEEF:2" in line else "1.0"
    assert found["leef"] == {
        "version": version, "vendor": "ACME", "product": "Gate", "product_version": "7", "event_id": "e1",
    }  # fmt: skip
    assert found["attributes"] == attributes
    assert found["syslog"]["timestamp"] == "2026-11-20T08:00:01Z"
    assert found["syslog"]["msgid"] == "id1"


def test_json_behind_a_header_keeps_its_own_keys() -> None:
    found = read_line('<13>Nov 20 08:00:01 brain vectra[77]: -: {"id": 7, "note": "CEF:0|x|"}')
    assert found["id"] == 7
    assert found["note"] == "CEF:0|x|"
    assert found["syslog"]["app"] == "vectra"
    assert found["syslog"]["message"] == "-:"


def test_what_has_no_form_is_a_message() -> None:
    assert read_line("something happened {not json") == {"message": "something happened {not json"}
    assert read_line("<13>Nov 20 08:00:01 h something")["message"] == "something"


def test_only_one_line_that_is_no_json_is_a_line() -> None:
    assert is_line("CEF:0|a")
    assert not is_line(' {"a": 1}')
    assert not is_line("a\nb")
    assert not is_line("  ")


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    for line in (text, f"CEF:0|{text}", f"LEEF:2.0|{text}", f"CEF:0|a|b|c|d|e|1|{text}", f"<1>1 {text}"):
        found = read_line(line)
        assert isinstance(found, dict)
        json.dumps(found)


@pytest.mark.parametrize("part", ["a=", "\\", "|", "a ", " a=b", "[", "]\\", "<1>"])
def test_a_megabyte_is_read_in_linear_time(part: str) -> None:
    text = part * (1_000_000 // len(part))
    assert read_line(f"CEF:0|a|b|c|d|e|1|{text}")["cef"]["name"] == "e"
    assert read_line(f"LEEF:1.0|a|b|c|d|{text}")["leef"]["event_id"] == "d"
    read_line(f"<1>1 - - - - - [{text}")


def test_a_label_of_a_label_takes_its_field_once_and_breaks_nothing() -> None:
    made = read_line("CEF:0|V|P|1|7|Name|5|cs1LabelLabel=Threat cs1Label=Subject cs1=Invoice")
    assert made["custom"] == {"Threat": "Subject"}
    assert made["extension"] == {"cs1": "Invoice"}
