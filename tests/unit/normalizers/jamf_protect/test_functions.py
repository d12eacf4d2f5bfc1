import copy
from typing import Any

import pytest

from nightdesk.normalizers.jamf_protect.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (None, "", 0, 1.5, True, [], {}, [[]], [{}], {"a": {}}, "\x00")
ZSH = {"pid": 20, "ppid": 10, "uid": 501, "path": "/bin/zsh", "uuid": "z"}
TERMINAL = {"pid": 10, "uid": 501, "path": "/Terminal", "uuid": "t"}
DAEMON = {"pid": 1, "uid": 0, "path": "/sbin/launchd", "uuid": "l"}


def _document(event: dict[str, Any], event_type: str = "GPFSEvent", **related: Any) -> dict[str, Any]:
    lists = {"processes": [DAEMON, TERMINAL, ZSH], "binaries": [{"path": "/bin/zsh", "sha1hex": "a"}], **related}
    return {"input": {"eventType": event_type, "match": {"event": event}, "related": lists}}


def test_the_acting_process_and_who_started_it_come_out_of_the_list() -> None:
    made = FUNCTIONS["chain"](_document({"pid": 20}, users=[{"uid": 501, "name": "ida", "uuid": "i"}]))
    assert [made["chain"][slot]["uuid"] for slot in ("process", "parent")] == ["z", "t"]
    assert "grandparent" not in made["chain"]
    assert made["chain"]["process"]["image"] == {"path": "/bin/zsh", "sha1hex": "a"}
    assert made["chain"]["process"]["account"] == {"name": "ida", "uuid": "i"}
    assert [item["uuid"] for item in made["input"]["related"]["processes"]] == ["l"]
    assert made["input"]["related"]["binaries"] == []


def test_the_document_that_was_given_stays_as_it_was() -> None:
    document = _document({"pid": 20, "process": {"uuid": "z", "args": ["zsh"]}})
    before = copy.deepcopy(document)
    FUNCTIONS["chain"](document)
    assert document == before


def test_a_process_that_is_its_own_parent_ends_the_chain() -> None:
    loop = [{"pid": 5, "ppid": 6, "uuid": "a"}, {"pid": 6, "ppid": 5, "uuid": "b"}]
    made = FUNCTIONS["chain"](_document({"pid": 5}, processes=loop))
    assert list(made["chain"]) == ["process", "parent"]


def test_what_is_no_process_stays_where_the_loss_report_finds_it() -> None:
    made = FUNCTIONS["chain"](_document({"pid": 20}, processes=[ZSH, "redacted"], files=["x"], binaries="none"))
    assert made["input"]["related"] == {"processes": ["redacted"], "files": ["x"], "binaries": "none"}


def test_a_prevention_convicts_the_script_and_not_the_shell() -> None:
    script = {"path": "/tmp/a.command", "sha1hex": "b"}
    event = {"process": {"uuid": "z", "path": "/bin/zsh", "pid": 20}, "scriptPath": "/tmp/a.command"}
    made = FUNCTIONS["chain"](_document(event, "GPThreatMatchExecEvent", files=[script]))
    assert made["subject"] == script
    assert made["input"]["related"]["files"] == []
    assert "process" not in made["input"]["match"]["event"]


def test_a_prevention_without_a_script_convicts_the_image() -> None:
    event = {"process": {"uuid": "z", "path": "/bin/zsh", "pid": 20}}
    assert FUNCTIONS["chain"](_document(event, "GPThreatMatchExecEvent"))["subject"]["sha1hex"] == "a"
    assert "subject" not in FUNCTIONS["chain"](_document(event))


def test_a_path_that_no_list_holds_is_met() -> None:
    assert FUNCTIONS["chain"](_document({"path": "/tmp/new"}))["met"] == {"path": "/tmp/new"}
    assert "met" not in FUNCTIONS["chain"](_document({"path": "/tmp/new"}, files=[{"path": "/tmp/new"}]))


def test_the_console_is_that_of_the_tenant_and_of_nobody_else() -> None:
    def page(tenant: str) -> Any:
        context = {"identity": {"claims": {"hd": tenant}}}
        return FUNCTIONS["console"]({"context": context, "input": {"match": {"uuid": "9A04-1872"}}})

    assert page("acme") == "https://acme.jamfcloud.com/Alerts/9A04-1872"
    assert page("evil.example.com/") is None
    assert page("") is None


@pytest.mark.parametrize(
    ("event_type", "number", "said"),
    [
        ("GPFSEvent", 0, "file-created"),
        ("GPFSEvent", 3, "file-renamed"),
        ("GPProcessEvent", 1, "process-created"),
        ("GPUSBEvent", 1, "device-removed"),
        ("GPFSEvent", 99, None),
        ("GPClickEvent", 0, None),
        ("GPFSEvent", True, None),
    ],
)
def test_the_number_of_an_event_is_a_word(event_type: str, number: object, said: str | None) -> None:
    assert FUNCTIONS["action"]({"eventType": event_type, "match": {"event": {"type": number}}}) == said


def test_arguments_become_a_line_and_humps_become_blanks() -> None:
    assert FUNCTIONS["command_line"](["sh", "-c", 1]) == "sh -c 1"
    assert FUNCTIONS["command_line"]([]) is None
    assert FUNCTIONS["spaced"]("DefenseEvasion") == "Defense Evasion"
    assert FUNCTIONS["spaced"]("T1543.001") == "T1543.001"


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"chain"}))
@pytest.mark.parametrize("value", STRANGE)
def test_no_value_of_any_kind_breaks_a_function(name: str, value: object) -> None:
    words = ["key"] if name == "joined" else []
    result = FUNCTIONS[name](value, *words)
    assert result is None or isinstance(result, str)


@pytest.mark.parametrize("value", STRANGE)
def test_no_part_of_any_kind_breaks_the_chain(value: object) -> None:
    for document in (
        {"input": value},
        {"input": {"match": value, "related": value}},
        _document({"pid": value, "path": value, "process": value, "scriptPath": value}, "GPThreatMatchExecEvent"),
        _document({"pid": 20}, processes=value, binaries=value, users=value, files=value),
        _document({"pid": 20}, processes=[{"pid": 20, "ppid": value, "uid": value, "path": value, "uuid": value}]),
    ):
        assert isinstance(FUNCTIONS["chain"](document), dict)
