"""Law 10: a case closes because a person signed a rule for it; withdrawing the signature ends that in one step."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from nightdesk.autonomy.decide import DecisionContext, decide
from nightdesk.autonomy.guardrails import AssetFacts, BookFacts
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.signing import SignedPolicy, add_signature, load_signed, sidecar_of, sign, verify
from nightdesk.sdk.case import Case, Decision, Outcome
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert

AT = datetime(2026, 11, 1, tzinfo=UTC)
KEYS = {name: Ed25519PrivateKey.generate() for name in ("jane", "omar")}
TRUSTED = {name: key.public_key() for name, key in KEYS.items()}
CLOSES = b"""
policy_id: p
version: 1
rules:
  - {id: noise, owner: jane, expires: 2026-12-31, when: {rule_id: rule-1},
     then: {close: {verdict: benign-positive, at_once: true}}}
"""
ISOLATES = b"""
policy_id: p
version: 1
rules:
  - {id: worm, owner: jane, when: {rule_id: rule-1},
     then: {propose: {approval: policy, actions: [{verb: host.isolate, target: victim-host}]}}}
"""


def signed(data: bytes, *names: str) -> bytes:
    sidecar: bytes | None = None
    for name in names:
        sidecar = add_signature(sidecar, sign(data, KEYS[name], name, at=AT), file="p.sig")
    return sidecar or b"[]"


def decided(case: Case, policy: SignedPolicy | Policy, now: datetime = CASE_TIME) -> Decision:
    context = DecisionContext(assets={"host:ws-0042": AssetFacts("workstation")})
    return decide(case, policy, now=now, quiet=timedelta(0), context=context, decision_id="d")


def test_a_signed_rule_closes() -> None:
    policy = verify(CLOSES, signed(CLOSES, "jane"), TRUSTED, file="p")
    assert decided(a_case(), policy).outcome is Outcome.CLOSE


def test_the_same_rule_unsigned_closes_nothing() -> None:
    decision = decided(a_case(), parse_policy(CLOSES, file="p"))
    assert (decision.outcome, decision.reason_code) == (Outcome.ESCALATE, "policy-unsigned")


@given(
    rule_id=st.sampled_from(["rule-1", "rule-2", ""]),
    severity=st.sampled_from([0, 1, 2, 3, 4, 5, 6, 99]),
    days=st.integers(0, 400),
)
@settings(deadline=None)
def test_without_a_signature_no_case_is_ever_closed_held_or_recommended(rule_id: str, severity: int, days: int) -> None:
    case = a_case([an_alert(rule_id=rule_id, severity_id=severity)])
    for policy in (parse_policy(CLOSES, file="p"), Policy.unsigned(), SignedPolicy(parse_policy(CLOSES, file="p"), ())):
        assert decided(case, policy, CASE_TIME + timedelta(days=days)).outcome is Outcome.ESCALATE


def test_a_rule_that_has_expired_closes_nothing_any_more() -> None:
    policy = verify(CLOSES, signed(CLOSES, "jane"), TRUSTED, file="p")
    last_day = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert decided(a_case(), policy, last_day).outcome is Outcome.CLOSE
    assert decided(a_case(), policy, last_day + timedelta(minutes=1)).outcome is Outcome.ESCALATE


def test_a_case_of_a_rule_that_nobody_signed_for_is_not_closed() -> None:
    policy = verify(CLOSES, signed(CLOSES, "jane"), TRUSTED, file="p")
    assert decided(a_case([an_alert(), an_alert("alert-2", rule_id="rule-2")]), policy).outcome is Outcome.ESCALATE


@pytest.mark.parametrize("part", ["policy", "signature", "trust"])
def test_withdrawing_takes_one_step(part: str, tmp_path: Path) -> None:
    path, trusted = tmp_path / "policy.yaml", dict(TRUSTED)
    path.write_bytes(CLOSES)
    sidecar_of(path).write_bytes(signed(CLOSES, "jane"))
    assert load_signed(path, trusted).signers == ("jane",)
    if part == "policy":
        path.write_bytes(CLOSES.replace(b"rule-1", b"rule-2"))
    elif part == "signature":
        sidecar_of(path).unlink()
    else:
        del trusted["jane"]
    with pytest.raises(ConfigError):
        load_signed(path, trusted)


def test_containment_without_a_person_takes_two() -> None:
    with pytest.raises(ConfigError, match="two signers"):
        verify(ISOLATES, signed(ISOLATES, "jane"), TRUSTED, file="p")
    alone = SignedPolicy(parse_policy(ISOLATES, file="p"), (sign(ISOLATES, KEYS["jane"], "jane", at=AT),))
    assert [one.approval for one in decided(a_case(), alone).proposals] == ["human"]
    both = verify(ISOLATES, signed(ISOLATES, "jane", "omar"), TRUSTED, file="p")
    assert [one.approval for one in decided(a_case(), both).proposals] == ["policy"]


@pytest.mark.parametrize("when", ["{}", "{severity_at_most: low}", "{tactics: TA0043}", "{rule_name: '*'}"])
def test_nobody_can_sign_a_rule_that_closes_everything(when: str) -> None:
    text = CLOSES.replace(b"{rule_id: rule-1}", when.encode())
    with pytest.raises(ConfigError):
        verify(text, signed(text, "jane", "omar"), TRUSTED, file="p")


STARTS = (
    b"policy_id: p\nversion: 1\nrules:\n  - {id: worm, owner: jane, when: {rule_id: rule-1}, then: {playbook: "
    b"{approval: policy, id: playbook--ba67c1d1-e228-510a-9f7c-5f1d6ebf214d, sha256: " + b"a" * 64 + b"}}}\n"
)


def test_a_playbook_whose_actions_go_without_a_person_takes_two() -> None:
    with pytest.raises(ConfigError, match=r"rules\[0\]\.then\.playbook\.approval: .*two signers"):
        verify(STARTS, signed(STARTS, "jane"), TRUSTED, file="p")
    assert verify(STARTS, signed(STARTS, "jane", "omar"), TRUSTED, file="p").signers == ("jane", "omar")
    waiting = STARTS.replace(b"approval: policy", b"approval: human")
    assert verify(waiting, signed(waiting, "jane"), TRUSTED, file="p").signers == ("jane",)


@pytest.mark.parametrize("digest", ["a" * 64, "b" * 64])
def test_a_playbook_is_started_by_signed_rules_only_and_only_what_was_signed(digest: str) -> None:
    found = {"worm": BookFacts("Contain", digest)}
    context = DecisionContext(playbooks=found)
    waiting = STARTS.replace(b"approval: policy", b"approval: human")
    for policy, right in (
        (verify(waiting, signed(waiting, "jane"), TRUSTED, file="p"), digest == "a" * 64),
        (parse_policy(waiting, file="p"), False),
        (SignedPolicy(parse_policy(waiting, file="p"), ()), False),
    ):
        decision = decide(a_case(), policy, now=CASE_TIME, quiet=timedelta(0), context=context, decision_id="d")
        assert bool(decision.starts) is right
        assert decision.outcome is (Outcome.PROPOSE_CONTAINMENT if right else Outcome.ESCALATE)
