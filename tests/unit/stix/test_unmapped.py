import copy
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.goldens import ACME
from tests.stix_validity import faults

from nightdesk.sdk.case import Entity
from nightdesk.stix.builder import AlertBuilder
from nightdesk.stix.bundle import bundle_bytes
from nightdesk.stix.loss import LossReport
from nightdesk.stix.scope import EXTENSION, FIXED_CREATED, Scope
from nightdesk.stix.unmapped import read_unmapped

MD5, SHA1, SHA256 = "0f" * 16, "1e" * 20, "2d" * 32
WHEN = "2026-11-20T08:00:00Z"
MOMENT = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


class Read:
    """One payload, read."""

    def __init__(self, document: dict[str, Any], *, scope: Scope = ACME) -> None:
        payload = json.dumps(document).encode()
        self.digest = hashlib.sha256(payload).hexdigest()
        builder = AlertBuilder(scope, product="unmapped", vendor="unknown", name="Unmapped product")
        raw = {"sha256": self.digest, "byte_count": len(payload), "media_type": "application/json"}
        self.objects, facts, self.loss = read_unmapped(document, builder, raw)
        self.facts = facts()
        self.bundle = bundle_bytes(scope, self.objects)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in self.objects if entry["type"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        (found,) = self.all(kind)
        return found

    def values(self, kind: str) -> list[str]:
        return [entry["value"] for entry in self.all(kind)]

    def at(self, ref: str) -> dict[str, Any]:
        (found,) = (entry for entry in self.objects if entry["id"] == ref)
        return found

    def image(self, process: dict[str, Any]) -> str:
        return str(self.at(process["image_ref"])["name"])

    @property
    def incident(self) -> dict[str, Any]:
        return self.one("incident")

    @property
    def alert(self) -> dict[str, Any]:
        found: dict[str, Any] = self.incident["extensions"][EXTENSION["alert"]]
        return found

    @property
    def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = self.alert["vendor_fields"]
        return found

    @property
    def hosts(self) -> list[str]:
        return [entry["name"] for entry in self.all("identity") if EXTENSION["asset"] in entry.get("extensions", {})]

    @property
    def entities(self) -> tuple[Entity, ...]:
        found: tuple[Entity, ...] = self.facts["entities"]
        return found


# What it promises of every payload.


def test_an_empty_object_is_an_alert_known_by_its_bytes() -> None:
    read = Read({})
    assert read.facts["native_id"] == read.digest
    assert read.facts["created"].isoformat() == FIXED_CREATED.replace(".000Z", "+00:00")
    assert read.fields == {"unmapped": True}


def test_every_alert_is_marked_and_makes_the_autonomy_abstain() -> None:
    read = Read({"id": "a-1", "created_at": WHEN, "severity": "low", "title": "All is said"})
    assert read.fields["unmapped"] is True
    assert read.loss.caution == ("/: a mapping that reads this product expected, none found",)
    assert (read.loss.product, read.loss.stream, read.loss.version) == ("unmapped", "json", 1)


def test_a_payload_that_says_it_is_mapped_is_not_believed() -> None:
    read = Read({"unmapped": False, "vendor_fields": {"unmapped": False}})
    assert read.fields["unmapped"] is True
    assert "unmapped" in read.loss.lost


def test_no_time_is_said_and_never_made_up() -> None:
    read = Read({"id": "a-1"})
    assert "/: a time expected, none found" in read.loss.caution
    assert Read({"id": "a-1"}).bundle == read.bundle


def test_every_value_is_read_or_lost() -> None:
    document = {f"field{chr(97 + i // 26)}{chr(97 + i % 26)}": f"word {i}" for i in range(100)}
    read = Read(document)
    assert len(read.fields) == 64
    assert read.loss.read + len(read.loss.lost) == 100
    assert set(read.loss.lost) == document.keys() - read.fields.keys()


def test_empty_values_carry_nothing() -> None:
    read = Read({"id": "a-1", "a": None, "b": "", "c": [], "d": {}, "e": [None, "", {}]})
    assert (read.loss.read, read.loss.lost) == (1, ())


def test_what_has_no_other_place_is_a_vendor_field_under_its_path() -> None:
    read = Read({"policy": {"mode": "strict", "tags": ["a", "b"], "steps": [{"n": 1}, {"n": 2}]}})
    assert read.fields["policy.mode"] == "strict"
    assert read.fields["policy.tags"] == "a, b"
    assert (read.fields["policy.steps.0.n"], read.fields["policy.steps.1.n"]) == (1, 2)


def test_the_vendors_own_words_are_kept() -> None:
    read = Read({"id": "7", "observer": {"vendor": "Example Corp", "product": "Gate"}})
    assert (read.fields["vendor"], read.fields["product"]) == ("Example Corp", "Gate")
    assert read.alert["instance"] == "Example Corp Gate"
    assert (read.alert["vendor"], read.alert["product"]) == ("unknown", "Unmapped product")


def test_the_publisher_of_a_file_is_not_the_vendor_of_the_alert() -> None:
    read = Read({"id": "a-1", "file": {"name": "a.exe", "pe": {"product": "Painter", "vendor": "Example"}}})
    assert "vendor" not in read.fields
    assert read.alert["instance"].startswith("shape-")


# Ids: two alerts must never become one.


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"id": "x-1", "alert_id": "al-1"}, "al-1"),
        ({"uuid": "u-1", "id": "x-1"}, "x-1"),
        ({"event_id": "ev-1", "uuid": "u-1"}, "u-1"),
        ({"event_id": "ev-1", "name": "n"}, "ev-1"),
        ({"_id": "m-1", "_source": {"rule": {"id": "r-1"}}}, "m-1"),
        ({"data": {"alertId": 4711}}, "4711"),
        ({"rule": {"id": "r-1"}, "incidentId": 12}, "12"),
    ],
)
def test_the_id_is_the_one_that_is_most_the_alerts_own(document: dict[str, Any], expected: str) -> None:
    assert Read(document).facts["native_id"] == expected


