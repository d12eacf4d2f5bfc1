"""What Wazuh's decoders leave in several fields."""

from typing import Any

import pytest

from nightdesk.normalizers.wazuh.functions import FUNCTIONS

INSIDE, OUTSIDE = "10.40.2.14", "203.0.113.15"
SHA = "3b7d" * 16


def _alert(data: dict[str, Any] | None = None, *, groups: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    made = {"rule": {"level": 7, "groups": list(groups)}, "agent": {"id": "014", "name": "srv", "ip": INSIDE}}
    return {**made, "manager": {"name": "mgr"}, "data": data or {}, **fields}


def _windows(event: str, **pairs: str) -> dict[str, Any]:
    return {"win": {"system": {"eventID": event}, "eventdata": pairs}}


def test_windows_data_is_unescaped_once_and_the_callers_record_stays() -> None:
    record = _alert(_windows("1", image="C:\\\\Temp\\\\a.exe", commandLine='\\"a\\" b'))
    made = FUNCTIONS["unescape_windows"](record)
    assert made["data"]["win"]["eventdata"] == {"image": "C:\\Temp\\a.exe", "commandLine": '"a" b'}
    assert record["data"]["win"]["eventdata"]["image"] == "C:\\\\Temp\\\\a.exe"
    assert FUNCTIONS["unescape_windows"](made) == made


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1:45606", "192.0.2.1"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("AWS Internal", None),
        (None, None),
    ],
)
def test_a_port_behind_an_address_is_left_off(text: object, address: str | None) -> None:
    assert FUNCTIONS["end"](text) == address


def test_an_address_outside_that_tries_something_attacks() -> None:
    assert FUNCTIONS["attacker"](_alert({"srcip": OUTSIDE})) == OUTSIDE
    assert FUNCTIONS["attacker"](_alert({"srcip": OUTSIDE}, groups=("authentication_success",))) is None
    assert FUNCTIONS["attacker"](_alert({"srcip": INSIDE})) is None
    assert FUNCTIONS["attacker"](_alert({"dstip": OUTSIDE})) is None


def test_of_an_ids_alert_the_far_end_attacks() -> None:
    record = _alert({"src_ip": "10.40.9.9", "dest_ip": OUTSIDE}, groups=("ids",))
    assert (FUNCTIONS["attacker"](record), FUNCTIONS["sensed_machine"](record)) == (OUTSIDE, "10.40.9.9")
    assert FUNCTIONS["speaks_for_itself"](record) is None
    own = _alert({"src_ip": INSIDE, "dest_ip": OUTSIDE}, groups=("ids",))
    assert FUNCTIONS["speaks_for_itself"](own) is True
    assert FUNCTIONS["sensed_machine"](own) is None


def test_ports_are_found_in_the_line_of_an_ids() -> None:
    record = _alert(groups=("ids",), full_log="x {TCP} 192.0.2.1:51000 -> 10.40.2.14:22")
    assert [FUNCTIONS["snort_port"](record, side) for side in ("source", "destination")] == ["51000", "22"]
    assert FUNCTIONS["snort_port"](_alert(full_log="{TCP} 192.0.2.1:5 -> 10.40.2.14:22"), "source") is None


def test_a_collected_log_is_about_the_machine_in_its_header() -> None:
    record = _alert(agent={"id": "000", "name": "mgr"}, predecoder={"hostname": "edge-3"})
    assert (FUNCTIONS["reporter"](record), FUNCTIONS["speaks_for_itself"](record)) == ("edge-3", None)
    own = _alert(predecoder={"hostname": "SRV.example"})
    assert (FUNCTIONS["reporter"](own), FUNCTIONS["speaks_for_itself"](own)) == (None, True)


def test_a_clouds_log_is_not_about_the_agent() -> None:
    assert FUNCTIONS["speaks_for_itself"](_alert({"aws": {"source": "cloudtrail"}})) is None


def test_an_agent_is_known_by_manager_and_number() -> None:
    assert FUNCTIONS["agent_uid"](_alert()) == "mgr/014"
    assert FUNCTIONS["agent_uid"]({"agent": {"id": "014"}}) == "014"
    assert FUNCTIONS["agent_uid"]({"agent": {"id": ["014"]}}) is None


@pytest.mark.parametrize(
    ("pairs", "answer"),
    [
        ({"subjectUserName": "anna", "subjectUserSid": "S-1-5-21-1"}, True),
        ({"subjectUserName": "SRV$", "subjectUserSid": "S-1-5-18"}, None),
        ({"subjectUserName": "-"}, None),
        ({}, None),
    ],
)
def test_machines_and_the_system_are_no_actors(pairs: dict[str, str], answer: bool | None) -> None:
    assert FUNCTIONS["acts"](_alert(_windows("4624", **pairs))) is answer


def test_a_group_is_no_user_that_is_aimed_at() -> None:
    assert FUNCTIONS["aims_at_user"](_alert(_windows("4732", targetUserName="Administrators"))) is None
    assert FUNCTIONS["aims_at_user"](_alert(_windows("4625", targetUserName="anna"))) is True


def test_a_new_process_names_its_creator() -> None:
    assert FUNCTIONS["creator"](_alert(_windows("4688", processId="0x1fa8"))) == "0x1fa8"
    assert FUNCTIONS["creator"](_alert(_windows("4625", processId="0x1fa8"))) is None


def test_a_grave_rule_about_a_new_process_accuses_it() -> None:
    assert FUNCTIONS["accused"](_alert(_windows("4688"))) is True
    assert FUNCTIONS["accused"](_alert(_windows("4688"), rule={"level": 3, "groups": []})) is None
    assert FUNCTIONS["accused"](_alert(_windows("4625"))) is None


def test_hashes_belong_to_the_file_that_the_event_is_about() -> None:
    record = _alert(_windows("7", hashes=f"SHA256={SHA},IMPHASH=00"))
    assert FUNCTIONS["hashes_of"](record, "loaded") == [SHA]
    assert FUNCTIONS["hashes_of"](record, "image") == []


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"unescape_windows", "end", "hashes_of", "snort_port"}))
@pytest.mark.parametrize("record", [[], "text", {"data": 7, "rule": [], "agent": "x"}])
def test_any_shape_is_borne(name: str, record: object) -> None:
    assert FUNCTIONS[name](record) in (None, [], True)
