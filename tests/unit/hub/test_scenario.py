import json
from pathlib import Path

import pytest
import yaml
from tests.hubs import REGISTRY, run_cli

from nightdesk.hub.config import load_config
from nightdesk.hub.scenario import bundled_scenario, read_scenario, tell
from nightdesk.hub.setup import make_config
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.errors import ConfigError

_STORY = """
title: A break-in
devices: [{hostname: WS-0001, addresses: [192.0.2.1]}]
accounts: [{name: jdoe, email: jdoe@corp.example.com}]
alerts:
  - {title: Encoded script, severity: high, rule: r-1, host: WS-0001, user: jdoe, vendors: [crowdstrike_falcon]}
  - {title: Beacon, severity: medium, rule: r-2, seconds: 60, host: WS-0001}
"""


@pytest.fixture
def story(tmp_path: Path) -> Path:
    file = tmp_path / "story.yaml"
    file.write_text(_STORY, encoding="utf-8")
    return file


def test_every_vendor_is_told_its_part_and_all_know_the_same_estate(story: Path) -> None:
    names = ("crowdstrike_falcon", "splunk_es", "okta")
    made = {name: REGISTRY.simulator(name)() for name in names}
    told = {one.vendor: one.alerts for one in tell(read_scenario(story), made, frozenset(names[:2]), utc_now())}
    assert {name: len(alerts) for name, alerts in told.items()} == {names[0]: 2, names[1]: 1, names[2]: 0}
    assert [device.hostname for device in made[names[0]].fleet.devices.values()] == ["WS-0001"]
    assert [member.name for member in made["okta"].directory.accounts.values()] == ["jdoe"]


def test_the_bundled_story_is_the_rehearsals() -> None:
    scenario = bundled_scenario()
    assert [process.name for process in scenario.estate()["WS-0142"].processes] == ["powershell.exe", "locker.exe"]
    assert [account.name for account in scenario.accounts] == ["jdoe", "asmith", "deploy"]


@pytest.mark.parametrize("text", ["", "title: x\nalerts: []\n", "title: [", "title: x\nalerts: [{title: y}]\n"])
def test_what_is_no_story_is_said_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "story.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        read_scenario(file)


def test_the_whole_estate_runs_and_its_connectors_are_ready_to_be_bound(tmp_path: Path, story: Path) -> None:
    out = tmp_path / "connectors.yaml"
    result = run_cli("simulate", "--all", "--scenario", str(story), "--seconds", "0.1", "--out", str(out), "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert {row["vendor"] for row in rows} == {name for name, one in REGISTRY.manifests.items() if one.remote}
    config = make_config(tmp_path, "acme", "Acme", at=utc_now(), more=yaml.safe_load(out.read_text(encoding="utf-8")))
    settings = load_config(config, REGISTRY)
    assert set(settings.tenants["acme"].instances) == {row["vendor"] for row in rows}


def test_one_vendor_or_all_must_be_named() -> None:
    assert run_cli("simulate").exit_code == 2
    assert run_cli("simulate", "okta", "--all").exit_code == 2