@pytest.mark.parametrize(
    "document",
    [
        {"rule_id": "r-1"},
        {"user": {"id": "u-1"}, "device_id": "d-1", "session_id": "s-1"},
        {"event_id": 4625},
        {"EventID": "4688"},
        {"uid": "CtConn1ofManyNotices"},
        {"message_id": "m-1"},
        {"id": "suspicious-login"},
        {"id": 0},
        {"id": True},
        {"id": "-"},
        {"id": "a\n1"},
        {"id": "1" * 300},
        {"alertId": "none", "incident_id": 7},
        {"events": [{"id": "e-1"}, {"id": "e-2"}]},
    ],
)
def test_what_many_alerts_share_is_no_id(document: dict[str, Any]) -> None:
    read = Read(document)
    assert read.facts["native_id"] == read.digest


def test_two_products_that_both_count_from_one_are_kept_apart() -> None:
    one, other = Read({"id": 1, "alarm": "door"}), Read({"id": 1, "severity": "low"})
    assert one.facts["native_id"] == other.facts["native_id"] == "1"
    assert one.facts["alert_id"] != other.facts["alert_id"]


def test_an_update_of_an_alert_stays_that_alert() -> None:
    first = Read({"id": 1, "status": "open", "created": WHEN})
    later = Read({"id": 1, "status": "closed", "created": WHEN})
    assert later.facts["alert_id"] == first.facts["alert_id"]
    assert later.bundle != first.bundle


def test_the_payloads_word_on_its_status_closes_nothing() -> None:
    read = Read({"id": "a-1", "status": "closed", "verdict": "false_positive", "disposition": "blocked"})
    assert read.facts["closed_at_source"] is False
    assert read.alert["native_status"] == "closed"
    assert "verdict" not in read.alert


# Times.


@pytest.mark.parametrize(
    "written",
    [
        WHEN,
        "2026-11-20T09:00:00+0100",
        "2026-11-20 08:00:00.000 UTC",
        "Fri, 20 Nov 2026 08:00:00 +0000",
        1795161600,
        1795161600.0,
        1795161600000,
        1795161600000000,
        1795161600000000000,
        "1795161600",
        "1795161600000",
    ],
)
def test_a_time_is_known_in_any_of_its_forms(written: Any) -> None:
    read = Read({"timestamp": written})
    assert read.facts["created"] == MOMENT
    assert len(read.loss.caution) == 1


@pytest.mark.parametrize("written", ["2026-11-20 08:00:00", "2026/11/20 08:00:00", "Fri, 20 Nov 2026 08:00:00 -0000"])
def test_a_time_without_a_zone_is_taken_and_doubted(written: str) -> None:
    read = Read({"detection": {"time": written}})
    assert read.facts["created"] == MOMENT
    assert "/detection/time: a time with a zone expected, a time without one found" in read.loss.caution


@pytest.mark.parametrize("written", ["20.11.2026", "11/12/2026 08:00", "soon", 12, -1, 10**30, True, "1795161600x"])
def test_what_could_be_several_times_is_none(written: Any) -> None:
    assert "/: a time expected, none found" in Read({"timestamp": written}).loss.caution


def test_the_alerts_own_time_goes_before_other_times() -> None:
    read = Read(
        {
            "@timestamp": "2026-11-20T08:05:00Z",
            "expires_at": "2026-12-20T08:00:00Z",
            "ingested_at": "2026-11-20T08:06:00Z",
            "rule": {"created_at": "2025-01-01T00:00:00Z"},
            "user": {"created": "2020-01-01T00:00:00Z"},
            "alert": {"created_at": WHEN},
            "updated_at": "2026-11-20T09:00:00Z",
            "first_seen": "2026-11-20T07:00:00Z",
            "last_seen": "2026-11-20T07:30:00Z",
        }
    )
    assert read.facts["created"] == datetime(2026, 11, 20, 8, 5, tzinfo=UTC)
    assert read.facts["modified"] == datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    assert read.facts["first_seen"] == datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
    assert read.facts["last_seen"] == datetime(2026, 11, 20, 7, 30, tzinfo=UTC)


