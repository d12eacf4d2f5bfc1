"""Law 11: a decision can be made again from its record, bit for bit, and its record cannot be changed unseen."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hubs import REGISTRY, run_cli
from tests.pasts import RULES_THEN, lived
from tests.recorded import replayed
from tests.stores import a_decision

from nightdesk.autonomy.canonical import canonical
from nightdesk.autonomy.decide import decide
from nightdesk.autonomy.guardrails import AssetFacts, BookFacts, DecisionContext
from nightdesk.autonomy.levels.reopening import reopened
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.record import GENESIS, broken_link, from_record, link, replay, to_record
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.hub.policies.backtest import backtest, candidate
from nightdesk.hub.record.replaying import Result
from nightdesk.hub.regrouping import merge_cases, split_case
from nightdesk.hub.store.artefacts import keep_policy, kept_policy, kept_signatures
from nightdesk.hub.store.cases import case as cases_of
from nightdesk.hub.store.decisions import decisions as decisions_of
from nightdesk.hub.store.decisions import put_decisions
from nightdesk.sdk.case import Alert, Case, CaseStatus, Decision, Mode, Outcome
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity

POLICY = parse_policy(
    b"""
policy_id: p
version: 1
rules:
  - {id: slow, owner: j, when: {rule_id: [noise, both]}, then: {close: {verdict: benign-positive}}}
  - {id: fast, owner: j, when: {rule_id: test}, then: {close: {verdict: test, at_once: true}}}
  - {id: ask, owner: j, when: {rule_id: ask}, then: {recommend: {verdict: false-positive}}}
  - {id: evil, owner: j, when: {text: evil}, then: {escalate: {}}}
  - {id: hands-off, owner: j, then: {never_touch: {assets: line-*}}}
  - {id: worm, owner: j, when: {rule_id: worm},
     then: {propose: {approval: policy, actions: [{verb: host.isolate, target: host, parameters: {mode: full}}]}}}
  - {id: play, owner: j, when: {rule_id: [play, both]}, then: {playbook: {approval: policy, sha256: "%s",
     id: playbook--ba67c1d1-e228-510a-9f7c-5f1d6ebf214d}}}
