"""Each egress profile is accepted by the consumer that it is for: the programs themselves are asked."""

import collections
import copy
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
import stix2
import stix2matcher.matcher
from taxii2client.v21 import Collection, Server, as_pages
from tests.consumers import FOLDER, clean_environment, python_of, run
from tests.consumers.inputs import RAW, Objects, a_whole_case, alert_samples, an_alert, as_bundle, of_hub, one, samples
from tests.goldens import ACME, FIXTURES, normalizer
from tests.stix_validity import faults

from nightdesk.hub.cli.output import visible
from nightdesk.stix.egress import PROFILES, canonical, evidence, misp, opencti, profiled
from nightdesk.stix.egress.opencti import TLP_IDS
from nightdesk.stix.egress.taxii import undelivered
from nightdesk.stix.scope import EXTENSION, preamble
from nightdesk.stix.values import created_text

PROJECT = preamble()[EXTENSION["alert"]]["created_by_ref"]


def _ids(objects: Objects, *kinds: str) -> list[str]:
    return [entry["id"] for entry in objects if not kinds or entry["type"] in kinds]


# OpenCTI: pycti's splitter makes what the platform's workers get.


@pytest.mark.slow
def test_the_splitter_of_opencti_loses_and_changes_nothing() -> None:
    given = {name: opencti(objects) for name, objects in samples().items()}
    said = run("opencti", "opencti_split.py", [as_bundle(objects) for objects in given.values()])
    for (name, objects), split in zip(given.items(), said["split"], strict=True):
        assert split["unfit"] == [], name
        assert split["expected"] == len(objects), name
        assert {entry["id"]: entry for entry in split["objects"]} == {entry["id"]: entry for entry in objects}, name


@pytest.mark.slow
def test_without_the_profile_the_splitter_of_opencti_loses_what_refers_to_techniques() -> None:
    objects = canonical(a_whole_case())
    (split,) = run("opencti", "opencti_split.py", [as_bundle(objects)])["split"]
    lost = {ref.partition("--")[0] for ref in split["unfit"]}
    assert lost == {"extension-definition", "sighting", "relationship"}


@pytest.mark.slow
def test_the_markings_are_those_that_opencti_makes_itself() -> None:
    assert run("opencti", "opencti_split.py", [])["tlp"] == dict(TLP_IDS)


def test_the_opencti_profile_leaves_out_definitions_and_nothing_else() -> None:
    for name, objects in samples().items():
        sent = opencti(objects)
        counted = collections.Counter(entry["type"] for entry in sent)
        counted["grouping"] = counted.pop("case-incident", 0)
        del counted["attack-pattern"]
        wanted = collections.Counter(
            entry["type"] for entry in objects if entry["type"] != "extension-definition" and entry["id"] != PROJECT
        )
        assert +counted == wanted, name


# MISP: misp-stix makes what the platform imports.

_AS_OBJECTS = {
    "autonomous-system": "asn", "directory": "directory", "file": "file", "network-traffic": "network-traffic",
    "process": "process", "software": "software", "user-account": "user-account",
    "windows-registry-key": "registry-key",
}  # fmt: skip


@pytest.fixture(scope="module")
def events() -> dict[str, tuple[Objects, dict[str, Any], list[str]]]:
    """What was sent for each sample, the one event it became, and what the import complained of."""
    given = {name: misp(objects) for name, objects in samples().items()}
    answers = run("misp", "misp_import.py", [as_bundle(objects) for objects in given.values()])
    made = {}
    for (name, objects), answer in zip(given.items(), answers, strict=True):
        (event,) = answer["events"]  # one event a case, and one an alert
        made[name] = (objects, event, answer["said"])
    return made


@pytest.mark.slow
def test_misp_imports_each_bundle_as_one_event_without_complaint(events: Mapping[str, Any]) -> None:
    assert {name: said for name, (_, _, said) in events.items() if said} == {}
    for objects, event, _ in events.values():
        grouping = one(objects, "grouping")
        assert event["uuid"] == grouping["id"].partition("--")[2]
        assert event["info"] == grouping["name"]
        assert "tlp:amber+strict" in {tag["name"] for tag in event["Tag"]}


