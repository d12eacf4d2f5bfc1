import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.goldens import ACME
from tests.stix_validity import faults

from nightdesk.sdk.case import Alert
from nightdesk.sdk.errors import MappingError
from nightdesk.stix.builder import AlertBuilder, to_alert
from nightdesk.stix.bundle import bundle_bytes
from nightdesk.stix.header import Header
from nightdesk.stix.scope import EXTENSION, FIXED_CREATED, INCIDENT_CORE

TOLD = datetime(2026, 11, 20, 8, 0, 0, 123456, UTC)
RAW = {"sha256": "ab" * 32, "byte_count": 1, "media_type": "application/json"}


@pytest.fixture
def builder() -> AlertBuilder:
    return AlertBuilder(ACME, product="acme_edr", vendor="ACME", name="ACME EDR")


def header(**changes: Any) -> Header:
    return Header(**{"raw": RAW, "native_id": "a-1", "created": TOLD, **changes})


def finish(builder: AlertBuilder, **changes: Any) -> tuple[list[dict[str, Any]], Alert]:
    """The objects, already judged by strangers, and the alert."""
    objects, facts = builder.finish(header(**changes))
    assert faults(bundle_bytes(ACME, objects)) == []
    return objects, to_alert(facts(), tenant="acme", product="acme_edr", caution=(), digest="")


