import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tests.hubs import REGISTRY, run_cli

from nightdesk.hub.grading import Grade, grade
from nightdesk.sdk.testing.subject import Ground

_VENDOR = "crowdstrike_falcon"


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground() as made:
        yield made


def graded(ground: Ground, folder: Path, **rules: object) -> Grade:
    """The vendor as it is, with other claims."""
    shutil.copytree(REGISTRY.folders[_VENDOR], folder, dirs_exist_ok=True)
    claims = {
        "owner": "nightdesk",
        "rules": {"folder-shape": "done", **{k.replace("_", "-"): v for k, v in rules.items()}},
    }
    (folder / "quality.yaml").write_text(yaml.safe_dump(claims), encoding="utf-8")
    registry = replace(REGISTRY, folders={**REGISTRY.folders, _VENDOR: folder})
    return asyncio.run(grade(registry, _VENDOR, ground))


def states(found: Grade) -> dict[str, str]:
    return {row.rule: row.state for row in found.rules}


def test_a_claim_is_proved_and_what_is_not_claimed_stays_to_do(ground: Ground, tmp_path: Path) -> None:
    found = graded(ground, tmp_path / _VENDOR, scopes_documented="done")
    assert states(found)["scopes-documented"] == "proved"
    assert states(found)["paging-bounded"] == "todo"
    assert (found.tier, found.proof) == ("none", "simulated")


def test_a_claim_that_does_not_hold_fails_with_its_reason(ground: Ground, tmp_path: Path) -> None:
    folder = tmp_path / _VENDOR
    shutil.copytree(REGISTRY.folders[_VENDOR], folder)
    (folder / "README.md").write_text("# Falcon\n", encoding="utf-8")
    registry = replace(REGISTRY, folders={**REGISTRY.folders, _VENDOR: folder})
    claims = {"rules": dict.fromkeys(["scopes-documented", "removal-documented", "how-to-page", "owner-named"], "done")}
    (folder / "quality.yaml").write_text(yaml.safe_dump(claims), encoding="utf-8")
    found = asyncio.run(grade(registry, _VENDOR, ground))
    failed = {row.rule: row.why for row in found.rules if row.state == "failed"}
    assert "does not name the permission" in failed["scopes-documented"]
    assert "no heading about" in failed["removal-documented"]
    assert "no numbered steps" in failed["how-to-page"]
    assert "names no owner" in failed["owner-named"]


def test_an_exemption_counts_only_with_its_reason(ground: Ground, tmp_path: Path) -> None:
    good = graded(ground, tmp_path / "a" / _VENDOR, dry_run={"exempt": True, "comment": "never reaches it"})
    bad = graded(ground, tmp_path / "b" / _VENDOR, dry_run={"exempt": True})
    assert states(good)["dry-run"] == "exempt"
    assert states(bad)["dry-run"] == "failed"


def test_what_cannot_be_checked_here_stands_as_claimed(ground: Ground, tmp_path: Path) -> None:
    found = graded(ground, tmp_path / _VENDOR, fixtures_per_stream="done")
    row = next(row for row in found.rules if row.rule == "fixtures-per-stream")
    assert (row.state, row.why) == ("claimed", "fixtures are in the source tree alone")


def test_the_command_says_tier_and_proof_and_fails_for_an_unknown_vendor() -> None:
    result = run_cli("quality", "no_such_vendor")
    assert result.exit_code == 1
    assert "no vendor" in result.stderr
    (found,) = json.loads(run_cli("quality", _VENDOR, "--json").stdout)
    assert found["vendor"] == _VENDOR
    assert not [row for row in found["rules"] if row["state"] == "failed"]