def test_when_it_was_ingested_is_no_time_of_the_alert() -> None:
    read = Read({"ingest_time": WHEN, "_indextime": 1795161600, "received_at": WHEN})
    assert "/: a time expected, none found" in read.loss.caution


# Severity, title, the rest of the header.


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"severity": "High"}, 4),
        ({"severity": "SEVERITY_CRITICAL"}, 5),
        ({"alertSeverity": "4 - Medium"}, 3),
        ({"severity": {"id": 2, "name": "Low"}}, 2),
        ({"risk_level": "info"}, 1),
        ({"severity": "7/10"}, 4),
        ({"severity": "95/100"}, 5),
        ({"class_uid": 2004, "severity_id": 4}, 4),
        ({"severity": 4}, 0),
        ({"severity": 99}, 0),
        ({"severity": "purple"}, 0),
        ({"severity": "low to high"}, 0),
        ({"severity_id": 4}, 0),
        ({"severity": 2, "findings": [{"parts": [{"severity": "critical"}, {}]}, {}]}, 0),
        ({"level": 12}, 0),
    ],
)
def test_a_severity_is_known_by_its_word_or_an_evident_scale(document: dict[str, Any], expected: int) -> None:
    assert Read(document).facts["severity_id"] == expected


def test_a_number_on_an_unknown_scale_is_kept_as_it_is() -> None:
    assert Read({"severity": 7}).alert["native_severity"] == "7"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"name": "n", "title": "Door open"}, "Door open"),
        ({"rule": {"name": "Odd login"}, "host": {"name": "ws-1"}, "user": {"name": "bob"}}, "Odd login"),
        ({"alert": {"signature": "Scan seen"}, "alert_name": "yes"}, "Scan seen"),
        ({"message": "\n  One thing\nand another"}, "One thing"),
        ({"event_type": "login_failed", "id": "a-1"}, "login_failed"),
        ({"id": "a-1", "name": "C:\\x.exe", "title": "0f0f0f0f-0f0f-0f0f"}, "Alert a-1"),
        ({"title": "x" * 400}, "x" * 255 + "…"),
        ({"title": "safe \u202efdp.exe\u202c end\x1b[2J"}, "safe  fdp.exe  end [2J"),
    ],
)
def test_the_title_is_what_a_person_would_call_it(document: dict[str, Any], expected: str) -> None:
    assert Read(document).facts["title"] == expected


def test_rule_type_count_score_and_link_of_the_alert_are_found() -> None:
    read = Read(
        {
            "id": "a-1",
            "event_type": "authentication",
            "event_count": 12,
            "risk_score": 71.5,
            "rule": {"id": "r-9", "name": "Odd login", "reference": "https://docs.example/r-9"},
            "alert_url": "https://console.example/alerts/a-1",
        }
    )
    assert read.alert["native_type"] == "authentication"
    assert read.alert["occurrences"] == 12
    assert read.alert["rule"] == {"rule_id": "r-9", "rule_name": "Odd login"}
    assert read.facts["console_url"] == "https://console.example/alerts/a-1"
    assert {"name": "risk_score", "value": 71.5} in next(iter(read.incident["extensions"].values()))["scores"]
    assert read.values("url") == []


# Addresses and names.


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("192.0.2.7", "ipv4-addr", ["192.0.2.7"]),
        ("2001:DB8:0:0::7", "ipv6-addr", ["2001:db8::7"]),
        ("192.0.2.7:8443", "ipv4-addr", ["192.0.2.7"]),
        ("[2001:db8::7]:443", "ipv6-addr", ["2001:db8::7"]),
        ("192.0.2.7/32", "ipv4-addr", ["192.0.2.7"]),
        (["192.0.2.7", "192.0.2.8"], "ipv4-addr", ["192.0.2.7", "192.0.2.8"]),
        ("192.0.2.7, 192.0.2.8", "ipv4-addr", ["192.0.2.7", "192.0.2.8"]),
        ("192.0.2.0/24", "ipv4-addr", []),
        ("192.0.2.7:99999", "ipv4-addr", []),
        ("192.0.2.777", "ipv4-addr", []),
    ],
)
def test_an_address_is_known_by_its_shape(value: Any, kind: str, expected: list[str]) -> None:
    assert Read({"seen_ip": value}).values(kind) == expected
    assert Read({"a": [{"b": {"c_ip": value}}, {}]}).values(kind) == expected


