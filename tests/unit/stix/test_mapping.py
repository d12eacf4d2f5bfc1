from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.stix.conftest import ALERT, HEAD, Product

from nightdesk.sdk.errors import ConfigError, Problem
from nightdesk.stix.mapping import Condition
from nightdesk.stix.mapping_file import load_mapping
from nightdesk.stix.paths import LIST, parse_path, value_at


def problems(product: Product) -> Sequence[Problem]:
    with pytest.raises(ConfigError) as caught:
        load_mapping(product.file)
    return caught.value.problems


def only(product: Product) -> Problem:
    (found,) = problems(product)
    return found


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", ("a",)),
        ("a.b.c", ("a", "b", "c")),
        ("a.*.b", ("a", LIST, "b")),
        ("`kibana.alert.uuid`", ("kibana.alert.uuid",)),
        ("a.`b.c`.d", ("a", "b.c", "d")),
        ("`@timestamp`", ("@timestamp",)),
    ],
)
def test_a_path_is_its_steps(text: str, steps: tuple[str, ...]) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize("text", ["a[0]", "a..b", "a.`b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no path"):
        parse_path(text)


def test_a_whole_mapping_is_read(product: Product) -> None:
    product.write("objects:\n  - host: {type: asset, role: victim-host, value: device, hostname: name}\n")
    found = load_mapping(product.file)
    assert (found.product, found.stream, found.version, found.vendor) == ("acme_edr", "alerts", 3, "ACME")
    assert [(entry.label, entry.kind, entry.role) for entry in found.objects] == [("host", "asset", "victim-host")]
    assert found.recognise == (Condition(("id",)),)


def test_a_separator_inside_a_pattern_belongs_to_the_pattern(product: Product) -> None:
    product.write('techniques: ["kind > shaped low|high > lower | other"]\n')
    ((first, second),) = load_mapping(product.file).techniques
    assert (first.path, first.calls) == (("kind",), (("shaped", ("low|high",)), ("lower", ())))
    assert second.path == ("other",)


def test_a_literal_may_hold_separators(product: Product) -> None:
    product.write("vendor_fields: {note: \"missing | 'a | b > c'\"}\n")
    expression = load_mapping(product.file).vendor_fields["note"]
    assert [item.literal for item in expression] == [None, "a | b > c"]


@pytest.mark.parametrize(
    ("body", "key", "said", "line"),
    [
        ("surprise: 1\n", "surprise", "no such section", "surprise: 1"),
        ("objects:\n  - host: {type: spaceship}\n", "objects[0].host", "no type 'spaceship'", "host:"),
        ("objects:\n  - host: {type: asset, wings: two}\n", "objects[0].host.wings", "an asset has no wings", "wings"),
        ("objects:\n  - mac: {type: mac, role: sender, value: m}\n", "objects[0].mac", "a mac has no role", "mac:"),
        ("objects:\n  - Host: {type: asset}\n", "objects[0].Host", "a label is a-z", "Host"),
        ("objects:\n  - just a text\n", "objects[0]", "one label with its fields", ""),
        ('objects:\n  - p: {type: process, image: "@nobody"}\n', "objects[0].p.image", "no object of that", "@nobody"),
        ("techniques: [a > fly]\n", "techniques", "no function 'fly'", "a > fly"),
        ("techniques: [a > after]\n", "techniques", "after cannot take no word", "a > after"),
        ("techniques: [a > lower twice]\n", "techniques", "lower cannot take twice", "a > lower twice"),
        ('techniques: ["a > shaped ("]\n', "techniques", "no regular expression", "a > shaped ("),
        ("techniques: [a > scale moods]\n", "techniques", "no scale moods", "a > scale moods"),
        ("techniques: [\"'T1059' > lower\"]\n", "techniques", "functions are for paths", "'T1059' > lower"),
        ("techniques: [7]\n", "techniques", "an expression is a text", "7"),
        ('techniques: ["a[0]"]\n', "techniques", "is no path", "a[0]"),
        ("observation: {mood: good}\n", "observation.mood", "no such field", "mood"),
        ("observation: {auth: {app: x}}\n", "observation.auth.app", "no such key", "app"),
        ("objects:\n  - h: {type: asset, cloud: {hue: c}}\n", "objects[0].h.cloud.hue", "no such key", "hue"),
        ("prepare: [fold]\n", "prepare", "no 'fold'", "fold"),
        ("ignore:\n  - paths: [a]\n", "ignore", "a reason and paths", ""),
        ('ignore:\n  - {reason: why, paths: ["a["]}\n', "ignore", "is no path", "a["),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(product: Product, body: str, key: str, said: str, line: str) -> None:
    found = only(product.write(body))
    assert found.key == key
    assert said.replace("an asset", "a asset") in found.message
    text = product.file.read_text(encoding="utf-8").splitlines()
    number = next((n for n, content in enumerate(text, 1) if line and line in content), None)
    assert found.file == (f"{product.file}:{number}" if number else str(product.file))


@pytest.mark.parametrize(
    ("section", "value"),
    [("objects", "7"), ("techniques", "T1059"), ("scales", "[a]"), ("observation", "[a]"), ("ignore", "{a: b}"),
     ("prepare", "expand_dots"), ("vendor_fields", "7"), ("unwrap", "[a]")],
)  # fmt: skip
def test_a_section_of_another_shape_is_told(product: Product, section: str, value: str) -> None:
    found = only(product.write(f"{section}: {value}\n"))
    assert found.key == section
    assert "must be" in found.message


def test_a_head_of_another_shape_is_told(product: Product) -> None:
    product.write(head=HEAD.replace("version: 3", "version: three").replace("[id]", "id"), alert="alert: [id]\n")
    assert {found.key for found in problems(product)} == {"version", "recognise", "alert"}


def test_every_mistake_is_told_at_once(product: Product) -> None:
    product.write("techniques: [a > fly]\nobservation: {mood: good}\nprepare: [fold]\n")
    assert {found.key for found in problems(product)} == {"techniques", "observation.mood", "prepare"}


def test_an_alert_needs_an_id_and_a_time(product: Product) -> None:
    product.write(alert="alert:\n  title: name\n")
    assert {found.key: found.message for found in problems(product)} == {
        "alert.native_id": "is required",
        "alert.created": "is required",
    }


def test_a_field_of_the_alert_that_is_none_is_refused(product: Product) -> None:
    product.write(alert=ALERT + "  colour: red\n")
    assert only(product).key == "alert.colour"


def test_missing_sections_are_named(product: Product) -> None:
    product.write(head=HEAD.replace("vendor: ACME\n", "").replace("docs: https://vendor.example/alerts\n", ""))
    assert {found.key for found in problems(product)} == {"vendor", "docs"}


@pytest.mark.parametrize("text", ["a: [", "\x00", "just a text", "- a\n- list\n", ""])
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_mapping(path)
    assert str(path) in caught.value.problems[0].file


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_mapping(tmp_path / "nothing.yaml")


def test_a_products_own_function_may_be_named(product: Product) -> None:
    product.write("techniques: [a > fly 3]\n")
    found = load_mapping(product.file, {"fly": lambda value, height: f"{value}{height}"})
    assert found.techniques[0][0].calls == (("fly", ("3",)),)


@pytest.mark.parametrize(
    ("node", "found"),
    [({"a": {"b": 1}}, 1), ({"a": {}}, None), ({"a": 7}, None), ({"a": [{"b": 1}]}, None), (None, None)],
)
def test_a_value_is_found_through_objects_alone(node: Any, found: Any) -> None:
    assert value_at(node, "a", "b") == found
