from typing import Any

import orjson
import pytest

from nightdesk.sdk.errors import MappingError
from nightdesk.stix.framing import frame


def known(document: Any) -> bool:
    return isinstance(document, dict) and "id" in document


def pieces(payload: bytes) -> list[tuple[bytes, str]]:
    return [(piece.payload, piece.pointer) for piece in frame(payload, is_alert=known)]


def test_one_alert_keeps_its_very_bytes() -> None:
    assert pieces(b'{ "id" : 1 }') == [(b'{ "id" : 1 }', "/")]


def test_an_array_and_an_api_page_give_each_alert_with_its_pointer() -> None:
    assert pieces(b'[{"id":1},{"id":2}]') == [(b'{"id":1}', "/0"), (b'{"id":2}', "/1")]
    assert pieces(b'{"resources":[{"id":1}],"meta":{}}') == [(b'{"id":1}', "/resources/0")]
    assert pieces(b'{"hits":{"hits":[{"id":1}]}}') == [(b'{"id":1}', "/hits/hits/0")]


def test_lines_give_each_alert_with_its_byte_offset() -> None:
    assert pieces(b'{"id":1}\n\n{"id":2}\n') == [(b'{"id":1}', "@0"), (b'{"id":2}', "@10")]


def test_a_broken_line_is_a_piece_of_its_own_and_loses_none_of_the_others() -> None:
    found = pieces(b'{"id":1}\n{"id":\n{"id":3}')
    assert [payload for payload, _ in found] == [b'{"id":1}', b'{"id":', b'{"id":3}']


def test_an_unknown_object_stays_whole() -> None:
    assert pieces(b'{"nobody":"knows"}') == [(b'{"nobody":"knows"}', "/")]


def test_what_parses_in_no_way_is_refused() -> None:
    with pytest.raises(MappingError):
        pieces(b'{"id":')


def test_an_alert_that_has_a_list_of_its_own_is_not_taken_apart() -> None:
    alert = orjson.dumps({"id": 1, "data": [{"id": 2}]})
    assert pieces(alert) == [(alert, "/")]


def test_every_list_of_a_page_that_a_mapping_names_is_taken() -> None:
    page = orjson.dumps({"queried": "now", "sent": [{"id": 1}], "held": [{"id": 2}, {"id": 3}], "notes": [{"x": 1}]})
    found = [
        (piece.payload, piece.pointer)
        for piece in frame(page, is_alert=known, pages=[("sent",), ("held",), ("notes",), ("missing", "part")])
    ]
    assert found == [(b'{"id":1}', "/sent/0"), (b'{"id":2}', "/held/0"), (b'{"id":3}', "/held/1")]
