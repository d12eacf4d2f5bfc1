"""Every verb there and back: what is said in the language means the same thing again, whatever it is called."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.openc2.message import read_command, read_envelope
from nightdesk.autonomy.openc2.naming import ON_HOSTS
from nightdesk.autonomy.openc2.pairs import PAIRS
from nightdesk.autonomy.openc2.wishes import Wish, command_of, milliseconds, to_command, to_wish
from nightdesk.sdk.errors import MappingError, NightdeskError, RejectedError, UnsupportedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import VERBS, TargetKind

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
_SHA256 = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:".__add__)
_USUAL: dict[TargetKind, st.SearchStrategy[str]] = {
    TargetKind.HOST: st.from_regex(r"[a-z][a-z0-9_-]{0,14}(\.corp\.example\.com)?", fullmatch=True),
    TargetKind.FILE: _SHA256 | st.text("0123456789abcdef", min_size=32, max_size=32),
    TargetKind.ADDRESS: st.ip_addresses().map(str),
    TargetKind.DOMAIN: st.sampled_from(["bad.example.com", "böse.example.com", "a b.example.com"]),
    TargetKind.URL: st.sampled_from(
        ["https://bad.example.com/a?b=c", "https://böse.example.com/", "bad.example.com/a"]
    ),
    TargetKind.SENDER: st.sampled_from(["eve@bad.example.com", "ève@bad.example.com", "bad.example.com"]),
    TargetKind.ARTIFACT: _SHA256 | st.sampled_from(["https://bad.example.com/a", "some artifact"]),
}
_VALUES = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")) | st.lists(_TEXT)
)


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    wanted = draw(st.sampled_from(sorted(VERBS.values(), key=lambda one: one.name)))
    value = draw(_USUAL.get(wanted.target, _TEXT) | _TEXT)
    facts: dict[str, str] = {}
    if wanted.name in ON_HOSTS:
        facts["hostname"] = draw(_TEXT)
    if wanted.target is TargetKind.PROCESS:
        facts |= draw(st.fixed_dictionaries({}, optional={"pid": st.integers(0, 2**31).map(str), "path": _TEXT}))
    if wanted.target is TargetKind.FILE:
        facts |= draw(st.fixed_dictionaries({}, optional={"path": _TEXT, "name": _TEXT}))
    try:
        target = Target(wanted.target, value, facts)
    except RejectedError:
        assume(False)
        raise
    end = draw(st.sampled_from(["never", "lease", "moment"])) if wanted.reversible else "never"
    after = timedelta(milliseconds=draw(st.integers(1, 10**12)))
    parameters = draw(st.dictionaries(st.sampled_from(sorted(wanted.parameters)), _VALUES)) if wanted.parameters else {}
    return Wish(
        wanted.name,
        target,
        {name: value for name, value in parameters.items() if value is not None},
        draw(st.just("") | _TEXT),
        draw(st.just("") | _TEXT),
        tuple(sorted(draw(st.sets(st.sampled_from(wanted.parameters))))) if wanted.parameters else (),
        "edr-main" if wanted.role == "source" else "",
        after if end == "lease" else None,
        NOW + after if end == "moment" else None,
    )


@given(wishes())
def test_a_wish_said_as_a_command_is_the_same_wish(wish: Wish) -> None:
    sent = json.dumps(to_command(wish).to_json()).encode()
    back = to_wish(read_command(read_envelope(sent).command), NOW)
    assert back == wish
    assert dict(back.target.facts) == dict(wish.target.facts)


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_is_said_in_its_own_pair(name: str) -> None:
    values = {TargetKind.ADDRESS: "203.0.113.7", TargetKind.FILE: "ab" * 32, TargetKind.URL: "https://bad.example.com"}
    values |= {TargetKind.SENDER: "eve@bad.example.com", TargetKind.INDICATOR: "domain:bad.example.com"}
    value = values.get(
        VERBS[name].target, "some.example.com" if VERBS[name].target is not TargetKind.ARTIFACT else "ab" * 16
    )
    if VERBS[name].target is TargetKind.ARTIFACT:
        value = f"md5:{value}"
    command = to_command(Wish(name, Target(VERBS[name].target, value)))
    assert (command.action, command.target) == VERBS[name].openc2
    assert VERBS[name] in PAIRS[VERBS[name].openc2]


@pytest.mark.parametrize(
    ("value", "name"),
    [("203.0.113.0/24", "ipv4_net"), ("2001:db8::1", "ipv6_net")],
)
def test_an_address_is_of_its_family(value: str, name: str) -> None:
    wish = Wish("ip.block", Target(TargetKind.ADDRESS, value))
    assert to_command(wish).to_json() == {"action": "deny", "target": {name: value}}


def test_a_hash_is_written_as_the_language_wants_and_read_in_either_case() -> None:
    wish = Wish("hash.block", Target(TargetKind.FILE, "ab" * 32, {"sha1": "cd" * 20, "name": "tool.exe"}))
    made = to_command(wish).to_json()
    assert made["target"] == {"file": {"hashes": {"sha256": "AB" * 32, "sha1": "CD" * 20}, "name": "tool.exe"}}
    made["target"]["file"]["hashes"] = {"md5": "ab" * 16, "sha256": "ab" * 32}
    back = to_wish(read_command(made), NOW)
    assert back.target == wish.target
    assert back.target.facts == {"md5": "ab" * 16, "name": "tool.exe"}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("https://files.example.com/a.exe", "artifact"),
        ("sha256:" + "ab" * 32, "artifact"),
        ("sha256:" + "AB" * 32, "artifact"),
        ("sha256:" + "ab" * 31, "artifact"),
        ("https://files.example.com/é", "x-nightdesk:artifact"),
        ("a file of that name", "x-nightdesk:artifact"),
    ],
)
def test_an_artifact_is_named_so_that_it_is_read_as_the_same(value: str, name: str) -> None:
    verb = next(one for one in VERBS.values() if one.target is TargetKind.ARTIFACT)
    wish = Wish(verb.name, Target(TargetKind.ARTIFACT, value))
    made = to_command(wish)
    assert made.target == name
    assert to_wish(read_command(made.to_json()), NOW).target == wish.target


def _wish(action: str, target: dict[str, Any], **more: Any) -> Wish:
    return to_wish(read_command({"action": action, "target": target, **more}), NOW)


def test_stop_process_ends_it_unless_it_is_told_to_be_suspended() -> None:
    on = {"x-nightdesk": {"hostname": "ws-0042"}}
    plain = _wish("stop", {"process": {"pid": 4711}}, actuator=on)
    assert (plain.verb, plain.target.facts) == ("process.terminate", {"pid": "4711", "hostname": "ws-0042"})
    told = _wish("stop", {"process": {"pid": 4711}}, actuator=on, args={"x-nightdesk": {"verb": "process.suspend"}})
    assert told.verb == "process.suspend"


@pytest.mark.parametrize(
    "pair", [pair for pair, verbs in PAIRS.items() if len(verbs) > 1 and pair != ("stop", "process")]
)
def test_a_pair_of_several_verbs_is_never_guessed(pair: tuple[str, str]) -> None:
    with pytest.raises(MappingError, match="say which") as caught:
        _wish(pair[0], {pair[1]: {"uid": "x"}}, actuator={"x-nightdesk": {"connector": "siem"}})
    assert all(one.name in str(caught.value) for one in PAIRS[pair])
    assert caught.value.pointer == "/args/x-nightdesk/verb"


def test_a_verb_of_another_pair_is_refused() -> None:
    with pytest.raises(MappingError, match=r"contain:device is host\.isolate, not 'host\.release'"):
        _wish("contain", {"device": {"hostname": "ws-1"}}, args={"x-nightdesk": {"verb": "host.release"}})


DEVICE = {"device": {"hostname": "ws-1"}}
_MS = milliseconds(NOW)


@pytest.mark.parametrize(
    ("args", "lease", "stop_at"),
    [
        ({"duration": 60_000}, timedelta(minutes=1), None),
        ({"stop_time": _MS + 60_000}, None, NOW + timedelta(minutes=1)),
        ({"start_time": _MS - 30_000, "duration": 60_000}, None, NOW + timedelta(seconds=30)),
        ({"start_time": _MS, "stop_time": _MS + 1}, None, NOW + timedelta(milliseconds=1)),
        ({"start_time": _MS}, None, None),
    ],
)
def test_an_end_is_a_length_or_a_moment(
    args: dict[str, int], lease: timedelta | None, stop_at: datetime | None
) -> None:
    wish = _wish("contain", DEVICE, args=args)
    assert (wish.lease, wish.stop_at) == (lease, stop_at)


@pytest.mark.parametrize(
    ("error", "said", "command"),
    [
        (UnsupportedError, "start_time", {"action": "contain", "target": DEVICE, "args": {"start_time": _MS + 1}}),
        (MappingError, "would end", {"action": "contain", "target": DEVICE, "args": {"stop_time": _MS}}),
        (MappingError, "would end", {"action": "contain", "target": DEVICE, "args": {"start_time": 1, "duration": 1}}),
        (MappingError, "duration of 0", {"action": "contain", "target": DEVICE, "args": {"duration": 0}}),
        (UnsupportedError, "cannot end", {"action": "scan", "target": DEVICE, "args": {"duration": 1}}),
        (UnsupportedError, "no verb", {"action": "locate", "target": DEVICE}),
        (UnsupportedError, "contain is done to", {"action": "contain", "target": {"uri": "https://x.example.com"}}),
        (UnsupportedError, "device_id", {"action": "contain", "target": {"device": {"device_id": "9B"}}}),
        (MappingError, "not both", {"action": "scan", "target": {"device": {"hostname": "a", "idn_hostname": "b"}}}),
        (MappingError, "everything", {"action": "contain", "target": {"x-nightdesk:device": {"uid": "*"}}}),
        (MappingError, "this wide", {"action": "deny", "target": {"ipv4_net": "0.0.0.0/0"}}),
        (MappingError, "needs the host", {"action": "stop", "target": {"process": {"pid": 1}}}),
        (MappingError, "leave hostname", {"action": "deny", "target": {"uri": "https://x.example.com"},
                                          "actuator": {"x-nightdesk": {"hostname": "ws-1"}}}),
        (UnsupportedError, "binding", {"action": "scan", "target": DEVICE,
                                       "actuator": {"x-nightdesk": {"connector": "edr"}}}),
        (MappingError, "needs the connector", {"action": "update", "target": {"x-nightdesk:alert": {"uid": "1"}},
                                               "args": {"x-nightdesk": {"verb": "alert.comment"}}}),
        (MappingError, "no parameter 'moed'", {"action": "contain", "target": DEVICE,
                                               "args": {"x-nightdesk": {"moed": "full"}}}),
        (MappingError, "to lose", {"action": "contain", "target": DEVICE,
                                   "args": {"x-nightdesk": {"accept_losses": ["colour"]}}}),
        (UnsupportedError, "hashes", {"action": "deny", "target": {"file": {"path": "/tmp/x"}}}),
        (UnsupportedError, "parent", {"action": "stop", "target": {"process": {"pid": 1, "parent": {"pid": 2}}},
                                      "actuator": {"x-nightdesk": {"hostname": "ws-1"}}}),
        (UnsupportedError, "bytes", {"action": "detonate", "target": {"artifact": {"payload": {"bin": "AA"}}}}),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_said(error: type[NightdeskError], said: str, command: dict[str, Any]) -> None:
    with pytest.raises(error, match=said):
        to_wish(read_command(command), NOW)


def test_a_case_a_reason_and_the_parameters_come_along() -> None:
    told = {"case": "CASE-2026-00001", "reason": "ransomware", "mode": "selective", "accept_losses": ["mode"]}
    wish = _wish("contain", DEVICE, args={"x-nightdesk": told})
    assert (wish.case_id, wish.reason, wish.parameters) == ("CASE-2026-00001", "ransomware", {"mode": "selective"})
    assert wish.accept_losses == ("mode",)


def test_an_action_is_shown_as_the_command_that_asks_for_it() -> None:
    facts = {"hostname": "ws-1", "ticket": "4711", "device_id": "dev-1"}
    action = Action(
        tenant="acme",
        action_id="act-" + "0" * 32,
        verb="host.isolate",
        target=Target(TargetKind.HOST, "ws-1", facts),
        generation=1,
        idempotency_key="k",
        state=ActionState.PROPOSED,
        created_at=NOW,
        updated_at=NOW,
        parameters={"mode": "full", "odd": {"a": [1]}},
        reason="seen",
        result={"lease_seconds": 3600.0},
    )
    assert command_of(action).to_json() == {
        "action": "contain",
        "target": {"device": {"hostname": "ws-1", "device_id": "dev-1"}},
        "args": {
            "duration": 3_600_000,
            "response_requested": "complete",
            "x-nightdesk": {"mode": "full", "odd": '{"a":[1]}', "reason": "seen"},
        },
        "command_id": action.action_id,
    }
