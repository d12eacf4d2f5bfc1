from collections.abc import Mapping
from typing import Any

import pytest
from tests.playbooks import HOST, a_playbook, do, end, isolate, manual, openc2, ref, start, var

from nightdesk.autonomy.playbooks import soundness
from nightdesk.autonomy.playbooks.model import EXTENSION, Playbook
from nightdesk.autonomy.playbooks.soundness import faults_in, notes_on
from nightdesk.autonomy.playbooks.structure import lay_out

Json = dict[str, Any]
NAME = "a playbook"


def _none(_: str) -> None:
    return None


def _told(steps: Mapping[str, Json], **fields: Any) -> dict[str, str]:
    """By place, in the names of the steps, what is wrong."""
    names = {ref(body["type"], f"{NAME}/{name}"): name for name, body in steps.items()}
    found: dict[str, str] = {}
    for fault in faults_in(a_playbook(steps, **fields), fields.pop("lookup", _none)):
        pointer = fault.pointer.replace(EXTENSION, "ours")
        for long, short in names.items():
            pointer = pointer.replace(long, short)
        found[pointer] = found.get(pointer, "") + fault.message
    return found


def _with(step: Json, **fields: Any) -> dict[str, str]:
    """What is wrong with a playbook of that one step."""
    return _told({"start": start("a"), "a": {**step, "on_completion": "z"}, "z": end()}, **fields)


def test_a_plain_playbook_is_in_order() -> None:
    assert _with(do(isolate())) == {}


def test_every_step_is_reached() -> None:
    found = _told({"start": start("z"), "z": end(), "lost": manual(on_completion="lost-end"), "lost-end": end()})
    assert found.keys() == {"/workflow/lost", "/workflow/lost-end"}
    assert "would never be done" in found["/workflow/lost"]


def test_every_reference_resolves() -> None:
    missing = ref("action", "missing")
    found = _told({"start": start("a"), "a": manual(on_success="z", on_failure=missing), "z": end()})
    assert found == {"/workflow/a/on_failure": f"there is no step {missing}"}


def test_no_step_leads_back() -> None:
    found = _told(
        {"start": start("a"), "a": manual(on_completion="b"), "b": manual(on_success="z", on_failure="a"), "z": end()}
    )
    assert "leads back" in found["/workflow/b/on_failure"]


def test_a_loop_says_how_often() -> None:
    steps = {
        "start": start("a"),
        "a": {"type": "while-condition", "condition": "__x__:value = 'a'", "on_true": "b", "on_completion": "z"},
        "b": end(),
        "z": end(),
    }
    assert "says not how often" in _told(steps, variables={"__x__": var(value="a")})["/workflow/a"]


def test_a_branch_has_steps_of_its_own() -> None:
    steps = {
        "start": start("a"),
        "a": {"type": "parallel", "next_steps": ["b", "c"], "on_completion": "z"},
        "b": manual(on_completion="both"),
        "c": manual(on_completion="both"),
        "both": end(),
        "z": end(),
    }
    assert "belongs to the branch" in _told(steps)["/workflow/c/on_completion"]


def test_branches_do_not_nest_for_ever() -> None:
    steps: dict[str, Json] = {"start": start("a0"), "z": end()}
    for number in range(60):
        steps[f"a{number}"] = {
            "type": "if-condition",
            "condition": "EXISTS __x__:value",
            "on_true": f"a{number + 1}",
            "on_completion": "z" if number == 0 else f"z{number}",
        }
        steps[f"z{number}"] = end()
    steps["a60"] = end()
    assert any("nest deeper than 50" in fault.message for fault in lay_out(a_playbook(steps)).faults)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"type": "end", "on_completion": "z"}, "an end leads nowhere"),
        ({**manual(), "on_success": "z"}, "on_completion stands alone"),
    ],
)
def test_ways_on_are_what_the_standard_allows(step: Json, said: str) -> None:
    assert said in _with(step)["/workflow/a"]


def test_a_step_says_what_comes_next() -> None:
    found = _told({"start": start("a"), "a": manual(on_failure="z"), "z": end()})
    assert "says not what comes next" in found["/workflow/a"]


def test_variables_have_a_value_before_they_are_asked_for() -> None:
    steps = {
        "start": start("a"),
        "a": {"type": "if-condition", "condition": "__first__:value = 'x'", "on_true": "b", "on_completion": "c"},
        "b": manual(out_args=["__set__"], on_completion="b-end"),
        "b-end": end(),
        "c": do(isolate("__set__:value"), on_completion="z"),
        "z": end(),
    }
    variables = {"__first__": var(external=True), "__set__": var()}
    inputs = {"inputs": {"__first__": "text"}}
    assert _told(steps, variables=variables, header=inputs) == {
        "/workflow/c/commands/0/content_b64": "__set__ may have no value here: no step before it sets it"
    }
    variables["__set__"] = var(value="ws-0001")
    assert _told(steps, variables=variables, header=inputs) == {}


