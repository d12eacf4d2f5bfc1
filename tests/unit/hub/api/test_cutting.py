import hashlib

import pytest

from nightdesk.hub.api.cutting import cut, pieces


def _cut(body: bytes) -> tuple[list[bytes], list[tuple[bytes, str]]]:
    batch = cut(body, source="edr-main", product="acme_edr")
    return [record.payload for record in batch.records], [(item.payload, item.pointer) for item in batch.failures]


@pytest.mark.parametrize(
    "body",
    [
        b'[{"a":1},{"b": "\xc3\xa9"}]',
        b'{"a":1}\n{"b": "\xc3\xa9"}\n',
        b'{"a":1}{"b": "\xc3\xa9"}',
        b'\xef\xbb\xbf{"a":1}\r\n\r\n{"b": "\xc3\xa9"}',
        b' [ {"a":1} , {"b": "\xc3\xa9"} ] ',
        b'\x1e{"a":1}\n\x1e{"b": "\xc3\xa9"}\n',
    ],
)
def test_every_form_of_body_gives_the_same_verbatim_records(body: bytes) -> None:
    assert _cut(body) == ([b'{"a":1}', b'{"b": "\xc3\xa9"}'], [])


def test_a_record_is_known_by_the_hash_of_its_bytes() -> None:
    batch = cut(b'{"a":1}', source="edr-main", product="acme_edr")
    assert batch.records[0].key == hashlib.sha256(b'{"a":1}').hexdigest()
    assert batch.records[0].product == "acme_edr"
    assert batch.cursor is None


def test_a_pretty_printed_object_is_one_record() -> None:
    body = b'{\n  "a": [\n    {"b": 1}\n  ]\n}'
    assert _cut(body) == ([body], [])


def test_a_bad_line_is_set_aside_with_its_offset_and_the_next_line_is_read() -> None:
    assert _cut(b'{"a":1}\n{"b":\n{"c":3}\n') == ([b'{"a":1}', b'{"c":3}'], [(b'{"b":', "@8")])


def test_a_truncated_array_keeps_what_was_whole_and_the_rest_as_bytes() -> None:
    assert _cut(b'[{"a":1},{"b":"tru') == ([b'{"a":1}'], [(b'{"b":"tru', "@9")])


def test_an_array_cut_off_between_two_elements_is_seen() -> None:
    records, failures = _cut(b'[{"a":1},')
    assert records == [b'{"a":1}']
    assert [pointer for _, pointer in failures] == ["@9"]
    assert failures[0][0]


@pytest.mark.parametrize("body", [b"null", b'"text"', b"[1]", b"true", b"NaN"])
def test_what_is_no_object_is_set_aside(body: bytes) -> None:
    records, failures = _cut(body)
    assert (records, len(failures)) == ([], 1)


def test_bytes_that_are_no_utf8_are_set_aside_alone() -> None:
    assert _cut(b'{"a":"\xff"}\n{"b":1}') == ([b'{"b":1}'], [(b'{"a":"\xff"}', "@0")])


def test_a_number_too_long_to_be_read_is_set_aside_alone() -> None:
    long = b'{"n":' + b"9" * 5000 + b"}"
    assert _cut(b'[{"a":1},' + long + b',{"b":2}]') == ([b'{"a":1}', b'{"b":2}'], [(long, "@9")])


def test_a_body_that_nests_too_deep_is_one_failure() -> None:
    body = b'{"a":' * 100_000
    assert _cut(body) == ([], [(body, "@0")])


def test_a_hostile_body_is_read_a_bounded_number_of_times() -> None:
    body = b'{"a":[\n' * 40_000
    found = list(pieces(body))
    assert len(found) < 200
    assert b"\n".join(piece.payload for piece in found) == body


def test_no_byte_but_space_and_commas_is_lost() -> None:
    body = b'{"a":1} oops {"b":2}\n{"c":3}\n]\n'
    kept = b"".join(piece.payload for piece in pieces(body))
    assert sorted(kept.replace(b" ", b"").replace(b"\n", b"")) == sorted(body.replace(b" ", b"").replace(b"\n", b""))
