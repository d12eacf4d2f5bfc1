from typing import Any

import orjson
from tests.goldens import ACME

from nightdesk.stix.bundle import Versions, bundle_bytes, merge

ONE = {"type": "incident", "id": "incident--1", "modified": "2026-11-20T08:00:00.999Z", "name": "one"}
FILE = {"type": "file", "id": "file--1", "name": "a"}


def changed(**changes: Any) -> dict[str, Any]:
    return {**ONE, **changes}


def test_another_content_of_one_version_becomes_a_later_version() -> None:
    versions = Versions()
    assert versions.settled([ONE, FILE]) == [ONE, FILE]
    assert versions.settled([changed(name="two"), FILE]) == [
        changed(name="two", modified="2026-11-20T08:00:01.000Z"), FILE,
    ]  # fmt: skip
    assert versions.settled([changed(name="three")]) == [changed(name="three", modified="2026-11-20T08:00:01.001Z")]
    assert versions.moved == 2


def test_the_same_content_keeps_its_version_wherever_it_comes_again() -> None:
    versions = Versions()
    versions.settled([ONE])
    moved = versions.settled([changed(name="two")])
    assert versions.settled([ONE]) == [ONE]
    assert versions.settled([changed(name="two")]) == moved
    assert versions.settled([dict(reversed(ONE.items()))]) == [ONE]


def test_the_callers_object_is_not_changed() -> None:
    versions, second = Versions(), changed(name="two")
    versions.settled([ONE])
    versions.settled([second])
    assert second == changed(name="two")


def test_of_two_versions_the_later_stands_in_a_merged_bundle() -> None:
    later = changed(name="later", modified="2026-11-21T00:00:00.000Z")
    assert merge([[ONE, FILE], [later, {**FILE, "size": 7}]]) == [later, {**FILE, "size": 7}]
    assert merge([[later], [ONE]]) == [later]


def test_the_bundles_id_follows_from_what_it_holds() -> None:
    first = orjson.loads(bundle_bytes(ACME, [ONE, FILE]))["id"]
    assert orjson.loads(bundle_bytes(ACME, [ONE, FILE]))["id"] == first
    assert orjson.loads(bundle_bytes(ACME, [changed(modified="2026-11-21T00:00:00.000Z"), FILE]))["id"] != first
    assert orjson.loads(bundle_bytes(ACME, [ONE]))["id"] != first
