from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from nightdesk.autonomy.canonical import canonical
from nightdesk.autonomy.decide import DecisionContext, decide
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.record import GENESIS, broken_link, from_record, link, replay, to_record
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.sdk.case import CaseStatus, Decision, Mode
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert

POLICY = parse_policy(
    b"policy_id: p\nversion: 1\nrules: [{id: r, owner: j, when: {rule_id: rule-1}, then: {close: {verdict: test}}}]\n",
    file="p",
)
SIGNED = SignedPolicy(POLICY, (Signature("jane", "k", "s", "t"),))
CASE = a_case([an_alert("a1"), an_alert("a2")])


def made() -> Decision:
    return decide(
        CASE,
        SIGNED,
        now=CASE_TIME + timedelta(microseconds=1),
        quiet=timedelta(seconds=1.5),
        context=DecisionContext(last_arrival=CASE_TIME, closed_last_hour=3),
        decision_id="d",
    )


def test_a_decision_comes_back_from_the_json_of_its_record() -> None:
    decision = made()
    assert from_record(orjson.loads(orjson.dumps(to_record(decision)))) == decision


def test_a_decision_is_made_again_bit_for_bit_although_the_case_went_on() -> None:
    record = to_record(made())
    grown = replace(
        CASE,
        status=CaseStatus.ESCALATED,
        severity_id=5,
        updated_at=CASE_TIME + timedelta(days=1),
        alerts=(an_alert("a3", severity_id=5), *reversed(CASE.alerts)),
    )
    assert canonical(to_record(replay(record, grown, SIGNED))) == canonical(record)


def test_an_alert_that_is_not_the_one_of_then_is_named() -> None:
    changed = replace(CASE, alerts=(CASE.alerts[0], replace(CASE.alerts[1], title="other")))
    with pytest.raises(PolicyError, match="alert a2 is missing or not the one"):
        replay(to_record(made()), changed, SIGNED)


@pytest.mark.parametrize(
    "policy",
    [
        Policy.unsigned(),
        POLICY,
        SignedPolicy(POLICY, (Signature("omar", "k", "s", "t"),)),
        SignedPolicy(replace(POLICY, sha256="0" * 64), SIGNED.signatures),
    ],
    ids=["none", "unsigned", "other signer", "other text"],
)
def test_another_policy_or_signer_is_refused(policy: Policy | SignedPolicy) -> None:
    with pytest.raises(PolicyError, match=r"was made under policy p 1 .* signed by jane"):
        replay(to_record(made()), CASE, policy)


def test_what_a_person_decided_is_not_replayed() -> None:
    with pytest.raises(PolicyError, match="made by jane"):
        replay(to_record(replace(made(), mode=Mode.HUMAN, reviewer="jane")), CASE, SIGNED)


def test_what_is_no_record_is_refused_by_its_fields() -> None:
    with pytest.raises(PolicyError, match="outcome"):
        from_record({**to_record(made()), "outcome": "shrug"})


def test_a_change_in_a_chain_is_found_at_its_place() -> None:
    chain, previous = [], GENESIS
    for index in range(4):
        record = to_record(replace(made(), decision_id=f"d{index}"))
        previous = link(previous, record)
        chain.append((record, previous))
    assert broken_link(chain) is None
    chain[2] = ({**chain[2][0], "reason_code": "other"}, chain[2][1])
    assert broken_link(chain) == 2
    del chain[1]
    assert broken_link(chain) == 1
