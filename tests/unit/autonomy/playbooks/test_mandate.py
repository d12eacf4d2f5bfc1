from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.playbooks import HOST, a_playbook, do, end, openc2, start

from nightdesk.autonomy.containment import resolve
from nightdesk.autonomy.decide import decide
from nightdesk.autonomy.guardrails import AssetFacts, BookFacts, DecisionContext, abstain_checks
from nightdesk.autonomy.ledger import ENGINE
from nightdesk.autonomy.playbooks.content import content_of
from nightdesk.autonomy.playbooks.mandate import Standing, halted_by, standing_of, terms
from nightdesk.autonomy.playbooks.run import Mandate, Run
from nightdesk.autonomy.playbooks.standing import begin, started_by
from nightdesk.autonomy.policy import ACTS_ON, Policy, judge
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.proposals import Approval
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.autonomy.switches import ANYWHERE, TELLS, Position, Scope, Switch
from nightdesk.sdk.case import Decision
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity
from nightdesk.sdk.verbs import VERBS, Risk, TargetKind

BOOK = a_playbook({"start": start("a"), "a": do(openc2("scan", HOST), on_completion="z"), "z": end()})
SHA = content_of(BOOK, {})
INPUTS = {"__host__": "ws-0042"}
RULE = f"{{id: worm, owner: j, then: {{playbook: {{id: {BOOK.id}, sha256: {SHA}, approval: policy}}}}}}"
SIGNED = (Signature("jane", "k", "s", "t"), Signature("omar", "l", "s", "t"))


def a_policy(*rules: str) -> Policy:
    text = "policy_id: p\nversion: 1\nrules: []\n"
    if rules:
        text = text.replace(" []", "") + "".join(f"  - {rule}\n" for rule in rules)
    return parse_policy(text.encode(), file="p")


def a_run(*rules: str) -> Run:
    mandate = Mandate("d-1", rules or ("worm",), SHA, INPUTS)
    facts: dict[str, Any] = {"tenant": "acme", "run_id": "run-1", "case_id": "case-1", "started_by": "autonomy"}
    return begin(BOOK, {}, **facts, variables=INPUTS, now=CASE_TIME, mandate=mandate)


def latest(policy: SignedPolicy | Policy, **context: Any) -> Decision:
    found = {"worm": BookFacts("b", SHA, INPUTS)}
    return decide(
        a_case(),
        policy,
        now=CASE_TIME,
        quiet=timedelta(0),
        context=DecisionContext(playbooks=found, **context),
        decision_id="d-1",
    )


def standing(policy: SignedPolicy | Policy, decision: Decision | None, *rules: str) -> tuple[bool, bool]:
    found = standing_of(a_run(*rules), policy, decision, CASE_TIME)
    return found.valid, found.alone


def test_the_mandate_holds_while_its_rule_and_signatures_do() -> None:
    policy = SignedPolicy(a_policy(RULE), SIGNED)
    assert standing(policy, latest(policy)) == (True, True)
    assert started_by(a_run()) == "autonomy (rule worm, decision d-1)"


@pytest.mark.parametrize(
    "changed",
    [
        SignedPolicy(a_policy(RULE), ()),
        a_policy(RULE),
        SignedPolicy(a_policy(), SIGNED),
        SignedPolicy(a_policy(RULE.replace(SHA, "b" * 64)), SIGNED),
        SignedPolicy(a_policy(RULE.replace("{id: worm", "{id: other")), SIGNED),
        SignedPolicy(a_policy(RULE.replace("owner: j,", "owner: j, expires: 2026-01-01,")), SIGNED),
        SignedPolicy(a_policy("{id: worm, owner: j, then: {escalate: {}}}"), SIGNED),
    ],
    ids=["no signature", "unsigned", "no rule", "another content", "another name", "expired", "another effect"],
)
def test_whatever_is_withdrawn_ends_it(changed: SignedPolicy | Policy) -> None:
    """Law 10: in one step, also while the run goes on."""
    assert standing(changed, latest(SignedPolicy(a_policy(RULE), SIGNED))) == (False, False)


def test_every_one_of_its_rules_must_stand() -> None:
    policy = SignedPolicy(a_policy(RULE), SIGNED)
    assert standing(policy, latest(policy), "worm", "gone") == (False, False)


def test_what_was_learnt_of_the_case_since_counts() -> None:
    """Law 7: the newest decision, and no older one, says whether policy may let things go."""
    policy = SignedPolicy(a_policy(RULE), SIGNED)
    assert standing(policy, latest(policy, missing=("inventory",))) == (True, False)
    assert standing(policy, None) == (True, False)
    moved = latest(policy)
    other = replace(moved, starts=(replace(moved.starts[0], variables={"__host__": "ws-7"}),))
    assert standing(policy, other) == (True, False)


def _stopped(switch: Switch, by: str = "ada") -> list[Position]:
    return [Position(switch, True, "odd", by, CASE_TIME)]