@pytest.mark.parametrize("key", ["version", "agent_version", "file.build", "AttributeOID", "firmwareVersion"])
def test_a_version_is_no_address(key: str) -> None:
    assert Read({key: "10.4.0.12"}).values("ipv4-addr") == []


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("domain", "Evil.Example.", ["evil.example"]),
        ("dns_query", "bücher.example", ["xn--bcher-kva.example"]),
        ("http.hostname", "evil.example", ["evil.example"]),
        ("destination_hostname", "evil.example", ["evil.example"]),
        ("domain", "evil.exe", []),
        ("query", "report.docx", []),
        ("domain", "CORP", []),
        ("comment", "evil.example", []),
        ("file_name", "evil.example", []),
    ],
)
def test_a_domain_needs_a_key_that_says_so_and_is_no_file(key: str, value: str, expected: list[str]) -> None:
    assert Read({key: value}).values("domain-name") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("jo.doe@Example.com", ["jo.doe@example.com"]),
        ("Jo <jo@example.com>", ["jo@example.com"]),
        ("jo@bücher.example", ["jo@xn--bcher-kva.example"]),
        ("http/web1@example.com", []),
        ("jo@localhost", []),
        ("@example.com", []),
    ],
)
def test_a_mail_address_is_known_by_its_shape(value: str, expected: list[str]) -> None:
    assert Read({"contact": value}).values("email-addr") == expected


def test_the_id_of_a_mail_is_no_address() -> None:
    assert Read({"messageID": "12345.6789@mail.example.com"}).values("email-addr") == []


def test_sender_and_recipient_are_told_apart() -> None:
    read = Read({"mail_from": "a@example.com", "recipients": ["b@example.com", "c@example.com"]})
    assert [(one.value, one.role) for one in read.entities] == [
        ("a@example.com", "sender"),
        ("b@example.com", "recipient"),
        ("c@example.com", "recipient"),
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"url": "https://evil.example/a?b=1"}, ["https://evil.example/a?b=1"]),
        ({"request": {"url": "http://192.0.2.7/x y"}}, ["http://192.0.2.7/x%20y"]),
        ({"references": ["https://docs.example/help"]}, []),
        ({"rule_url": "https://docs.example/rule"}, []),
        ({"tactic_link": "https://attack.mitre.org/tactics/TA0005/"}, []),
        ({"url": "/index.html"}, []),
    ],
)
def test_a_link_of_the_event_is_an_observable_and_one_to_a_manual_is_not(
    document: dict[str, Any], expected: list[str]
) -> None:
    assert Read(document).values("url") == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"mac": "00-11-22-33-44-55"}, ["00:11:22:33:44:55"]),
        ({"mac_address": "001122334455"}, ["00:11:22:33:44:55"]),
        ({"nic": "00:11:22:33:44:55"}, ["00:11:22:33:44:55"]),
        ({"serial": "001122334455"}, []),
    ],
)
def test_a_mac_address_needs_its_marks_or_its_key(document: dict[str, Any], expected: list[str]) -> None:
    assert Read(document).values("mac-addr") == expected


# Hosts and accounts.


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"hostname": "ws-1"}, ["ws-1"]),
        ({"host": {"name": "ws-1"}}, ["ws-1"]),
        ({"computerDnsName": "ws-1.corp.example"}, ["ws-1.corp.example"]),
        ({"devices": [{"device_name": "ws-1"}, {"device_name": "ws-2"}]}, ["ws-1", "ws-2"]),
        ({"hosts": ["ws-1", "ws-2"]}, ["ws-1", "ws-2"]),
        ({"entities": [{"type": "host", "name": "ws-1"}, {"type": "user", "name": "bob"}]}, ["ws-1"]),
        ({"machine_name": "CORP\\ws-1"}, ["ws-1"]),
        ({"hostname": "Zoë’s Laptop"}, ["Zoë’s Laptop"]),
        ({"hostname": "unknown"}, []),
        ({"hostname": "https://x.example"}, []),
        ({"hostname": "192.0.2.7"}, []),
        ({"contains_featured_host": "NO"}, []),
    ],
)
def test_hosts_are_found_by_their_keys(document: dict[str, Any], expected: list[str]) -> None:
    assert Read(document).hosts == expected


@pytest.mark.parametrize(
    ("document", "login", "uid"),
    [
        ({"user": "CORP\\bob"}, "bob", "CORP\\bob"),
        ({"userName": "bob", "userDomain": "CORP"}, "bob", "CORP\\bob"),
        ({"user": {"name": "bob", "sid": "S-1-5-21-1-2-3-1001"}}, "bob", "S-1-5-21-1-2-3-1001"),
        ({"TargetUserName": "小林"}, "小林", None),
        ({"account_name": "svc-backup$"}, "svc-backup$", None),
        ({"username": "O'Brien, Zoë"}, "O'Brien, Zoë", None),
    ],
)
def test_accounts_are_found_by_their_keys(document: dict[str, Any], login: str, uid: str | None) -> None:
    found = Read(document).one("user-account")
    assert (found["account_login"], found.get("user_id")) == (login, uid)


def test_an_account_named_by_a_mail_address_owns_it() -> None:
    read = Read({"user_principal_name": "bob@example.com", "display_name": "Bob"})
    assert read.one("email-addr")["belongs_to_ref"] == read.one("user-account")["id"]


