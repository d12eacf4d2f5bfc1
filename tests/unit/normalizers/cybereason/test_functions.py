import copy
from typing import Any

import pytest

from nightdesk.normalizers.cybereason.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (None, "", 0, 1.5, True, [], {}, [[]], [{}], {"a": {}}, "\x00", '"', "x" * 5000)


def _values(*found: Any) -> dict[str, Any]:
    return {"totalValues": len(found), "values": list(found) or None}


def test_a_map_of_values_becomes_a_table() -> None:
    made = FUNCTIONS["flattened"]({"simpleValues": {"one": _values("x"), "two": _values("x", "y"), "none": _values()}})
    assert made["simple"] == {"one": "x", "two": ["x", "y"]}
    assert made["totals"]["two"] == {"totalValues": 2}
    assert "simpleValues" not in made


def test_elements_lose_what_they_say_twice() -> None:
    nested = {"guid": _values("g"), "elementDisplayName": _values("a.exe"), "group": _values("G"), "more": _values("m")}
    element = {
        "guid": "g",
        "name": "a.exe",
        "hasMalops": True,
        "simpleValues": {**nested, "hasMalops": _values("true")},
    }
    made = FUNCTIONS["flattened"]({"elementValues": {"suspects": {"totalValues": 1, "elementValues": [element]}}})
    left = {"guid": "g", "name": "a.exe", "hasMalops": True, "group": "G", "simpleValues": {"more": _values("m")}}
    assert made["elements"] == {"suspects": [left]}


def test_a_cause_that_is_primary_is_not_listed_again() -> None:
    first, second = {"guid": "1"}, {"guid": "2"}
    given = {
        "primaryRootCauseElements": {"elementValues": [first]},
        "rootCauseElements": {"elementValues": [first, second]},
    }
    made = FUNCTIONS["flattened"]({"elementValues": given})["elements"]
    assert made["rootCauseElements"] == [second]


def test_what_has_another_shape_stays_where_it_was() -> None:
    given = {"simpleValues": {"a": "text", "b": {"values": "x"}, "c": _values(1)}, "elementValues": ["x"]}
    before = copy.deepcopy(given)
    made = FUNCTIONS["flattened"](given)
    assert made["simpleValues"] == {"a": "text", "b": {"values": "x"}}
    assert made["elementValues"] == ["x"]
    assert given == before


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"detectionTypes": ["Known malware"], "displayName": "a.exe"}, "Known malware: a.exe"),
        ({"detectionTypes": [], "malopDetectionType": "PUP", "displayName": "a.exe"}, "PUP: a.exe"),
        ({"simple": {"detectionType": "BLACKLIST", "rootCauseElementNames": "192.0.2.1"}}, "BLACKLIST: 192.0.2.1"),
        ({"cef": {"name": "Malop Created"}, "custom": {"MalopDetectionType": "PUP"}}, "Malop Created: PUP"),
        ({}, None),
    ],
)
def test_a_title_says_what_was_found_on_what(document: dict[str, Any], said: str | None) -> None:
    assert FUNCTIONS["headline"](document) == said


def test_only_the_creation_of_a_malop_has_its_id() -> None:
    def line(signature: str, **more: str) -> Any:
        extension = {"CybereasonCEFgeneratorBatchId1": "b", **more}
        document = {"cef": {"signature_id": signature}, "custom": {"MalopId": "11.1"}, "extension": extension}
        return FUNCTIONS["line_key"](document)

    assert line("1") == "11.1"
    assert line("3", dhost="w").startswith("11.1/3/")
    assert line("3", dhost="w") == line("3", dhost="w")
    assert line("3", dhost="w") != line("3", dhost="v")
    assert FUNCTIONS["line_key"]({"cef": {"signature_id": "9"}, "extension": {"externalId": "e"}}).startswith("e/9/")
    assert FUNCTIONS["line_key"]({"cef": {"signature_id": "1"}}) is None


@pytest.mark.parametrize(
    ("written", "read"),
    [("None", None), ("n/a", None), ('"C:\\a b.exe"', "C:\\a b.exe"), ('"a" "b"', '"a" "b"'), ("a", "a"), (7, "7")],
)
def test_a_word_for_nothing_is_nothing_and_quotes_come_off(written: object, read: str | None) -> None:
    assert FUNCTIONS["real"](written) == read


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("10.20.4.42:57682 > 203.0.113.77:443", "10.20.4.42", "57682"),
        ("[2001:db8::7]:50000 > [2001:db8::8]:3389", "2001:db8::7", "50000"),
        ("powershell.exe", None, None),
    ],
)
def test_who_began_a_connection_stands_on_its_left(text: str, address: str | None, port: str | None) -> None:
    assert (FUNCTIONS["client_address"](text), FUNCTIONS["client_port"](text)) == (address, port)


@pytest.mark.parametrize(
    ("address", "is_outside"),
    [
        ("203.0.113.7", True),
        ("2001:db8:bad::1", True),
        ("10.2.3.4", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
    ],
)
def test_only_an_address_of_others_is_outside(address: str, *, is_outside: bool) -> None:
    assert FUNCTIONS["outside"](address) == (address if is_outside else None)


def test_sensor_connection_and_isolation_stand_by_machine() -> None:
    machines = [
        {"displayName": "a", "connected": True, "isolated": False, "pylumId": "P"},
        {"displayName": "b", "isolated": True},
        "x",
    ]
    made = FUNCTIONS["stated"]({"machines": machines})
    assert made["machineStates"] == "a: sensor P, connected, not isolated; b: isolated"
    assert FUNCTIONS["stated"]({"machines": "none"}) == {"machines": "none"}


def test_an_owner_that_is_no_machine_of_the_malop_is_another_machine() -> None:
    given = {"machines": [{"displayName": "A"}], "processes": [{"ownerMachine": "a"}, {"ownerMachine": "b"}, "x"]}
    assert FUNCTIONS["stated"](given)["otherMachines"] == ["b"]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('"C:\\My Files\\a.exe" -x', "C:\\My Files\\a.exe"),
        ('\\"C:\\a.exe\\"', "C:\\a.exe"),
        ("/usr/bin/curl -s", "/usr/bin/curl"),
        ("cmd.exe /c dir", None),
    ],
)
def test_a_command_line_begins_with_its_image(line: str, path: str | None) -> None:
    assert FUNCTIONS["image_path"](line) == path


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"flattened", "stated"}))
@pytest.mark.parametrize("value", STRANGE)
def test_no_value_of_any_kind_breaks_a_function(name: str, value: object) -> None:
    result = FUNCTIONS[name](value)
    assert result is None or isinstance(result, str)


@pytest.mark.parametrize("value", STRANGE)
def test_no_part_of_any_kind_breaks_the_preparation(value: object) -> None:
    element = {"simpleValues": {"a": value, "group": {"values": value}}, "guid": value}
    for document in (
        {"simpleValues": value, "elementValues": value, "machines": value},
        {"simpleValues": {"a": value}, "elementValues": {"a": value}},
        {"simpleValues": {"a": {"values": value}}, "elementValues": {"a": {"elementValues": value}}},
        {"elementValues": {"primaryRootCauseElements": {"elementValues": [element]}}},
        {"machines": [{"displayName": value, "connected": value, "pylumId": value}]},
    ):
        assert isinstance(FUNCTIONS["stated"](FUNCTIONS["flattened"](document)), dict)
