import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.consumers.inputs import a_hub_with_a_case
from tests.goldens import fixtures
from tests.hubs import run_cli

from nightdesk.stix.egress import PROFILES
from nightdesk.stix.scope import EXTENSION

ALERT = next(fixture for fixture in fixtures() if "attack-pattern--" in fixture.bundle.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    with a_hub_with_a_case(tmp_path_factory.mktemp("desk")) as made:
        yield made


def _normalized(out: Path, *more: str) -> dict[str, Any]:
    done = run_cli("normalize", ALERT.product, ALERT.path, "--tenant", "acme", "--out", out, *more)
    assert done.exit_code == 0, done.stderr
    bundle: dict[str, Any] = json.loads((out / f"{ALERT.path.stem}.bundle.json").read_text(encoding="utf-8"))
    return bundle


def _shown(desk: tuple[Path, str], *more: str) -> dict[str, Any]:
    config, case_id = desk
    done = run_cli("cases", "show", case_id, "--tenant", "acme", "--config", config, "--stix", *more)
    assert done.exit_code == 0, done.stderr
    bundle: dict[str, Any] = json.loads(done.stdout)
    return bundle


def _kinds(bundle: dict[str, Any]) -> set[str]:
    return {entry["type"] for entry in bundle["objects"]}


def test_normalize_writes_the_profile_that_is_asked_for(tmp_path: Path) -> None:
    made = {name: _normalized(tmp_path / name, "--profile", name) for name in PROFILES}
    assert made["canonical"] == _normalized(tmp_path / "none")
    assert "attack-pattern" in _kinds(made["opencti"])
    assert "grouping" in _kinds(made["misp"])
    assert "incident" not in _kinds(made["misp"])
    assert "artifact" in _kinds(made["evidence"])
    assert len({bundle["id"] for bundle in made.values()}) == len(PROFILES)


def test_cases_are_shown_in_the_profile_that_is_asked_for(desk: tuple[Path, str]) -> None:
    made = {name: _shown(desk, "--profile", name) for name in PROFILES}
    assert made["canonical"] == _shown(desk)
    assert "case-incident" in _kinds(made["opencti"])
    assert "incident" not in _kinds(made["misp"])
    assert {"report", "artifact"} <= _kinds(made["evidence"])
    events = [entry for entry in made["evidence"]["objects"] if entry["type"] == "artifact"]
    assert len(events) == 3
    assert all("payload_bin" in entry for entry in events)


def test_techniques_come_from_the_file_that_is_named(desk: tuple[Path, str], tmp_path: Path) -> None:
    technique = next(entry for entry in _shown(desk, "--profile", "opencti")["objects"] if "x_mitre_id" in entry)
    own = {"type": "attack-pattern", "id": technique["id"], "name": "As the file has it"}
    path = tmp_path / "enterprise-attack.json"
    path.write_text(json.dumps({"type": "bundle", "objects": [own]}), encoding="utf-8")
    assert own in _shown(desk, "--profile", "evidence", "--attack", str(path))["objects"]


def test_a_raw_event_that_is_not_carried_is_said(tmp_path: Path) -> None:
    document = json.loads(ALERT.payload)
    large = tmp_path / "large.json"
    large.write_text(json.dumps({**document, "filler": "x" * 70_000}), encoding="utf-8")
    asked = ("normalize", ALERT.product, large, "--tenant", "acme", "--out", tmp_path, "--profile", "evidence")
    done = run_cli(*asked)
    assert done.exit_code == 0
    assert "1 raw events are not carried" in done.stderr
    named = run_cli(*asked, "--raw-url", "https://raw.example.com/{sha256}")
    assert "not carried" not in named.stderr
    bundle = json.loads((tmp_path / "large.bundle.json").read_text(encoding="utf-8"))
    (artifact,) = (entry for entry in bundle["objects"] if entry["type"] == "artifact")
    (incident,) = (entry for entry in bundle["objects"] if entry["type"] == "incident")
    digest = incident["extensions"][EXTENSION["alert"]]["raw"]["sha256"]
    assert artifact["url"] == f"https://raw.example.com/{digest}"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--profile", "no_such"), "canonical, opencti, misp, evidence"),
        (("--profile", "misp", "--raw-url", "https://raw.example.com"), "--profile evidence"),
        (("--profile", "evidence", "--attack", "no-such.json"), "cannot be read"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(
    more: tuple[str, ...], said: str, desk: tuple[Path, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run_cli("normalize", ALERT.product, ALERT.path, "--tenant", "acme", "--out", out, *more)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not out.exists()
    config, case_id = desk
    shown = run_cli("cases", "show", case_id, "--tenant", "acme", "--config", config, "--stix", *more)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert said in shown.stderr


def test_a_profile_is_a_form_of_the_bundle(desk: tuple[Path, str]) -> None:
    config, case_id = desk
    done = run_cli("cases", "show", case_id, "--tenant", "acme", "--config", config, "--profile", "misp")
    assert done.exit_code == 2
    assert "--stix" in done.stderr
