"""The version ledger: same content, same bytes; other content, a later version of the same object."""

from typing import Any

import orjson
import pytest

from nightdesk.hub.store import Store
from nightdesk.hub.store.objects import objects, version

NAME = "grouping--6a1e2f3c-0d9b-4b7a-8f21-5c2f9f4e7a10"


def grouping(modified: str = "2026-11-01T00:00:00.000Z", **changes: Any) -> dict[str, Any]:
    return {
        "type": "grouping",
        "spec_version": "2.1",
        "id": NAME,
        "created": "2026-11-01T00:00:00.000Z",
        "modified": modified,
        "name": "A case",
        **changes,
    }


def test_a_new_object_goes_out_as_it_was_given(store: Store) -> None:
    with store.begin() as conn:
        assert version(conn, "acme", [grouping()]) == [grouping()]
        assert objects(conn, "acme", [NAME]) == [grouping()]


def test_the_same_content_gives_the_same_bytes_whenever_it_is_built(store: Store) -> None:
    with store.begin() as conn:
        first = version(conn, "acme", [grouping()])
    later = dict(reversed(grouping("2026-12-24T00:00:00.000Z", created="2026-12-24T00:00:00.000Z").items()))
    with store.begin() as conn:
        again = version(conn, "acme", [later])
    assert orjson.dumps(again) == orjson.dumps(first)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-11-05T10:00:00.500Z", "2026-11-05T10:00:00.500Z"),
        ("2026-11-05T10:00:00.5Z", "2026-11-05T10:00:00.500Z"),
        ("2026-11-01T00:00:00.000Z", "2026-11-01T00:00:00.001Z"),
        ("2025-01-01T00:00:00.000Z", "2026-11-01T00:00:00.001Z"),
    ],
)
def test_other_content_is_a_later_version(store: Store, given: str, expected: str) -> None:
    with store.begin() as conn:
        version(conn, "acme", [grouping()])
        changed = grouping(given, name="Renamed", created="2026-11-05T00:00:00.000Z")
        (sent,) = version(conn, "acme", [changed])
        assert sent == {**changed, "created": "2026-11-01T00:00:00.000Z", "modified": expected}
        assert version(conn, "acme", [changed]) == [sent]
        assert objects(conn, "acme", [NAME]) == [sent]


def test_versions_within_one_call_follow_each_other(store: Store) -> None:
    with store.begin() as conn:
        sent = version(conn, "acme", [grouping(name="1"), grouping(name="2"), grouping(name="2"), grouping(name="1")])
    assert [entry["modified"][-5:] for entry in sent] == [".000Z", ".001Z", ".001Z", ".002Z"]
    assert [entry["name"] for entry in sent] == ["1", "2", "2", "1"]


def test_what_has_no_versions_passes_through(store: Store) -> None:
    address = {"type": "ipv4-addr", "id": "ipv4-addr--1", "value": "192.0.2.1"}
    with store.begin() as conn:
        assert version(conn, "acme", [address, grouping()]) == [address, grouping()]
        assert objects(conn, "acme", ["ipv4-addr--1"]) == []


def test_two_tenants_keep_their_own_versions_of_the_same_id(store: Store) -> None:
    with store.begin() as conn:
        version(conn, "acme", [grouping()])
        (other,) = version(conn, "zeta", [grouping(name="Theirs")])
        assert other["modified"] == "2026-11-01T00:00:00.000Z"
        assert [entry["name"] for entry in objects(conn, "acme", [NAME])] == ["A case"]


def test_a_thousand_objects_at_once_keep_their_order(store: Store) -> None:
    many = [grouping(id=f"grouping--{number}", name=str(number)) for number in reversed(range(1200))]
    with store.begin() as conn:
        assert version(conn, "acme", many) == many
        assert version(conn, "acme", many) == many
        assert len(objects(conn, "acme", [entry["id"] for entry in many])) == 1200
