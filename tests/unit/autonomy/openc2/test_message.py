"""What comes over the wire is read strictly, and what is wrong in it is said with its place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.autonomy.openc2.message import ACTIONS, Command, read_command, read_envelope
from nightdesk.autonomy.openc2.pairs import PAIRS
from nightdesk.autonomy.openc2.targets import STANDARD, TARGETS
from nightdesk.sdk.errors import MappingError, UnsupportedError

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_NAMES = st.sampled_from(sorted({*TARGETS, *STANDARD, "x-acme:thing", "nonsense"}))
_NEARLY = st.fixed_dictionaries(
    {"action": st.sampled_from(ACTIONS) | _JSON, "target": st.dictionaries(_NAMES, _JSON, max_size=2) | _JSON},
    optional={
        "args": _JSON
        | st.dictionaries(st.sampled_from(["stop_time", "duration", "slpf", "x-nightdesk", "colour"]), _JSON),
        "actuator": _JSON | st.dictionaries(st.sampled_from(["x-nightdesk", "slpf"]), _JSON),
        "command_id": _JSON,
    },
)


def _read(data: Any) -> Command | str:
    """The command, or what was said instead."""
    try:
        return read_command(data)
    except (MappingError, UnsupportedError) as error:
        return str(error)


@given(_JSON | _NEARLY)
def test_any_json_is_read_or_refused(data: Any) -> None:
    command = _read(data)
    if isinstance(command, str):
        assert 0 < len(command) < 2000, "nothing that was sent comes back at length"
    else:
        assert _read(command.to_json()) == command


@given(st.binary(max_size=64) | _NEARLY.map(lambda one: json.dumps(one).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        found = _read(read_envelope(body).command)
    except (MappingError, UnsupportedError) as error:
        found = str(error)
    assert found


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"action": "scan", "action": "deny"}', "twice"),
        (b'{"action": "\\ud800"}', "UTF-8"),
        (b'{"action": "\xff"}', "UTF-8"),
        (b'{"action": NaN}', "no number"),
        (b'{"action": 1e400}', "no number that can be kept"),
        (b'{"action": -1e400}', "no number that can be kept"),
        (b'{"action": 9007199254740993}', "no number that can be kept"),
        (b'{"action": -18446744073709551617}', "no number that can be kept"),
        (b"[" * 100_000, "too deeply"),
        (b"9" * 10_000, "no JSON"),
        (b'["scan"]', "JSON object"),
        (b'{"body": {}}', "exactly one 'openc2'"),
        (b'{"body": {"openc2": {"request": {}, "response": {}}}}', "exactly one 'request'"),
        (b'{"body": {"openc2": {"request": {}}}, "colour": 1}', "no 'colour'"),
        (b'{"headers": {"colour": 1}, "body": {"openc2": {"request": {}}}}', "/headers/colour"),
        (b'{"headers": {"request_id": 7}, "body": {"openc2": {"request": {}}}}', "/headers/request_id"),
    ],
)
def test_what_is_no_message_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(MappingError, match=said):
        read_envelope(body)


def test_a_signature_that_nobody_checks_is_not_taken() -> None:
    with pytest.raises(UnsupportedError, match="leave it out"):
        read_envelope(b'{"body": {"openc2": {"request": {}}}, "signature": "x"}')


def test_a_command_comes_with_its_envelope_or_bare() -> None:
    command = {"action": "query", "target": {"features": []}}
    bare = read_envelope(json.dumps(command).encode())
    assert (bare.command, bare.headers) == (command, None)
    headers = {"request_id": "r-1", "created": 1, "from": "soar", "to": ["hub"]}
    sent = {"headers": headers, "body": {"openc2": {"request": command}}}
    read = read_envelope(json.dumps(sent).encode())
    assert read.command == command
    assert read.headers is not None
    assert (read.headers.request_id, read.headers.sender) == ("r-1", "soar")


_SCAN = {"action": "scan", "target": {"device": {"hostname": "ws-1"}}}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"action": "hunt"}, "/action"),
        ({"action": None}, "/action"),
        ({"target": {}}, "/target"),
        ({"target": {"device": {"hostname": "a"}, "uri": "x:y"}}, "/target"),
        ({"target": {"device": {}}}, "/target/device"),
        ({"target": {"device": {"hostname": "a b"}}}, "/target/device/hostname"),
        ({"target": {"device": {"hostname": "a", "colour": "red"}}}, "/target/device/colour"),
        ({"target": {"thing": "x"}}, "/target/thing"),
        ({"target": {"ipv4_net": "2001:db8::1"}}, "/target/ipv4_net"),
        ({"target": {"ipv6_net": "203.0.113.7"}}, "/target/ipv6_net"),
        ({"target": {"uri": "no scheme"}}, "/target/uri"),
        ({"target": {"email_addr": "ève@example.com"}}, "/target/email_addr"),
        ({"target": {"file": {"hashes": {"sha256": "ab"}}}}, "/target/file/hashes/sha256"),
        ({"target": {"process": {"pid": "4711"}}}, "/target/process/pid"),
        ({"target": {"features": ["colour"]}}, "/target/features/0"),
        ({"target": {"artifact": {"payload": {"bin": "AA", "url": "x:y"}}}}, "/target/artifact/payload"),
        ({"target": {"command": "a b"}}, "/target/command"),
        ({"args": {}}, "/args"),
        ({"args": {"colour": 1}}, "/args/colour"),
        ({"args": {"duration": -1}}, "/args/duration"),
        ({"args": {"duration": True}}, "/args/duration"),
        ({"args": {"stop_time": 10**20}}, "/args/stop_time"),
        ({"args": {"start_time": 1, "stop_time": 2, "duration": 1}}, "/args"),
        ({"args": {"response_requested": "maybe"}}, "/args/response_requested"),
        ({"args": {"x-nightdesk": {"reason": 7}}}, "/args/x-nightdesk/reason"),
        ({"args": {"x-nightdesk": {"mode": {"a": 1}}}}, "/args/x-nightdesk/mode"),
        ({"actuator": {}}, "/actuator"),
        ({"actuator": {"x-nightdesk": {"colour": 1}}}, "/actuator/x-nightdesk/colour"),
        ({"command_id": ""}, "/command_id"),
        ({"command_id": "a\n"}, "/command_id"),
        ({"command_id": "x" * 37}, "/command_id"),
        ({"colour": 1}, "/colour"),
    ],
)
def test_what_breaks_the_language_is_refused_with_its_place(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(MappingError) as caught:
        read_command({**_SCAN, **change})
    assert caught.value.pointer.startswith(pointer)


@pytest.mark.parametrize(
    "change",
    [
        {"target": {"mac_addr": "x"}},
        {"target": {"properties": ["battery"]}},
        {"target": {"slpf:rule_number": 1234}},
        {"args": {"slpf": {"direction": "ingress"}}},
        {"actuator": {"slpf": {"asset_id": "30"}}},
    ],
)
def test_what_belongs_to_another_profile_is_beyond_us(change: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="not supported; there are"):
        read_command({**_SCAN, **change})


def test_every_pair_is_made_of_words_that_can_be_read() -> None:
    assert {action for action, _ in PAIRS} <= set(ACTIONS)
    assert {target for _, target in PAIRS} <= set(TARGETS)