def test_an_answer_is_there_only_when_somebody_gave_it() -> None:
    steps = {
        "start": start("a"),
        "a": manual(out_args=["__set__"], on_success="b", on_failure="c"),
        "b": manual("__set__:value", on_completion="z"),
        "c": manual("__set__:value", on_completion="z"),
        "z": end(),
    }
    assert _told(steps, variables={"__set__": var()}).keys() == {"/workflow/c/commands/0/command"}


def test_what_parallel_branches_set_is_there_after_them() -> None:
    steps = {
        "start": start("a"),
        "a": {"type": "parallel", "next_steps": ["b", "c"], "on_success": "d", "on_failure": "z"},
        "b": manual(out_args=["__set__"], on_success="b-end", on_failure="b-end"),
        "b-end": end(),
        "c": do(isolate(), out_args=["__word__"], on_completion="c-end"),
        "c-end": end(),
        "d": manual("__word__:value", on_completion="e"),
        "e": manual("__set__:value", on_completion="z"),
        "z": end(),
    }
    found = _told(steps, variables={"__set__": var(), "__word__": var()})
    assert found.keys() == {"/workflow/e/commands/0/command"}


@pytest.mark.parametrize(
    ("kind", "condition", "right"),
    [
        ("string", "__x__:value = 'a'", True),
        ("string", "__x__:value = 1", False),
        ("string", "__x__:value < 'a'", False),
        ("integer", "__x__:value < 2", True),
        ("integer", "__x__:value = 'a'", False),
        ("integer", "__x__:value LIKE 'a'", False),
        ("bool", "__x__:value = true", True),
        ("bool", "__x__:value = 'true'", False),
        ("ipv4-addr", "__x__:value ISSUBSET '10.0.0.0/8'", True),
        ("integer", "__x__:value ISSUBSET '10.0.0.0/8'", False),
    ],
)
def test_a_condition_fits_the_type_of_its_variable(kind: str, condition: str, right: bool) -> None:
    values = {"string": "a", "integer": "1", "bool": "true", "ipv4-addr": "10.0.0.1"}
    steps = {
        "start": start("a"),
        "a": {"type": "if-condition", "condition": condition, "on_true": "b", "on_completion": "z"},
        "b": end(),
        "z": end(),
    }
    assert bool(_told(steps, variables={"__x__": var(kind, values[kind])})) is not right


@pytest.mark.parametrize(
    ("command", "place", "said"),
    [
        ({"type": "bash", "command": "rm -rf /"}, "/type", "bash is not executed by nightdesk"),
        ({**isolate(), "headers": {"A": ["b"]}}, "/headers", "not executed"),
        ({**isolate(), "command": "GET / HTTP/1.1"}, "/command", "POST /PATH HTTP/1.1"),
        (
            openc2("contain", HOST, ours={"parameters": {"force": 1}}),
            "/content_b64",
            "host.isolate has no parameter force",
        ),
        (openc2("contain", HOST, ours={"accept_losses": ["force"]}), "/content_b64", "accept_losses"),
        (openc2("scan", HOST, duration=5), "/content_b64", "cannot be leased"),
        (isolate("*"), "/content_b64", "could mean everything"),
        (openc2("deny", {"email_addr": {"uid": "a@b.example"}}), "/content_b64", "needs the role mail"),
        (
            openc2("update", {"x-nightdesk:alert": {"uid": "1"}}, ours={"verb": "alert.comment"}),
            "/content_b64",
            "is not executed from a playbook",
        ),
        ({"type": "manual"}, "", "write command, or command_b64"),
        ({"type": "manual", "command_b64": "%"}, "/command_b64", "no base64"),
    ],
)
def test_a_command_fits_its_verb(command: Json, place: str, said: str) -> None:
    found = _with(do(command))
    assert said in found[f"/workflow/a/commands/0{place}"]


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"playbook_extensions": {}}, "/playbook_extensions", "lacks"),
        ({"header": {"verbs": ">=2"}}, "/playbook_extensions/ours/verbs", "was written for the verbs >=2; there are 1"),
        ({"header": {"verbs": "latest"}}, "/playbook_extensions/ours/verbs", "write bounds"),
        ({"header": {"colour": "red"}}, "/playbook_extensions/ours/colour", "not permitted"),
        ({"header": {"techniques": ["X1"]}}, "/playbook_extensions/ours/techniques/0", "match pattern"),
        (
            {"header": {"roles": {"required": ["edr"], "optional": ["edr"]}}},
            "/playbook_extensions/ours/roles",
            "not both",
        ),
        ({"header": {"inputs": {"__x__": "host"}}}, "/playbook_extensions/ours/inputs/__x__", "no external variable"),
        ({"header": {"rehearsal": {"__x__": "a"}}}, "/playbook_extensions/ours/rehearsal/__x__", "is no variable"),
        ({"extension_definitions": {}}, "/extension_definitions", "does not define"),
        (
            {"authentication_info_definitions": {ref("http-basic", "a"): {}}},
            "/authentication_info_definitions",
            "not executed",
        ),
        ({"variables": {"__x__": var("dictionary")}}, "/playbook_variables/__x__", "not executed by nightdesk"),
        ({"variables": {"__x__": var("integer", "seven")}}, "/playbook_variables/__x__", "is no integer"),
        ({"variables": {"__x__": var(constant=True)}}, "/playbook_variables/__x__", "has no value"),
        ({"variables": {"__x__": var(external=True)}}, "/playbook_extensions/ours/inputs", "says not what"),
        ({"agent_definitions": {}}, "/workflow/a/agent", "is not defined"),
    ],
)
def test_the_head_is_in_order(fields: Json, place: str, said: str) -> None:
    assert said in _with(do(isolate()), **fields)[place]


