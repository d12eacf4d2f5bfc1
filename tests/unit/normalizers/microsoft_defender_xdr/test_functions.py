"""Defender's evidence is judged as the vendor judges it, and never by more."""

import copy
from typing import Any

import pytest

from nightdesk.normalizers.microsoft_defender_xdr.evidence import graph_evidence, is_outside, joined_path
from nightdesk.normalizers.microsoft_defender_xdr.functions import FUNCTIONS


def _piece(kind: str, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = graph_evidence({"@odata.type": f"#microsoft.graph.security.{kind}Evidence", **fields})
    return made


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8::7"])
def test_an_address_from_outside_attacks_when_it_is_judged(address: str) -> None:
    assert _piece("ip", ipAddress=address, verdict="suspicious")["attacking"] == "ip"


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.0.9", "fe80::1", "fd00::1", "127.0.0.1"]
)
def test_an_address_that_can_be_the_companys_own_never_attacks(address: str) -> None:
    piece = _piece("ip", ipAddress=address, verdict="malicious", roles=["attacker"])
    assert "attacking" not in piece
    assert "malicious" not in piece


def test_a_role_alone_makes_an_attacker_but_convicts_nothing() -> None:
    piece = _piece("ip", ipAddress="198.51.100.7", verdict="unknown", roles=["commandAndControl"])
    assert piece["attacking"] == "ip"
    assert "malicious" not in piece


def test_an_account_that_attacks_does_not_suffer() -> None:
    assert _piece("user", roles=["attacker"])["suffering"] is None
    assert _piece("user", roles=["compromised"])["suffering"] == "user"


def test_suspicion_is_no_conviction() -> None:
    piece = _piece("file", verdict="suspicious")
    assert (piece["judged"], "malicious" in piece) == ("file", False)


@pytest.mark.parametrize(
    ("folder", "name", "path"),
    [
        ("C:\\Temp", "a.exe", "C:\\Temp\\a.exe"),
        ("C:\\Temp\\a.exe", "A.EXE", "C:\\Temp\\a.exe"),
        ("E:", "a.zip", "E:\\a.zip"),
        ("/opt/x", "b", "/opt/x/b"),
        ("", "b", None),
        (None, "b", None),
        ("/opt/x", None, "/opt/x"),
    ],
)
def test_folder_and_name_make_a_path_once(folder: Any, name: Any, path: str | None) -> None:
    assert joined_path(folder, name) == path


@pytest.mark.parametrize(
    ("seen", "outside"),
    [
        ("http://127.0.0.1/1.exe", False),
        ("http://localhost/x", False),
        ("https://example.com/", True),
        ("http://[::1", False),
    ],
)
def test_a_url_is_outside_when_its_host_is(seen: str, outside: bool) -> None:
    assert is_outside(seen) is outside


def test_the_evidence_of_all_alerts_stands_once_in_one_list() -> None:
    device = {"@odata.type": "#microsoft.graph.security.deviceEvidence", "mdeDeviceId": "d1"}
    user = {"@odata.type": "#microsoft.graph.security.userEvidence", "userAccount": {"accountName": "a"}}
    made = FUNCTIONS["evidence_read"]({"alerts": [{"evidence": [device]}, {"evidence": [device, user]}]})
    assert sorted(piece["kind"] for piece in made["evidence"]) == ["device", "user"]


def test_the_primary_device_is_the_one_that_a_label_means_after_the_list() -> None:
    kind = "#microsoft.graph.security.deviceEvidence"
    first = {"@odata.type": kind, "mdeDeviceId": "d1", "detailedRoles": ["PrimaryDevice"]}
    made = FUNCTIONS["evidence_read"]({"evidence": [first, {"@odata.type": kind, "mdeDeviceId": "d2"}]})
    assert made["evidence"][-1]["mdeDeviceId"] == "d1"