@pytest.mark.parametrize(
    "document",
    [
        {"assigned_to": "analyst-1"},
        {"closing_user": "analyst-1"},
        {"created_by": "analyst-1"},
        {"user_agent": "Mozilla/5.0"},
        {"user_type": "member"},
        {"user": "-"},
        {"user": "a\x00b"},
        {"cloud_account_id": "123456789012"},
    ],
)
def test_who_works_on_an_alert_is_no_account_of_it(document: dict[str, Any]) -> None:
    assert Read(document).all("user-account") == []


def test_nobody_is_a_victim_by_guess() -> None:
    read = Read(
        {
            "victim": {"hostname": "ws-1", "ip": "10.1.2.3", "user": "bob"},
            "attacker": {"ip": "203.0.113.9", "domain": "evil.example"},
            "malicious_file": {"name": "a.exe", "sha256": SHA256},
        }
    )
    assert {one.role for one in read.entities} == {"other"}
    assert {one["role"] for one in read.alert["entities"]} == {"other"}


def test_what_every_alert_has_joins_none() -> None:
    read = Read({"observer": {"hostname": "gate-1", "ip": "10.0.0.1"}, "local_ip": "127.0.0.1", "remote_ip": "0.0.0.0"})
    assert read.hosts == ["gate-1"]
    assert read.values("ipv4-addr") == ["10.0.0.1", "127.0.0.1", "0.0.0.0"]
    assert read.entities == ()


# Files and processes.


def test_one_file_has_its_name_path_size_and_hashes_together() -> None:
    read = Read({"file": {"name": "a.exe", "path": "C:\\t\\a.exe", "size": 12, "hash": {"md5": MD5, "sha256": SHA256}}})
    file = read.one("file")
    assert file["hashes"] == {"MD5": MD5, "SHA-256": SHA256}
    assert (file["name"], file["size"]) == ("a.exe", 12)
    assert read.one("directory")["path"] == "C:\\t"


@pytest.mark.parametrize(
    "document",
    [
        {"sha1": SHA1},
        {"file_hash": SHA1},
        {"hashes": [SHA1.upper()]},
        {"file": {"hashes": [{"algorithm": "SHA-1", "value": SHA1}]}},
        {"indicator": {"type": "sha1", "value": SHA1}},
        {"Hashes": f"SHA1={SHA1}"},
        {"file": SHA1},
    ],
)
def test_a_hash_is_known_where_its_key_says_so(document: dict[str, Any]) -> None:
    assert Read(document).one("file")["hashes"] == {"SHA-1": SHA1}


@pytest.mark.parametrize(
    "key",
    ["session_id", "token", "agent_uuid", "ja3_hash", "cert_sha1", "certificate.fingerprint.sha256", "scenario_hash",
     "imphash", "threat_id", "comment", "md5_session", "tlsh"],
)  # fmt: skip
@pytest.mark.parametrize("digest", [MD5, SHA1, SHA256])
def test_digits_of_a_hashs_length_are_no_hash_without_such_a_key(key: str, digest: str) -> None:
    assert Read({key: digest}).all("file") == []


@pytest.mark.parametrize("value", [MD5, SHA256, "zz" * 20, "0" * 40, ""])
def test_a_hash_of_another_length_than_its_key_says_is_none(value: str) -> None:
    assert Read({"sha1": value}).all("file") == []


def test_the_hashes_of_several_files_are_not_mixed() -> None:
    read = Read({"sha256": [SHA256, "3c" * 32], "attachments": [{"md5": MD5, "name": "a.doc"}, {"name": "b.doc"}]})
    assert [(one.get("name"), one.get("hashes")) for one in read.all("file")] == [
        (None, {"SHA-256": SHA256}),
        (None, {"SHA-256": "3c" * 32}),
        ("a.doc", {"MD5": MD5}),
        ("b.doc", None),
    ]


def test_a_folder_written_as_the_path_gets_its_file() -> None:
    read = Read({"evidence": {"fileName": "cmd.exe", "filePath": "C:\\Windows\\System32"}})
    assert read.one("file")["name"] == "cmd.exe"
    assert read.one("directory")["path"] == "C:\\Windows\\System32"


FLAT = {
    "process_name": "C:\\t\\a.exe", "process_id": 11, "process_cmdline": "a.exe -x", "process_sha256": SHA256,
    "parent_process_name": "C:\\p.exe", "parent_pid": 10, "parent_cmdline": "p.exe", "process_username": "CORP\\bob",
}  # fmt: skip
NESTED = {
    "process": {
        "executable": "C:\\t\\a.exe", "pid": 11, "command_line": "a.exe -x", "hash": {"sha256": SHA256},
        "user": {"name": "CORP\\bob"},
        "parent": {"executable": "C:\\p.exe", "pid": 10, "command_line": "p.exe"},
    }
}  # fmt: skip
FUSED = {
    "sourceprocesspath": "C:\\t\\a.exe", "sourceprocesspid": "11", "sourceprocesscommandline": "a.exe -x",
    "sourceprocesshashsha256": SHA256, "sourceprocessusername": "CORP\\bob", "sourceparentprocesspath": "C:\\p.exe",
    "sourceparentprocesspid": "10", "sourceparentprocesscommandline": "p.exe",
}  # fmt: skip
SYSMON = {
    "Image": "C:\\t\\a.exe", "ProcessId": "11", "CommandLine": "a.exe -x", "Hashes": f"SHA256={SHA256},IMPHASH={MD5}",
    "ParentImage": "C:\\p.exe", "ParentProcessId": "10", "ParentCommandLine": "p.exe",
}  # fmt: skip


