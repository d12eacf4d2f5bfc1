import json
from pathlib import Path

import pytest
from tests.hubs import run_cli

from nightdesk.hub.swap.recorded import bundled

_EDRS = ("crowdstrike_falcon", "elastic_security")  # of which the second takes no parameter of host.isolate
_PAIR = ("--role", "edr", "--from", _EDRS[0], "--to", _EDRS[1])


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    found = bundled("edr")
    file = tmp_path / "cases.yaml"
    file.write_text(found.model_copy(update={"cases": found.cases[1:2]}).dump(), encoding="utf-8")
    return file


def test_a_rehearsal_says_what_would_change_and_ends_well(cases: Path) -> None:
    result = run_cli("swap", "rehearse", *_PAIR, "--cases", str(cases), "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert not found["policy_changed"]
    assert [case["case"] for case in found["cases"]] == ["beacon-on-a-server"]
    assert found["cases"][0]["decision_from"] == found["cases"][0]["decision_to"]
    assert any("mode" in loss for row in found["verbs"] for loss in row["losses"])
    assert found["open_leases"] == []


def test_a_rehearsal_reads_as_a_table(cases: Path) -> None:
    result = run_cli("swap", "rehearse", *_PAIR, "--cases", str(cases))
    assert result.exit_code == 0
    assert "policy and playbooks unchanged" in result.stdout
    assert "host.isolate" in result.stdout


def test_what_is_too_bad_can_fail_a_build(cases: Path) -> None:
    worst = json.loads(run_cli("swap", "rehearse", *_PAIR, "--cases", str(cases), "--json").stdout)["worst"]
    assert worst == "missing"
    assert run_cli("swap", "rehearse", *_PAIR, "--cases", str(cases), "--fail-on", "missing").exit_code == 1
    itself = ("--role", "edr", "--from", _EDRS[0], "--to", _EDRS[0], "--cases", str(cases))
    assert run_cli("swap", "rehearse", *itself, "--fail-on", "lossy").exit_code == 0
    assert run_cli("swap", "rehearse", *_PAIR, "--fail-on", "awful").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--role", "mail", "--from", _EDRS[0], "--to", _EDRS[1]), "no bundled cases"),
        (("--role", "edr", "--from", "acme_edr", "--to", _EDRS[1]), "no vendor"),
        (("--role", "identity", "--from", _EDRS[0], "--to", _EDRS[1]), "offers the roles"),
        ((*_PAIR, "--policy", "nowhere.yaml"), "cannot be read"),
    ],
)
def test_a_rehearsal_of_nonsense_is_refused_in_words(arguments: tuple[str, ...], says: str) -> None:
    result = run_cli("swap", "rehearse", *arguments)
    assert result.exit_code != 0
    assert says in result.stderr
