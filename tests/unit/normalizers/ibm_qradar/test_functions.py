from typing import Any

import pytest

from nightdesk.normalizers.ibm_qradar.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (None, "", 0, 1.5, True, [], {}, [[]], [{}], {"a": {}}, "\x00", "::1", [1, "10.0.0.1", None])


def _sides(**offense: Any) -> tuple[list[str], list[str]]:
    return FUNCTIONS["sources"](offense, "outside"), FUNCTIONS["sources"](offense, "inside")


def test_a_source_in_no_network_of_the_company_is_outside() -> None:
    assert _sides(offense_type=0, offense_source="203.0.113.5", source_network="other") == (["203.0.113.5"], [])


def test_a_source_in_a_named_network_is_an_own_host_whatever_its_address() -> None:
    assert _sides(offense_type=10, offense_source="2001:DB8::5", source_network="Lab") == ([], ["2001:db8::5"])


def test_a_private_source_is_never_outside() -> None:
    assert _sides(offense_type=0, offense_source="10.0.0.5", source_network="other") == ([], ["10.0.0.5"])


def test_sources_of_several_networks_are_told_apart_by_their_addresses() -> None:
    found = _sides(
        offense_type=3, offense_source="root", source_network="multiple", source_address_ids=["10.0.0.5", "203.0.113.5"]
    )
    assert found == (["203.0.113.5"], ["10.0.0.5"])


def test_ids_of_look_ups_are_no_addresses() -> None:
    assert _sides(offense_type=0, offense_source="10.0.0.5", source_address_ids=[167772165]) == ([], ["10.0.0.5"])


def test_a_destination_outside_is_no_victim() -> None:
    offense = {"offense_type": 1, "offense_source": "203.0.113.5", "destination_networks": ["other"]}
    assert FUNCTIONS["victims"](offense) == []
    assert FUNCTIONS["victims"]({**offense, "destination_networks": ["DMZ"]}) == ["203.0.113.5"]


def test_local_destinations_are_victims() -> None:
    offense = {"offense_type": 0, "offense_source": "203.0.113.5", "local_destination_address_ids": ["10.0.0.9", 4]}
    assert FUNCTIONS["victims"](offense) == ["10.0.0.9"]


def test_events_and_flows_count_together() -> None:
    assert FUNCTIONS["total"]({"event_count": 3, "flow_count": 4}) == 7
    assert FUNCTIONS["total"]({"event_count": 0, "flow_count": True}) is None


@pytest.mark.parametrize(
    ("offense", "wanted"), [({"status": "OPEN"}, "new"), ({"status": "OPEN", "assigned_to": "a"}, None)]
)
def test_an_open_offense_is_new_until_somebody_has_it(offense: dict[str, Any], wanted: str | None) -> None:
    assert FUNCTIONS["untouched"](offense) == wanted


def test_the_rule_engine_is_not_who_saw_it() -> None:
    assert [FUNCTIONS["reporter"](name) for name in ("EventCRE", "LinuxServer")] == [None, "LinuxServer"]


def test_a_text_of_several_lines_becomes_one() -> None:
    assert FUNCTIONS["line"]("Scan\n containing Deny\n") == "Scan containing Deny"


@pytest.mark.parametrize("value", STRANGE)
def test_no_function_stumbles_over_a_strange_value(value: Any) -> None:
    for name in ("line", "untouched", "total", "reporter", "victims"):
        FUNCTIONS[name](value)
    record = dict.fromkeys(
        (
            "offense_type",
            "offense_source",
            "source_network",
            "source_address_ids",
            "destination_networks",
            "event_count",
        ),
        value,
    )
    assert isinstance(FUNCTIONS["sources"](record, "inside"), list)
    assert isinstance(FUNCTIONS["victims"]({**record, "offense_type": 1}), list)
