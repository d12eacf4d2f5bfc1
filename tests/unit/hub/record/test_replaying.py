"""Law 11 as people ask for it: a store that a hub recorded, made again, and every change named with its place."""

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.recorded import decide_by, recorded, replayed, tamper, verified

from nightdesk.hub.record.replaying import Difference, Result, first_difference
from nightdesk.hub.store.codec import dump
from nightdesk.sdk.errors import UnsupportedError

_DECISION = "SELECT rowid, record FROM decision WHERE decision_id = 'ND-2026-000005-001'"
_RECORD = "UPDATE decision SET record = ? WHERE rowid = ?"
_NAME = "ND-2026-000005-001"
NEW = b"policy_id: now\nversion: '2'\nrules: []\n"


@pytest.fixture(scope="module")
def _lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("lived"))


@pytest.fixture
def config(_lived: Path, tmp_path: Path) -> Path:
    shutil.copytree(_lived.parent, tmp_path / "copy")
    return tmp_path / "copy" / _lived.name


def test_law_11_every_decision_of_a_recorded_store_comes_out_the_same(config: Path) -> None:
    found = replayed(config)
    assert len(found) == 12
    assert {(one.result, one.difference, one.problem, one.remarks) for one in found} == {(Result.SAME, None, "", ())}
    assert verified(config)[0] == 0


@pytest.mark.parametrize("at", [0, 1, 40, 400, 1200, -1])
def test_law_11_one_byte_of_a_record_is_found_and_nothing_is_computed_from_it(config: Path, at: int) -> None:
    def flipped(record: bytes) -> bytes:
        whole = bytearray(record)
        whole[at] ^= 1
        return bytes(whole)

    tamper(config, _DECISION, flipped, _RECORD)
    (bad,) = [one for one in replayed(config) if not one.good]
    assert (bad.decision_id, bad.result) == (_NAME, Result.CHANGED)
    assert bad.problem == "decision 6 of acme: its content is not what was recorded"
    code, told = verified(config)
    assert code == 1
    assert bad.problem in told


def test_law_11_a_column_that_says_something_else_is_found(config: Path) -> None:
    tamper(
        config,
        "SELECT rowid, outcome FROM decision WHERE seq = 6",
        lambda _: "close",
        "UPDATE decision SET outcome = ? WHERE rowid = ?",
    )
    (bad,) = [one for one in replayed(config) if not one.good]
    assert (bad.result, bad.problem) == (Result.CHANGED, "decision 6 of acme: its columns differ from its record")


@pytest.mark.parametrize("case_id", ["ND-2026-000001", "ND-2026-000003"])
@pytest.mark.parametrize("change", [(b"192.0.2", b"192.0.3"), (b'{"', b"{'")], ids=["a digit", "no JSON"])
def test_law_11_one_byte_of_an_alert_is_found_and_the_alert_is_named(
    config: Path, case_id: str, change: tuple[bytes, bytes]
) -> None:
    """Of one that has other versions as of one that has none; decisions beside it are still made again."""
    tamper(
        config,
        f"SELECT rowid, facts FROM alert WHERE case_id = '{case_id}'",
        lambda facts: facts.replace(*change, 1),
        "UPDATE alert SET facts = ? WHERE rowid = ?",
    )
    found = replayed(config)
    (bad,) = [one for one in found if not one.good]
    assert (bad.case_id, bad.result) == (case_id, Result.IMPOSSIBLE)
    assert bad.problem.startswith("alert incident--")
    assert len(found) == 12
    code, told = verified(config)
    assert code == 1
    assert bad.problem.split(":")[0] in told


def test_law_11_an_alert_changed_together_with_its_hash_is_found_too(config: Path) -> None:
    """Whoever rewrites the row whole still does not have the alert that was decided on."""
    here = "a.case_id = 'ND-2026-000003'"
    with closing(sqlite3.connect(config.parent / "nightdesk.db")) as conn:
        beside = "alert a JOIN alert_bundle b ON b.tenant = a.tenant AND b.number = a.number"
        facts, loss = conn.execute(f"SELECT a.facts, b.loss FROM {beside} WHERE {here}").fetchone()
        forged = facts.replace(b"192.0.2", b"192.0.3", 1)
        assert forged != facts
        digest = hashlib.sha256(forged + b"\0" + loss).hexdigest()
        conn.execute(f"UPDATE alert AS a SET facts = ?, content_sha256 = ? WHERE {here}", (forged, digest))
        conn.commit()
    (bad,) = [one for one in replayed(config) if not one.good]
    assert "is missing or not the one that was decided on" in bad.problem


