"""Sentinel's entities stand alone with what they point at, its mails are one each, its alerts have one shape."""

import copy
import cProfile
from typing import Any

import pytest

from nightdesk.normalizers.microsoft_sentinel.entities import flat
from nightdesk.normalizers.microsoft_sentinel.functions import FUNCTIONS

_HOST = {"$id": "1", "HostName": "WS-1", "DnsDomain": "corp.example.net", "Type": "host"}
_FILE = {"$id": "2", "Directory": "C:\\Temp", "Name": "a.exe", "FileHashes": [{"$ref": "3"}], "Type": "file"}
_HASH = {"$id": "3", "Algorithm": "SHA256", "Value": "ab" * 32, "Type": "filehash"}
_PROCESS = {
    "$id": "4",
    "ProcessId": "0x10",
    "ImageFile": {"$ref": "2"},
    "Host": {"$ref": "1"},
    "ParentProcess": {"ProcessId": "0x8", "ImageFile": {"Name": "cmd.exe"}},
    "Type": "process",
}


def _entities(*raw: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = FUNCTIONS["gathered"]({"Entities": list(raw)}, "Entities")["entities"]
    return found


def _of_type(entities: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entity for entity in entities if entity["type"] == kind]


def test_a_process_has_the_image_and_the_host_that_it_points_at() -> None:
    process = _of_type(_entities(_HOST, _FILE, _HASH, _PROCESS), "process")[0]
    assert process["imagefile"] == {"path": "C:\\Temp\\a.exe", "name": None, "hashes": ["ab" * 32]}
    assert process["host"] == "WS-1.corp.example.net"


def test_an_entity_nested_in_another_stands_by_itself_too() -> None:
    processes = _of_type(_entities(_PROCESS), "process")
    assert sorted(str(process["processid"]) for process in processes) == ["0x10", "0x8"]
    assert next(one for one in processes if one["processid"] == "0x10")["parentprocess"]["processid"] == "0x8"


def test_a_pointer_to_nowhere_is_kept_as_one() -> None:
    file = _of_type(_entities({"Name": "x", "Host": {"$ref": "99"}, "Type": "file"}), "file")[0]
    assert file["dangling"] == ["99"]
    assert file["host"] is None


def test_a_process_that_is_its_own_parent_ends() -> None:
    process = _of_type(
        _entities({"$id": "1", "ProcessId": "7", "ParentProcess": {"$ref": "1"}, "Type": "process"}), "process"
    )
    assert [one["processid"] for one in process] == ["7"]


def test_an_authenticode_hash_is_none_of_the_file() -> None:
    entity = {"Name": "x", "FileHashes": [{"Algorithm": "SHA256AC", "Value": "cd" * 32}], "Type": "file"}
    assert _of_type(_entities(entity), "file")[0]["hashes"] == []


def test_the_forms_of_the_api_and_of_the_sdk_read_the_same() -> None:
    arm = {
        "id": "/x/Entities/e1",
        "name": "e1",
        "kind": "Account",
        "properties": {"accountName": "ann", "ntDomain": "CORP"},
    }
    sdk = {"id": "/x/Entities/e1", "name": "e1", "kind": "Account", "account_name": "ann", "nt_domain": "CORP"}
    row = {"$id": "e1", "Name": "ann", "NTDomain": "CORP", "Type": "account"}
    names = [(one["name"], one["type"]) for raw in (arm, sdk, row) for one in _entities(raw)]
    assert names == [("ann", "account")] * 3


def test_the_api_points_by_the_last_part_of_an_id() -> None:
    host = {"id": "/s/Entities/H1", "name": "H1", "kind": "Host", "properties": {"hostName": "fs-01"}}
    file = {
        "id": "/s/Entities/f",
        "name": "f",
        "kind": "File",
        "properties": {"fileName": "n", "hostEntityId": "/s/Entities/h1"},
    }
    assert _of_type(_entities(host, file), "file")[0]["host"] == "fs-01"


def test_malware_convicts_the_files_it_was_found_on() -> None:
    malware = {"Name": "Win32/X", "Files": [{"$ref": "2"}], "Type": "malware"}
    assert _of_type(_entities(_FILE, _HASH, malware), "file")[0]["hostile"] == "file"


def test_a_file_that_nothing_judges_is_not_hostile() -> None:
    assert "hostile" not in _of_type(_entities(_FILE, _HASH), "file")[0]


def test_the_process_that_the_alert_calls_suspicious_is_hostile_however_its_id_is_written() -> None:
    document = {"Entities": [_PROCESS], "ExtendedProperties": {"Suspicious Process Id": "16"}}
    processes = _of_type(FUNCTIONS["gathered"](document, "Entities")["entities"], "process")
    assert {one["processid"]: one.get("hostile") for one in processes} == {"0x10": "process", "0x8": None}


def test_an_account_of_the_machine_itself_is_local() -> None:
    account = {"Name": "bob", "NTDomain": "ws-1", "Host": {"$ref": "1"}, "Type": "account"}
    assert _of_type(_entities(_HOST, account), "account")[0]["scope"] == "windows-local"


def test_who_is_logged_on_is_no_victim() -> None:
    host = {**_HOST, "LoggedOnUsers": [{"Name": "carl", "Type": "account"}]}
    assert _of_type(_entities(host), "account")[0]["victim"] is None


def test_copies_of_one_mail_become_one_with_all_recipients() -> None:
    mail = {"NetworkMessageId": "n1", "Sender": "x@example.com", "Type": "mailMessage"}
    mails = _entities({**mail, "Recipient": "a@example.org"}, {**mail, "Recipient": "b@example.org"})
    assert [one["recipients"] for one in mails] == [["a@example.org", "b@example.org"]]
    assert mails[0]["alone"] is True


def test_a_mail_among_others_is_marked_so() -> None:
    mails = _entities(
        {"NetworkMessageId": "n1", "Type": "mailMessage"}, {"NetworkMessageId": "n2", "Type": "mailMessage"}
    )
    assert ["amongmany" in one for one in mails] == [True, True]


def test_what_no_mapping_models_is_kept_apart() -> None:
    _, others = flat([{"Name": "Admins", "Type": "security-group"}, "loose"])
    assert [other if isinstance(other, str) else other["type"] for other in others] == ["loose", "securitygroup"]


def test_the_alerts_of_an_incident_have_one_shape() -> None:
    raw = [{"id": "/a", "properties": {"systemAlertId": "s1", "tactics": ["Impact"]}}, {"system_alert_id": "s2"}]
    made = FUNCTIONS["alerts_of"]({"alerts": raw}, "alerts")
    assert made["alert_facts"]["systemalertid"] == ["s1", "s2"]
    assert made["alerts"][0]["tactics"] == ["Impact"]


def test_the_document_itself_is_never_changed() -> None:
    document = {"Entities": [_HOST, _FILE, _HASH, _PROCESS], "alerts": [{"system_alert_id": "s"}]}
    before = copy.deepcopy(document)
    FUNCTIONS["alerts_of"](FUNCTIONS["gathered"](document, "Entities"), "alerts")
    assert document == before


@pytest.mark.parametrize(
    "raw", [None, "x", 5, [], [None], ["x"], [[[]]], {"entities": 5}, [{"Type": 5}], [{"$ref": []}]]
)
def test_anything_may_stand_where_entities_are_expected(raw: Any) -> None:
    assert isinstance(FUNCTIONS["gathered"]({"Entities": raw}, "Entities"), dict)


def test_ten_times_the_entities_take_no_hundred_times_the_steps() -> None:
    def steps(count: int) -> int:
        chain = [
            {"$id": str(n), "ProcessId": str(n), "ParentProcess": {"$ref": str(n + 1)}, "Type": "process"}
            for n in range(count)
        ]
        profile = cProfile.Profile()
        profile.runcall(flat, chain)
        return sum(entry.callcount for entry in profile.getstats())

    assert steps(5_000) < 12 * steps(500)


@pytest.mark.parametrize(
    ("name", "mail"),
    [("a@example.org", "a@example.org"), ("a_example.com#EXT#@t.example.org", "a@example.com"), ("#EXT#@t", None)],
)
def test_a_guest_has_the_address_of_home(name: str, mail: str | None) -> None:
    assert FUNCTIONS["mail_of"](name) == mail


def test_a_workspace_is_the_same_in_any_case() -> None:
    path = "/subscriptions/AB/resourceGroups/Rg/providers/Microsoft.X/workspaces/Ws/providers/x/incidents/1"
    assert FUNCTIONS["workspace_of"](path) == "ab/rg/ws"
    assert FUNCTIONS["workspace_of"]("/subscriptions/ab") is None


def test_the_compromised_host_is_the_one_that_a_label_means_after_the_list() -> None:
    hosts = [{"$id": name, "HostName": name, "Type": "host"} for name in ("a", "b", "c")]
    made = FUNCTIONS["gathered"]({"Entities": hosts, "CompromisedEntity": "B"}, "Entities")["entities"]
    assert made[-1]["hostname"] == "b"
    assert FUNCTIONS["gathered"]({"Entities": hosts}, "Entities")["entities"][-1]["hostname"] == "a"