@pytest.mark.parametrize(
    ("switch", "ends"),
    [
        (Switch(ANYWHERE, Scope.ALL), True),
        (Switch("acme", Scope.TENANT), True),
        (Switch("acme", Scope.RULE, "worm"), True),
        (Switch("acme", Scope.RULE, "other"), False),
        (Switch("acme", Scope.RULE, "worm/host.isolate"), False),
        (Switch("acme", Scope.VENDOR_ACTION, "acme_edr/host.isolate"), False),
    ],
    ids=str,
)
def test_a_persons_stop_ends_it_and_a_brakes_does_not(switch: Switch, ends: bool) -> None:
    assert (halted_by(a_run(), _stopped(switch)) is not None) is ends
    assert halted_by(a_run(), _stopped(switch, ENGINE)) is None
    assert halted_by(replace(a_run(), mandate=None), _stopped(switch)) is None


# Never wider than the same action proposed by a rule of its own (law 7).

NAMES = {
    TargetKind.HOST: ["ws-0042", "dc01", "line-7", "*"],
    TargetKind.ACCOUNT: ["jdoe", "svc_backup", "root"],
    TargetKind.ADDRESS: ["203.0.113.9", "10.0.0.5"],
    TargetKind.DOMAIN: ["evil.example", "bank.example"],
    TargetKind.URL: ["https://evil.example/a"],
    TargetKind.FILE: ["sha256:" + "4f" * 32],
    TargetKind.PROCESS: ["tool.exe"],
    TargetKind.SENDER: ["a@evil.example"],
}
NEVER = "{id: n, owner: j, then: {never_touch: {assets: line-*, domains: bank.example}}}"
contexts = st.builds(
    DecisionContext,
    fleet_size=st.sampled_from([0, 100, 1000]),
    hosts_last_hour=st.integers(0, 3),
    accounts_last_hour=st.integers(0, 6),
    indicators_last_hour=st.sampled_from([0, 50]),
    assets=st.dictionaries(
        st.sampled_from(["host:ws-0042", "host:line-7", "account:jdoe"]),
        st.builds(
            AssetFacts,
            asset_type=st.sampled_from(["workstation", "server", ""]),
            tags=st.sampled_from([(), ("vip",)]),
            privileged=st.booleans(),
            resolves_to=st.sampled_from([1, 2]),
        ),
    ),
)


@given(data=st.data(), context=contexts, signers=st.integers(1, 3), name=st.sampled_from(sorted(VERBS)))
@settings(max_examples=400, deadline=None)
def test_no_step_goes_further_than_a_proposal_would(
    data: st.DataObject, context: DecisionContext, signers: int, name: str
) -> None:
    wanted = VERBS[name]
    if wanted.target not in NAMES:
        found = terms(
            a_run(), Standing(True, True, signers), wanted, _some(wanted.target), a_policy(RULE), context, [], None
        )
        tells = wanted.risk <= Risk.R1 and wanted.role in TELLS
        assert found.approval is (Approval.POLICY if tells else Approval.HUMAN)
        return
    value = data.draw(st.sampled_from([text for text in NAMES[wanted.target] if text != "*"]))
    kind = ACTS_ON[wanted.target].value
    entity = an_entity(f"{kind}:{value}", "sender" if wanted.target is TargetKind.SENDER else "other")
    case = a_case([an_alert(entities=(entity,))])
    target = Target(wanted.target, value)
    found = terms(a_run(), Standing(True, True, signers), wanted, target, a_policy(RULE, NEVER), context, [], None)
    try:
        proposing = a_policy(_proposal(name, kind, "policy"), NEVER)
    except ConfigError:  # what policy may not let go by itself, or no rule may propose at all
        assert found.refused or found.approval is Approval.HUMAN
        return
    single = resolve(
        judge(proposing, case, CASE_TIME), proposing, signers, context, abstain_checks(case, context, CASE_TIME)
    )
    if not single.proposals:
        assert found.refused, "what is not even proposed is not asked for either"
    else:
        assert not found.refused
        assert found.approval == single.proposals[0].approval


def _proposal(name: str, kind: str, approval: str) -> str:
    word = "sender" if name.startswith("sender") else kind
    return (
        f"{{id: i, owner: j, then: {{propose: {{approval: {approval}, actions: [{{verb: {name}, target: {word}}}]}}}}}}"
    )


def _some(kind: TargetKind) -> Target:
    return Target(kind, {TargetKind.MEMBERSHIP: "g/u"}.get(kind, "thing-1"))


@pytest.mark.parametrize("alone", [True, False])
def test_a_mandate_that_no_longer_holds_tells_nobody_by_itself(alone: bool) -> None:
    gone = Standing(False, False, 0)
    target = Target(VERBS["notify.send"].target, "soc")
    found = terms(a_run(), gone, VERBS["notify.send"], target, a_policy(), DecisionContext(), [], None)
    assert found.approval is Approval.HUMAN
    stays = Standing(True, alone, 2)
    found = terms(a_run(), stays, VERBS["notify.send"], target, a_policy(), DecisionContext(), [], None)
    assert found.approval is Approval.POLICY
