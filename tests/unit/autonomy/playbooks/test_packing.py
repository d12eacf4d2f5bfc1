import json

import pytest
from tests.playbooks import a_document, do, end, isolate, manual, start

from nightdesk.autonomy.playbooks.packing import packed, unpacked
from nightdesk.sdk.errors import ConfigError

STEPS = {"start": start("a"), "a": do(isolate(), on_completion="b"), "b": manual(on_completion="c"), "c": end()}


def test_what_is_unpacked_is_readable_and_packs_to_the_same_command() -> None:
    document = json.dumps(a_document(STEPS)).encode()
    readable = unpacked(document, "a.json")
    commands = [command for step in readable["workflow"].values() for command in step.get("commands", ())]
    assert {"action": "contain", "target": {"device": {"hostname": "ws-0042"}}} in [
        one.get("content") for one in commands
    ]
    again = unpacked(json.dumps(packed(json.dumps(readable).encode(), "a.json")).encode(), "a.json")
    assert again == readable


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"workflow": 1}'])
def test_what_is_no_playbook_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"a\.json: is no playbook"):
        packed(data, "a.json")


def test_content_that_cannot_be_read_is_named_with_its_place() -> None:
    document = a_document(STEPS)
    step = next(name for name, body in document["workflow"].items() if body["name"] == "a")
    document["workflow"][step]["commands"][0]["content_b64"] = "%"
    with pytest.raises(ConfigError) as error:
        unpacked(json.dumps(document).encode(), "a.json")
    assert error.value.problems[0].key == f"/workflow/{step}/commands/0"