def test_an_extension_of_somebody_else_is_not_passed_over() -> None:
    other = ref("extension-definition", "other")
    found = _with({**do(isolate()), "step_extensions": {other: {"retries": 3}}})
    assert "not executed by nightdesk" in found[f"/workflow/a/step_extensions/{other}"]
    found = _with({**do(isolate()), "step_extensions": {EXTENSION: {"retries": 3}}})
    assert "/workflow/a/step_extensions/ours/retries" in found


def test_outcomes_go_where_they_may() -> None:
    step = do(isolate(), out_args=["__n__"])
    assert "no string variable" in _with(step, variables={"__n__": var("integer", "1")})["/workflow/a/out_args/0"]
    step = do(isolate(), out_args=["__a__", "__b__"])
    found = _with(step, variables={"__a__": var(), "__b__": var()})
    assert "one variable" in found["/workflow/a/out_args"]
    assert "stands alone" in _with(do({"type": "manual", "command": "x"}, isolate()))["/workflow/a/commands"]


def test_a_switch_names_a_variable() -> None:
    steps = {
        "start": start("a"),
        "a": {"type": "switch-condition", "switch": "yes", "cases": {"x": "b"}, "on_completion": "z"},
        "b": end(),
        "z": end(),
    }
    assert "names no variable" in _told(steps)["/workflow/a/switch"]


def _calling(other: str, **fields: Any) -> Json:
    return {"type": "playbook-action", "playbook_id": ref("playbook", other), "on_completion": "z", **fields}


def _family(**books: Playbook) -> Any:
    by_id = {book.id: book for book in books.values()}
    return by_id.get


def test_a_called_playbook_gets_what_it_needs() -> None:
    inner = a_playbook(
        {"start": start("z"), "z": end()},
        name="inner",
        variables={"__host__": var(external=True), "__n__": var("integer", "1")},
        header={"inputs": {"__host__": "host"}, "roles": {"required": ["mail"]}},
    )
    steps = {"start": start("a"), "a": _calling("inner", in_args=["__n__"]), "z": end()}
    playbook = a_playbook(steps, variables={"__n__": var(value="x")})
    found = {fault.pointer.rpartition("/")[2]: fault.message for fault in faults_in(playbook, _family(inner=inner))}
    assert found["in_args"] == "inner needs __host__"
    assert found["0"] == "__n__ is string here and integer in inner"
    assert any("inner acts as mail" in text for text in found.values())
    assert [fault.message for fault in faults_in(playbook, _none)] == [f"there is no playbook {inner.id}"]


def test_playbooks_do_not_call_each_other_in_a_circle() -> None:
    one = a_playbook({"start": start("a"), "a": _calling("two"), "z": end()}, name="one")
    two = a_playbook({"start": start("a"), "a": _calling("one"), "z": end()}, name="two")
    assert [fault for fault in faults_in(one, _family(one=one, two=two)) if "call itself" in fault.message]


def test_a_verb_that_will_go_is_a_note_and_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundness, "DEPRECATED", {"host.isolate": "use host.restrict_execution; gone in 2.0"})
    playbook = a_playbook({"start": start("a"), "a": do(isolate(), on_completion="z"), "z": end()}, revoked=True)
    assert faults_in(playbook, _none) == []
    assert [note.message for note in notes_on(playbook)] == [
        "its author has revoked it",
        "host.isolate will go: use host.restrict_execution; gone in 2.0",
    ]