@pytest.mark.parametrize(
    ("states", "stopped"),
    [
        (["prevented"], "prevented"),
        (["blocked", "prevented"], "blocked"),
        (["detected", "prevented"], None),
        ([], None),
    ],
)
def test_something_is_stopped_only_when_all_of_it_was(states: list[str], stopped: str | None) -> None:
    evidence = [{"@odata.type": "#microsoft.graph.security.fileEvidence", "detectionStatus": state} for state in states]
    assert FUNCTIONS["evidence_read"]({"evidence": evidence})["stopped"] == stopped


def test_copies_of_one_mail_become_one_with_all_recipients() -> None:
    mail = {"@odata.type": "#microsoft.graph.security.analyzedMessageEvidence", "networkMessageId": "n"}
    pieces = [
        {**mail, "recipientEmailAddress": name, "deliveryAction": name} for name in ("a@example.org", "b@example.org")
    ]
    made = FUNCTIONS["evidence_read"]({"evidence": pieces})
    assert [piece["recipients"] for piece in made["evidence"]] == [["a@example.org", "b@example.org"]]
    assert made["facts"]["deliveryAction"] == ["a@example.org", "b@example.org"]


def test_kinds_without_a_place_are_kept_apart() -> None:
    made = FUNCTIONS["evidence_read"]({"evidence": [{"@odata.type": "#x.oauthApplicationEvidence", "appId": "1"}]})
    assert [piece["appId"] for piece in made["others"]] == ["1"]


def _row(**fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = FUNCTIONS["row_read"]({"properties": {"AlertId": "a1", **fields}})["properties"]
    return made


def test_two_pieces_of_evidence_of_one_alert_have_two_keys() -> None:
    keys = {_row(EntityType="Ip", RemoteIP=address)["key"] for address in ("198.51.100.1", "198.51.100.2")}
    assert len(keys) == 2
    assert all(key.startswith("a1:") for key in keys)


def test_the_same_piece_has_the_same_key_when_its_state_changes() -> None:
    before = _row(EntityType="Ip", RemoteIP="198.51.100.1", AdditionalFields='{"LastRemediationState": "Active"}')
    after = _row(EntityType="Ip", RemoteIP="198.51.100.1", AdditionalFields='{"LastRemediationState": "Remediated"}')
    assert before["key"] == after["key"]


def test_an_alert_without_evidence_keeps_its_own_id() -> None:
    assert _row(Title="x")["key"] == "a1"


@pytest.mark.parametrize(
    ("hive", "key", "path"),
    [
        ("localMachineSoftware", "Microsoft\\Run", "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Run"),
        ("currentUser", "HKCU\\Run", "HKCU\\Run"),
        ("unknown", "Run", "Run"),
        ("currentUser", None, None),
    ],
)
def test_hive_and_key_make_a_registry_path(hive: str, key: Any, path: str | None) -> None:
    assert FUNCTIONS["registry_path"]({"hive": hive, "key": key}) == path


def test_the_first_and_the_last_of_several_times_are_found() -> None:
    times = ["2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"]
    assert FUNCTIONS["earliest"](times) == times[1]
    assert FUNCTIONS["latest"](times) == times[2]


def test_what_is_no_time_goes_on_to_be_reported() -> None:
    assert FUNCTIONS["earliest"]({"a": 1}) == {"a": 1}


@pytest.mark.parametrize("name", ["evidence_read", "entities_read", "row_read", "states_read"])
@pytest.mark.parametrize(
    "odd", [None, 5, "x", [], [None, 5, "x", [1], {}], {"a": 1}, [{"@odata.type": 5, "roles": 7, "ipInterfaces": [{}]}]]
)
def test_anything_may_stand_anywhere_and_the_document_is_never_changed(name: str, odd: Any) -> None:
    keys = ("evidence", "alerts", "devices", "entities", "properties", "hostStates")
    document = {**dict.fromkeys(keys, odd), "more": [{"evidence": odd}]}
    before = copy.deepcopy(document)
    assert isinstance(FUNCTIONS[name](document), dict)
    assert document == before
