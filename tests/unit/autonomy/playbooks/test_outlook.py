from typing import Any

from tests.playbooks import a_playbook, do, end, isolate, manual, start, var

from nightdesk.autonomy.playbooks.library import bundled
from nightdesk.autonomy.playbooks.outlook import outlook

STEPS: dict[str, Any] = {
    "start": start("if"),
    "if": {"type": "if-condition", "condition": "__host__:value != ''", "on_true": "isolate", "on_completion": "ask"},
    "isolate": do(isolate("__host__:value"), out_args=["__word__"], on_success="done", on_failure="by-hand"),
    "by-hand": manual("cut __host__:value off", on_completion="done"),
    "done": end(),
    "ask": manual("go on after __word__:value?", on_completion="again"),
    "again": {"type": "if-condition", "condition": "__word__:value = 'effective'", "on_true": "tell",
              "on_completion": "z"},
    "tell": manual("tell", on_completion="tell-end"),
    "tell-end": end(),
    "z": end(),
}  # fmt: skip
VARIABLES = {"__host__": var(external=True, value=""), "__word__": var(value="not asked")}


def _lines(**values: str) -> list[tuple[int, str, str, str]]:
    playbook = a_playbook(STEPS, variables=VARIABLES, header={"inputs": {"__host__": "host"}})
    given = {f"__{name}__": value for name, value in values.items()} if values else None
    return [(line.depth, line.name, line.when, line.text) for line in outlook(playbook, {}, given)]


def test_without_values_every_way_is_shown() -> None:
    assert _lines() == [
        (0, "if", "", "__host__:value != ''"),
        (1, "isolate", "if so", ""),
        (1, "by-hand", "if isolate fails", "cut __host__:value off"),
        (0, "ask", "", "go on after __word__:value?"),
        (0, "again", "", "__word__:value = 'effective'"),
        (1, "tell", "if so", "tell"),
    ]


def test_with_values_what_is_known_is_decided_and_the_rest_is_said_to_be_open() -> None:
    told = {name: text for _, name, _, text in _lines(host="ws-1")}
    assert told["if"].endswith("(holds)")
    assert told["by-hand"] == "cut ws-1 off"
    assert told["ask"] == "go on after __word__:value?", "a step sets it: its first value says nothing"
    assert told["again"].endswith("(known when it is run)")


def test_a_branch_that_is_not_taken_is_left_out() -> None:
    lines = _lines(host="")
    assert [name for _, name, _, _ in lines] == ["if", "ask", "again", "tell"]
    assert lines[0][3].endswith("(does not hold)")


def test_what_a_command_needs_from_a_later_step_is_named() -> None:
    steps = {**STEPS, "tell": do(isolate("__word__:value"), on_completion="tell-end")}
    playbook = a_playbook(steps, variables=VARIABLES, header={"inputs": {"__host__": "host"}})
    line = next(line for line in outlook(playbook, {}, {"__host__": "ws-1"}) if line.name == "tell")
    assert line.unknown == ("__word__",)
    assert line.orders[0].value == "__word__:value"


def test_a_switch_on_a_known_value_shows_one_case() -> None:
    steps = {
        "start": start("switch"),
        "switch": {"type": "switch-condition", "switch": "__host__:value", "cases": {"a/b": "a", "default": "d"},
                   "on_completion": "z"},
        "a": manual("a", on_completion="a-end"), "a-end": end(),
        "d": manual("d", on_completion="d-end"), "d-end": end(), "z": end(),
    }  # fmt: skip
    playbook = a_playbook(steps, variables=VARIABLES, header={"inputs": {"__host__": "host"}})
    assert [(line.name, line.when) for line in outlook(playbook, {})] == [
        ("switch", ""), ("a", "if 'a/b'"), ("d", "otherwise"),
    ]  # fmt: skip
    assert [line.name for line in outlook(playbook, {}, {"__host__": "a/b"})] == ["switch", "a"]
    assert [line.name for line in outlook(playbook, {}, {"__host__": "x"})] == ["switch", "d"]


def test_a_called_playbook_is_shown_inside_its_step() -> None:
    library = bundled()
    phishing, stolen = library.find("phishing"), library.find("stolen-credential")
    lines = list(outlook(phishing, {stolen.id: stolen}))
    call = next(number for number, line in enumerate(lines) if line.kind == "playbook-action")
    assert lines[call].text == "Stolen credential"
    assert lines[call + 1].playbook == stolen.id
    assert lines[call + 1].depth == lines[call].depth + 1
    known = list(outlook(phishing, {stolen.id: stolen}, {"__account__": "jdoe", "__case__": "case-1"}))
    disable = next(line for line in known if line.name == "Disable the account")
    assert disable.orders[0].value == "jdoe"
    unknown = [line for line in outlook(phishing, {}) if line.kind == "playbook-action"]
    assert unknown[0].text == stolen.id


def test_the_exception_is_shown_last() -> None:
    lines = list(outlook(bundled().find("ransomware-host"), {}))
    assert lines[-1].when == "when a failure is caught nowhere else"
