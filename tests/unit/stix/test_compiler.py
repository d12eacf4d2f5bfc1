from typing import Any

import pytest
from tests.stix_validity import faults
from tests.unit.stix.conftest import ALERT, HEAD, Product

from nightdesk.sdk.errors import MappingError


def kinds(objects: Any, kind: str) -> list[dict[str, Any]]:
    return [entry for entry in objects if entry["type"] == kind]


def vendor_fields(product: Product, **fields: Any) -> dict[str, Any]:
    (incident,) = kinds(product.alert(**fields).objects, "incident")
    (alert,) = (facts for facts in incident["extensions"].values() if facts.get("record_kind") == "alert")
    found: dict[str, Any] = alert.get("vendor_fields", {})
    return found


def test_the_first_alternative_with_a_value_counts(product: Product) -> None:
    product.write("vendor_fields: {found: \"a | b.c | 'nothing'\"}\n")
    assert vendor_fields(product, a="one", b={"c": "two"}) == {"found": "one"}
    assert vendor_fields(product, a="", b={"c": "two"}) == {"found": "two"}
    assert vendor_fields(product, a=None) == {"found": "nothing"}


def test_the_first_element_that_fits_counts(product: Product) -> None:
    product.write(alert=ALERT + "  title: tags.* > shaped v_.*\n")
    assert product.alert(tags=["other", "v_first", "v_second"]).alert.title == "v_first"
    assert product.alert(tags="v_alone").alert.title == "v_alone"
    assert product.alert(tags=["other"]).alert.title == "Alert a-1"


def test_a_vendor_field_takes_every_element(product: Product) -> None:
    product.write('vendor_fields: {found: "tags.* > shaped v_.*", deep: "rows.*.name"}\n')
    assert vendor_fields(product, tags=["other", "v_1", "v_2"]) == {"found": "v_1, v_2"}
    assert vendor_fields(product, tags=["v_1"], rows=[{"name": 7}, {}, {"name": "x"}]) == {
        "found": "v_1",
        "deep": "7, x",
    }
    assert vendor_fields(product, rows=[{"name": 7}]) == {"deep": 7}
    assert vendor_fields(product, tags=["other"], rows=[]) == {}


def test_a_scale_reads_words_in_any_case(product: Product) -> None:
    product.write("scales:\n  severity: {severe: high}\n", alert=ALERT + "  severity: level > scale severity\n")
    assert product.alert(level=" SEVERE ").alert.severity_id == 4
    assert product.alert(level="SEVERE").loss.wrong == ()


def test_a_word_in_no_scale_is_wrong_and_not_guessed(product: Product) -> None:
    product.write("scales:\n  severity: {severe: high}\n", alert=ALERT + "  severity: level > scale severity\n")
    made = product.alert(level="harmless")
    assert made.alert.severity_id == 0
    assert made.loss.wrong == (("/level", "a known severity", "str"),)
    assert made.alert.caution == ("/level: a known severity expected, str found",)


def test_a_scale_may_catch_the_rest(product: Product) -> None:
    product.write(
        'scales:\n  severity: {severe: high, "*": low}\n', alert=ALERT + "  severity: level > scale severity\n"
    )
    assert product.alert(level="whatever").alert.severity_id == 2
    assert product.alert(level="whatever").loss.wrong == ()


def test_bands_turn_a_number_into_a_severity(product: Product) -> None:
    product.write(alert=ALERT + "  severity: score > bands 1 40 70 90\n")
    found = [product.alert(score=score).alert.severity_id for score in (0, 1, 40, "70", 99.5)]
    assert found == [1, 2, 3, 4, 5]


def test_a_severity_that_is_no_number_is_wrong(product: Product) -> None:
    product.write(alert=ALERT + "  severity: score > bands 1 40 70 90\n")
    assert product.alert(score="high").loss.wrong == (("/score", "a number", "str"),)


def test_an_object_is_made_for_every_element(product: Product) -> None:
    product.write('objects:\n  - address: {type: address, each: "hosts.*.ips.*", value: .}\n')
    made = product.alert(hosts=[{"ips": ["192.0.2.1", "2001:db8::1"]}, {"ips": "192.0.2.2"}, {}])
    found = [entry["value"] for entry in made.objects if entry["type"].endswith("-addr")]
    assert found == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]


def test_keys_of_an_element_are_read_at_any_depth_under_a_condition(product: Product) -> None:
    product.write(
        "objects:\n"
        '  - file: {type: file, each: "files.*", when: .bad, name: .a.b.name, hashes: [".a.b.hash", ".other.*"]}\n'
    )
    files = [
        {"bad": True, "a": {"b": {"name": "x.exe", "hash": "ab" * 16}}, "other": ["cd" * 32]},
        {"bad": False, "a": {"b": {"name": "y.exe"}}},
        {"a": {"b": {"name": "z.exe"}}},
    ]
    (found,) = kinds(product.alert(files=files).objects, "file")
    assert (found["name"], found["hashes"]) == ("x.exe", {"MD5": "ab" * 16, "SHA-256": "cd" * 32})