@pytest.mark.slow
def test_misp_has_every_observable_once_under_its_own_uuid(events: Mapping[str, Any]) -> None:
    for name, (objects, event, _) in events.items():
        wanted = collections.Counter(_AS_OBJECTS[e["type"]] for e in objects if e["type"] in _AS_OBJECTS)
        made = collections.Counter(entry["name"] for entry in event.get("Object", ()))
        assert {kind: made[kind] for kind in wanted} == dict(wanted), name
        own = {part["uuid"] for part in (*event.get("Object", ()), *event.get("Attribute", ()))}
        there = {ref.partition("--")[2] for ref in _ids(objects, *_AS_OBJECTS)}
        assert there <= own, name


@pytest.mark.slow
def test_in_misp_techniques_are_clusters_and_no_reference_leads_nowhere(events: Mapping[str, Any]) -> None:
    with_techniques = 0
    for name, (objects, event, _) in events.items():
        clusters = {
            cluster["value"]
            for galaxy in event.get("Galaxy", ())
            if galaxy["type"] == "stix-2.1-attack-pattern"
            for cluster in galaxy["GalaxyCluster"]
        }
        wanted = {entry["name"] for entry in objects if entry["type"] == "attack-pattern"}
        assert clusters == wanted, name
        with_techniques += bool(wanted)
        parts = [*event.get("Object", ()), *event.get("Attribute", ())]
        parts += [attribute for part in event.get("Object", ()) for attribute in part["Attribute"]]  # never without
        known = {part["uuid"] for part in parts}
        assert not [
            one_ref
            for part in event.get("Object", ())
            for one_ref in part.get("ObjectReference", ())
            if one_ref["referenced_uuid"] not in known
        ], name
    assert with_techniques >= 3


@pytest.mark.slow
def test_misp_tells_what_the_incidents_told(events: Mapping[str, Any]) -> None:
    for name, sent in {**alert_samples(), "a whole case": a_whole_case()}.items():
        (report,) = events[name][1]["EventReport"]
        for incident in (entry for entry in sent if entry["type"] == "incident"):
            alert = incident["extensions"][EXTENSION["alert"]]
            assert f"Native id: {visible(alert['native_id'])}" in report["content"], name
            assert alert.get("console_url", "") in report["content"], name


@pytest.mark.slow
def test_misp_hangs_the_decision_on_the_event(events: Mapping[str, Any]) -> None:
    for name in ("a whole case", "a hub's case"):
        objects, event, _ = events[name]
        note, opinion = one(objects, "note"), one(objects, "opinion")
        assert [(told["uuid"], told["note"].strip()) for told in event["Note"]] == [
            (note["id"].partition("--")[2], note["content"].strip())
        ]
        assert [told["uuid"] for told in event["Opinion"]] == [opinion["id"].partition("--")[2]]
    assert events["a whole case"][1]["Opinion"][0]["opinion"] == "75"


@pytest.mark.slow
def test_alerts_of_one_file_that_are_in_no_case_are_an_event_each() -> None:
    (first, told), (second, other) = an_alert("a-1", seconds=0), an_alert("a-2")
    together = copy.deepcopy([*first, *(entry for entry in second if entry["id"] not in _ids(first))])
    (answer,) = run("misp", "misp_import.py", [as_bundle(misp(together))])
    assert answer["said"] == []
    assert len(answer["events"]) == 2
    reports = [event["EventReport"][0]["content"] for event in answer["events"]]
    assert ["a-1" in text for text in reports] == [True, False]
    assert told.alert_id != other.alert_id


@pytest.mark.slow
def test_without_the_profile_misp_complains_of_incidents() -> None:
    (answer,) = run("misp", "misp_import.py", [as_bundle(canonical(a_whole_case()))])
    assert any("incident" in text for text in answer["said"])


