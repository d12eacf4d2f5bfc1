"""Somebody else's library of the language reads what we write, sends what we take, and reads what we answer."""

from pathlib import Path
from typing import Any

import pytest
from tests.consumers import run
from tests.openc2 import desk

from nightdesk.autonomy.openc2.naming import ON_HOSTS
from nightdesk.autonomy.openc2.targets import NSID, TARGETS
from nightdesk.autonomy.openc2.wishes import Wish, to_command
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import VERBS, TargetKind

pytestmark = pytest.mark.slow
_VALUES = {
    TargetKind.ADDRESS: "203.0.113.0/24",
    TargetKind.FILE: f"sha256:{'ab' * 32}",
    TargetKind.URL: "https://bad.example.com/a",
    TargetKind.SENDER: "eve@bad.example.com",
    TargetKind.INDICATOR: "domain:bad.example.com",
    TargetKind.DOMAIN: "bad.example.com",
    TargetKind.ARTIFACT: "https://bad.example.com/a",
}
_RESULTS = ("command_id", "action_id", "verb", "state", "changed", "evidence", "losses", "lease_until", "superseded_by")
_PROFILE: dict[str, Any] = {
    "nsid": NSID,
    "arguments": sorted(
        {
            "verb",
            "case",
            "reason",
            "accept_losses",
            *(p for one in VERBS.values() for p in one.parameters if p != "duration"),
        }
    ),
    "results": _RESULTS,
    "targets": [name for name in TARGETS if ":" in name],
}


def _said(name: str) -> dict[str, Any]:
    wanted = VERBS[name]
    facts = {"pid": "4711", "path": "/tmp/x", "hostname": "ws-0001"} if name in ON_HOSTS else {}
    target = Target(wanted.target, _VALUES.get(wanted.target, "ws-0001"), facts)
    # The library takes our ``duration`` for the language's own of that name.
    parameters = {one: "1" for one in wanted.parameters if one != "duration"}
    command = to_command(Wish(name, target, parameters, reason="seen"), command_id="c-1")
    made = command.to_json()
    made.pop("actuator", None)  # the library has no room for an actuator of another profile
    return made


def test_every_verb_is_a_command_that_a_strict_reader_takes() -> None:
    sent = [_said(name) for name in sorted(VERBS)]
    answers = run("openc2", "openc2_send.py", {**_PROFILE, "commands": sent})
    assert [one["read"] for one in answers] == sent
    assert len(answers) == len(VERBS)


def test_a_strict_reader_takes_our_answers(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        host, port = at.client.base_url.host, at.client.base_url.port

        def exchange(command: dict[str, Any], token: str = "acme-ann-secret") -> dict[str, Any]:
            given = {**_PROFILE, "commands": [command], "host": host, "port": port, "token": token}
            (answer,) = run("openc2", "openc2_send.py", given)
            assert answer["to"] == ["soar.example.com"]
            response: dict[str, Any] = answer["response"]
            return response

        isolate = {
            "action": "contain",
            "target": {"device": {"hostname": "ws-0001"}},
            "args": {"response_requested": "status", NSID: {"reason": "seen"}},
            "command_id": "c-1",
        }
        told = exchange({"action": "query", "target": {"features": ["versions", "profiles", "pairs", "rate_limit"]}})
        assert told["status"] == 200
        assert told["results"]["versions"] == ["1.0"]
        assert "device" in told["results"]["pairs"]["contain"]
        first = exchange(isolate)
        assert (first["status"], first["results"][NSID]["state"]) == (102, "approved")
        at.work(5)
        assert at.isolated()
        done = exchange(isolate)
        assert (done["status"], done["results"][NSID]["state"], at.orders()) == (200, "effective", 1)
        assert set(done["results"][NSID]) <= set(_RESULTS)
        asked = exchange({"action": "query", "target": {"command": "c-1"}})
        assert (asked["status"], asked["results"]) == (200, done["results"])
        assert exchange({"action": "locate", "target": {"device": {"hostname": "ws-1"}}})["status"] == 501
        assert exchange(isolate, "acme-vera-secret")["status"] == 403
        nobody = run("openc2", "openc2_send.py",
                     {**_PROFILE, "commands": [isolate], "host": host, "port": port, "token": "wrong"})  # fmt: skip
        assert nobody[0]["response"]["status"] == 401
