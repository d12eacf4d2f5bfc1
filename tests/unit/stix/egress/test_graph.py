from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.consumers.inputs import a_whole_case

from nightdesk.stix.egress.graph import OBSERVABLES, closed, derived_id, references, renamed, without_definitions
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import EXTENSION, preamble


def _entry(kind: str, number: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "id": f"{kind}--{number}", **more}


def test_references_are_found_at_any_depth() -> None:
    entry = {
        "id": "x--0", "name_ref": "x--1", "object_refs": ["x--2", "x--3"], "reference": "x--no",
        "extensions": {"e": {"entities": [{"role": "sender", "entity_ref": "x--4"}], "deep": {"ip_refs": ("x--5",)}}},
    }  # fmt: skip
    assert list(references(entry)) == ["x--1", "x--2", "x--3", "x--4", "x--5"]


def test_a_renamed_copy_shares_nothing_with_the_original() -> None:
    entry = {"id": "x--0", "object_refs": ["x--1"], "note": "x--1", "extensions": {"e": {"tenant_ref": "x--1"}}}
    made = renamed(entry, {"x--1": "y--1", "x--0": "y--0"})
    assert made == {"id": "y--0", "object_refs": ["y--1"], "note": "x--1", "extensions": {"e": {"tenant_ref": "y--1"}}}
    made["extensions"]["e"]["tenant_ref"] = made["object_refs"][0] = "z"
    assert entry["object_refs"] == ["x--1"]
    assert entry["extensions"] == {"e": {"tenant_ref": "x--1"}}


def test_derived_ids_have_the_shape_of_version_4_and_depend_on_every_part() -> None:
    ids = {derived_id("report", "a", "b"), derived_id("report", "b", "a"), derived_id("grouping", "a", "b")}
    assert len(ids) == 3
    assert derived_id("report", "a", "b") in ids
    assert all(ref.partition("--")[2][14] == "4" for ref in ids)
    assert derived_id("report", "a") != TenantKey(bytes(32)).id("report", "a")


@pytest.mark.parametrize(
    "entry",
    [
        _entry("relationship", 1, source_ref="file--1", target_ref="file--9"),
        _entry("relationship", 1, source_ref="file--9", target_ref="file--1"),
        _entry("sighting", 1, sighting_of_ref="malware--9", where_sighted_refs=["identity--1"]),
        _entry("sighting", 1, sighting_of_ref="file--1", where_sighted_refs=["identity--9"]),
        _entry("note", 1, object_refs=["incident--9"]),
        _entry("observed-data", 1, object_refs=["file--9"]),
    ],
)
def test_what_is_nothing_without_its_reference_goes_with_it(entry: dict[str, Any]) -> None:
    there = [_entry("file", 1), _entry("identity", 1)]
    assert closed([*there, entry]) == there


def test_what_is_gone_takes_along_what_needs_it() -> None:
    chain = [
        _entry("observed-data", 1, object_refs=["file--9"]),
        _entry("relationship", 1, source_ref="observed-data--1", target_ref="identity--1"),
        _entry("note", 1, object_refs=["relationship--1"]),
    ]
    assert closed([_entry("identity", 1), *chain]) == [_entry("identity", 1)]


def test_lists_lose_only_what_is_not_there_and_markings_are_never_taken_off() -> None:
    kept = _entry("file", 1, object_marking_refs=["marking-definition--9"], parent_directory_ref="directory--9")
    listed = _entry("grouping", 1, object_refs=["file--1", "file--9"])
    rows = [{"role": "sender", "entity_ref": "file--1"}, {"role": "sender", "entity_ref": "file--9"}]
    extended = _entry("incident", 1, extensions={"e": {"entities": rows, "words": ["a_ref"], "count": 1}})
    assert closed([kept, listed, extended]) == [
        _entry("file", 1, object_marking_refs=["marking-definition--9"]),
        _entry("grouping", 1, object_refs=["file--1"]),
        _entry("incident", 1, extensions={"e": {"entities": rows[:1], "words": ["a_ref"], "count": 1}}),
    ]


_IDS = st.sampled_from([f"{kind}--{number}" for kind in ("file", "identity", "relationship") for number in range(3)])
_ENTRIES = st.lists(
    st.fixed_dictionaries({"id": _IDS, "source_ref": _IDS, "target_ref": _IDS, "object_refs": st.lists(_IDS)}),
    unique_by=lambda entry: str(entry["id"]),
)


@given(_ENTRIES)
def test_closing_ends_with_no_reference_that_leads_nowhere(entries: list[dict[str, Any]]) -> None:
    given_ones = [{**entry, "type": entry["id"].partition("--")[0]} for entry in entries]
    left = closed(given_ones)
    known = {entry["id"] for entry in left}
    assert all(ref in known for entry in left for ref in references(entry))
    assert closed(left) == left
    assert {entry["id"] for entry in given_ones if entry["type"] != "relationship"} <= known


def test_definitions_go_with_the_identity_that_made_nothing_else() -> None:
    objects = a_whole_case()
    author = preamble()[EXTENSION["alert"]]["created_by_ref"]
    left = without_definitions(objects)
    assert not [entry for entry in left if entry["type"] == "extension-definition" or entry["id"] == author]
    assert len(left) == len(objects) - len(EXTENSION) - 1
    used = [*objects, _entry("file", 1, created_by_ref=author)]
    assert author in {entry["id"] for entry in without_definitions(used)}


def test_every_observable_of_a_case_is_known_as_one() -> None:
    unversioned = {entry["type"] for entry in a_whole_case() if "created" not in entry}
    assert unversioned
    assert unversioned <= OBSERVABLES
