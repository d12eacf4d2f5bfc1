"""Bodies as an HTTP Event Collector takes them: what is accepted, what is not, and with which code."""

import base64
import gzip
from collections.abc import Mapping

import orjson
import pytest

from nightdesk.connectors.splunk_es import Connector
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import AuthError, MappingError
from nightdesk.sdk.records import Batch
from nightdesk.sdk.secrets import Secret

TOKEN = "hec-7d1f0a33"
GOOD = {"Authorization": f"Splunk {TOKEN}"}
EVENT = {"event_id": "GUID@@notable@@aa", "status": "1", "rule_name": "Odd thing", "_indextime": "1772452800"}


def connector(*, token: str | None = TOKEN) -> Connector:
    values: dict[str, object] = {"base_url": "https://splunk.example.com:8089", "token": Secret.literal("other")}
    if token is not None:
        values["hec_token"] = Secret.literal(token)
    return Connector(Context("acme", "splunk-1", Settings(values)))


def receive(body: bytes, headers: Mapping[str, str] = GOOD) -> Batch:
    return connector().receive("hec", headers, body)


def envelope(event: object = EVENT, **fields: object) -> bytes:
    return orjson.dumps({"time": 1772452800.5, "host": "sh-1", "sourcetype": "stash", "event": event, **fields})


def test_concatenated_envelopes_become_one_record_each() -> None:
    other = {**EVENT, "event_id": "GUID@@notable@@bb"}
    batch = receive(envelope() + envelope(other) + b"\r\n  " + envelope({**EVENT, "event_id": "GUID@@notable@@cc"}))
    assert [record.native_id[-2:] for record in batch.records] == ["aa", "bb", "cc"]
    assert {record.product for record in batch.records} == {"splunk_es"}
    assert batch.failures == []
    assert batch.cursor is None


def test_the_payload_is_the_events_own_bytes() -> None:
    text = '{ "event_id" : "G@@notable@@1",  "n": 1.0e2, "name": "Z\\u00fcrich \u65e5", "n": [1, {"a":"}{"}] }'
    batch = receive(f'{{"event":{text} , "fields": {{}} }}'.encode())
    assert batch.records[0].payload == text.encode()


def test_the_same_notable_has_the_same_key_whatever_carries_it() -> None:
    keys = {
        receive(body).records[0].key
        for body in (envelope(), envelope(orjson.dumps(EVENT).decode()), orjson.dumps(EVENT), envelope(host="sh-2"))
    }
    assert len(keys) == 1
    assert receive(envelope({**EVENT, "status": "2"})).records[0].key not in keys


def test_an_event_that_is_json_in_a_string_is_taken_out_of_it() -> None:
    inner = '{"event_id":"G@@notable@@1"}'
    assert receive(envelope(inner)).records[0].payload == inner.encode()


def test_lines_for_the_raw_endpoint_are_rows_without_an_envelope() -> None:
    second = {**EVENT, "event_id": "G@@notable@@2", "host": "sh-1", "time": "1"}
    batch = receive(orjson.dumps(EVENT) + b"\n" + orjson.dumps(second) + b"\n")
    assert [record.native_id for record in batch.records] == [EVENT["event_id"], "G@@notable@@2"]
    assert batch.records[1].payload == orjson.dumps(second)


def test_an_event_without_an_id_keeps_its_bytes_and_gets_a_key_that_repeats() -> None:
    body = envelope({"_raw": "1772452800, search_name=x", "_serial": "4"})
    again = envelope({"_raw": "1772452800, search_name=x", "_serial": "9"})
    assert receive(body).records[0].native_id == ""
    assert receive(body).records[0].key == receive(again).records[0].key
    assert receive(body).records[0].key != receive(envelope({"_raw": "another"})).records[0].key


def test_a_gzipped_body_is_unpacked_whatever_the_header_is_called() -> None:
    headers = {"authorization": GOOD["Authorization"], "CONTENT-ENCODING": "gzip"}
    assert len(receive(gzip.compress(envelope() * 3), headers).records) == 3


