"""Lists that share a loop, subtrees whose keys nobody knows beforehand, and what a form is known by."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.goldens import ACME
from tests.stix_validity import faults
from tests.unit.stix.conftest import ALERT, HEAD, Product

from nightdesk.sdk.errors import ConfigError, MappingError
from nightdesk.stix.normalize import Normalized, Normalizer


def kinds(made: Normalized, kind: str) -> list[dict[str, Any]]:
    return [entry for entry in made.objects if entry["type"] == kind]


def vendor_fields(made: Normalized) -> dict[str, Any]:
    (incident,) = kinds(made, "incident")
    found: dict[str, Any] = next(
        body["vendor_fields"] for body in incident["extensions"].values() if "vendor_fields" in body
    )
    return found


def test_neighbours_over_one_list_refer_to_the_same_element(product: Product) -> None:
    product.write("""
objects:
  - image: {type: file, each: "steps.*", name: .file}
  - step: {type: process, each: "steps.*", key: [id, .pid], pid: .pid, command_line: .line, image: "@image"}
  - last: {type: process, key: [id, last], pid: last, image: "@image"}
""")
    steps = [
        {"pid": 1, "line": "a", "file": "a.exe"},
        {"pid": 2, "line": "b"},
        {"pid": 3, "line": "c", "file": "c.exe"},
    ]
    made = product.alert(steps=steps, last=9)
    names = {entry["id"]: entry["name"] for entry in kinds(made, "file")}
    images = {entry["pid"]: names.get(entry.get("image_ref", "")) for entry in kinds(made, "process")}
    assert images == {1: "a.exe", 2: None, 3: "c.exe", 9: "c.exe"}


def test_a_message_of_a_list_takes_the_recipients_of_its_own_element(product: Product) -> None:
    product.write("""
objects:
  - from: {type: email, role: sender, each: "mails.*", value: .from}
  - to: {type: email, role: recipient, each: "mails.*", value: .to}
  - mail: {type: message, each: "mails.*", subject: .subject, sender: "@from", to: ["@to"], message_id: .id}
  - all: {type: message, subject: topic, to: ["@to"]}
""")
    mails = [
        {"from": "a@example.com", "to": "b@example.com", "subject": "one", "id": "<1@example.com>"},
        {"from": "c@example.com", "to": "d@example.com", "subject": "two"},
    ]
    made = product.alert(mails=mails, topic="both")
    address = {entry["id"]: entry["value"] for entry in kinds(made, "email-addr")}
    sent = {entry["subject"]: [address[ref] for ref in entry["to_refs"]] for entry in kinds(made, "email-message")}
    assert sent == {"one": ["b@example.com"], "two": ["d@example.com"], "both": ["b@example.com", "d@example.com"]}
    assert faults(made.bundle) == []


def test_an_open_subtree_carries_what_the_mapping_does_not_name(product: Product) -> None:
    product.write("""
objects:
  - user: {type: account, login: labels.owner}
open: [labels]
ignore:
  - {reason: "said twice", paths: [labels.copy]}
""")
    labels = {
        "owner": "ida",
        "copy": "x",
        "site": "North",
        "tier.one": 1,
        "deep": {"a": True},
        "list": ["p", "q"],
        "no": "",
    }
    made = product.alert(labels=labels)
    assert vendor_fields(made) == {
        "labels_site": "North", "labels_tier_one": 1, "labels_deep_a": True, "labels_list": "p, q",
    }  # fmt: skip
    assert made.loss.lost == ()
    assert made.loss.ignored == {"said twice": 1}
    assert faults(made.bundle) == []


def test_two_open_keys_that_become_one_name_both_stay(product: Product) -> None:
    made = product.write("open: [labels]\n").alert(labels={"a.b": 1, "a-b": 2})
    assert vendor_fields(made) == {"labels_a_b": 1, "labels_a_b_2": 2}


def test_what_passes_the_limit_of_vendor_fields_is_in_the_loss_report(product: Product) -> None:
    made = product.write("open: [labels]\n").alert(labels={f"k{number:03}": number for number in range(70)})
    assert len(vendor_fields(made)) == 64
    assert made.loss.lost == tuple(f"vendor_fields.labels_k{number:03}" for number in range(64, 70))


def test_a_certificate_a_weakness_and_a_request_stand_where_they_belong(product: Product) -> None:
    product.write("""
