from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.consumers.inputs import a_whole_case, an_alert, case_of
from tests.goldens import ACME

from nightdesk.stix.egress.markings import marked
from nightdesk.stix.scope import TLP, Scope

WORDS = list(TLP)


def scope(tlp: str) -> Scope:
    return Scope("acme", "Acme GmbH", ACME.key, tlp)


def entry(ref: str, *marks: str, **more: Any) -> dict[str, Any]:
    kind = ref.partition("--")[0]
    return {"type": kind, "id": ref, "object_marking_refs": [TLP.get(mark, mark) for mark in marks], **more}


def marks(objects: list[dict[str, Any]], ref: str) -> list[str]:
    return next(list(one["object_marking_refs"]) for one in objects if one["id"] == ref)


@pytest.mark.parametrize("first", WORDS)
@pytest.mark.parametrize("second", WORDS)
def test_an_observable_is_marked_as_the_strictest_of_what_refers_to_it(first: str, second: str) -> None:
    objects = marked(
        [
            {"type": "file", "id": "file--1"},
            entry("observed-data--1", first, object_refs=["file--1"]),
            entry("relationship--1", second, source_ref="file--1", target_ref="observed-data--1"),
        ]
    )
    strictest = max((first, second), key=WORDS.index)
    assert marks(objects, "file--1") == [TLP[strictest]]


def test_a_reference_through_another_observable_counts_however_long_the_way() -> None:
    chain = [entry(f"file--{number}", "clear", parent_ref=f"file--{number + 1}") for number in range(4)]
    objects = marked([*chain, entry("file--4", "clear"), entry("incident--1", "red", extensions={"x_ref": "file--0"})])
    assert all(marks(objects, f"file--{number}") == [TLP["red"]] for number in range(5))


def test_observables_that_refer_to_each_other_end() -> None:
    objects = marked(
        [entry("process--1", "green", child_refs=["process--2"]), entry("process--2", "amber", up_ref="process--1")]
    )
    assert marks(objects, "process--1") == [TLP["amber"]]
    assert marks(objects, "process--2") == [TLP["amber"]]


def test_a_mark_of_its_own_is_never_loosened_and_other_marks_stay() -> None:
    statement = "marking-definition--statement"
    objects = marked([entry("file--1", "red", statement), entry("observed-data--1", "green", object_refs=["file--1"])])
    assert marks(objects, "file--1") == [TLP["red"], statement]
    objects = marked([entry("file--1", "green", statement), entry("note--1", "red", object_refs=["file--1"])])
    assert marks(objects, "file--1") == [TLP["red"], statement]


def test_only_observables_are_marked_anew() -> None:
    objects = marked([entry("identity--1", "green"), entry("incident--1", "red", host_ref="identity--1")])
    assert marks(objects, "identity--1") == [TLP["green"]]


def test_alerts_of_two_markings_in_one_case_share_their_observables_under_the_stricter() -> None:
    case = case_of(an_alert("a-1", scope=scope("green")), an_alert("a-2", scope=scope("red")), scope=scope("green"))
    before = [one for one in case if one["type"] == "ipv4-addr"]
    assert {ref for one in before for ref in one["object_marking_refs"]} == {TLP["green"]}
    after = marked(case)
    for kind in ("ipv4-addr", "file", "process", "directory", "url"):
        found = [one["object_marking_refs"] for one in after if one["type"] == kind]
        assert found
        assert all(refs == [TLP["red"]] for refs in found)
    defined = {one["id"] for one in after if one["type"] == "marking-definition"}
    assert defined == {TLP["green"], TLP["red"]}


def test_a_bundle_of_one_marking_stays_as_it_is() -> None:
    assert marked(a_whole_case()) == a_whole_case()


def test_the_definition_of_a_mark_in_use_is_there() -> None:
    objects = marked([entry("file--1", "amber")])
    assert [one["type"] for one in objects] == ["marking-definition", "file"]
    assert objects[0]["id"] == TLP["amber"]


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sets(st.integers(0, 4))), max_size=6), st.permutations(range(5)))
def test_no_order_of_the_objects_matters(referers: list[tuple[str, set[int]]], order: list[int]) -> None:
    files = [entry(f"file--{number}", "clear") for number in range(5)]
    about = [
        entry(f"note--{number}", word, object_refs=[f"file--{target}" for target in sorted(targets)])
        for number, (word, targets) in enumerate(referers)
    ]
    one_way = {one["id"]: one for one in marked([*files, *about])}
    other = {one["id"]: one for one in marked([*reversed(about), *(files[number] for number in order)])}
    assert one_way == other