def test_law_11_after_a_change_of_policy_and_signers_old_decisions_still_come_out_the_same(config: Path) -> None:
    decide_by(config, NEW)
    found = replayed(config)
    assert {one.result for one in found} == {Result.SAME}
    (remark,) = {remark for one in found for remark in one.remarks}
    assert remark.startswith("owner (")
    assert remark.endswith("signed then and is no configured signer today: cannot be checked")


def test_law_11_one_byte_of_a_kept_policy_is_found_and_named(config: Path) -> None:
    tamper(
        config,
        "SELECT rowid, body FROM artefact WHERE kind = 'policy'",
        lambda body: body.replace(b"Minutes", b"minutes"),
        "UPDATE artefact SET body = ? WHERE rowid = ?",
    )
    found = replayed(config)
    assert {one.result for one in found} == {Result.IMPOSSIBLE}
    assert {one.problem for one in found} == {
        "policy then 1 (d3817a33acee): its text in the store was changed; restore it from the backup"
    }
    code, told = verified(config)
    assert code == 1
    assert "its content is not what was kept" in told


def test_law_11_one_byte_of_kept_signatures_is_found_and_named(config: Path) -> None:
    tamper(
        config,
        "SELECT rowid, body FROM artefact WHERE kind LIKE 'signatures%'",
        lambda body: body.replace(b"owner", b"Owner"),
        "UPDATE artefact SET body = ? WHERE rowid = ?",
    )
    (problem,) = {one.problem for one in replayed(config)}
    assert "its signatures" in problem
    assert "were changed" in problem
    assert "signatures of policy" in verified(config)[1]


def test_a_store_of_before_texts_were_kept_replays_with_the_policy_given(config: Path) -> None:
    tamper(
        config,
        "SELECT rowid, kind FROM artefact",
        lambda _: "gone",
        "UPDATE artefact SET kind = ? WHERE rowid > 0 OR rowid = ?",
    )  # one statement
    assert {one.result for one in replayed(config)} == {Result.SAME}  # the configured one is still that one
    decide_by(config, NEW)
    (problem,) = {one.problem for one in replayed(config)}
    assert problem.endswith("is not kept: it decided before texts were; give its file with --policy")
    (file,) = (config.parent / "policies").glob("*.yaml")
    assert {one.result for one in replayed(config, file)} == {Result.SAME}


def test_one_decision_is_chosen_by_name_and_an_unknown_one_is_told(config: Path) -> None:
    assert [one.decision_id for one in replayed(config, only=_NAME)] == [_NAME]
    with pytest.raises(UnsupportedError, match="no decision nobody"):
        replayed(config, only="nobody")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(one=_VALUES, other=_VALUES)
def test_a_difference_is_told_exactly_where_bytes_differ(one: object, other: object) -> None:
    found = first_difference(dump(one), dump(other))
    assert (found is None) == (dump(one) == dump(other))


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, Difference("/a/b/1", 2, 3)),
        ({"a/b": 1, "c": 2}, {"a/b": 2, "c": 3}, Difference("/a~1b", 1, 2)),
        ([1], [1, 2], Difference("/1", "nothing", 2)),
        ({"a": 1}, {}, Difference("/a", 1, "nothing")),
        ({"a": True}, {"a": 1}, Difference("/a", True, 1)),
    ],
)
def test_the_first_difference_is_a_pointer_with_both_values(one: object, other: object, told: Difference) -> None:
    assert first_difference(dump(one), dump(other)) == told


def test_equal_values_in_other_bytes_are_a_difference_too() -> None:
    assert first_difference(b'{"a":1}', b'{"a": 1}') == Difference("byte 5", repr(b"1}"), repr(b" 1}"))