objects:
  - from: {type: address, value: src}
  - to: {type: address, value: dst}
  - call: {type: traffic, source: "@from", destination: "@to", source_port: sport, destination_port: dport, protocols: [proto], method: verb, target: path, user_agent: agent}
  - seen: {type: certificate, hashes: [print], serial: serial, subject: subject, issuer: issuer, not_before: since, not_after: until}
  - flaw: {type: vulnerability, each: "flaws.*", value: ., description: about}
""")  # fmt: skip  # noqa: E501  # a mapping's lines are long
    made = product.alert(
        src="192.0.2.7", dst="198.51.100.9", sport=51000, dport=443, proto="tcp", verb="GET", path="/a?b=c",
        agent="curl/8",
        print="AA:BB:" + ":".join(["0c"] * 18), serial="01:02", subject="CN=a", issuer="CN=b",
        since="2026-01-01T00:00:00Z", until="2027-01-01T00:00:00Z", about="old",
        flaws=["cve-2026-12345", "Weak cipher"],
    )  # fmt: skip
    (call,) = kinds(made, "network-traffic")
    assert call["extensions"]["http-request-ext"] == {
        "request_method": "get", "request_value": "/a?b=c", "request_header": {"User-Agent": ["curl/8"]},
    }  # fmt: skip
    (seen,) = kinds(made, "x509-certificate")
    assert seen["hashes"] == {"SHA-1": "aabb" + "0c" * 18}
    assert (seen["serial_number"], seen["validity_not_after"]) == ("01:02", "2027-01-01T00:00:00Z")
    flaws = {entry["name"]: entry for entry in kinds(made, "vulnerability")}
    assert flaws["CVE-2026-12345"]["external_references"] == [{"source_name": "cve", "external_id": "CVE-2026-12345"}]
    assert flaws["Weak cipher"]["description"] == "old"
    related = {entry["target_ref"] for entry in kinds(made, "relationship")}
    assert {entry["id"] for entry in flaws.values()} <= related
    assert faults(made.bundle) == []


def test_a_product_prepares_its_documents_itself(product: Product) -> None:
    product.functions = {"lifted": lambda document, key: {**document, **document.get(key, {})}}
    product.write("prepare: [lifted inner]\nvendor_fields: [deep]\n")
    assert vendor_fields(product.alert(inner={"deep": 7}))["deep"] == 7


@pytest.mark.parametrize("step", ["no_such_step", "parse_json_twice a", "by_name a"])
def test_a_step_that_cannot_work_is_refused_with_its_line(product: Product, step: str) -> None:
    product.write(f"prepare: ['{step}']\n")
    with pytest.raises(ConfigError, match="prepare"):
        product.alert()


def _two(folder: Path, first: str, second: str) -> Normalizer:
    made = []
    for name, head in (("a_generic", first), ("b_special", second)):
        (folder / name).mkdir()
        text = HEAD.replace("acme_edr", name).replace("recognise: [id]", head)
        (folder / name / "alerts.yaml").write_text(text + ALERT, encoding="utf-8")
        made.append((name, folder / name))
    return Normalizer(made)


def test_a_reader_of_any_vendor_is_asked_after_all_others(tmp_path: Path) -> None:
    normalizer = _two(tmp_path, "generic: true\nrecognise: [id]", "recognise: [id, 'kind ~ ^special$']")
    at = {"at": "2026-11-20T08:00:00Z"}
    special = normalizer.normalize("auto", json.dumps({"id": "1", "kind": "special", **at}).encode(), ACME)
    other = normalizer.normalize("auto", json.dumps({"id": "1", "kind": "else", **at}).encode(), ACME)
    assert (special.loss.product, other.loss.product) == ("b_special", "a_generic")


def test_a_form_can_be_known_by_what_is_not_there(product: Product) -> None:
    product.write(head=HEAD.replace("recognise: [id]", "recognise: [id, '!parent.id']"))
    assert product.alert(parent={}).loss.lost == ()
    with pytest.raises(MappingError, match="none of its forms"):
        product.alert(parent={"id": 7})


def test_a_mapping_says_where_a_page_holds_its_records(product: Product) -> None:
    product.write("pages: [data.found.nodes, rows]\n")
    assert product.normalizer.pages("acme_edr") == (("data", "found", "nodes"), ("rows",))


def test_a_form_that_may_lack_a_time_is_read_without_one_and_decided_by_nobody(product: Product) -> None:
    product.write(head=HEAD + "timeless: true\n")
    made = product.read(b'{"id": "a-1"}')
    assert made.alert.created.year == 2000
    assert made.alert.caution == ("/: a time with a zone expected, NoneType found",)
    assert faults(made.bundle) == []
    with pytest.raises(MappingError, match="without a time"):
        product.write().read(b'{"id": "a-1"}')
