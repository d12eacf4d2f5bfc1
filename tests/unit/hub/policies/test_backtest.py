"""The past replayed on real stores: what would have changed, what people would not have wanted, what never matched."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select
from tests.hubs import REGISTRY, run_cli
from tests.pasts import RULES_THEN, lived

from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.hub.hub import Hub
from nightdesk.hub.policies.backtest import Backtest, backtest, candidate
from nightdesk.hub.policies.lasting import lasting
from nightdesk.hub.policies.radius import Reach
from nightdesk.hub.policies.told import as_json, lines
from nightdesk.hub.store import cases, decisions, intake, queries
from nightdesk.hub.store.schema import alert as alert_table
from nightdesk.hub.store.schema import inbox, inbox_payload, metadata
from nightdesk.sdk.case import CaseStatus, Decision, Mode, Outcome, Proposal, Verdict
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.sdk.testing.cases import CASE_TIME
from nightdesk.sdk.testing.fake_time import FakeTime

WIDER = RULES_THEN.replace(b"rule_name: [quiet, Quiet]", b"rule_name: [quiet, Quiet, odd, Odd]")
LATER = RULES_THEN.replace(b"rule_name: [slow, Slow]", b"rule_name: [slow, Slow, odd, Odd]")


@pytest.fixture
def past(tmp_path: Path) -> Iterator[tuple[Hub, Path, FakeTime]]:
    with lived(tmp_path) as found:
        yield found


def read(data: bytes) -> Policy:
    return parse_policy(data, file="p")


def replayed(hub: Hub, time: FakeTime, new: bytes, old: bytes | None = None, **more: Any) -> Backtest:
    return backtest(
        hub.store,
        hub.settings.tenants["acme"].scope,
        new=candidate(read(new)),
        old=candidate(read(old)) if old else None,
        since=time.now - timedelta(days=1),
        until=time.now + timedelta(seconds=1),
        normalizer=REGISTRY.normalizer,
        **more,
    )


def a_case_titled(hub: Hub, word: str) -> str:
    with hub.store.read() as conn:
        return min(row.case_id for row in queries.case_list(conn, "acme", limit=100) if word in row.title)


def judge_by_hand(
    hub: Hub, case_id: str, time: FakeTime, verdict: Verdict, outcome: Outcome = Outcome.ESCALATE
) -> None:
    with hub.store.begin() as conn:
        made = decisions.decisions(conn, "acme", case_id)
        word = replace(
            made[-1], decision_id=f"{case_id}-{len(made) + 1:03d}", mode=Mode.HUMAN, outcome=outcome, verdict=verdict,
            decided_at=time.now, reviewer="ann", inputs={}, checks=(), proposals=(), hold_until=None,
        )  # fmt: skip
        decisions.put_decisions(conn, [word])
        cases.set_status(conn, "acme", case_id, CaseStatus.ESCALATED, at=time.now)


def test_law_11_the_same_policy_changes_nothing_bit_for_bit(past: tuple[Hub, Path, FakeTime]) -> None:
    hub, _, time = past
    found = replayed(hub, time, RULES_THEN)
    assert {"close", "hold", "escalate", "propose_containment"} <= set(found.before)
    assert (found.replayed, found.changed, found.unfaithful, found.not_replayable) == (found.decisions, 0, 0, 0)
    assert found.before == found.after
    assert found.reach_before == found.reach_after
    assert [line.text.strip() for line in lines(found)].count("nothing would have changed") == 1


def test_what_would_have_changed_is_counted_with_examples(past: tuple[Hub, Path, FakeTime]) -> None:
    hub, _, time = past
    found = replayed(hub, time, WIDER)
    assert found.transitions == {("escalate", "close"): 3}
    assert found.changed == 3
    (example, *_) = found.examples["escalate", "close"]
    assert example.rules == ("quiet-tool",)
    assert (example.reason_before, example.reason_after) == ("no-rule", "signed-rule")
    assert "odd" in example.title.lower()
    assert found.after["close"] == found.before["close"] + 3
    assert found.rules["quiet-tool"].closes == 9
    assert found.stale == ("never-happens",)


def test_against_another_policy_both_are_replayed(past: tuple[Hub, Path, FakeTime]) -> None:
    hub, _, time = past
    found = replayed(hub, time, RULES_THEN, WIDER)
    assert found.transitions == {("close", "escalate"): 3}
    assert replayed(hub, time, WIDER, WIDER).changed == 0


def test_a_hold_that_nothing_interrupts_counts_as_the_close_it_becomes(past: tuple[Hub, Path, FakeTime]) -> None:
    hub, _, time = past
    found = replayed(hub, time, LATER)
    assert found.transitions == {("escalate", "hold"): 3}
    assert found.closes_later == 3
    assert found.closes == replayed(hub, time, RULES_THEN).closes + 3


def test_a_close_at_once_of_what_was_held_is_one_close(past: tuple[Hub, Path, FakeTime]) -> None:
    hub, _, time = past
    same = replayed(hub, time, RULES_THEN)
    slow = b"then: {close: {verdict: benign-positive}}"
    assert slow in RULES_THEN
    sooner = replayed(hub, time, RULES_THEN.replace(slow, b"then: {close: {verdict: benign-positive, at_once: true}}"))
    assert sooner.transitions == {("hold", "close"): 3}
    assert sooner.closes == same.closes


@pytest.mark.parametrize(
    ("verdict", "outcome"), [(Verdict.TRUE_POSITIVE, Outcome.ESCALATE), (Verdict.UNDETERMINED, Outcome.REOPEN)]
)
def test_an_attack_that_it_would_have_closed_comes_first_and_in_red(
    past: tuple[Hub, Path, FakeTime], verdict: Verdict, outcome: Outcome
) -> None:
    hub, _, time = past
    case_id = a_case_titled(hub, "odd")
    judge_by_hand(hub, case_id, time, verdict, outcome)
    found = replayed(hub, time, WIDER)
    (danger,) = found.dangers
    assert (danger.change.case_id, danger.judgement.by, danger.closed_before) == (case_id, "ann", False)
    grave = [line.text for line in lines(found) if line.grave]
    assert "WOULD HAVE CLOSED 1" in grave[0]
    assert case_id in grave[1]
    assert found.by_people == 1
    assert replayed(hub, time, RULES_THEN).dangers == []


def test_a_word_of_no_attack_is_no_danger(past: tuple[Hub, Path, FakeTime]) -> None:
    hub, _, time = past
    judge_by_hand(hub, a_case_titled(hub, "odd"), time, Verdict.BENIGN_POSITIVE, Outcome.CLOSE)
    assert replayed(hub, time, WIDER).dangers == []


def test_an_unsigned_record_of_another_policy_is_replayed_as_signed(past: tuple[Hub, Path, FakeTime]) -> None:
    hub, _, time = past
    assert candidate(read(WIDER)).signers == ("signer-1",)
    assert replayed(hub, time, WIDER).after["close"] > 0


def test_an_alert_that_changed_since_is_read_from_its_bytes_of_then(past: tuple[Hub, Path, FakeTime]) -> None:
    hub, _, time = past
    case_id = a_case_titled(hub, "quiet")
    with hub.store.read() as conn:
        alert = conn.execute(select(alert_table.c.seq).where(alert_table.c.case_id == case_id)).scalar_one()
        whole = select(inbox, inbox_payload.c.payload).join(inbox_payload, inbox_payload.c.seq == inbox.c.seq)
        row = conn.execute(whole.where(inbox.c.seq == alert)).one()
    later = orjson.loads(row.payload)
    assert later["severity"] == 50
    later |= {"severity": 70, "severity_name": "High", "updated_timestamp": "2027-01-01T00:00:00Z"}
    again = RawRecord(orjson.dumps(later), f"{row.key} later", row.native_id)
    with hub.store.begin() as conn:
        intake.store_page(
            conn, tenant="acme", instance=row.instance, stream=row.stream, product=row.product,
            batch=Batch([again], None), received_at=time.now,
        )  # fmt: skip
    (made,) = hub.pipeline.step().decided
    assert made.outcome is Outcome.REOPEN
    found = replayed(hub, time, RULES_THEN)
    assert (found.not_replayable, found.unfaithful, found.changed) == (0, 0, 0)


def test_a_decision_whose_alert_is_gone_is_counted_and_said(past: tuple[Hub, Path, FakeTime]) -> None:
    hub, _, time = past
    case_id = a_case_titled(hub, "quiet")
    with hub.store.begin() as conn:
        conn.execute(alert_table.delete().where(alert_table.c.case_id == case_id))
    found = replayed(hub, time, RULES_THEN)
    assert (found.not_replayable, found.replayed) == (1, found.decisions - 1)
    assert "is missing or not the one that was decided on" in found.problems[0]


def test_nothing_is_written_and_nothing_is_sent(past: tuple[Hub, Path, FakeTime]) -> None:
    hub, _, time = past

    def everything() -> list[tuple[str, list[Any]]]:
        with hub.store.read() as conn:
            return [(table.name, list(conn.execute(select(table)))) for table in metadata.sorted_tables]

    before = everything()
    replayed(hub, time, WIDER)
    assert everything() == before


def test_progress_tells_every_decision(past: tuple[Hub, Path, FakeTime]) -> None:
    hub, _, time = past
    seen: list[int] = []
    found = replayed(hub, time, RULES_THEN, progress=seen.append)
    assert seen == list(range(1, found.decisions + 1))


def test_pages_are_read_one_after_the_other(past: tuple[Hub, Path, FakeTime], monkeypatch: pytest.MonkeyPatch) -> None:
    hub, _, time = past
    whole = as_json(replayed(hub, time, WIDER))
    monkeypatch.setattr("nightdesk.hub.policies.past.PAGE", 2)
    assert as_json(replayed(hub, time, WIDER)) == whole


def a_proposing(minute: int, host: str, *, approval: str = "policy") -> Decision:
    context = {"limits": {"hosts_per_hour": 0.01}, "fleet_size": 200}
    return Decision(
        "acme", f"d{minute}", f"c{minute}", CASE_TIME + timedelta(minutes=minute), Outcome.PROPOSE_CONTAINMENT,
        Verdict.TRUE_POSITIVE, Mode.AUTONOMOUS, "propose-rule", (), (), "p", "1", "0" * 64,
        inputs={"context": context}, proposals=(Proposal("host.isolate", host, approval=approval),),
    )  # fmt: skip


def test_the_reach_is_the_most_different_targets_within_any_hour() -> None:
    reach = Reach()
    for minute, host in (
        (0, "host:a"),
        (30, "host:a"),
        (50, "host:b"),
        (59, "host:c"),
        (61, "host:d"),
        (200, "host:e"),
    ):
        reach.add(a_proposing(minute, host, approval="human" if host == "host:c" else "policy"))
    peak = reach.peaks()["host"]
    assert (peak.most, peak.alone, peak.limit, peak.over) == (4, 3, 2, True)
    assert peak.at == CASE_TIME + timedelta(minutes=61)
    assert reach.peaks()["account"].most == 0


@pytest.mark.parametrize(("text", "hours"), [("90m", 1.5), ("12h", 12), ("30d", 720), ("2w", 336)])
def test_how_long_back(text: str, hours: float) -> None:
    assert lasting(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "0d", "1y", "9999999d", "99999w"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="such as 30d"):
        lasting(text)


def test_the_command_replays_a_tenants_past(tmp_path: Path) -> None:
    from nightdesk.sdk.context import utc_now

    time = FakeTime(utc_now() - timedelta(hours=3))
    with lived(tmp_path, time=time) as (hub, config, _):
        judge_by_hand(hub, a_case_titled(hub, "odd"), time, Verdict.TRUE_POSITIVE)
    new = tmp_path / "new.yaml"
    new.write_bytes(WIDER)
    result = run_cli("policy", "backtest", new, "--tenant", "acme", "--last", "1d", "--config", config, "--json")
    assert result.exit_code == 1
    (only,) = json.loads(result.stdout)["tenants"]
    assert (only["tenant"], only["changed"], len(only["closed_attacks"])) == ("acme", 3, 1)
    assert only["outcomes"]["close"]["after"] == only["outcomes"]["close"]["before"] + 3
    told = run_cli("policy", "backtest", new, "--tenant", "*", "--last", "1d", "--config", config)
    assert "WOULD HAVE CLOSED 1" in told.stdout
    assert "█" in told.stdout
    old = tmp_path / "old.yaml"
    old.write_bytes(RULES_THEN)
    same = run_cli("policy", "backtest", old, "--tenant", "acme", "--against", old, "--config", config)
    assert same.exit_code == 0
    assert "nothing would have changed" in same.stdout
    nobody = run_cli("policy", "backtest", new, "--tenant", "umbrella", "--config", config, "--json")
    assert nobody.exit_code == 2


def test_the_command_explains_a_case_and_an_alert(tmp_path: Path) -> None:
    with lived(tmp_path, alerts=4) as (hub, config, _):
        case_id = a_case_titled(hub, "odd")
        quiet = a_case_titled(hub, "quiet")
    file = tmp_path / "then.yaml"
    file.write_bytes(RULES_THEN)
    plain = ("--tenant", "acme", "--config", config)
    found = json.loads(run_cli("policy", "explain", file, "--case", case_id, *plain, "--json").stdout)
    assert (found["outcome"], found["reason"]) == ("escalate", "no-rule")
    failed = {one["rule"]: one["failed"][0] for one in found["rules"]}
    assert failed["quiet-tool"]["key"] == "when.rule_name"
    assert failed["encryption"]["found"] == "T1059.001"
    assert any("for rule quiet-tool to cover" in text for text in found["changes"])
    words = run_cli("policy", "explain", file, "--case", quiet, *plain)
    assert "close as benign-positive (signed-rule)" in words.stdout
    assert "quiet-tool (close): matches (1 of 1 alerts)" in words.stdout
    raw = Path(__file__).parents[3] / "fixtures" / "wazuh" / "alerts"
    alert = run_cli("policy", "explain", file, "--alert", min(raw.glob("*.json")), "--tenant", "acme")
    assert alert.exit_code == 0, alert.output
    assert "for a machine to close it:" in alert.stdout
    assert run_cli("policy", "explain", file, *plain).exit_code == 2
    missing = run_cli("policy", "explain", file, "--case", "ND-1", *plain)
    assert missing.exit_code == 1
    assert "no decision of a machine on case ND-1" in missing.stderr