@pytest.mark.parametrize(
    ("body", "coding", "text"),
    [
        (gzip.compress(envelope())[:-9], "gzip", "breaks off"),
        (b"no gzip at all", "gzip", "broken gzip"),
        (gzip.compress(b" " * (64 * 1024 * 1024 + 1)), "gzip", "larger than 64 MiB"),
        (envelope(), "br", "is not gzip"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_named(body: bytes, coding: str, text: str) -> None:
    with pytest.raises(MappingError, match=text) as caught:
        receive(body, {**GOOD, "Content-Encoding": coding})
    assert "HEC code 6" in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_is_code_5(body: bytes) -> None:
    with pytest.raises(MappingError, match=r"No data \(HEC code 5\)"):
        receive(body)


def test_bytes_that_are_no_text_are_code_6_with_their_place() -> None:
    with pytest.raises(MappingError, match="code 6") as caught:
        receive(b'{"event":{"a":"\xff"}}')
    assert caught.value.pointer == "@15"


@pytest.mark.parametrize(
    "rest",
    [
        b'{"event":{"a":1}',
        b'{"event":{"a":}}',
        b"[1]",
        b"oops",
        b'{"event":{"a":NaN}}',
        b'{"event":{},}',
        b"{" * 9,
        b'{"a" 1}',
    ],
)
def test_what_stands_before_a_broken_event_is_accepted_and_the_rest_is_kept(rest: bytes) -> None:
    batch = receive(envelope() + envelope() + rest + envelope())
    assert len(batch.records) == 2
    (failure,) = batch.failures
    assert failure.payload == rest + envelope()
    assert "Invalid data format (HEC code 6); invalid-event-number 2" in str(failure.error)


def test_a_nesting_too_deep_to_read_is_a_failure_and_not_a_crash() -> None:
    batch = receive(envelope() + b'{"event":' + b"[" * 200_000)
    assert len(batch.records) == 1
    assert "invalid-event-number 1" in str(batch.failures[0].error)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b'{"time":1,"host":"a","fields":{}}', "HEC code 12"),
        (b'{"event":""}', "HEC code 13"),
        (b'{"event":null}', "HEC code 13"),
        (b'{"event":{}}', "HEC code 13"),
        (b'{"event":"plain text"}', "HEC code 6"),
        (b'{"event":[1]}', "HEC code 6"),
        (b'{"event":7}', "HEC code 6"),
        (b'{"event":{"_raw":"\\ud800"}}', "HEC code 6"),
        (b'{"event":"{\\"a\\":\\"\\ud800\\"}"}', "HEC code 6"),
    ],
)
def test_an_event_that_is_no_notable_fails_alone(bad: bytes, code: str) -> None:
    batch = receive(envelope() + bad + envelope({**EVENT, "status": "5"}))
    assert len(batch.records) == 2
    (failure,) = batch.failures
    assert failure.payload == bad
    assert code in str(failure.error)
    assert "invalid-event-number 1" in str(failure.error)


@pytest.mark.parametrize("body", [b"{", b'{"event":null}', b'{"time":1}', b"text=of a raw line"])
def test_a_body_without_any_readable_event_is_an_error(body: bytes) -> None:
    with pytest.raises(MappingError, match="invalid-event-number 0"):
        receive(body)


@pytest.mark.parametrize(
    "value", [f"Splunk {TOKEN}", f"splunk {TOKEN}", "Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode()]
)
def test_the_token_is_taken_from_the_header_in_either_way(value: str) -> None:
    assert receive(envelope(), {"Authorization": value}).records


@pytest.mark.parametrize(
    ("headers", "text", "status"),
    [
        ({}, "Token is required (HEC code 2)", 401),
        ({"Authorization": "Bearer x"}, "Invalid authorization (HEC code 3)", 401),
        ({"Authorization": "Splunk"}, "Invalid authorization (HEC code 3)", 401),
        ({"Authorization": "Basic !!"}, "Invalid authorization (HEC code 3)", 401),
        ({"Authorization": "Splunk wrong"}, "Invalid token (HEC code 4)", 403),
        ({"Authorization": f"Splunk {TOKEN}x"}, "Invalid token (HEC code 4)", 403),
        ({"Authorization": "Splunk \u00fc"}, "Invalid token (HEC code 4)", 403),
        ({"Authorization": "Basic " + base64.b64encode(b"x:y").decode()}, "Invalid token (HEC code 4)", 403),
        ({"token": TOKEN, "X-Query": f"?token={TOKEN}"}, "Token is required (HEC code 2)", 401),
    ],
)
def test_a_missing_or_wrong_token_is_refused_before_the_body_is_looked_at(
    headers: dict[str, str], text: str, status: int
) -> None:
    with pytest.raises(AuthError) as caught:
        receive(b"not even JSON", headers)
    assert text in str(caught.value)
    assert caught.value.status == status
    assert TOKEN not in str(caught.value)


def test_without_a_configured_token_everything_is_refused() -> None:
    with pytest.raises(AuthError, match=r"Token disabled \(HEC code 1\)"):
        connector(token=None).receive("hec", GOOD, envelope())