@pytest.mark.parametrize("document", [FLAT, NESTED, FUSED, SYSMON])
def test_a_process_and_its_parent_are_put_together(document: dict[str, Any]) -> None:
    read = Read(document)
    child, parent = sorted(read.all("process"), key=lambda one: one["pid"], reverse=True)
    assert (child["pid"], child["command_line"], read.image(child)) == (11, "a.exe -x", "a.exe")
    assert (parent["pid"], parent["command_line"], read.image(parent)) == (10, "p.exe", "p.exe")
    assert child["parent_ref"] == parent["id"]
    assert SHA256 in [digest for one in read.all("file") for digest in one.get("hashes", {}).values()]
    if "Image" not in document:
        assert read.at(child["image_ref"])["hashes"] == {"SHA-256": SHA256}
        assert read.at(child["creator_user_ref"])["account_login"] == "bob"


def test_a_tree_of_processes_keeps_its_shape() -> None:
    leaf = [{"name": "c.exe", "pid": 3}, {"name": "d.exe", "pid": 4}]
    tree = {"name": "a.exe", "pid": 1, "children": [{"name": "b.exe", "pid": 2, "children": leaf}]}
    read = Read({"process": tree})
    byname = {read.image(one): one for one in read.all("process")}
    parents = {name: byname[name].get("parent_ref") for name in byname}
    ids = {name: byname[name]["id"] for name in byname}
    assert parents == {"a.exe": None, "b.exe": ids["a.exe"], "c.exe": ids["b.exe"], "d.exe": ids["b.exe"]}


def test_processes_of_a_list_are_not_mixed() -> None:
    read = Read({"processes": [{"name": "a.exe", "pid": 1}, {"name": "b.exe"}, {"pid": 3, "path": "/bin/c"}]})
    assert [(one.get("pid"), read.image(one)) for one in read.all("process")] == [
        (1, "a.exe"),
        (None, "b.exe"),
        (3, "c"),
    ]


def test_a_lone_number_is_no_process() -> None:
    read = Read({"pid": 619, "policy": {"pid": 5}})
    assert read.all("process") == []
    assert read.fields["pid"] == 619


def test_processes_of_two_alerts_are_two_although_they_look_alike() -> None:
    one, other = Read({"id": "a-1", **FLAT}), Read({"id": "a-2", **FLAT})
    assert {entry["id"] for entry in one.all("process")}.isdisjoint(entry["id"] for entry in other.all("process"))


def test_a_registry_key_is_known_by_its_hive() -> None:
    read = Read({"target": "HKLM\\Software\\Example", "hive": "HKEY_LOCAL_MACHINE"})
    assert read.one("windows-registry-key")["key"] == "HKEY_LOCAL_MACHINE\\Software\\Example"


# Connections.


@pytest.mark.parametrize(
    "document",
    [
        {"src_ip": "10.0.0.5", "src_port": 50000, "dest_ip": "203.0.113.9", "dest_port": "443", "proto": "TCP"},
        {"srcip": "10.0.0.5", "srcport": 50000, "dstip": "203.0.113.9", "dstport": 443, "protocol": 6},
        {"source": {"ip": "10.0.0.5", "port": 50000}, "destination": {"ip": "203.0.113.9", "port": 443},
         "network": {"transport": "tcp"}},
        {"id.orig_h": "10.0.0.5", "id.orig_p": 50000, "id.resp_h": "203.0.113.9", "id.resp_p": 443, "proto": "tcp"},
        {"LocalAddress": "10.0.0.5", "LocalPort": 50000, "RemoteAddress": "203.0.113.9:443", "protocol": "tcp"},
        {"message": "deny src=10.0.0.5 spt=50000 dst=203.0.113.9 dpt=443 proto=TCP"},
    ],
)  # fmt: skip
def test_two_ends_with_ports_are_a_connection(document: dict[str, Any]) -> None:
    read = Read(document)
    found = read.one("network-traffic")
    assert (read.at(found["src_ref"])["value"], found["src_port"]) == ("10.0.0.5", 50000)
    assert (read.at(found["dst_ref"])["value"], found["dst_port"]) == ("203.0.113.9", 443)
    assert found["protocols"] == ["ipv4", "tcp"]


