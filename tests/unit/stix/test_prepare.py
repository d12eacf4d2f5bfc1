import copy
from typing import Any

import pytest

from nightdesk.stix.prepare import PREPARE


@pytest.mark.parametrize(
    ("document", "paths", "wanted"),
    [
        ({"a": '{"b": 1}'}, ("a",), {"a": {"b": 1}}),
        ({"a": '[{"b": 1}]', "c": "{"}, ("a", "c"), {"a": [{"b": 1}], "c": "{"}),
        ({"x": {"a": "[1]"}, "y": 1}, ("x.a",), {"x": {"a": [1]}, "y": 1}),
        ({"x": [{"a": "[1]"}, {"a": "no"}, 7]}, ("x.*.a",), {"x": [{"a": [1]}, {"a": "no"}, 7]}),
        ({"a": ["{}", "x"]}, ("a",), {"a": [{}, "x"]}),
        ({"a": "7"}, ("a", "missing.part"), {"a": "7"}),
    ],
)
def test_a_text_that_holds_json_becomes_what_it_holds(
    document: dict[str, Any], paths: tuple[str, ...], wanted: dict[str, Any]
) -> None:
    before = copy.deepcopy(document)
    assert PREPARE["parse_json"](document, *paths) == wanted
    assert document == before


def test_a_list_of_pairs_becomes_an_object() -> None:
    pairs = [{"n": "a", "v": 1}, {"n": "b", "v": 2}, {"n": "a", "v": 3}, {"n": "a", "v": 4}]
    assert PREPARE["by_name"]({"p": pairs}, "p", "n", "v") == {"p": {"a": [1, 3, 4], "b": 2}}


@pytest.mark.parametrize("pairs", [None, "text", [1, 2], [{"n": "a"}, {"other": 1}], {"n": 1}])
def test_what_is_no_list_of_pairs_stays_as_it_is(pairs: Any) -> None:
    assert PREPARE["by_name"]({"p": pairs}, "p", "n", "v") == {"p": pairs}


def test_dotted_keys_join_what_is_nested_and_change_nothing_of_the_callers() -> None:
    document = {"a": {"b": {"c": 1}}, "a.b.d": 2, "a.e": 3, "f.g": {"h": 4}, "f.g.i": 5, "a.b": {"c": 9, "z": 8}}
    before = copy.deepcopy(document)
    assert PREPARE["expand_dots"](document) == {
        "a": {"b": {"c": 1, "d": 2, "z": 8}, "e": 3}, "f": {"g": {"h": 4, "i": 5}},
    }  # fmt: skip
    assert document == before


def test_a_dotted_key_below_a_scalar_keeps_both() -> None:
    assert PREPARE["expand_dots"]({"a": 7, "a.b": 8}) == {"a": {"": 7, "b": 8}}
