"""The commands on the record, as a person types them and as a program reads them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.hubs import run_cli
from tests.recorded import decide_by, recorded, tamper

from nightdesk.hub.store.chain import GENESIS


@pytest.fixture(scope="module")
def _lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("lived"))


@pytest.fixture
def config(_lived: Path, tmp_path: Path) -> Path:
    shutil.copytree(_lived.parent, tmp_path / "copy")
    return tmp_path / "copy" / _lived.name


def said(config: Path, *words: str, code: int = 0) -> str:
    done = run_cli("decisions", *words, "--tenant", "acme", "--config", config)
    assert done.exit_code == code, done.output
    return done.output


def told(config: Path, *words: str, code: int = 0) -> Any:
    done = run_cli("decisions", *words, "--tenant", "acme", "--config", config, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def test_a_list_names_decisions_newest_first_and_is_narrowed(config: Path) -> None:
    rows = told(config, "list")
    assert [row["seq"] for row in rows] == list(range(12, 0, -1))
    assert {row["outcome"] for row in told(config, "list", "--outcome", "hold")} == {"hold"}
    assert len(told(config, "list", "--case", "ND-2026-000002")) == 2
    assert len(told(config, "list", "--limit", "3")) == 3
    assert "ND-2026-000005-001" in said(config, "list")
    assert "is none of close" in run_cli(
        "decisions", "list", "--tenant", "acme", "--outcome", "x", "--config", config
    ).output  # fmt: skip


def test_a_record_is_shown_whole(config: Path) -> None:
    text = said(config, "show", "ND-2026-000005-001")
    headings = [line for line in text.splitlines() if not line.startswith(" ")]
    assert headings == [
        "Decision", "Inputs", "Versions", "Checks (18 of 20 passed)", "Adviser", "Outcome", "Actions", "Chain",
    ]  # fmt: skip
    for part in (
        "FAILED tactic-floor: impact",
        "passed kill-switch: off",
        "signed by: owner",
        "proposed: host.isolate host:ws-0004 (approval: human; encryption)",
        "host.isolate host:ws-0004: awaiting_approval",
        "limits closes_per_hour: 1000",
    ):
        assert part in text
    whole = told(config, "show", "ND-2026-000005-001")
    assert whole["record"]["decision_id"] == "ND-2026-000005-001"
    assert whole["chain"]["seq"] == 6
    assert [one["state"] for one in whole["actions"]] == ["awaiting_approval"]


def test_a_record_that_was_changed_is_not_shown(config: Path) -> None:
    tamper(
        config,
        "SELECT rowid, record FROM decision WHERE seq = 6",
        lambda record: record.replace(b"awaits", b"") + b" ",
        "UPDATE decision SET record = ? WHERE rowid = ?",
    )
    assert "its content is not what was recorded" in said(config, "show", "ND-2026-000005-001", code=1)


def test_one_and_all_are_replayed_with_a_summary(config: Path) -> None:
    assert "comes out the same, bit for bit" in said(config, "replay", "ND-2026-000001-001")
    assert told(config, "replay", "ND-2026-000001-001")["result"] == "same"
    assert "acme: 12 decisions: 12 the same bit for bit" in said(config, "replay", "--all")
    whole = told(config, "replay", "--all")
    assert whole["good"] is True
    assert whole["results"] == {"same": 12, "differs": 0, "changed": 0, "impossible": 0, "person": 0}
    assert told(config, "replay", "--all", "--last", "1m")["decisions"] == 0


def test_what_is_asked_for_must_be_clear(config: Path) -> None:
    for words in (["replay"], ["replay", "x", "--all"], ["replay", "x", "--last", "7d"]):
        assert "name one decision, or say --all" in said(config, *words, code=2)
    assert "no decision nobody" in said(config, "replay", "nobody", code=1)
    assert "is no time back" in said(config, "replay", "--all", "--last", "soon", code=2)
    assert "is no head" in said(config, "verify", "--noted", "12", code=2)


def test_a_difference_is_told_with_its_place_and_ends_with_one(config: Path) -> None:
    """A record that was rewritten together with its hash: the chain and what comes out of it still tell."""
    import hashlib
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(config.parent / "nightdesk.db")) as conn:
        seq, before, record = conn.execute("SELECT seq, previous_hash, record FROM decision WHERE seq = 6").fetchone()
        forged = record.replace(b'"reason_code":"propose-rule"', b'"reason_code":"nothing-here"')
        assert forged != record
        digest = hashlib.sha256(f"decision\0acme\0{seq}\0{before}\0".encode() + forged).hexdigest()
        conn.execute("UPDATE decision SET record = ?, hash = ? WHERE seq = 6", (forged, digest))
        conn.commit()
    one = told(config, "replay", "ND-2026-000005-001", code=1)
    assert one["difference"] == {"place": "/reason_code", "recorded": "nothing-here", "made": "propose-rule"}
    text = said(config, "replay", "--all", code=1)
    assert "first difference at /reason_code" in text
    assert "11 the same bit for bit, 1 otherwise" in text
    assert "decision 7 of acme: does not follow the one before it" in said(config, "verify", code=1)


def test_the_head_is_printed_and_a_noted_one_is_found_again(config: Path) -> None:
    head = told(config, "verify")["head"]
    assert f"head 12:{head['hash']}" in said(config, "verify")
    assert told(config, "verify", "--noted", f"12:{head['hash']}")["good"]
    earlier = told(config, "list")[4]
    assert told(config, "verify", "--noted", f"{earlier['seq']}:{earlier['hash']}")["good"]
    bad = told(config, "verify", "--noted", f"12:{'a' * 64}", code=1)
    assert "the record was rewritten" in bad["problems"][0]
    assert "is not there" in told(config, "verify", "--noted", f"99:{'a' * 64}", code=1)["problems"][0]
    assert told(config, "verify", "--noted", f"0:{GENESIS}")["good"]


def test_a_signer_who_left_is_said_and_is_no_fault(config: Path) -> None:
    decide_by(config, b"policy_id: now\nversion: '2'\nrules: []\n")
    text = said(config, "replay", "--all")
    assert "12 the same bit for bit" in text
    assert "signed then and is no configured signer today: cannot be checked (12 decisions)" in text