@pytest.mark.parametrize(
    "document",
    [
        {"src_ip": "10.0.0.5", "dst_ip": "203.0.113.9", "dst_port": 443},
        {"src_ip": "10.0.0.5", "src_port": 1, "dst_ip": "203.0.113.9", "dst_port": 70000},
        {"src_ip": "10.0.0.5", "src_port": 1, "remote_ip": "203.0.113.9", "remote_port": 2},
        {"flows": [{"src_ip": "10.0.0.5", "src_port": 1}, {"dst_ip": "203.0.113.9", "dst_port": 2}]},
    ],
)
def test_what_is_not_one_whole_connection_is_only_addresses(document: dict[str, Any]) -> None:
    read = Read(document)
    assert read.all("network-traffic") == []
    assert read.values("ipv4-addr") == ["10.0.0.5", "203.0.113.9"]


# Techniques.


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"technique_id": "T1059.001"}, ("T1059.001",)),
        ({"mitre": {"techniques": [{"id": "t1021"}, {"id": "T1105"}]}}, ("T1021", "T1105")),
        ({"AttackTechniques": '["PowerShell (T1059.001)"]'}, ("T1059.001",)),
        ({"tags": ["MITRE.T1105", "T1021"]}, ("T1105", "T1021")),
        ({"technique": {"reference": "https://attack.mitre.org/techniques/T1059/001/"}}, ("T1059.001",)),
        ({"message": "seen T1105 on ws-1"}, ("T1105",)),
        ({"model": "T1105"}, ()),
        ({"technique_id": "T9999"}, ()),
        ({"tags": ["XT1105X", "T11055"]}, ()),
    ],
)
def test_techniques_are_ids_that_attack_has(document: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert Read(document).facts["techniques"] == expected


def test_tactics_are_known_by_id_and_by_name() -> None:
    assert Read({"tactics": ["TA0005", "Initial Access", "LateralMovement"]}).facts["tactics"] == (
        "TA0005",
        "TA0001",
        "TA0008",
    )


# Texts.

LINE = (
    "Nov 20 08:00:00 gate-1 ids[7]: 203.0.113.9:4444 -> 10.0.0.5 fetched https://evil.example/a.exe, "
    f"md5: {MD5} container {SHA256} at 12:30:45 run evil.exe by std::string T1105."
)


def test_a_plain_line_gives_what_is_certain_by_itself() -> None:
    read = Read({"message": LINE, "syslog": {"host": "gate-1", "app": "ids", "severity": 2}})
    assert read.values("ipv4-addr") == ["203.0.113.9", "10.0.0.5"]
    assert read.values("url") == ["https://evil.example/a.exe"]
    assert read.one("file")["hashes"] == {"MD5": MD5}
    assert read.facts["techniques"] == ("T1105",)
    assert (read.values("domain-name"), read.values("ipv6-addr"), read.facts["severity_id"]) == ([], [], 0)
    assert read.facts["title"] == LINE.strip()[:256]


def test_pairs_of_a_line_are_read_by_their_keys() -> None:
    read = Read({"raw": f'action=deny user="Zoë O" shost=ws-1 dst=203.0.113.9 sha256={SHA256} id=5 name=x pid=4'})
    assert read.one("user-account")["account_login"] == "Zoë O"
    assert read.hosts == ["ws-1"]
    assert read.one("file")["hashes"] == {"SHA-256": SHA256}
    assert read.facts["native_id"] == read.digest


def test_json_inside_a_text_is_read_like_any_other() -> None:
    inner = {"host": {"name": "ws-1"}, "zone": "dmz"}
    read = Read({"payload": json.dumps(inner), "broken": '{"a": ', "list": "[]"})
    assert read.hosts == ["ws-1"]
    assert read.fields["payload.zone"] == "dmz"
    assert read.fields["broken"] == '{"a": '


def test_a_key_beside_a_value_names_it() -> None:
    read = Read({"meta": [{"key": "source_ip", "value": "203.0.113.9"}, {"key": "target_user", "value": "bob"},
                          {"key": "zone", "value": "dmz"}]})  # fmt: skip
    assert read.values("ipv4-addr") == ["203.0.113.9"]
    assert read.one("user-account")["account_login"] == "bob"
    assert read.fields["meta.2.zone"] == "dmz"


# Whatever comes.


def nested(levels: int, wrap: Callable[[Any], Any]) -> Any:
    made: Any = {"ip": "192.0.2.7"}
    for _ in range(levels):
        made = wrap(made)
    return made


@pytest.mark.parametrize(
    "document",
    [
        {"x": nested(200, lambda inner: {"parent": inner})},
        {"x": nested(200, lambda inner: [inner, inner] if isinstance(inner, dict) else [inner])},
        {"process": nested(80, lambda inner: {"name": "a.exe", "children": [inner, {"name": "b.exe"}]})},
    ],
)
def test_what_stands_too_deep_is_lost_and_said_so(document: dict[str, Any]) -> None:
    read = Read(document)
    assert read.values("ipv4-addr") == []
    assert any(len(path) < 300 for path in read.loss.lost)


@pytest.mark.parametrize(
    "value", ["HKLM\\Software\\n{}", "host-{}.example.com", "C:\\t\\{}.exe", "user-{}@example.com"]
)
def test_thousands_of_anything_are_a_bounded_bundle(value: str) -> None:
    keys = ("registry", "domain", "file", "user")
    read = Read({key: [value.format(number) for number in range(3000)] for key in keys})
    assert 350 < len(read.objects) < 450
    assert read.loss.lost


def test_a_payload_of_a_hundred_thousand_keys_is_one_bounded_alert() -> None:
    read = Read({"n": 1, "ips": [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}" for i in range(100_000)]})
    assert 300 < len(read.values("ipv4-addr")) <= 400
    assert len(read.bundle) < 500_000
    assert read.loss.lost == ("ips", "ips.*")
    wide = Read({f"key-{i}": i for i in range(100_000)})
    assert "*" in wide.loss.lost
    assert len(wide.loss.lost) < 30_000


@pytest.mark.parametrize("unit", ["a", "1", "A.", ":", "a=", "1.2.3.4 ", "T1105 ", "{", "\\", "md5 ", "@", "http://"])
@pytest.mark.parametrize("key", ["message", "ip", "url", "user", "technique", "command_line", "id", "time", "domain"])
def test_a_text_of_a_megabyte_is_no_trouble(key: str, unit: str) -> None:
    text = (unit * 1_048_576)[:1_048_576]
    read = Read({key: text, "b" * 1_048_576: 1})
    assert read.loss.read + len(read.loss.lost) >= 2
    assert len(read.bundle) < 100_000


HOSTILE = [
    "a\x00b", "\u202efdp.exe", "\\ud800", "{{7*7}}", "${jndi:ldap://x.example/a}", '=HYPERLINK("http://x.example")',
    "' OR 1=1 --", "<script>alert(1)</script>", "\x1b[31m", "%s%n", "../../etc/passwd", "🦊" * 40, "é\u0301", "\u200b",
    "http://[::1", "https://a b/", "ftp://user:pw@h.example:99999/", "xn--a.example", "a@b@c.example", "[2001:db8::1",
    "C:", "\\\\", "//", "S-1-5-18", "CORP\\", "\\bob", "T1059.001", "high", WHEN, "192.0.2.7:1", MD5, SHA256, "-", "",
    "=" * 40, 'src=10.0.0.1 dst= user="', '{"id": {"id": [1, "x"]}}', "Tue, 99 Zzz 2026 25:61:61 +9999", "0x7fffffff",
]  # fmt: skip
KEYS = [
    "id", "alert_id", "incident", "ip", "src_ip", "src_port", "dst_ip", "dst_port", "url", "domain", "host",
    "hostname", "device_id", "user", "user_name", "sid", "email", "process", "parent", "children", "pid",
    "command_line", "image", "file", "path", "hash", "sha256", "hashes", "md5", "technique", "tactics", "tags",
    "title", "name", "description", "message", "raw", "severity", "severity_id", "class_uid", "time", "timestamp",
    "created_at", "updated", "first_seen", "status", "type", "vendor", "product", "rule", "score", "count", "mac",
    "key", "value", "link", "$id", "", "a.b", "unmapped", "observer", "syslog", "registry_key", "@odata.type", "os",
    "size",
]  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)  # fmt: skip
NAMES = st.one_of(st.sampled_from(KEYS), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
DOCUMENTS = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=6)),
        max_leaves=30,
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENTS)
def test_any_object_becomes_one_alert_that_is_the_same_for_ever(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    read, again = Read(document), Read(copy.deepcopy(document))
    assert document == before
    assert (read.bundle, read.facts, read.loss) == (again.bundle, again.facts, again.loss)
    assert "/: a mapping that reads this product expected, none found" in read.loss.caution
    assert 0 < len(read.fields) <= 64
    assert all(isinstance(value, (str, int, float)) for value in read.fields.values())
    known = [entry["id"] for entry in read.objects]
    assert len(set(known)) == len(known)
    assert {one["entity_ref"] for one in read.alert.get("entities", ())} <= set(known)
    assert {one.role for one in read.entities} <= {"other", "sender", "recipient"}


@pytest.mark.parametrize("number", range(len(KEYS) // 8 + 1))
def test_strangers_find_nothing_wrong_with_hostile_texts_under_telling_keys(number: int) -> None:
    keys = KEYS[number * 8 : number * 8 + 8]
    document = {key: [{key: text, "value": text} for text in HOSTILE] for key in keys}
    assert faults(Read(document | {"first": dict(zip(KEYS, HOSTILE, strict=False))}).bundle) == []


@pytest.mark.parametrize("document", [{}, FLAT, NESTED, FUSED, SYSMON, {"message": LINE}])
def test_strangers_find_nothing_wrong_with_it(document: dict[str, Any]) -> None:
    assert faults(Read(document).bundle) == []


def test_a_loss_report_counts_what_it_read() -> None:
    report: LossReport = Read({"id": "a-1", "x": {"y": [1, 2]}, "big": "z" * 5000}).loss
    assert (report.read, report.lost) == (3, ("big",))