# The canonical bundle and the evidence are STIX to python-stix2 and to the OASIS validator.


def test_python_stix2_parses_the_canonical_bundle_without_allowing_anything_custom() -> None:
    for name, objects in samples().items():
        sent = as_bundle(canonical(objects))
        parsed = stix2.parse(copy.deepcopy(sent), allow_custom=False, version="2.1")
        assert json.loads(parsed.serialize()) == sent, name


@pytest.mark.parametrize("made", [a_whole_case, lambda: an_alert()[0], of_hub], ids=["case", "alert", "hub"])
def test_evidence_is_strictly_stix(made: Callable[[], Objects]) -> None:
    sent = evidence(made(), raw={_digest(): RAW}, raw_url="https://raw.example.com/{sha256}")
    assert _ids(sent, "artifact")
    assert faults(orjson.dumps(as_bundle(sent))) == []


def _digest() -> str:
    return str(one(an_alert()[0], "incident")["extensions"][EXTENSION["alert"]]["raw"]["sha256"])


def test_a_bundle_without_a_case_goes_through_every_profile() -> None:
    for objects in alert_samples().values():
        for name in PROFILES:
            assert _ids(profiled(name, objects))


# stix2-matcher: the observables say what patterns ask.

_PATTERNS = {
    "crowdstrike_falcon/alerts/script-from-document-with-ancestors": (
        "[process:command_line LIKE 'powershell%-enc%' AND process:parent_ref.image_ref.name = 'WINWORD.EXE']",
        "[network-traffic:dst_ref.value = '203.0.113.80' AND network-traffic:dst_port = 443]",
        "[file:name = 'powershell.exe' AND file:parent_directory_ref.path LIKE '%System32%']",
        "[process:parent_ref.image_ref.name = 'powershell.exe']",
    ),
    "elastic_security/search-hit/beacon-non-ascii": (
        "[domain-name:value = 'xn--bcher-kva.example']",
        "[network-traffic:src_ref.value ISSUBSET '192.0.2.0/24' AND network-traffic:dst_port IN (80, 443)]",
        "[process:parent_ref.image_ref.name = 'bash' AND process:image_ref.parent_directory_ref.path = '/usr/bin']",
        "[network-traffic:src_ref.value = '198.51.100.23']",
    ),
    "splunk_es/notables/mail": (
        "[email-addr:value = 'billing@example.org']",
        "[url:value MATCHES '^https://pay\\\\.']",
        "[file:hashes.MD5 = '9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e' AND file:size > 48000]",
        "[email-addr:value = 'billing@example.com']",
    ),
}


def _as_matched(objects: Objects) -> dict[str, Any]:
    """A bundle of one observed-data and the observables it lists: the only form that the matcher takes of STIX 2.1."""
    observed = one(objects, "observed-data")
    listed = [entry for entry in objects if entry["id"] in observed["object_refs"]]
    return {"type": "bundle", "id": as_bundle(objects)["id"], "objects": [observed, *listed]}


@pytest.mark.parametrize("name", _PATTERNS)
def test_a_pattern_finds_the_alert_that_it_describes_and_no_other(name: str) -> None:
    payload = (FIXTURES / f"{name}.json").read_bytes()
    matched = _as_matched(canonical(normalizer().normalize(name.partition("/")[0], payload, ACME).objects))
    *right, wrong = _PATTERNS[name]
    for pattern in right:
        assert stix2matcher.matcher.match(pattern, [copy.deepcopy(matched)], stix_version="2.1"), pattern
    assert not stix2matcher.matcher.match(wrong, [copy.deepcopy(matched)], stix_version="2.1"), wrong


def test_the_pattern_of_an_indicator_finds_what_it_convicts() -> None:
    objects = canonical(an_alert()[0])
    pattern = one(objects, "indicator")["pattern"]
    assert stix2matcher.matcher.match(pattern, [_as_matched(objects)], stix_version="2.1")


# TAXII 2.1: medallion serves, taxii2-client pushes and pulls.

