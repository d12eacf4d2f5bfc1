import csv
from importlib import resources

import pytest

from nightdesk.stix import attack


def test_an_active_technique_is_itself() -> None:
    found = attack.technique(" t1059.001 ")
    assert found is not None
    assert (found.technique_id, found.asked, found.name) == ("T1059.001", "T1059.001", "PowerShell")
    assert found.stix_id == "attack-pattern--970a3432-3237-47ad-bcca-7d8cbb217736"


def test_a_revoked_technique_leads_to_its_successor() -> None:
    found = attack.technique("T1086")
    assert found is not None
    assert (found.technique_id, found.asked) == ("T1059.001", "T1086")


@pytest.mark.parametrize("text", ["", "T9999", "CST0001", "T1059.999", "TA0002", "1059"])
def test_what_is_no_technique_is_none(text: str) -> None:
    assert attack.technique(text) is None


def test_every_row_leads_to_an_active_technique_or_nowhere() -> None:
    text = (resources.files("nightdesk.stix") / "data" / "enterprise-techniques.tsv").read_text(encoding="utf-8")
    rows = {row["technique_id"]: row for row in csv.DictReader(text.splitlines(), delimiter="\t")}
    assert len(rows) > 800
    for asked, row in rows.items():
        found = attack.technique(asked)
        if row["status"] == "active":
            assert found is not None
            assert found.technique_id == asked
        elif found is not None:
            assert rows[found.technique_id]["status"] == "active"


@pytest.mark.parametrize("text", ["TA0002", "execution", "Execution", "ta0002"])
def test_a_tactic_is_known_by_id_short_name_and_title(text: str) -> None:
    assert attack.tactic(text) == "TA0002"


def test_a_former_name_of_a_tactic_is_known() -> None:
    text = (resources.files("nightdesk.stix") / "data" / "enterprise-tactics.tsv").read_text(encoding="utf-8")
    former = [row for row in csv.DictReader(text.splitlines(), delimiter="\t") if row["former_shortname"]]
    assert former
    assert all(attack.tactic(row["former_shortname"]) == row["tactic_id"] for row in former)


def test_what_is_no_tactic_is_none() -> None:
    assert attack.tactic("world-domination") is None
    assert attack.tactic("") is None
