import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nightdesk.hub.enrichment.config import AssetsCsvConfig, IdentitiesCsvConfig
from nightdesk.hub.enrichment.tables import Table, table
from nightdesk.sdk.enrichment import AssetFact, Enrichment, EnrichmentStatus, IdentityFact
from nightdesk.sdk.testing.cases import an_entity

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def written(path: Path, text: str, *, age: float = 0.0) -> None:
    """Each writing has its own time stamp, however coarse the file system's clock is."""
    path.write_text(text, encoding="utf-8")
    stamp = (NOW - timedelta(seconds=age)).timestamp()
    os.utime(path, (stamp, stamp))


def assets(folder: Path, text: str, **more: Any) -> Table:
    written(folder / "assets.csv", text)
    return table(folder, AssetsCsvConfig(kind="assets_csv", file="assets.csv", **more))


def one(found: Table, key: str, **facts: str) -> Enrichment:
    entity = an_entity(key, **facts)
    return found.know("acme", [entity], NOW)[entity.key]


GOOD = "hostname,addresses,criticality,owner,type,tags\nWS-1,192.0.2.1 192.0.2.2,high,ops,Workstation,lab;pci\n"


def test_a_host_is_found_by_its_name_and_its_addresses(tmp_path: Path) -> None:
    found = assets(tmp_path, GOOD)
    fact = AssetFact("high", "ops", "workstation", ("lab", "pci"))
    for key in ("host:ws-1", "host:WS-1", "address:192.0.2.2"):
        assert one(found, key).facts == (fact,)
        assert one(found, key).status is EnrichmentStatus.OK
    assert one(found, "host:x", fqdn="ws-1").facts == (fact,)
    assert one(found, "host:ws-2").status is EnrichmentStatus.NOTHING


def test_columns_and_words_of_the_file_are_told_in_the_configuration(tmp_path: Path) -> None:
    text = "Name;Tier\nws-1;1\n"
    more = {"delimiter": ";", "columns": {"hostname": "Name", "criticality": "Tier"}}
    found = assets(tmp_path, text, **more, words={"criticality": {"1": "critical"}})
    assert one(found, "host:ws-1").facts == (AssetFact("critical"),)


def test_bad_rows_are_told_with_their_line_and_the_good_ones_kept(tmp_path: Path) -> None:
    found = assets(tmp_path, "hostname,criticality\nws-1,huge\nws-2,low\n,low\nws-4,low,more\nws-5\n")
    assert one(found, "host:ws-2").facts == (AssetFact("low"),)
    assert one(found, "host:ws-1").status is EnrichmentStatus.NOTHING
    assert [text.split(":")[1] for text in found.problems] == ["2", "4", "5", "6"]
    assert "huge" in found.problems[0]


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    found = assets(tmp_path, "hostname\nws-1\n")
    assert one(found, "host:ws-1").status is EnrichmentStatus.OK
    written(tmp_path / "assets.csv", "hostname\nws-2\n", age=10)
    assert one(found, "host:ws-1").status is EnrichmentStatus.NOTHING
    assert one(found, "host:ws-2").status is EnrichmentStatus.OK
    assert one(found, "host:ws-2").fetched_at == NOW - timedelta(seconds=10)


@pytest.mark.parametrize("text", ["name\nws-1\n", 'hostname\n"ws-1\n'], ids=["no column", "half a quote"])
def test_a_file_that_broke_is_stale_keeps_what_it_said_and_mends(tmp_path: Path, text: str) -> None:
    found = assets(tmp_path, "hostname,criticality\nws-1,high\n")
    one(found, "host:ws-1")
    written(tmp_path / "assets.csv", text, age=1)
    broken = one(found, "host:ws-1")
    assert (broken.status, broken.facts) == (EnrichmentStatus.STALE, (AssetFact("high"),))
    assert "cannot be read" in found.problems[0]
    written(tmp_path / "assets.csv", "hostname\nws-1\n", age=2)
    assert one(found, "host:ws-1").status is EnrichmentStatus.OK
    assert found.problems == ()


def test_a_file_that_was_never_readable_is_an_error(tmp_path: Path) -> None:
    found = table(tmp_path, AssetsCsvConfig(kind="assets_csv", file="missing.csv"))
    assert one(found, "host:ws-1").status is EnrichmentStatus.ERROR
    assert not one(found, "host:ws-1").answered


def test_a_file_that_nobody_renews_is_stale(tmp_path: Path) -> None:
    found = assets(tmp_path, "hostname\nws-1\n", max_age_seconds=60)
    assert one(found, "host:ws-1").status is EnrichmentStatus.OK
    written(tmp_path / "assets.csv", "hostname\nws-1\n", age=61)
    assert one(found, "host:ws-1").status is EnrichmentStatus.STALE


def test_an_account_is_found_by_its_name_its_domain_or_its_address(tmp_path: Path) -> None:
    text = "account,email,privileged,vip,department,groups\njdoe,j.doe@example.com,yes,no,Sales,Admins; Staff\n"
    written(tmp_path / "people.csv", text)
    found = table(tmp_path, IdentitiesCsvConfig(kind="identities_csv", file="people.csv"))
    fact = IdentityFact("jdoe", privileged=True, vip=False, department="Sales", groups=("Admins", "Staff"))
    for key in ("account:jdoe", "account:CORP\\jdoe", "account:jdoe@corp.example.com", "email:j.doe@example.com"):
        assert one(found, key).facts == (fact,)


def test_two_rows_of_one_name_are_both_told(tmp_path: Path) -> None:
    found = assets(tmp_path, "hostname,owner\nws-1,a\nws-1,b\n")
    assert [fact.owner for fact in one(found, "host:ws-1").facts if isinstance(fact, AssetFact)] == ["a", "b"]


def test_a_mark_at_the_beginning_of_the_file_is_no_part_of_a_column(tmp_path: Path) -> None:
    found = assets(tmp_path, "\ufeffhostname\nws-1\n")
    assert one(found, "host:ws-1").status is EnrichmentStatus.OK
