import base64
import copy
import hashlib
from typing import Any

import pytest
import stix2
from hypothesis import given
from hypothesis import strategies as st
from tests.consumers.inputs import RAW, Objects, a_whole_case, an_alert, as_bundle, one
from tests.goldens import ACME
from tests.stix_validity import faults

from nightdesk.stix import attack
from nightdesk.stix.egress.evidence import INLINE_BYTES, evidence
from nightdesk.stix.egress.graph import references
from nightdesk.stix.scope import EXTENSION, TLP, Scope, preamble

DIGEST = hashlib.sha256(RAW).hexdigest()
URL = "https://raw.example.com/{sha256}"


def _of(objects: Objects, kind: str) -> Objects:
    return [entry for entry in objects if entry["type"] == kind]


def _id_by_stix2(entry: dict[str, Any]) -> str:
    return str(stix2.v21.Artifact(**{name: value for name, value in entry.items() if name != "id"}).id)


def _raw_of(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = one(objects, "incident")["extensions"][EXTENSION["alert"]]["raw"]
    return found


def test_a_raw_event_is_carried_and_its_alert_says_where() -> None:
    objects = evidence(an_alert()[0], raw={DIGEST: RAW})
    artifact = one(objects, "artifact")
    assert base64.b64decode(artifact["payload_bin"]) == RAW
    assert artifact["hashes"] == {"SHA-256": DIGEST}
    assert artifact["mime_type"] == "application/json"
    assert _raw_of(objects)["artifact_ref"] == artifact["id"]
    assert artifact["id"] == _id_by_stix2(artifact)


def test_a_large_raw_event_is_an_address_and_a_hash() -> None:
    for size, inline in ((INLINE_BYTES, True), (INLINE_BYTES + 1, False)):
        payload = b"x" * size
        digest = hashlib.sha256(payload).hexdigest()
        alert = an_alert()[0]
        _raw_of(alert)["sha256"] = digest
        artifact = one(evidence(alert, raw={digest: payload}, raw_url=URL), "artifact")
        assert ("payload_bin" in artifact) is inline
        assert artifact.get("url") == (None if inline else f"https://raw.example.com/{digest}")
        assert artifact["hashes"] == {"SHA-256": digest}
        assert artifact["id"] == _id_by_stix2(artifact)


def test_what_is_not_given_is_not_made_up() -> None:
    objects = evidence(an_alert()[0])
    assert not _of(objects, "artifact")
    assert "artifact_ref" not in _raw_of(objects)
    too_large = evidence(an_alert()[0], raw={DIGEST: b"x" * (INLINE_BYTES + 1)})
    assert not _of(too_large, "artifact")


def test_bytes_that_are_not_those_of_the_hash_are_not_carried() -> None:
    assert not _of(evidence(an_alert()[0], raw={DIGEST: RAW + b" "}), "artifact")


@pytest.mark.parametrize("word", TLP)
def test_a_raw_event_is_marked_as_its_alert(word: str) -> None:
    objects = evidence(an_alert(scope=Scope("acme", "Acme GmbH", ACME.key, word))[0], raw={DIGEST: RAW})
    assert one(objects, "artifact")["object_marking_refs"] == [TLP[word]]


def test_one_raw_event_of_two_alerts_is_carried_once() -> None:
    objects = evidence(a_whole_case(), raw={DIGEST: RAW})
    artifact = one(objects, "artifact")
    alerts = [entry["extensions"][EXTENSION["alert"]] for entry in _of(objects, "incident")]
    assert [alert["raw"]["artifact_ref"] for alert in alerts] == [artifact["id"]] * 2


def test_a_case_is_reported_with_everything_that_was_decided_and_seen() -> None:
    case = a_whole_case()
    grouping = one(case, "grouping")
    objects = evidence(case, raw={DIGEST: RAW})
    report = one(objects, "report")
    assert one(objects, "grouping") == grouping
    assert report["published"] == "2026-11-20T09:00:00Z"
    assert report["created"] == report["modified"] == grouping["modified"]
    assert (report["name"], report["created_by_ref"]) == (grouping["name"], grouping["created_by_ref"])
    assert "report_types" not in report
    wanted = [grouping["id"], *grouping["object_refs"], one(case, "note")["id"], one(case, "opinion")["id"]]
    assert report["object_refs"] == [*wanted, one(objects, "artifact")["id"]]


def test_another_content_of_a_case_is_another_report() -> None:
    with_raw, without = evidence(a_whole_case(), raw={DIGEST: RAW}), evidence(a_whole_case())
    later = a_whole_case()
    one(later, "grouping")["modified"] = "2026-11-20T10:00:00.000Z"
    ids = {one(objects, "report")["id"] for objects in (with_raw, without, evidence(later))}
    assert len(ids) == 3


def test_an_alert_in_no_case_has_no_report() -> None:
    assert not _of(evidence(an_alert()[0]), "report")


def test_techniques_are_mitres_own_to_the_letter_and_the_report_is_the_same() -> None:
    known = attack.technique("T1059.001")
    assert known is not None
    mitre = {
        known.stix_id: {"type": "attack-pattern", "id": known.stix_id, "x_mitre_version": "1.0", "made_by_ref": "m--1"},
        "m--1": {"type": "identity", "id": "m--1"},
        "m--2": {"type": "identity", "id": "m--2"},
    }
    kept = copy.deepcopy(mitre)
    objects = evidence(a_whole_case(), attack=mitre)
    assert objects[-2:] == [kept[known.stix_id], kept["m--1"]]
    assert mitre == kept
    assert objects[:-2] == evidence(a_whole_case())
    assert evidence(objects, attack=mitre) == objects


def test_definitions_that_are_missing_are_added() -> None:
    stored = [entry for entry in a_whole_case() if entry["type"] != "extension-definition"]
    objects = evidence(stored)
    known = {entry["id"] for entry in objects}
    used = {ref for entry in objects for ref in entry.get("extensions", {}) if ref in preamble()}
    assert used
    assert used <= known
    assert len(_of(objects, "extension-definition")) == len([ref for ref in used if ref.startswith("extension")])
    techniques = {ref for entry in objects for ref in references(entry) if ref not in known}
    assert all(ref.startswith("attack-pattern--") for ref in techniques)


@given(st.binary(max_size=200))
def test_whatever_a_raw_event_holds_the_bundle_is_strictly_stix(payload: bytes) -> None:
    alert = an_alert(bare=True)[0]
    digest = hashlib.sha256(payload).hexdigest()
    _raw_of(alert)["sha256"] = digest
    artifact = one(evidence(alert, raw={digest: payload}), "artifact")
    assert base64.b64decode(artifact["payload_bin"]) == payload
    assert stix2.parse(copy.deepcopy(artifact), version="2.1", allow_custom=False)["id"] == artifact["id"]


def test_a_case_as_evidence_is_strictly_stix() -> None:
    import orjson

    objects = evidence(a_whole_case(), raw={DIGEST: RAW})
    assert faults(orjson.dumps(as_bundle(objects))) == []
