import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.sdk.verbatim import cut

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_each_element_is_given_as_the_vendor_wrote_it() -> None:
    body = b'{"meta": {"n": 2}, "value": [ {"a":1.0,  "b": "\\u00e9"} , 7 ], "next": null}'
    assert cut(body, "value") == [({"a": 1.0, "b": "é"}, b'{"a":1.0,  "b": "\\u00e9"}'), (7, b"7")]


def test_an_array_is_found_inside_objects_and_at_the_top() -> None:
    assert cut(b' {"data": {"list": [1, 2]}}', "data", "list") == [(1, b"1"), (2, b"2")]
    assert cut(b" [ ] ") == []
    assert cut(b"[null]") == [(None, b"null")]


def test_of_a_key_given_twice_the_last_counts() -> None:
    assert cut(b'{"v": [1], "v": [2]}', "v") == [(2, b"2")]


def test_a_path_that_leads_nowhere_has_no_elements() -> None:
    for body in (b"{}", b'{"v": null}', b'{"v": {"w": null}}', b'{"v": 3}', b"[1]"):
        assert cut(body, "v", "w") == []


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"v": [1,', b'{"v": 3}', b'{"v": {}}', b"\xff[]", b"[" * 100_000])
def test_what_is_no_array_of_json_is_said_so(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        cut(body, "v")


@given(st.dictionaries(st.text(), _JSON, max_size=4), st.lists(_JSON, max_size=5), st.sampled_from([None, 1]))
def test_any_document_is_cut_into_what_a_decoder_sees(
    around: dict[str, object], wanted: list[object], indent: int | None
) -> None:
    body = json.dumps({**around, "items": wanted, "after": 1}, indent=indent).encode()
    found = cut(body, "items")
    assert [value for value, _ in found] == wanted
    assert [json.loads(raw) for _, raw in found] == wanted