_PAGE = 20
_MEDIA = "application/taxii+json;version=2.1"


@contextmanager
def _served(folder: Path) -> Iterator[Collection]:
    """An empty collection on loopback."""
    collection = {
        "id": "8d1f0c5e-6f0d-4a39-9e58-0d3f1f1c7a10", "title": "alerts", "can_read": True, "can_write": True,
        "media_types": ["application/stix+json;version=2.1"], "objects": [], "manifest": [],
    }  # fmt: skip
    root = {"title": "Acme", "versions": [_MEDIA], "max_content_length": 100_000_000}
    data = {
        "/discovery": {"title": "nightdesk", "default": "/acme/", "api_roots": ["/acme/"]},
        "acme": {"information": root, "status": [], "collections": [collection]},
    }
    backend = {
        "module": "medallion.backends.memory_backend", "module_class": "MemoryBackend",
        "filename": str(folder / "data.json"),
    }  # fmt: skip
    config = {"backend": backend, "users": {"hub": "secret"}, "taxii": {"max_page_size": _PAGE}}
    (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    command = [str(python_of("taxii")), str(FOLDER / "taxii_serve.py"), str(folder / "config.json")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=clean_environment(), text=True) as process,
    ):
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port, (folder / "log").read_text(encoding="utf-8")
            with Server(f"http://127.0.0.1:{port}/taxii2/", user="hub", password="secret") as server:
                (api_root,) = server.api_roots
                yield api_root.collections[0]
        finally:
            process.kill()


def _stored(collection: Collection, ref: str) -> list[str]:
    """The versions that the server has of an object; none when it knows no such object."""
    try:
        return list(collection.object_versions(ref).get("versions", ()))
    except requests.HTTPError as error:
        if error.response is None or error.response.status_code != 404:
            raise
        return []


def _pulled(collection: Collection) -> Objects:
    pages = list(as_pages(collection.get_objects, per_request=_PAGE))
    assert all(len(page.get("objects", ())) <= _PAGE for page in pages)
    assert len(pages) > 1
    return [entry for page in pages for entry in page.get("objects", ())]


@pytest.mark.slow
def test_taxii_gives_back_what_was_pushed_and_takes_it_again(tmp_path: Path) -> None:
    objects = canonical(a_whole_case())
    with _served(tmp_path) as collection:
        status = collection.add_objects({"objects": objects})
        assert (status.success_count, status.failure_count) == (len(objects), 0)
        pulled = _pulled(collection)
        assert len(pulled) == len(objects)
        assert {entry["id"]: entry for entry in pulled} == {entry["id"]: entry for entry in objects}
        again = collection.add_objects({"objects": objects})
        assert again.failure_count == len(objects)  # this server's way to say: there already
        answer = {"failure_count": again.failure_count, "failures": again.failures}
        assert undelivered(objects, answer, lambda ref: _stored(collection, ref)) == []
        assert len(_pulled(collection)) == len(objects)
        unknown = canonical(an_alert("a-3")[0])
        never = [entry["id"] for entry in unknown if entry["id"] not in _ids(objects)]
        assert undelivered(unknown, {"failure_count": 99}, lambda ref: _stored(collection, ref)) == never


@pytest.mark.slow
def test_taxii_keeps_a_second_version_beside_the_first(tmp_path: Path) -> None:
    objects = canonical(a_whole_case())
    first = one(objects, "grouping")
    later = created_text(datetime.fromisoformat(first["modified"]) + timedelta(minutes=1))
    second = {**first, "modified": later, "description": "Two alerts, contained."}
    with _served(tmp_path) as collection:
        collection.add_objects({"objects": objects})
        assert undelivered([second], {"failure_count": 1}, lambda ref: _stored(collection, ref)) == [second["id"]]
        assert collection.add_objects({"objects": [second]}).success_count == 1
        every = collection.get_object(first["id"], version="all")["objects"]
        assert sorted(every, key=lambda entry: entry["modified"]) == [first, second]
        assert collection.get_object(first["id"])["objects"] == [second]
