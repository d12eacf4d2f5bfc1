from dataclasses import FrozenInstanceError

import pytest

from nightdesk.sdk.errors import ResponseError
from nightdesk.sdk.records import Batch, Failure, RawRecord


def test_a_record_cannot_be_changed_after_it_was_read() -> None:
    record = RawRecord(b'{"id": 1}', "1@2026")
    with pytest.raises(FrozenInstanceError):
        record.payload = b"{}"  # type: ignore[misc]  # what the test is about


def test_the_same_version_of_an_alert_is_the_same_record() -> None:
    assert RawRecord(b'{"id": 1}', "1@2026", "1") == RawRecord(b'{"id": 1}', "1@2026", "1")
    assert RawRecord(b'{"id": 1}', "1@2026", "1") != RawRecord(b'{"id": 1}', "1@2027", "1")


def test_a_record_is_json_without_a_native_id_unless_said() -> None:
    record = RawRecord(b"{}", "k")
    assert (record.native_id, record.product, record.media_type) == ("", "", "application/json")


def test_a_page_carries_its_failures_beside_its_records_and_is_the_last_unless_said() -> None:
    failure = Failure(b"<html>", "page-1#3", ResponseError("no JSON"), "/resources/3")
    batch = Batch([RawRecord(b"{}", "k")], {"after": "t-1"}, [failure])
    assert (len(batch.records), list(batch.failures), batch.more) == (1, [failure], False)
    assert Batch([], None).failures == ()
