import json
from typing import Any

import orjson
import pytest
from stix2validator import ValidationOptions, validate_instance
from tests.goldens import ACME, normalizer

from nightdesk.sdk.errors import ConfigError, MappingError
from nightdesk.stix.normalize import AUTO, parse


def an_alert(**changes: Any) -> dict[str, Any]:
    alert: dict[str, Any] = {
        "composite_id": "c1:ind:a1:1",
        "cid": "c1",
        "created_timestamp": "2026-11-20T08:00:00.123456789Z",
        "updated_timestamp": "2026-11-20T08:00:01Z",
        "timestamp": "2026-11-20T07:59:59Z",
        "display_name": "Encoded script",
        "severity": 70,
        "severity_name": "High",
        "status": "new",
        "agent_id": "a1",
        "device": {"device_id": "a1", "hostname": "WS-0042", "local_ip": "10.20.4.42"},
        "cmdline": "powershell -enc SQBFAFgA",
        "filename": "powershell.exe",
        "sha256": "ab" * 32,
        "user_name": "jdoe",
    }
    return {**alert, **changes}


def normalized(alert: Any) -> Any:
    payload = alert if isinstance(alert, bytes) else json.dumps(alert).encode()
    return normalizer().normalize("crowdstrike_falcon", payload, ACME)


def assert_valid(bundle: bytes) -> None:
    result = validate_instance(orjson.loads(bundle), ValidationOptions(version="2.1", strict_properties=True))
    assert result.is_valid, [str(error) for error in result.errors]


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        (b'{"composite_id": "c1", "created_timestamp": "2026', "@"),
        (b"", "@0"),
        (b'{"a": "\xff"}', "@7"),
        (b'{"a": 1}\n<html>', "@9"),
    ],
)
def test_what_does_not_parse_is_refused_with_its_byte_offset(payload: bytes, pointer: str) -> None:
    with pytest.raises(MappingError) as caught:
        normalized(payload)
    assert caught.value.pointer.startswith(pointer)


@pytest.mark.parametrize("payload", [b"[]", b"null", b'"text"', b"7"])
def test_what_is_no_object_is_refused_at_its_root(payload: bytes) -> None:
    with pytest.raises(MappingError, match="an alert is an object") as caught:
        normalized(payload)
    assert caught.value.pointer == "/"


@pytest.mark.parametrize("depth", [5_000, 100_000])
def test_a_payload_that_is_nested_without_end_is_refused(depth: int) -> None:
    deep = b'{"composite_id": "c1", "created_timestamp": "x", "deep": ' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(MappingError):
        normalized(deep)


def test_a_hundred_levels_are_read_and_reported() -> None:
    deep: Any = "end"
    for _ in range(100):
        deep = {"d": deep}
    made = normalized(an_alert(deep=deep))
    assert "deep" in made.loss.lost
    assert_valid(made.bundle)


def test_an_alert_without_an_id_or_a_time_is_no_alert() -> None:
    with pytest.raises(MappingError):
        normalized({**an_alert(), "composite_id": None})
    with pytest.raises(MappingError, match="without a time"):
        normalized(an_alert(created_timestamp="yesterday", timestamp="never"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("severity_name", {"word": "High"}),
        ("display_name", ["two", "titles"]),
        ("confidence", "much"),
        ("updated_timestamp", "2026-99-99"),
        ("device", "a text"),
        ("status", "a word nobody knows"),
        ("sha256", "no hash"),
    ],
)
def test_a_wrong_value_is_reported_and_makes_the_autonomy_abstain(field: str, value: Any) -> None:
    made = normalized(an_alert(**{field: value}))
    assert any(pointer.startswith(f"/{field}") for pointer, _, _ in made.loss.wrong), made.loss.wrong
    assert made.alert.caution
    assert_valid(made.bundle)


def test_nan_is_no_number_and_is_reported() -> None:
    payload = json.dumps(an_alert(confidence=float("nan"))).encode()
    made = normalized(payload)
    assert any(found == "NaN" for _, _, found in made.loss.wrong)


def test_a_duplicate_key_is_reported() -> None:
    payload = json.dumps(an_alert()).encode()[:-1] + b', "status": "closed"}'
    made = normalized(payload)
    assert ("/status", "a key that stands once", "duplicate") in made.loss.wrong


def test_text_that_looks_like_a_key_is_no_duplicate() -> None:
    made = normalized(an_alert(cmdline='echo "status": "closed"'))
    assert made.loss.wrong == ()


def test_lone_surrogates_survive_as_escapes() -> None:
    payload = json.dumps(an_alert()).encode().replace(b"Encoded script", b"Encoded \\ud800 script")
    made = normalized(payload)
    assert "\\ud800" in made.alert.title
    assert_valid(made.bundle)


def test_utf_16_and_a_byte_order_mark_are_read() -> None:
    text = json.dumps(an_alert())
    assert normalized(text.encode("utf-16")).alert.title == "Encoded script"
    assert normalized(b"\xef\xbb\xbf" + text.encode()).alert.title == "Encoded script"


_HOSTILE = (
    "\u202egnp.exe",
    "a\x00b",
    "\x1b[31m",
    "{{7*7}}",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "x" * 1_000_000,
)


@pytest.mark.parametrize("text", _HOSTILE, ids=range(len(_HOSTILE)))
def test_hostile_text_survives_as_data(text: str) -> None:
    made = normalized(an_alert(display_name=text))
    assert made.alert.title == text
    assert_valid(made.bundle)


@pytest.mark.slow
def test_fifty_megabytes_are_read() -> None:
    made = normalized(an_alert(cmdline="x" * 50_000_000))
    assert len(made.bundle) > 50_000_000


def test_more_than_the_largest_alert_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(MappingError, match="largest alert"):
        parse(b" " * (64 * 1024 * 1024 + 1))


def test_what_no_mapping_knows_is_read_by_its_keys_and_makes_the_autonomy_abstain() -> None:
    made = normalizer().normalize(AUTO, b'{"nobody": "knows", "src_ip": "192.0.2.7"}', ACME)
    assert (made.product, made.mapping, made.loss.product) == ("unmapped", None, "unmapped")
    assert [entity.value for entity in made.alert.entities] == ["192.0.2.7"]
    assert made.alert.caution
    assert_valid(made.bundle)


def test_a_product_that_is_named_sets_a_form_it_does_not_know_aside() -> None:
    with pytest.raises(MappingError, match=r"none of its forms: .*alerts/entities"):
        normalized({"nobody": "knows"})


def test_an_unknown_product_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match="splunk_es"):
        normalizer().normalize("acme_edr", b"{}", ACME)


def test_a_revoked_technique_leads_to_its_successor_and_both_are_kept() -> None:
    made = normalized(an_alert(technique_id="T1562.001"))
    assert made.alert.techniques == ("T1685",)
    assert b'"attack_ids_as_sent":"T1562.001"' in made.bundle
