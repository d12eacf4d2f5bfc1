from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.hubs import REGISTRY, VENDORS

from nightdesk.hub.quality import RULES, tier_of


def _folder(path: Path, rules: dict[str, Any]) -> Path:
    (path / "quality.yaml").write_text(yaml.safe_dump({"rules": rules}), encoding="utf-8")
    return path


def _done(*tiers: str) -> dict[str, Any]:
    return {name: "done" for tier in tiers for name in RULES[tier]}


def test_a_tier_needs_every_rule_of_it_and_of_those_below(tmp_path: Path) -> None:
    assert tier_of(_folder(tmp_path, _done("bronze", "silver"))) == "silver"
    assert tier_of(_folder(tmp_path, _done("bronze", "gold"))) == "bronze"
    assert tier_of(_folder(tmp_path, _done("silver", "gold"))) == "none"


@pytest.mark.parametrize(
    ("value", "tier"),
    [
        ({"exempt": True, "comment": "it has no actions"}, "bronze"),
        ({"exempt": True}, "none"),
        ({"comment": "later"}, "none"),
        ("todo", "none"),
        (True, "none"),
    ],
)
def test_an_exemption_needs_its_reason(value: Any, tier: str, tmp_path: Path) -> None:
    assert tier_of(_folder(tmp_path, {**_done("bronze"), RULES["bronze"][0]: value})) == tier


def test_nothing_stands_in_for_a_live_tenant(tmp_path: Path) -> None:
    excused = {"verified-live": {"exempt": True, "comment": "no tenant"}}
    assert tier_of(_folder(tmp_path, {**_done(*RULES), **excused})) == "gold"
    assert tier_of(_folder(tmp_path, _done(*RULES))) == "platinum"


def test_without_a_file_there_is_no_tier(tmp_path: Path) -> None:
    assert tier_of(tmp_path) == "none"


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_bundled_connector_answers_every_rule_and_no_other(vendor: str) -> None:
    rules = yaml.safe_load((REGISTRY.folders[vendor] / "quality.yaml").read_text(encoding="utf-8"))["rules"]
    known = {name for names in RULES.values() for name in names}
    assert set(rules) <= known
    assert {name for tier in ("bronze", "silver") for name in RULES[tier]} <= set(rules)
    for name, value in rules.items():
        stated = value.get("exempt") and value.get("comment") if isinstance(value, dict) else value in {"done", "todo"}
        assert stated, f"{name}: {value!r}"