def test_the_element_itself_may_be_one_of_several_values(product: Product) -> None:
    product.write('objects:\n  - file: {type: file, each: "sums.*", hashes: [.]}\n')
    found = kinds(product.alert(sums=["ab" * 16, "cd" * 20]).objects, "file")
    assert [entry["hashes"] for entry in found] == [{"MD5": "ab" * 16}, {"SHA-1": "cd" * 20}]


def test_an_element_that_should_be_an_object_is_reported(product: Product) -> None:
    product.write('objects:\n  - file: {type: file, each: "files.*", name: .name}\n')
    made = product.alert(files=["a text", {"name": "x"}])
    assert made.loss.wrong == (("/files/*", "an object", "str"),)
    assert [entry["name"] for entry in kinds(made.objects, "file")] == ["x"]


@pytest.mark.parametrize(
    ("condition", "value", "made"),
    [
        ("state", "on", True),
        ("state", "", False),
        ("state", None, False),
        ("state", False, False),
        ("state", 0, False),
        ("\"state == 'on'\"", "ON", True),
        ("\"state == 'on'\"", "off", False),
        ("\"state == 'on'\"", None, False),
        ("\"state != 'on'\"", "off", True),
        ("\"state != 'on'\"", "On", False),
        ("\"state != 'on'\"", None, True),
    ],
)
def test_a_condition_decides(product: Product, condition: str, value: Any, made: bool) -> None:
    product.write(f"objects:\n  - domain: {{type: domain, value: name, when: {condition}}}\n")
    found = kinds(product.alert(state=value, name="bad.example").objects, "domain-name")
    assert bool(found) is made


def test_objects_refer_to_those_above(product: Product) -> None:
    product.write(
        "objects:\n"
        "  - image: {type: file, name: exe}\n"
        "  - parent: {type: process, key: [id, ppid], pid: ppid}\n"
        '  - user: {type: account, login: who}\n'
        '  - source: {type: address, value: src}\n'
        '  - other: {type: address, value: dst}\n'
        '  - flow: {type: traffic, source: "@source", destination: "@other", source_port: sp, destination_port: dp}\n'
        '  - process: {type: process, key: [id, pid], pid: pid, image: "@missing_image | @image", parent: "@parent",'
        ' user: "@user", connections: ["@flow"]}\n'.replace("@missing_image | ", "")
    )  # fmt: skip
    made = product.alert(exe="a.exe", pid=7, ppid=3, who="jdoe", src="192.0.2.1", dst="192.0.2.2", sp=1, dp=2)
    refs = {entry["type"]: entry["id"] for entry in made.objects}
    process = next(entry for entry in kinds(made.objects, "process") if entry["pid"] == 7)
    assert process["image_ref"] == refs["file"]
    assert process["creator_user_ref"] == refs["user-account"]
    assert process["opened_connection_refs"] == [refs["network-traffic"]]
    assert process["parent_ref"] in {entry["id"] for entry in kinds(made.objects, "process")}
    assert faults(made.bundle) == []


def test_a_reference_of_the_wrong_type_is_left_out(product: Product) -> None:
    product.write(
        "objects:\n"
        "  - image: {type: file, path: exe}\n"
        '  - process: {type: process, key: [id], pid: pid, image: "@image", user: "@image"}\n'
    )
    made = product.alert(exe="C:\\Temp\\", pid=7)
    (process,) = kinds(made.objects, "process")
    assert "image_ref" not in process
    assert "creator_user_ref" not in process
    assert faults(made.bundle) == []


def test_what_stands_beside_an_unwrapped_object_stays_readable(product: Product) -> None:
    product.write(head=HEAD + "unwrap: _source\n", alert="alert:\n  native_id: _id\n  created: at\n  title: name\n")
    made = product.read(
        b'{"_id": "x", "name": "out", "_score": 1, "_source": {"id": 1, "name": "in", "at": "2026-11-20T08:00:00Z"}}'
    )
    assert (made.alert.native_id, made.alert.title) == ("x", "in")
    assert "_score" in made.loss.lost


def test_dotted_keys_become_objects_and_nested_ones_win(product: Product) -> None:
    product.write("vendor_fields: [a.b, a.c, a.d.e]\n", head=HEAD + "prepare: [expand_dots]\n")
    found = vendor_fields(product, **{"a.b": "dotted", "a": {"b": "nested"}, "a.c": 2, "a.d.e": 3})
    assert found == {"a_b": "nested", "a_c": 2, "a_d_e": 3}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"a": "text"}, (("/a", "an object", "str"),)),
        ({"a": {"b": "text"}}, (("/a/b", "an object", "str"),)),
        ({"a": {"b": [{"c": 1}, {"c": 2}]}}, (("/a/b", "one object", "list"),)),
        ({"a": {"b": {"c": ["x", "y"]}}}, (("/a/b/c", "a text", "list"),)),
        ({"a": {"b": {"c": {"d": 1}}}}, (("/a/b/c", "a text", "dict"),)),
        ({"a": [{"b": {"c": "fine"}}]}, ()),
        ({"a": None}, ()),
    ],
)
def test_a_wrong_type_is_told_with_its_pointer(product: Product, value: dict[str, Any], wanted: Any) -> None:
    product.write(alert=ALERT + "  title: a.b.c\n")
    made = product.alert(**value)
    assert made.loss.wrong == wanted
    assert faults(made.bundle) == []