def one(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (entry for entry in objects if entry["type"] == kind)
    return found


def facts_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = one(objects, "incident")["extensions"][EXTENSION["alert"]]
    return found


def test_the_least_alert_is_an_incident_and_its_standing_identities(builder: AlertBuilder) -> None:
    objects, alert = finish(builder)
    kinds = [entry["type"] for entry in objects]
    assert kinds[-1] == "incident"
    assert "observed-data" not in kinds
    assert [entry["name"] for entry in objects if entry["type"] == "identity"][-1] == "ACME EDR (acme_edr)"
    assert (alert.title, alert.severity_id, alert.first_seen) == ("Alert a-1", 0, TOLD)


@pytest.mark.parametrize(
    ("changes", "said"), [({"native_id": None}, "without an id"), ({"created": None}, "without a time")]
)
def test_no_id_or_no_time_is_no_alert(builder: AlertBuilder, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(MappingError, match=said) as caught:
        builder.finish(header(**changes))
    assert caught.value.pointer


def test_the_instance_is_part_of_the_id(builder: AlertBuilder) -> None:
    ids = {builder.finish(header(instance=instance))[1]()["alert_id"] for instance in (None, "eu", "us")}
    assert len(ids) == 3


def test_times_are_cut_and_ordered(builder: AlertBuilder) -> None:
    builder.address("192.0.2.1")
    objects, alert = finish(builder, modified=TOLD - timedelta(days=1), first=TOLD, last=TOLD - timedelta(seconds=5))
    incident, observed = one(objects, "incident"), one(objects, "observed-data")
    assert incident["created"] == incident["modified"] == "2026-11-20T08:00:00.123Z"
    assert observed["first_observed"] == observed["last_observed"] == "2026-11-20T08:00:00.123456Z"
    assert alert.modified >= alert.created


def test_an_event_long_after_its_alert_is_wrong(builder: AlertBuilder) -> None:
    builder.address("192.0.2.1")
    objects, _ = finish(builder, first=TOLD + timedelta(days=400))
    assert one(objects, "observed-data")["first_observed"] == "2026-11-20T08:00:00.123456Z"
    assert builder.problems == [("/", "an event time before the alert's own time", "datetime")]


@pytest.mark.parametrize(
    ("verdict", "disposition", "determination"),
    [
        (None, None, "suspected"),
        ("true-positive", "blocked", "confirmed"),
        ("false-positive", None, "false-positive"),
        ("test", None, "false-positive"),
        ("benign-positive", None, "false-positive"),
        ("undetermined", None, "suspected"),
        (None, "prevented", "blocked"),
        (None, "allowed", "suspected"),
    ],
)
def test_the_determination_is_what_the_product_says(
    builder: AlertBuilder, verdict: str | None, disposition: str | None, determination: str
) -> None:
    objects, _ = finish(builder, verdict=verdict, disposition=disposition)
    core = one(objects, "incident")["extensions"][INCIDENT_CORE]
    assert core["determination"] == determination


def test_a_host_is_an_asset_with_two_names_for_correlation(builder: AlertBuilder) -> None:
    ref = builder.asset("d-1", hostname="WS-0042.acme.example", kind="workstation", address="192.0.2.42")
    objects, alert = finish(builder, observation={"asset_ref": ref})
    asset = next(entry for entry in objects if entry["id"] == ref)
    assert asset["extensions"][EXTENSION["asset"]]["asset_uid"] == "acme_edr:d-1"
    assert [entity.key for entity in alert.entities] == ["host:ws-0042", "device:acme_edr:d-1"]
    assert dict(alert.entities[0].facts) == {
        "hostname": "WS-0042.acme.example", "device_id": "d-1", "address": "192.0.2.42", "asset_type": "workstation",
    }  # fmt: skip


def test_a_host_without_an_id_is_known_by_its_name(builder: AlertBuilder) -> None:
    assert builder.asset(None) is None
    assert builder.asset(None, hostname="WS-1") == builder.asset(None, hostname="ws-1")
    assert len(builder.assets) == 1


def test_a_file_has_the_same_id_for_python_stix2_and_keeps_all_hashes(builder: AlertBuilder) -> None:
    ref = builder.file(path="C:\\Temp\\a.exe", hashes=["cd" * 16, "AB" * 32, None, "0" * 40])
    objects, _ = finish(builder)
    found = one(objects, "file")
    assert found["id"] == ref
    assert found["hashes"] == {"MD5": "cd" * 16, "SHA-256": "ab" * 32}
    assert found["parent_directory_ref"] == one(objects, "directory")["id"]


def test_a_hash_that_is_none_is_reported(builder: AlertBuilder) -> None:
    builder.file(name="a", hashes=["zz"], pointer="/hash")
    assert builder.problems == [("/hash", "a hash", "str")]


def test_a_path_without_a_name_is_a_directory(builder: AlertBuilder) -> None:
    ref = builder.file(path="/tmp/")
    assert ref is not None
    assert ref.startswith("directory--")
    assert builder.process(key=["h", 1], pid=1, image=ref) is not None
    finish(builder)


def test_one_value_is_one_object_with_the_union_of_what_is_known(builder: AlertBuilder) -> None:
    first = builder.account(login="jdoe", uid="S-1-5-18")
    second = builder.account(login="jdoe", uid="S-1-5-18", display_name="Jo Doe")
    assert first == second
    assert one(finish(builder)[0], "user-account")["display_name"] == "Jo Doe"


@pytest.mark.parametrize(
    ("given", "login", "uid", "kind"),
    [
        ({"login": "ACME\\jdoe"}, "jdoe", "ACME\\jdoe", "windows-domain"),
        ({"login": "jdoe", "domain": "ACME", "uid": "S-1"}, "jdoe", "S-1", "windows-domain"),
        ({"login": "root", "account_type": "unix"}, "root", None, "unix"),
        ({"uid": "S-1"}, None, "S-1", None),
        ({"login": "jdoe", "account_type": "imaginary"}, "jdoe", None, None),
    ],
)
def test_an_account_is_taken_apart(
    builder: AlertBuilder, given: dict[str, str], login: str | None, uid: str | None, kind: str | None
) -> None:
    builder.account(**given)  # type: ignore[arg-type]  # only texts
    found = one(finish(builder)[0], "user-account")
    assert (found.get("account_login"), found.get("user_id"), found.get("account_type")) == (login, uid, kind)


def test_an_account_without_a_name_is_none(builder: AlertBuilder) -> None:
    assert builder.account(domain="ACME") is None
    assert builder.account(login="ACME\\") is None


def test_traffic_needs_both_ports_and_counts_below_zero_are_none(builder: AlertBuilder) -> None:
    source, destination = builder.address("192.0.2.1"), builder.address("2001:db8::1")
    assert builder.traffic(source=source, destination=destination, source_port=1) is None
    assert builder.traffic(source=source, destination=destination, source_port=1, destination_port=70000) is None
    builder.traffic(
        source=source, destination=destination, source_port=0, destination_port=65535, protocols=["TCP", "quic", None],
        start=TOLD, bytes_out=-1, bytes_in=5,
    )  # fmt: skip
    found = one(finish(builder)[0], "network-traffic")
    assert found["protocols"] == ["ipv6", "tcp"]
    assert "src_byte_count" not in found
    assert found["dst_byte_count"] == 5


def test_a_registry_key_has_its_hive_spelled_out(builder: AlertBuilder) -> None:
    builder.registry_key("HKLM\\Software\\X", name="Run", data="a.exe", data_type="REG_SZ")
    found = one(finish(builder)[0], "windows-registry-key")
    assert found["key"] == "HKEY_LOCAL_MACHINE\\Software\\X"
    assert found["values"] == [{"name": "Run", "data": "a.exe", "data_type": "REG_SZ"}]


def test_a_process_names_only_what_the_alert_holds(builder: AlertBuilder) -> None:
    nobody = "user-account--5f066e7a-9271-5b18-b338-6b2af0f2cf09"
    ref = builder.process(key=["h", "p"], pid=4, parent=None, user=nobody, integrity="High", owner_sid="S-1-5-18")
    again = builder.process(key=["h", "p"], pid=4, parent=ref)
    assert again == ref
    found = one(finish(builder)[0], "process")
    assert "creator_user_ref" not in found
    assert "parent_ref" not in found
    assert found["extensions"]["windows-process-ext"] == {"integrity_level": "high", "owner_sid": "S-1-5-18"}


def test_a_process_of_which_nothing_is_known_is_none(builder: AlertBuilder) -> None:
    assert builder.process(key=["h", "p"]) is None


def test_a_domain_that_is_an_address_becomes_one_with_its_role(builder: AlertBuilder) -> None:
    builder.domain("192.0.2.66", role="attacker-domain")
    _, alert = finish(builder)
    assert [(entity.key, entity.role) for entity in alert.entities] == [("address:192.0.2.66", "attacker-address")]


@pytest.mark.parametrize("made", ["address", "mac", "domain", "url", "email"])
def test_what_cannot_be_such_a_value_is_reported_and_not_made(builder: AlertBuilder, made: str) -> None:
    assert getattr(builder, made)("no such thing", pointer="/x") is None
    assert [(pointer, found) for pointer, _, found in builder.problems] == [("/x", "str")]
    assert getattr(builder, made)(None) is None
    assert len(builder.problems) == 1
    assert builder.scos == {}


def test_an_indicator_is_equal_for_every_alert_that_convicts(builder: AlertBuilder) -> None:
    made = builder.indicator(builder.file(name="a.exe", hashes=["ab" * 32]))
    other = AlertBuilder(ACME, product="other", vendor="Other", name="Other")
    assert other.indicator(other.file(name="b.exe", hashes=["AB" * 32])) == made
    objects, _ = finish(builder)
    found = one(objects, "indicator")
    assert found["created"] == FIXED_CREATED
    assert [entry["relationship_type"] for entry in objects if entry.get("source_ref") == made] == ["based-on"]


def test_an_indicator_needs_something_to_recognise(builder: AlertBuilder) -> None:
    assert builder.indicator(builder.file(name="a.exe")) is None
    assert builder.indicator(builder.account(login="jdoe")) is None
    assert builder.indicator(None) is None


def test_a_pattern_cannot_be_broken_out_of(builder: AlertBuilder) -> None:
    builder.indicator(builder.url("https://bad.example/' OR [file:name = 'x"))
    assert one(finish(builder)[0], "indicator")["pattern"].count("[") == 1


def test_malware_keeps_only_words_of_the_vocabulary(builder: AlertBuilder) -> None:
    builder.malware("Emotet", types=["trojan", "nasty", None, "trojan"])
    assert one(finish(builder)[0], "malware")["malware_types"] == ["trojan"]


def test_techniques_are_sighted_and_referenced(builder: AlertBuilder) -> None:
    builder.address("192.0.2.1")
    for text in ("T1059.001", "T1086", "T9999", "CST0001", "CST0001", None):
        builder.technique(text)
    builder.tactic("execution")
    objects, alert = finish(builder)
    assert (alert.techniques, alert.tactics) == (("T1059.001",), ("TA0002",))
    assert facts_of(objects)["vendor_fields"] == {
        "attack_ids_as_sent": "T1086", "attack_ids_unknown": "T9999, CST0001",
    }  # fmt: skip
    assert one(objects, "sighting")["sighting_of_ref"].startswith("attack-pattern--")


def test_a_link_joins_two_objects_of_the_alert_and_no_others(builder: AlertBuilder) -> None:
    name, address = builder.domain("bad.example"), builder.address("192.0.2.66")
    builder.link(name, "resolves-to", address)
    builder.link(name, "resolves-to", name)
    builder.link(name, "resolves-to", "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4")
    builder.link(None, "resolves-to", address)
    objects, _ = finish(builder)
    found = [entry for entry in objects if entry.get("relationship_type") == "resolves-to"]
    assert [(entry["source_ref"], entry["target_ref"]) for entry in found] == [(name, address)]


def test_an_observation_refers_to_nothing_outside(builder: AlertBuilder) -> None:
    ref = builder.address("192.0.2.1")
    outside = "user-account--5f066e7a-9271-5b18-b338-6b2af0f2cf09"
    about: dict[str, Any] = {
        "primary_ref": ref,
        "actor_ref": outside,
        "target_ref": "",
        "event_category": [],
        "event_code": "4625",
    }
    objects, _ = finish(builder, observation=about)
    facts = one(objects, "observed-data")["extensions"][EXTENSION["observation"]]
    assert {name: value for name, value in facts.items() if name not in {"extension_type", "tenant_ref"}} == {
        "primary_ref": ref, "event_code": "4625",
    }  # fmt: skip


def test_at_most_64_vendor_fields_are_kept(builder: AlertBuilder) -> None:
    objects, _ = finish(builder, vendor_fields={f"field_{number}": number for number in range(100)})
    assert list(facts_of(objects)["vendor_fields"]) == [f"field_{number}" for number in range(64)]


@pytest.mark.parametrize(("confidence", "kept"), [(0, 0), (100, 100), (101, None), (-1, None), (None, None)])
def test_a_confidence_outside_its_range_is_none(
    builder: AlertBuilder, confidence: int | None, kept: int | None
) -> None:
    objects, alert = finish(builder, confidence=confidence)
    assert one(objects, "incident").get("confidence") == kept == alert.confidence


@pytest.mark.parametrize(("count", "kept"), [(5, 5), (0, 1), (-3, 1), (10**9, 1), (None, 1)])
def test_a_count_outside_its_range_is_one(builder: AlertBuilder, count: int | None, kept: int) -> None:
    builder.address("192.0.2.1")
    assert one(finish(builder, occurrences=count)[0], "observed-data")["number_observed"] == kept


def test_a_role_makes_an_entity_of_the_alert(builder: AlertBuilder) -> None:
    builder.address("192.0.2.1")
    builder.address("192.0.2.1", role="attacker-address")
    objects, alert = finish(builder)
    assert [(entity.key, entity.role) for entity in alert.entities] == [("address:192.0.2.1", "attacker-address")]
    assert [entry["role"] for entry in facts_of(objects)["entities"]] == ["attacker-address"]


def test_everything_ours_is_marked_with_the_tenants_tlp(builder: AlertBuilder) -> None:
    builder.indicator(builder.address("192.0.2.1"))
    builder.asset("d-1", hostname="x")
    objects, _ = finish(builder)
    own = [entry for entry in objects if entry["type"] not in {"marking-definition", "extension-definition"}][1:]
    assert len(own) > 6
    assert all(entry["object_marking_refs"] == ACME.marks for entry in own), json.dumps(own)


def test_a_registry_key_of_nothing_but_marks_is_told_and_left_out(builder: AlertBuilder) -> None:
    assert builder.registry_key("\\\\") is None
    assert builder.problems == [("/", "a registry key", "str")]