"""
    % (b"a" * 64),
    file="p",
)
SIGNED = SignedPolicy(POLICY, (Signature("jane", "k", "s", "t"), Signature("omar", "k", "s", "t")))
RULES = ("noise", "both", "test", "ask", "worm", "play", "unheard-of", "")


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    moment = CASE_TIME + timedelta(microseconds=draw(st.integers(-(10**9), 10**9)))
    host = draw(st.sampled_from(["ws-0042", "line-7", "dc01", "*"]))
    return an_alert(
        f"a{draw(st.integers(0, 99))}",
        title=draw(st.one_of(st.text(max_size=20), st.just("evil"))),
        rule_id=draw(st.sampled_from(RULES)),
        severity_id=draw(st.sampled_from([0, 1, 2, 3, 5, 99])),
        first_seen=moment,
        last_seen=moment,
        caution=draw(st.sampled_from([(), (), ("lost",)])),
        entities=(an_entity(f"host:{host}", "victim-host", note=draw(st.text(max_size=10))),),
    )


cases = st.builds(
    lambda given, status: a_case(given, status=status),
    st.lists(alerts(), min_size=1, max_size=3, unique_by=lambda alert: alert.alert_id),
    st.sampled_from(CaseStatus),
)
contexts = st.builds(
    DecisionContext,
    last_arrival=st.one_of(st.none(), st.just(CASE_TIME)),
    missing=st.sampled_from([(), (), ("inventory",)]),
    clock_skew=st.floats(-300, 300),
    alerts_last_hour=st.integers(0, 1000),
    alerts_hour_median=st.floats(0, 500),
    closed_last_hour=st.integers(0, 1000),
    hosts_last_hour=st.integers(0, 3),
    fleet_size=st.integers(0, 1000),
    assets=st.sampled_from([{}, {"host:ws-0042": AssetFacts("workstation", ("berlin",))}]),
    kill_switch=st.booleans(),
    stopped_rules=st.sampled_from([(), (), ("fast",), ("slow", "worm/host.isolate"), ("evil", "worm"), ("play",)]),
    playbooks=st.sampled_from(
        [
            {},
            {"play": BookFacts("Contain", "a" * 64, {"__host__": "ws-0042"})},
            {"play": BookFacts("Contain", "b" * 64)},
            {"play": BookFacts("Contain", "a" * 64, {}, ("roles: edr: tenant 'acme' binds no connector to it",))},
        ]
    ),
)


@given(
    case=cases,
    context=contexts,
    policy=st.sampled_from([SIGNED, POLICY, Policy.unsigned()]),
    after=st.integers(0, 10**9),
    quiet=st.integers(0, 10**9),
)
@settings(deadline=None)
def test_every_decision_is_made_again_bit_for_bit_from_stored_json(
    case: Case, context: DecisionContext, policy: SignedPolicy | Policy, after: int, quiet: int
) -> None:
    decision = decide(
        case,
        policy,
        now=CASE_TIME + timedelta(microseconds=after),
        quiet=timedelta(microseconds=quiet),
        context=context,
        decision_id="d-1",
        supersedes="d-0",
    )
    stored = canonical(to_record(decision))
    read: dict[str, Any] = orjson.loads(stored)
    later = replace(
        case,
        status=CaseStatus.CLOSED,
        severity_id=6,
        updated_at=CASE_TIME + timedelta(days=9),
        alerts=(an_alert("joined-later", severity_id=6), *reversed(case.alerts)),
    )
    assert canonical(to_record(replay(read, later, policy))) == stored
    assert from_record(read) == decision


def test_a_record_of_before_there_were_playbook_rules_is_made_again_to_its_own_bytes() -> None:
    """What came later says nothing in a record that has nothing of it."""
    decision = decide(a_case(), SIGNED, now=CASE_TIME, quiet=timedelta(0), decision_id="d")
    record = to_record(decision)
    assert "starts" not in record
    assert "playbooks" not in record["inputs"]["context"]
    assert canonical(to_record(from_record(record))) == canonical(record)


def decisions() -> list[Decision]:
    found: list[Decision] = []
    for rule in RULES:
        for seconds in (0, 400):
            case = a_case([an_alert(rule_id=rule)])
            now, quiet = CASE_TIME + timedelta(seconds=seconds), timedelta(seconds=300)
            found.append(decide(case, SIGNED, now=now, quiet=quiet, decision_id=f"d{len(found)}"))
    return found


def test_the_replayed_decisions_are_of_every_kind() -> None:
    kinds = {decision.outcome for decision in decisions()}
    wanted = {Outcome.CLOSE, Outcome.HOLD, Outcome.RECOMMEND, Outcome.ESCALATE, Outcome.PROPOSE_CONTAINMENT}
    assert wanted <= kinds


CHAIN: list[tuple[dict[str, Any], str]] = []
for _decision in decisions():
    _record = to_record(_decision)
    CHAIN.append((_record, link(CHAIN[-1][1] if CHAIN else GENESIS, _record)))


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, inner in enumerate(value) for leaf in leaves(inner, (*path, index))]
    return [path]


def test_an_untouched_chain_is_whole() -> None:
    assert broken_link(CHAIN) is None


@given(data=st.data())
@settings(deadline=None)
def test_a_change_of_any_field_of_any_record_is_found_at_its_place(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(CHAIN) - 1))
    record: dict[str, Any] = orjson.loads(canonical(CHAIN[index][0]))
    path = data.draw(st.sampled_from(leaves(record)))
    holder: Any = record
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = [holder[path[-1]], "changed"]
    changed = [*CHAIN[:index], (record, CHAIN[index][1]), *CHAIN[index + 1 :]]
    assert broken_link(changed) == index


@given(index=st.integers(0, len(CHAIN) - 2))
@settings(deadline=None)
def test_a_record_that_was_taken_out_or_moved_is_found(index: int) -> None:
    assert broken_link([*CHAIN[:index], *CHAIN[index + 1 :]]) == index
    swapped = [*CHAIN[:index], CHAIN[index + 1], CHAIN[index], *CHAIN[index + 2 :]]
    assert broken_link(swapped) == index


def test_a_recorded_store_replayed_under_its_own_policy_gives_the_same_bytes(tmp_path: Path) -> None:
    """Every decision of a hub that lived, from its record and the stored alerts alone; the policy is as in the file."""
    with lived(tmp_path, alerts=20) as (hub, _, time):
        found = backtest(
            hub.store,
            hub.settings.tenants["acme"].scope,
            new=candidate(parse_policy(RULES_THEN, file="p")),
            since=time.now - timedelta(days=1),
            until=time.now,
            normalizer=REGISTRY.normalizer,
        )
    assert {"close", "hold", "escalate", "propose_containment"} <= set(found.before)
    assert found.replayed == found.decisions > 20
    assert (found.changed, found.unfaithful, found.not_replayable) == (0, 0, 0)


def test_merged_and_split_cases_and_a_persons_word_replay_as_they_stood(tmp_path: Path) -> None:
    """The alerts of a decision are in other cases by now, and every decision still comes out as it was recorded."""
    with lived(tmp_path, alerts=5) as (hub, config, _):
        first, second, third = (f"ND-2026-00000{number}" for number in (1, 2, 3))
        merge_cases(hub.store, "acme", first, [second, third], by="ann", reason="one story")
        asyncio.run(hub.once(pull=False))
        with hub.store.read() as conn:
            merged = cases_of(conn, "acme", first)
            assert merged is not None
            alert = merged.alerts[1]
        split_case(hub.store, "acme", first, [alert.alert_id], by="ann", reason="two stories")
        asyncio.run(hub.once(pull=False))
        asyncio.run(hub.bindings.aclose())
        with hub.store.begin() as conn:
            put_decisions(conn, [a_decision("by-hand", first, mode=Mode.HUMAN, reviewer="ann", inputs={})])
    found = replayed(config)
    assert len(found) > 8
    assert {one.result for one in found if one.decision_id != "by-hand"} == {Result.SAME}
    assert next(one for one in found if one.decision_id == "by-hand").result is Result.PERSON
    assert "1 by people, not replayed" in run_cli(
        "decisions", "replay", "--all", "--tenant", "acme", "--config", config
    ).output  # fmt: skip


def test_the_policy_that_decides_is_kept_with_the_decision_or_neither_is(tmp_path: Path) -> None:
    with lived(tmp_path, alerts=1) as (hub, _, time):
        digest = parse_policy(RULES_THEN, file="p").sha256
        with hub.store.read() as conn:
            kept = kept_policy(conn, "acme", digest)
            assert kept is not None
            assert kept.body == RULES_THEN
            assert len(kept_signatures(conn, "acme", digest)) == 1
            assert kept_policy(conn, "beta", digest) is None  # law 3
        signed = hub.settings.tenants["acme"].policy

        def refused() -> None:
            with hub.store.begin() as conn:
                keep_policy(conn, "other", signed, time.now)
                put_decisions(conn, [a_decision("twice", "ND-2026-000001"), a_decision("twice", "ND-2026-000001")])

        with pytest.raises(NightdeskError, match="recorded already"):
            refused()
        with hub.store.read() as conn:
            assert kept_policy(conn, "other", digest) is None
        for _ in range(2):
            with hub.store.begin() as conn:
                keep_policy(conn, "acme", signed, time.now)
        with hub.store.read() as conn:
            assert len(kept_signatures(conn, "acme", digest)) == 1


def test_a_case_that_is_given_back_for_a_lost_level_replays_from_its_record_alone(tmp_path: Path) -> None:
    with lived(tmp_path, alerts=1) as (hub, config, time):
        with hub.store.begin() as conn:
            (closed,) = decisions_of(conn, "acme", "ND-2026-000001")
            why = {"unit": "acme / r", "cause": "canary", "text": "a canary was missed", "since": "2026-11-01"}
            put_decisions(conn, [reopened(closed, why, now=time.now, decision_id="ND-2026-000001-002")])
        asyncio.run(hub.bindings.aclose())
    assert [one.result for one in replayed(config)] == [Result.SAME, Result.SAME]
    told = run_cli("explain", "ND-2026-000001", "--tenant", "acme", "--config", config)
    assert told.exit_code == 0, told.output
    assert "The right by which the case was closed is gone" in told.output