def test_a_pointer_is_escaped(product: Product) -> None:
    product.write('objects:\n  - mac: {type: mac, value: "a/b.`c~d`.e"}\n')
    assert product.alert(**{"a/b": {"c~d": {"e": "no"}}}).loss.wrong == (("/a~1b/c~0d/e", "a MAC address", "str"),)


def test_a_list_of_objects_that_holds_something_else_is_told(product: Product) -> None:
    product.write('techniques: ["threat.*.technique.id"]\n')
    assert product.alert(threat="T1059").loss.wrong == (("/threat/*", "an object", "str"),)
    assert product.alert(threat=[{"technique": {"id": "T1059"}}]).alert.techniques == ("T1059",)


def test_a_hash_is_told_by_its_own_pointer(product: Product) -> None:
    product.write("objects:\n  - file: {type: file, hashes: [sums.md5, sums.sha256]}\n")
    made = product.alert(sums={"md5": "ab" * 16, "sha256": "short"})
    assert made.loss.wrong == (("/sums/sha256", "a hash", "str"),)
    assert [entry["hashes"] for entry in kinds(made.objects, "file")] == [{"MD5": "ab" * 16}]


def test_a_number_that_json_readers_would_round_is_wrong(product: Product) -> None:
    product.write("objects:\n  - process: {type: process, key: [id], pid: pid, command_line: line}\n")
    made = product.alert(pid=2**53, line="x")
    assert made.loss.wrong == (("/pid", "a whole number", "int"),)
    assert "pid" not in kinds(made.objects, "process")[0]
    assert product.alert(pid="0x1F", line="x").loss.wrong == ()


def test_an_own_function_that_fails_costs_the_value_and_not_the_alert(product: Product) -> None:
    product.functions = {"broken": lambda value: {}[value]}
    product.write('vendor_fields: {found: "a > broken | b"}\n')
    made = product.alert(a="x", b="instead")
    assert made.loss.wrong == (("/a", "what broken reads", "str"),)
    assert vendor_fields(product, a="x", b="instead") == {"found": "instead"}


def test_an_own_function_gets_its_words(product: Product) -> None:
    product.functions = {"joined": lambda value, left, right: f"{left}{value}{right}"}
    product.write('vendor_fields: {found: "a > joined < >"}\n'.replace("< >", "[ ]"))
    assert vendor_fields(product, a="x") == {"found": "[x]"}


def test_hostile_names_and_paths_reach_the_code_only_as_literals(product: Product) -> None:
    product.write("""vendor_fields: {'x"; import os': 'a.`");raise SystemExit("`'}\n""")
    assert vendor_fields(product, a={'");raise SystemExit("': "safe"}) == {'x"; import os': "safe"}


def test_the_generated_source_is_kept_for_its_author(product: Product) -> None:
    (compiled,) = product.normalizer.mappings("acme_edr")
    assert compiled.source.startswith("def read(doc, B, raw):")
    assert "'id'" in compiled.source


def test_a_function_of_one_value_is_not_given_several(product: Product) -> None:
    product.write(alert=ALERT + "  title: host > if_name | other\n")
    several = product.alert(host=["a", "b"], other="c")
    assert (several.alert.title, several.loss.wrong) == ("c", (("/host", "one value", "list"),))
    assert product.alert(host=["", "a"]).alert.title == "a"
    assert product.alert(host={"name": "a"}, other="c").loss.wrong == (("/host", "one value", "dict"),)


def test_a_step_that_breaks_sets_the_alert_aside(product: Product) -> None:
    product.functions = {"broken": lambda document: document["missing"]}
    product.write("prepare: [broken]\n")
    with pytest.raises(MappingError, match="KeyError while mapping"):
        product.alert()


def test_a_connection_that_is_told_twice_is_opened_once(product: Product) -> None:
    product.write(
        "objects:\n"
        "  - source: {type: address, value: src}\n"
        "  - other: {type: address, value: dst}\n"
        '  - one: {type: traffic, source: "@source", destination: "@other", source_port: sp, destination_port: dp}\n'
        '  - two: {type: traffic, source: "@source", destination: "@other", source_port: sp, destination_port: dp}\n'
        '  - process: {type: process, key: [id, pid], pid: pid, connections: ["@one", "@two"]}\n'
    )
    made = product.alert(pid=7, src="192.0.2.1", dst="192.0.2.2", sp=51000, dp=443)
    (process,) = kinds(made.objects, "process")
    assert len(process["opened_connection_refs"]) == 1
