import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from tests.playbooks import openc2

from nightdesk.autonomy.playbooks.commands import manual_text, order_of, pair_of, target_of
from nightdesk.autonomy.playbooks.model import Command
from nightdesk.sdk.errors import PolicyError, UnsupportedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import VERBS, TargetKind, Verb

_VALUES = {
    TargetKind.HOST: "ws-0042",
    TargetKind.PROCESS: "evil.exe",
    TargetKind.FILE: f"sha256:{'ab' * 32}",
    TargetKind.ADDRESS: "203.0.113.7",
    TargetKind.DOMAIN: "bad.example.com",
    TargetKind.URL: "https://bad.example.com/a",
    TargetKind.MEMBERSHIP: "jdoe/admins",
    TargetKind.CREDENTIAL: "jdoe/KEY1",
    TargetKind.SENDER: "bad@example.com",
    TargetKind.INDICATOR: "domain:bad.example.com",
}


def _command(document: Any) -> Command:
    text = base64.b64encode(json.dumps(document).encode()).decode()
    return Command(type="openc2-http", command="POST / HTTP/1.1", content_b64=text)


def _read(*args: Any, **kwargs: Any) -> Any:
    return order_of(Command.model_validate(openc2(*args, **kwargs)))


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
def test_every_verb_is_said_in_openc2_and_understood_again(verb: Verb) -> None:
    """What the sdk writes as OpenC2 is the target that is read here."""
    target = Target(verb.target, _VALUES.get(verb.target, "thing-1"))
    action, name = verb.openc2
    order = _read(action, target.openc2(name), ours={"verb": verb.name})
    assert order.verb is verb
    assert target_of(order) == target


def test_an_address_may_be_of_either_version() -> None:
    assert target_of(_read("deny", {"ipv6_net": "2001:db8::7"})).key == "address:2001:db8::7"
    assert target_of(_read("deny", {"ipv4_net": "203.0.113.7"})).key == "address:203.0.113.7"


def test_a_pair_of_several_verbs_asks_which() -> None:
    with pytest.raises(UnsupportedError, match=r"process\.terminate, process\.suspend: say which in args\.x-nightdesk"):
        _read("stop", {"process": {"pid": 4711}})


def test_further_names_and_wishes_are_read() -> None:
    order = _read(
        "stop",
        {"process": {"pid": 4711, "name": "evil.exe"}},
        ours={"verb": "process.terminate", "facts": {"hostname": "ws-0042"}, "reason": "stop it"},
    )
    assert (order.value, dict(order.facts)) == ("evil.exe", {"pid": "4711", "hostname": "ws-0042"})
    assert order.reason == "stop it"
    leased = _read("contain", {"device": {"hostname": "ws-1"}}, duration=1500, ours={"parameters": {"mode": "full"}})
    assert leased.lease == timedelta(seconds=1.5)
    assert leased.parameters == {"mode": "full"}


def test_variables_are_replaced_inside_texts_only() -> None:
    order = _read(
        "contain", {"device": {"hostname": "__host__:value"}}, ours={"parameters": {"mode": "__mode__:value"}}
    )
    given = order.given({"__host__": 'ws-1", "verb": "host.run_script', "__mode__": "full"})
    assert given.verb.name == "host.isolate"
    assert given.value == 'ws-1", "verb": "host.run_script'
    assert given.parameters == {"mode": "full"}
    with pytest.raises(PolicyError, match="__mode__ has no value yet"):
        order.given({"__host__": "ws-1"})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("text", "is no OpenC2 command"),
        ({"action": "contain"}, "exactly one target"),
        ({"action": "contain", "target": {"device": {}, "file": {}}}, "exactly one target"),
        ({"action": "contain", "target": {"device": {"hostname": "a"}}, "more": 1}, "has no more"),
        ({"action": "explode", "target": {"device": {"hostname": "a"}}}, "no verb is explode:device"),
        ({"action": "contain", "target": {"device": {"hostname": "a", "model": "x"}}}, "model is not executed"),
        ({"action": "contain", "target": {"device": {"owner": "x"}}}, "names no host"),
        ({"action": "deny", "target": {"file": {"hashes": {"sha256": "a", "md5": "b"}}}}, "names no file"),
        ({"action": "contain", "target": {"device": {"hostname": "a"}}, "args": {"start_time": 1}}, "args.start_time"),
        (
            {"action": "contain", "target": {"device": {"hostname": "a"}}, "args": {"duration": 0}},
            "longer than nothing",
        ),
        (
            {"action": "contain", "target": {"device": {"hostname": "a"}}, "args": {"x-nightdesk": {"verb": "no"}}},
            "no verb 'no'",
        ),
        (
            {
                "action": "contain",
                "target": {"device": {"hostname": "a"}},
                "args": {"x-nightdesk": {"verb": "host.release"}},
            },
            "host.release is allow:device in OpenC2, not contain:device",
        ),
        (
            {"action": "contain", "target": {"device": {"hostname": "a"}}, "args": {"x-nightdesk": {"force": 1}}},
            "force",
        ),
    ],
)
def test_what_is_no_command_of_ours_says_why(document: Any, said: str) -> None:
    with pytest.raises(UnsupportedError) as error:
        order_of(_command(document))
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["%%%", base64.b64encode(b"{").decode(), base64.b64encode(b"[" * 100_000).decode()])
def test_content_that_cannot_be_read_is_no_command(text: str) -> None:
    with pytest.raises(UnsupportedError):
        order_of(Command(type="openc2-http", content_b64=text))


def test_words_for_a_person_may_be_in_base64() -> None:
    assert manual_text(Command(type="manual", command_b64=base64.b64encode(b"call __who__:value").decode())) == (
        "call __who__:value"
    )


def test_a_pair_is_written_as_people_do() -> None:
    assert pair_of(VERBS["host.isolate"]) == "contain:device"
