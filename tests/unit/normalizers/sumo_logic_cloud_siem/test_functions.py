import copy
from typing import Any

import pytest

from nightdesk.normalizers.sumo_logic_cloud_siem.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (
    None,
    "",
    0,
    1.5,
    True,
    [],
    {},
    [[]],
    [{}],
    {"a": {}},
    "\x00",
    [1, None, "x"],
    [{"timestamp": "soon"}],
)


def _flat(**document: Any) -> dict[str, Any]:
    made: dict[str, Any] = FUNCTIONS["flattened"](document)
    return made


def test_records_of_all_signals_stand_in_one_list() -> None:
    made = _flat(signals=[{"id": "a", "allRecords": [{"uid": "1"}]}, {"id": "b", "allRecords": [{"uid": "2"}, {}]}])
    assert made["records"] == [{"uid": "1"}, {"uid": "2"}]
    assert made["signals"] == [{"id": "a"}, {"id": "b"}]


def test_an_attribute_that_no_mapping_reads_is_kept_with_the_others() -> None:
    made = _flat(allRecords=[{"uid": "1", "dns_queryType": "TXT", "srcDevice_ip_version": 4, "bro_dns_answers": []}])
    assert made["records"] == [{"uid": "1"}]
    assert made["facts"] == {"rest": {"dns_queryType": "TXT"}}


@pytest.mark.parametrize(("flag", "wanted"), [(False, True), (True, None), (None, None)])
def test_only_the_product_says_that_a_source_is_outside(flag: bool | None, wanted: bool | None) -> None:
    made = _flat(allRecords=[{"srcDevice_ip": "203.0.113.5", "srcDevice_ip_isInternal": flag}])
    assert made["records"][0].get("outside") == wanted


def test_what_an_outside_source_meets_inside_is_hit() -> None:
    ends = {"srcDevice_ip": "203.0.113.5", "dstDevice_ip": "10.0.0.4", "dstDevice_ip_isInternal": True}
    assert _flat(allRecords=[{**ends, "srcDevice_ip_isInternal": False}])["records"][0]["hit"] == "10.0.0.4"
    assert "hit" not in _flat(allRecords=[{**ends, "srcDevice_ip_isInternal": True}])["records"][0]


def test_both_shapes_of_an_entity_become_one() -> None:
    new = {"entityType": "_ip", "value": "10.0.0.5", "name": "10.0.0.5", "id": "_ip-10.0.0.5"}
    old = {"id": "_ip-lab-10.0.0.5", "ip": {"address": "10.0.0.5"}, "name": "10.0.0.5"}
    wanted = [{"kind": "ip", "value": "10.0.0.5", "about": "ip", "own": "10.0.0.5"}]
    assert _flat(entity=new)["entities"] == _flat(entity=old)["entities"] == wanted


def test_who_only_takes_part_stands_beside_and_once() -> None:
    user = {"entityType": "_username", "value": "ida"}
    made = _flat(entity={"entityType": "_hostname", "value": "ws"}, involvedEntities=[user], signals=[{"entity": user}])
    assert made["entities"] == [
        {"kind": "hostname", "value": "ws", "about": "hostname"},
        {"kind": "username", "value": "ida", "beside": "username"},
    ]


def test_what_records_have_in_common_becomes_records_but_no_process() -> None:
    fields = [{"fieldName": "device_hostname", "fieldValue": "ws"}, {"fieldName": "commandLine", "fieldValue": "x"}]
    assert _flat(recordSummaryFields=fields)["records"] == [{"device_hostname": "ws"}]


def test_what_is_of_the_wrong_shape_stays_to_be_seen() -> None:
    assert _flat(entity="ws", signals=["x"], allRecords="none") == {
        "entity": "ws",
        "signals": ["x"],
        "allRecords": "none",
        "entities": [],
        "records": [],
        "facts": {},
    }


def test_the_document_that_was_given_stays_as_it_was() -> None:
    document = {"entity": {"value": "a"}, "signals": [{"allRecords": [{"uid": "1", "x": 1}], "entity": {"value": "b"}}]}
    before = copy.deepcopy(document)
    FUNCTIONS["flattened"](document)
    assert document == before


def test_facts_of_several_records_stand_once() -> None:
    records = [{"fields": {"a": 1, "b": "x"}, "threat_name": "t"}, {"fields": {"a": 2, "b": "x"}, "threat_name": "t"}]
    assert _flat(allRecords=records)["facts"] == {"threat_name": ["t"], "fields": {"a": [1, 2], "b": "x"}}


def test_first_and_last_signal_are_found_and_records_summed() -> None:
    signals = [{"timestamp": "2026-11-19T10:00:00", "n": 2}, {"timestamp": "2026-11-19T09:00:00.5", "n": 3}]
    assert FUNCTIONS["earliest"](signals) == "2026-11-19T09:00:00.5Z"
    assert FUNCTIONS["latest"](signals) == "2026-11-19T10:00:00Z"
    assert FUNCTIONS["total"](signals, "n") == 5


@pytest.mark.parametrize("value", STRANGE)
def test_no_function_stumbles_over_a_strange_value(value: Any) -> None:
    assert [FUNCTIONS["total"](value, "b"), FUNCTIONS["earliest"](value), FUNCTIONS["latest"](value)] == [None] * 3
    made = _flat(entity=value, relatedEntities=value, allRecords=value, signals=value, recordSummaryFields=value)
    assert isinstance(made["records"], list)
    assert isinstance(_flat(entity={"id": value, "value": value, "entityType": value, "ip": value})["entities"], list)
