from typing import Any

import pytest

from nightdesk.normalizers.sophos_central.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (None, "", 0, 1.5, True, [], {}, [[]], [{}], {"a": {}}, "\x00", "'", "'" * 5000)
WORDS = {"told": ["Username"], "lined": ["Local", "IP"]}
DATA_CONTROL = (
    "An \u2033allow\u2033 action was taken.  Username: CORP\\ida  Rule names: \u2032Cards\u2032  File size: 55931  "
    "Source path: C:\\My Files\\a.xlsx  Destination type: Removable storage"
)
RAW = "Message       SMB attempt\nPacket type   TCP\nLocal IP:     2001:db8::1\nLocal IPX:    no\nSHA-256:  AB"


@pytest.mark.parametrize(
    ("sentence", "first", "second"),
    [
        ("Malware detected: 'Mal/A' at 'C:\\Temp\\a.exe'", "Mal/A", "C:\\Temp\\a.exe"),
        ('Access was blocked to "www.example.com" because of "Rule".', "www.example.com", "Rule"),
        ("An \u2033allow\u2033 action, \u2032Rule\u2032", "allow", "Rule"),
        ("the user's own words", None, None),
    ],
)
def test_what_is_quoted_is_taken_by_number(sentence: str, first: str | None, second: str | None) -> None:
    assert FUNCTIONS["quoted"](sentence) == first
    assert FUNCTIONS["quoted"](sentence, "2") == second
    assert FUNCTIONS["quoted"](sentence, "3") is None


@pytest.mark.parametrize(
    ("text", "is_path"),
    [("C:\\a.exe", True), ("\\\\srv\\c$\\a", True), ("/usr/bin/a", True), ("https://a.example", False), ("//x", False)],
)
def test_only_a_local_path_is_a_path(text: str, *, is_path: bool) -> None:
    assert FUNCTIONS["if_path"](text) == (text if is_path else None)


def test_a_threat_is_known_by_its_name() -> None:
    assert FUNCTIONS["if_threat"]("Mal/JSInject-A") == "Mal/JSInject-A"
    assert FUNCTIONS["if_threat"]("Mal\u2215JSInject-A") == "Mal/JSInject-A"
    assert FUNCTIONS["if_threat"]("Games") is None


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("www.example.com", "www.example.com"),
        ("https:\u2215\u2215cdn.example.net\u2215a.js", "cdn.example.net"),
        ("http://ida@www.example.com:8080/x", "www.example.com"),
        ("http://[2001:db8::1]:80/x", "2001:db8::1"),
    ],
)
def test_the_host_of_an_address_is_found(address: str, host: str) -> None:
    assert FUNCTIONS["site"](address) == host


def test_web_control_says_why_and_others_do_not() -> None:
    assert FUNCTIONS["blocked_for"]("'games.example.org' blocked due to category 'Games'") == "Games"
    assert FUNCTIONS["blocked_for"]("PUA detected: 'Toolbar' at 'C:\\a.exe'") is None


def test_only_an_address_with_a_scheme_is_an_address_bar() -> None:
    assert FUNCTIONS["address_bar"]("https:\u2215\u2215a.example\u2215b") == "https://a.example/b"
    assert FUNCTIONS["address_bar"]("a.example/b") is None


def test_nobody_is_nobody_and_a_name_is_no_login() -> None:
    assert FUNCTIONS["known"]("n/a") is None
    assert FUNCTIONS["known"]("CORP\\ida") == "CORP\\ida"
    assert FUNCTIONS["full_name"]("Ida Roe") == "Ida Roe"
    assert FUNCTIONS["full_name"]("CORP\\ida roe") is None


def test_data_control_tells_its_parts() -> None:
    told = FUNCTIONS["told"]
    assert told(DATA_CONTROL, "Username") == "CORP\\ida"
    assert told(DATA_CONTROL, "Source", "path") == "C:\\My Files\\a.xlsx"
    assert told(DATA_CONTROL, "Destination", "type") == "Removable storage"
    assert told(DATA_CONTROL, "Nothing") is None


def test_raw_data_is_read_by_line() -> None:
    lined = FUNCTIONS["lined"]
    assert lined(RAW, "Local", "IP") == "2001:db8::1"
    assert lined(RAW, "Packet", "type") == "TCP"
    assert lined(RAW, "SHA-256") == "AB"
    assert lined(RAW, "Remote", "IP") is None


def test_only_nought_is_inbound() -> None:
    assert [FUNCTIONS["arrived"](value) for value in (0, "0", 1, 2, None, False)] == ["inbound", "inbound", *[None] * 4]


def test_what_was_cleaned_up_is_listed_with_its_result() -> None:
    items = [{"type": "file", "descriptor": "C:\\a", "result": "SUCCESS", "suspendResult": ""}, "x", {"type": "file"}]
    assert FUNCTIONS["remedies"](items) == "file C:\\a SUCCESS; file"
    assert FUNCTIONS["remedies"]([{}]) is None


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.parametrize("value", STRANGE)
def test_no_value_of_any_kind_breaks_a_function(name: str, value: object) -> None:
    result = FUNCTIONS[name](value, *WORDS.get(name, []))
    assert result is None or isinstance(result, str)
