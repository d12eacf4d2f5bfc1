from pathlib import Path

import pytest

from nightdesk.hub.swap.recorded import BUNDLED, bundled, read_cases
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.verbs import VERBS


@pytest.mark.parametrize("role", BUNDLED)
def test_the_bundled_cases_are_valid_name_no_vendor_and_use_the_roles_own_verbs(role: str) -> None:
    found = bundled(role)
    used = {action.verb for case in found.cases for action in case.actions}
    assert found.role == role
    assert {VERBS[name].role for name in used} == {role}


@pytest.mark.parametrize("role", BUNDLED)
def test_what_is_written_is_read_the_same(role: str, tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(bundled(role).dump(), encoding="utf-8")
    assert read_cases(file) == bundled(role)


def test_a_process_runs_on_the_host_of_its_alert() -> None:
    case = next(case for case in bundled("edr").cases if case.case == "ransomware-on-a-workstation")
    (device,) = case.estate().values()
    assert [process.pid for process in device.processes] == [7720, 8116]


def test_every_problem_is_named_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(
        "role: edr\ncases:\n- {case: a, title: A, actions: [{verb: host.explode, target: 'host:a'},"
        " {verb: host.isolate, target: 'host:*'}]}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        read_cases(file)
    assert [problem.key for problem in caught.value.problems] == ["cases.0.actions.0", "cases.0.actions.1"]


@pytest.mark.parametrize("text", ["", "role: edr\ncases: []\n", "role: [", "role: edr\ncases: [{case: a}]\n"])
def test_what_is_no_file_of_cases_is_said_so(text: str, tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        read_cases(file)


def test_a_missing_file_and_a_role_without_cases_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_cases(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="edr, identity, firewall"):
        bundled("mail")
