from typing import Any

import pytest
from tests.unit.stix.conftest import Product

MAPPING = """
objects:
  - file: {type: file, each: "files.*", name: .name, when: .state}
  - host: {type: asset, value: host.id, when: host}
vendor_fields: [whole, part.a]
ignore:
  - reason: numbers of the console
    paths: [console, part.b, host.os]
"""


def loss(product: Product, **fields: Any) -> dict[str, Any]:
    return product.write(MAPPING).alert(**fields).loss.to_json()


@pytest.mark.parametrize(
    ("fields", "read", "ignored", "lost"),
    [
        ({}, 0, 0, []),
        ({"new": 1}, 0, 0, ["new"]),
        ({"new": None, "empty": "", "list": [], "object": {}}, 0, 0, []),
        ({"new": {"a": 1, "b": 2}}, 0, 0, ["new"]),
        ({"part": {"a": 1, "b": {"x": 1, "y": 2}, "c": 3}}, 1, 2, ["part.c"]),
        ({"console": {"a": 1, "b": [1, 2]}}, 0, 3, []),
        ({"console": "a text"}, 0, 1, []),
        ({"files": [{"name": "a", "state": "x"}, {"name": "b", "size": 1}, {"size": 2}]}, 3, 0, ["files.size"]),
        ({"whole": {"any": {"thing": 1, "more": [2, ""]}}}, 2, 0, []),
        ({"host": {"id": "h", "os": {"name": "x"}, "zone": "z"}}, 1, 1, ["host.zone"]),
        ({"zero": 0, "no": False}, 0, 0, ["zero", "no"]),
    ],
)
def test_every_value_is_read_ignored_or_lost(
    product: Product, fields: dict[str, Any], read: int, ignored: int, lost: list[str]
) -> None:
    found = loss(product, **fields)
    assert (found["read"] - 2, sum(row["leaves"] for row in found["ignored"]), found["lost"]) == (read, ignored, lost)
    assert found["leaves"] == found["read"] + ignored + len(lost)


def test_what_is_ignored_has_its_reason(product: Product) -> None:
    assert loss(product, console=1)["ignored"] == [{"reason": "numbers of the console", "leaves": 1}]


def test_a_value_read_inside_an_ignored_subtree_is_read(product: Product) -> None:
    product.write("vendor_fields: [a.b]\nignore: [{reason: why, paths: [a]}]\n")
    found = product.alert(a={"b": 1, "c": {"d": 2}}).loss
    assert (found.read - 2, dict(found.ignored), found.lost) == (1, {"why": 1}, ())


def test_a_report_names_mapping_and_version(product: Product) -> None:
    found = loss(product)
    assert (found["product"], found["stream"], found["mapping_version"]) == ("acme_edr", "alerts", 3)


def test_depth_without_end_is_lost_and_not_walked(product: Product) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [{"d": deep}]
    assert loss(product, deep=deep)["lost"] == ["deep"]
    assert product.write("vendor_fields: [deep]\n").alert(deep=deep).loss.wrong[0][0] == "/deep"
